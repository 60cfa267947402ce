package app

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/auditstream/auditstream/sinks"
)

// ownerFile owns the streams that a configuration file lists.
const ownerFile = sinks.OwnerFile

// applyStreams makes the streams topic say what the file says and returns all streams.
func applyStreams(ctx context.Context, opts []kgo.Opt, topics kafka.Topics, streams []config.Stream, log *zap.Logger) (consumer.Specs, error) {
	for {
		specs, written, err := changeStreams(ctx, opts, topics, log, func(have []consumer.Spec) ([]consumer.Spec, error) {
			return diffStreams(have, streams)
		})
		if err != nil {
			return specs, err
		}
		if len(written) == 0 {
			tellRemoved(specs.Streams, streams, log)
			return specs, nil
		}
	}
}

// tellRemoved says which streams of the file are not delivered, or soon will not be,
// because an operator has deleted them.
func tellRemoved(have []consumer.Spec, want []config.Stream, log *zap.Logger) {
	removed := map[string]consumer.Spec{}
	for _, s := range have {
		if s.Removed != nil {
			removed[s.ID] = s
		}
	}
	for _, w := range want {
		if s, ok := removed[w.ID]; ok {
			log.Warn("an operator has deleted this stream, although the file lists it: take it out of the file; listed again after a start without it, it is made anew",
				zap.String("stream", w.ID), zap.String("state", s.State), zap.Stringer("deleted", s.Removed), zap.Time("at", s.Removed.At))
		}
	}
}

// changeStreams writes what decide wants changed of the streams that there are. It returns
// the streams that it has written, with offset and time of their records, or, when there
// is nothing to change, all streams as they are.
//
// Writers are serialised by one transactional id: whoever begins fences the others, reads
// what there is and writes the difference; if it is fenced before its commit, nothing of
// it counts and it begins again. So two processes that start at once never make a
// stream twice, under two identities, and of two operators each decides knowing what the
// other has done.
func changeStreams(ctx context.Context, opts []kgo.Opt, topics kafka.Topics, log *zap.Logger, decide func([]consumer.Spec) ([]consumer.Spec, error)) (consumer.Specs, []consumer.Spec, error) {
	plain, err := kgo.NewClient(opts...)
	if err != nil {
		return consumer.Specs{}, nil, err
	}
	defer plain.Close()
	reader := &kafka.Reader{Client: plain}
	for {
		specs, err := readSpecs(ctx, reader, topics)
		if err != nil {
			return specs, nil, err
		}
		if changes, err := decide(specs.Streams); err != nil || len(changes) == 0 {
			return specs, nil, err
		}
		written, err := writeSpecs(ctx, opts, topics, reader, decide, log)
		if len(written) > 0 {
			return specs, written, nil
		}
		if err != nil && !fenced(err) {
			return specs, nil, fmt.Errorf("write the streams to %s: %w", topics.Streams(), err)
		}
		if err != nil {
			// A writer that begins fences the one under way: without a pause of random length two
			// could go on doing that to each other.
			log.Info("another process is writing the streams, looking again")
			t := time.NewTimer(fencedPause + mathrand.N(2*fencedPause))
			select {
			case <-t.C:
			case <-ctx.Done():
				t.Stop()
				return specs, nil, context.Cause(ctx)
			}
		}
	}
}

// fencedPause is a third of the longest wait of a writer that was fenced; writing takes
// about as long.
const fencedPause = 100 * time.Millisecond

func fenced(err error) bool {
	return errors.Is(err, kerr.InvalidProducerEpoch) || errors.Is(err, kerr.ProducerFenced) || errors.Is(err, kerr.InvalidTxnState) ||
		errors.Is(err, kerr.ConcurrentTransactions)
}

// readSpecs reads the streams topic. Of each id the last record counts.
func readSpecs(ctx context.Context, reader *kafka.Reader, topics kafka.Topics) (consumer.Specs, error) {
	byID := map[string]consumer.Spec{}
	var bad error
	end, err := reader.ReadToEnd(ctx, topics.Streams(), 0, func(r *kgo.Record) {
		s, err := consumer.DecodeSpec(r)
		bad = errors.Join(bad, err)
		byID[string(r.Key)] = s
	})
	if err = errors.Join(err, bad); err != nil {
		return consumer.Specs{}, fmt.Errorf("read %s: %w", topics.Streams(), err)
	}
	specs := consumer.Specs{Offset: end}
	for _, s := range byID {
		specs.Streams = append(specs.Streams, s)
	}
	slices.SortFunc(specs.Streams, func(a, b consumer.Spec) int { return compare(a.ID, b.ID) })
	return specs, nil
}

func compare(a, b string) int { return bytes.Compare([]byte(a), []byte(b)) }

