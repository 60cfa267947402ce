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
	"github.com/auditstream/auditstream/internal/record"
	"github.com/auditstream/auditstream/internal/seal"
	"github.com/auditstream/auditstream/sinks"
)

// Owners of streams: a configuration file that lists them, and the API.
const (
	ownerFile = sinks.OwnerFile
	ownerAPI  = sinks.OwnerAPI
)

// applyStreams makes the streams topic say what the file says and returns all streams.
func applyStreams(ctx context.Context, opts []kgo.Opt, topics kafka.Topics, keys *seal.Ring, streams []config.Stream, log *zap.Logger) (consumer.Specs, error) {
	for {
		specs, written, err := changeStreams(ctx, opts, topics, keys, log, func(have consumer.Specs) ([]consumer.Spec, error) {
			return diffStreams(have.Streams, trusted(have, streams, log))
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

// trusted leaves those streams of the file as they are of which nobody can tell any more
// where they stand: made anew, such a stream would pass over what it has not delivered.
func trusted(have consumer.Specs, want []config.Stream, log *zap.Logger) []config.Stream {
	return slices.DeleteFunc(slices.Clone(want), func(w config.Stream) bool {
		b := heldNamed(have, w.ID)
		if b != nil {
			log.Error("a stream of the file is not delivered, because its record has no effect; its cursor stays", zap.String("stream", w.ID), zap.String("why", b.Why))
		}
		return b != nil
	})
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
func changeStreams(ctx context.Context, opts []kgo.Opt, topics kafka.Topics, keys *seal.Ring, log *zap.Logger, decide func(consumer.Specs) ([]consumer.Spec, error)) (consumer.Specs, []consumer.Spec, error) {
	return changeStreamsTelling(ctx, opts, topics, keys, nil, log, decide)
}

// changeStreamsTelling does the same and writes, in the same transaction, the audit events
// that tell makes of the changes: each change has its event, and no event is about what was
// not changed.
func changeStreamsTelling(ctx context.Context, opts []kgo.Opt, topics kafka.Topics, keys *seal.Ring, tell *announcer, log *zap.Logger, decide func(consumer.Specs) ([]consumer.Spec, error)) (consumer.Specs, []consumer.Spec, error) {
	plain, err := kgo.NewClient(opts...)
	if err != nil {
		return consumer.Specs{}, nil, err
	}
	defer plain.Close()
	reader := &kafka.Reader{Client: plain}
	for {
		specs, err := readSpecs(ctx, reader, topics, keys)
		if err != nil {
			return specs, nil, err
		}
		if changes, err := decide(specs); err != nil || len(changes) == 0 {
			return specs, nil, err
		}
		written, err := writeSpecs(ctx, opts, topics, keys, reader, tell, decide, log)
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

func compare(a, b string) int { return bytes.Compare([]byte(a), []byte(b)) }

func writeSpecs(ctx context.Context, opts []kgo.Opt, topics kafka.Topics, keys *seal.Ring, reader *kafka.Reader, tell *announcer, decide func(consumer.Specs) ([]consumer.Spec, error), log *zap.Logger) ([]consumer.Spec, error) {
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
	specs, err := readSpecs(ctx, reader, topics, keys)
	if err != nil {
		return nil, err
	}
	changes, err := decide(specs)
	if err != nil || len(changes) == 0 {
		return nil, err
	}
	records, err := specRecords(topics.Streams(), keys, specs, changes)
	if err != nil {
		return nil, err
	}
	events, err := tell.ofChanges(specs.Streams, changes)
	if err != nil {
		return nil, err
	}
	if err := writer.BeginTransaction(); err != nil {
		return nil, err
	}
	if err := writer.ProduceSync(ctx, slices.Concat(records, events)...).FirstErr(); err != nil {
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
			change(newSpec(w, ownerFile), "made")
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

// newUID is the identity of a stream that is made.
func newUID() string { return "str_" + rand.Text() }

func newSpec(w config.Stream, owner string) consumer.Spec {
	s := consumer.Spec{UID: newUID(), Epoch: 1, BaseEpoch: 1, Revision: 1, Owner: owner, ID: w.ID, Start: w.Start.String()}
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
	s.Filter, s.Mask = w.Filter.String(), nil
	for _, m := range w.Mask {
		s.Mask = append(s.Mask, consumer.MaskRule(m))
	}
	s.Unchained = !w.Integrity
	s.Kind, s.Settings = w.Kind, w.Written
	return s
}

func revise(h consumer.Spec, w config.Stream) (consumer.Spec, bool) {
	next := fill(h, w)
	if next.State == h.State && next.OrganizationID == h.OrganizationID && slices.Equal(next.Actions, h.Actions) &&
		next.Filter == h.Filter && slices.EqualFunc(next.Mask, h.Mask, consumer.MaskRule.Equal) &&
		next.Unchained == h.Unchained && next.Format == h.Format && next.Kind == h.Kind && bytes.Equal(next.Settings, h.Settings) {
		return h, false
	}
	if next.Kind != h.Kind {
		// Another kind has another consumer group, which knows nothing of the old cursor: this
		// is another stream under the same id.
		made := newSpec(w, h.Owner)
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
	if err := record.Strictly(s.Settings, settings); err != nil {
		return ""
	}
	if p, ok := settings.(sinks.Placed); ok {
		return p.Place() + "\n" + s.Format
	}
	return ""
}