func writeSpecs(ctx context.Context, opts []kgo.Opt, topics kafka.Topics, reader *kafka.Reader, decide func([]consumer.Spec) ([]consumer.Spec, error), log *zap.Logger) ([]consumer.Spec, error) {
	writer, err := kgo.NewClient(append(slices.Clone(opts),
		kgo.TransactionalID(topics.Streams()),
		kgo.TransactionTimeout(10*time.Second),
		kgo.RequiredAcks(kgo.AllISRAcks()),
	)...)
	if err != nil {
		return nil, err
	}
	defer writer.Close()
	// A record under way cannot be given up otherwise: the client would wait for its fate.
	stop := context.AfterFunc(ctx, writer.Close)
	defer stop()
	if _, _, err := writer.ProducerID(ctx); err != nil { // fences whoever wrote before
		return nil, err
	}
	specs, err := readSpecs(ctx, reader, topics)
	if err != nil {
		return nil, err
	}
	changes, err := decide(specs.Streams)
	if err != nil || len(changes) == 0 {
		return nil, err
	}
	if err := writer.BeginTransaction(); err != nil {
		return nil, err
	}
	records := make([]*kgo.Record, 0, len(changes))
	for _, s := range changes {
		value, err := s.Encode()
		if err != nil {
			return nil, err
		}
		records = append(records, &kgo.Record{Topic: topics.Streams(), Key: []byte(s.ID), Value: value})
	}
	if err := writer.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return nil, errors.Join(err, writer.EndTransaction(ctx, kgo.TryAbort))
	}
	if err := writer.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return nil, err
	}
	for i := range changes {
		s := &changes[i]
		s.Offset, s.Time = records[i].Offset, records[i].Timestamp
		log.Info("stream applied", zap.String("stream", s.ID), zap.String("uid", s.UID), zap.String("state", s.State),
			zap.Int64("epoch", s.Epoch), zap.Int64("revision", s.Revision))
	}
	return changes, nil
}

// diffStreams returns the specs to write so that those owned by the file are what the
// file says. A file without streams has no say.
func diffStreams(have []consumer.Spec, want []config.Stream) ([]consumer.Spec, error) {
	if want == nil {
		return nil, nil
	}
	var changes []consumer.Spec
	change := func(s consumer.Spec, what string) {
		changes = append(changes, s.Note(consumer.Change{What: what, By: ownerFile, At: time.Now().UTC()}))
	}
	there, listed := map[string]consumer.Spec{}, map[string]bool{}
	for _, h := range have {
		if h.State != consumer.SpecDeleted || h.Removed != nil {
			there[h.ID] = h
		}
	}
	for _, w := range want {
		listed[w.ID] = true
		h, ok := there[w.ID]
		if !ok {
			change(newSpec(w), "made")
			continue
		}
		if h.Owner != ownerFile {
			return nil, fmt.Errorf("stream %q of the configuration is owned by %q already: give one of them another id", w.ID, h.Owner)
		}
		if h.Removed != nil {
			continue // an operator has deleted it
		}
		if next, changed := revise(h, w); changed {
			change(next, "changed")
		}
	}
	for _, h := range have {
		switch {
		case h.Owner != ownerFile || listed[h.ID] || h.State == consumer.SpecDraining:
		case h.State != consumer.SpecDeleted:
			gone := h.Revise()
			gone.State = consumer.SpecDeleted
			change(gone, "deleted")
		case h.Removed != nil: // listed again, it is a new stream
			gone := h.Revise()
			gone.Removed = nil
			change(gone, "taken out of the file")
		}
	}
	return changes, nil
}

func newSpec(w config.Stream) consumer.Spec {
	s := consumer.Spec{UID: "str_" + rand.Text(), Epoch: 1, BaseEpoch: 1, Revision: 1, Owner: ownerFile, ID: w.ID, Start: w.Start.String()}
	return fill(s, w)
}

// fill takes over what the file says. Where a stream starts holds for its making only; what
// an operator has done to it stays.
func fill(s consumer.Spec, w config.Stream) consumer.Spec {
	s.State = consumer.SpecActive
	if w.Paused {
		s.State = consumer.SpecPaused
	}
	s.OrganizationID, s.Actions, s.Format = w.OrganizationID, w.Actions, pinned(w.Format, s.Format)
	s.Kind, s.Settings = w.Kind, w.Written
	return s
}

func revise(h consumer.Spec, w config.Stream) (consumer.Spec, bool) {
	next := fill(h, w)
	if next.State == h.State && next.OrganizationID == h.OrganizationID && slices.Equal(next.Actions, h.Actions) &&
		next.Format == h.Format && next.Kind == h.Kind && bytes.Equal(next.Settings, h.Settings) {
		return h, false
	}
	if next.Kind != h.Kind {
		// Another kind has another consumer group, which knows nothing of the old cursor: this
		// is another stream under the same id.
		made := newSpec(w)
		made.Start = consumer.StartNow
		made.Hold, made.Changes = h.Hold, h.Changes // who paused it did not mean the kind
		return made, true
	}
	if placeOf(w.Kind, h) != placeOf(w.Kind, next) {
		return fill(h.Continue(), w), true
	}
	return fill(h.Revise(), w), true
}

// placeOf is where a spec's settings put events, empty for kinds to which that means
// nothing.
func placeOf(kind string, s consumer.Spec) string {
	k, ok := kindNamed(kind)
	if !ok {
		return ""
	}
	settings := k.Defaults()
	if err := decode(s.Settings, settings); err != nil {
		return ""
	}
	if p, ok := settings.(sinks.Placed); ok {
		return p.Place() + "\n" + s.Format
	}
	return ""
}
