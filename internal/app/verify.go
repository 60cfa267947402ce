package app

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/internal/checkpoints"
	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/auditstream/auditstream/internal/verify"
)

// TopicFeed is what the events topic has of a stream's feeds: its chains are made anew from
// the records, by the stream's own rules, and held against the checkpoints in Kafka. The rules
// of former revisions are known as long as compaction has left their records in the streams
// topic; a chain whose rules are gone is named as not looked at.
type TopicFeed struct {
	o      *Operator
	id     string
	uid    string
	rules  map[int64]consumer.Spec // by revision
	known  *knownActions
	from   time.Time
	chains []*topicChain
	size   int64

	Forged    error  // statements in Kafka that contradict each other; nil: none do
	untrusted int64  // checkpoints of the stream that count for nothing
	why       string // the first of them does
}

// topicChain is one chain of the stream.
type topicChain struct {
	origin    integrity.Origin
	text      string
	start     integrity.Head // of the chain, at offset
	offset    int64
	end       int64  // offset that the chain's last checkpoint reaches, or at which another took over
	unlooked  string // why it is not looked at; empty: it is
	confirmed []*integrity.Checkpoint
	last      *integrity.Former // what the chain behind says of it; nil: none took over
	ended     time.Time         // when it was over by, as checkpoints behind it say; zero: it goes on
	again     *consumer.Rechain // nil where it is not looked at
}

// maxTopicCheckpoints bounds the checkpoints of a chain that are held against the topic.
const maxTopicCheckpoints = 1 << 16

// OpenTopicFeed finds the chains of a stream, and where to begin: with the last checkpoint at
// or before from of which Kafka still has what comes behind. keys are those whose checkpoints
// count, and statements in Kafka hand their trust on; nil: those of the first statement there.
func (o *Operator) OpenTopicFeed(ctx context.Context, id string, from time.Time, keys *integrity.Keys) (*TopicFeed, *integrity.Keys, error) {
	specs, err := o.readOn(ctx)
	if err != nil {
		return nil, nil, err
	}
	spec, err := findStream(specs, id)
	if err != nil {
		return nil, nil, err
	}
	f := &TopicFeed{o: o, id: spec.ID, uid: spec.UID, from: from, rules: map[int64]consumer.Spec{spec.Revision: spec}}
	if err := f.readRules(ctx); err != nil {
		return nil, nil, err
	}
	if f.known, err = newKnownActions(); err != nil {
		return nil, nil, err
	}
	if err := f.known.read(ctx, o.client, o.topics.Schemas()); err != nil && !errors.Is(err, kerr.UnknownTopicOrPartition) {
		return nil, nil, err
	}
	statements, err := checkpoints.ReadStatements(ctx, o.client, o.topics)
	if err != nil && !errors.Is(err, kerr.UnknownTopicOrPartition) {
		return nil, nil, err
	}
	given := keys != nil
	if given {
		err = checkpoints.Follow(keys, statements)
	} else {
		keys, err = checkpoints.Trusted(statements)
	}
	switch {
	case errors.Is(err, integrity.ErrTwoHeirs):
		f.Forged = err
	case err != nil && (given || keys == nil):
		return nil, nil, fmt.Errorf("keys of checkpoints, in %s: %w", o.topics.Checkpoints(), err)
	}
	if err := f.readCheckpoints(ctx, keys); err != nil {
		return nil, nil, err
	}
	return f, keys, f.place(ctx)
}

// readRules finds what is left of the stream's former revisions.
func (f *TopicFeed) readRules(ctx context.Context) error {
	log := newSpecLog(f.o.keys, consumer.Specs{})
	reader := &kafka.Reader{Client: f.o.client}
	_, err := reader.ReadToEnd(ctx, f.o.topics.Streams(), 0, func(r *kgo.Record) {
		if string(r.Key) != f.id || r.Value == nil {
			return
		}
		s, err := log.read(r)
		if _, known := f.rules[s.Revision]; err == nil && s.UID == f.uid && !known {
			f.rules[s.Revision] = s
		}
	})
	return err
}

// readCheckpoints finds those of the stream, of whatever revision.
func (f *TopicFeed) readCheckpoints(ctx context.Context, keys *integrity.Keys) error {
	byOrigin := map[string]*topicChain{}
	mine := []byte("auditstream/" + f.id + "/" + f.uid + "/" + f.o.ids.Events + "/")
	_, err := f.o.reader.ReadToEnd(ctx, f.o.topics.Checkpoints(), kafka.CheckpointsPartition, func(r *kgo.Record) {
		if !bytes.HasPrefix(r.Key, mine) {
			return
		}
		c, err := keys.Open(r.Value)
		if err == nil && c.Origin != string(r.Key) {
			err = fmt.Errorf("checkpoint: the record's key names another feed than %s", c.Origin)
		}
		var origin integrity.Origin
		if err == nil {
			origin, err = integrity.ParseOrigin(c.Origin)
		}
		if err != nil {
			if f.untrusted++; f.untrusted == 1 {
				f.why = err.Error()
			}
			return
		}
		t := byOrigin[c.Origin]
		if t == nil {
			t = &topicChain{origin: origin, text: c.Origin}
			byOrigin[c.Origin] = t
			f.chains = append(f.chains, t)
		}
		t.confirmed = append(t.confirmed, c)
		if len(t.confirmed) > maxTopicCheckpoints { // every second one says as much, over longer spans
			kept := t.confirmed[:0]
			for i, c := range t.confirmed {
				if i%2 == 0 || i == len(t.confirmed)-1 {
					kept = append(kept, c)
				}
			}
			t.confirmed = kept
		}
	})
	if err != nil && !errors.Is(err, kerr.UnknownTopicOrPartition) {
		return err
	}
	for _, t := range slices.Clone(f.chains) {
		c := t.confirmed[0] // each says the same of the chain before
		if c.Previous == nil {
			continue
		}
		before := byOrigin[c.Previous.Origin]
		if before == nil { // no checkpoint of it counts, but this one
			origin, err := integrity.ParseOrigin(c.Previous.Origin)
			if err != nil {
				return err
			}
			before = &topicChain{origin: origin, text: c.Previous.Origin}
			f.chains = append(f.chains, before)
		}
		before.last, before.ended = c.Previous, c.Time
		before.end = max(t.origin.Begin, 0)
	}
	return nil
}

// place finds where in the topic each chain begins to be checked.
func (f *TopicFeed) place(ctx context.Context) error {
	topic := f.o.topics.Events()
	starts, err := kadm.NewClient(f.o.client).ListStartOffsets(ctx, topic)
	if err = errors.Join(err, starts.Error()); err != nil {
		return fmt.Errorf("offsets of %s: %w", topic, err)
	}
	f.over()
	f.chains = slices.DeleteFunc(f.chains, func(t *topicChain) bool {
		return !t.ended.IsZero() && !f.from.IsZero() && !t.ended.After(f.from) // nobody has asked for that time
	})
	for _, t := range f.chains {
		if t.origin.TopicID != f.o.ids.Events {
			t.unlooked = "the events topic that they were in is not there any more"
			continue
		}
		kept, ok := starts.Lookup(topic, t.origin.Partition)
		if !ok {
			return fmt.Errorf("%s has no partition %d", topic, t.origin.Partition)
		}
		t.start, t.offset = integrity.Begin(t.text), t.origin.Begin
		forgotten := t.origin.Begin < kept.Offset
		for _, c := range t.confirmed {
			t.end = max(t.end, c.Offset)
			asked := !f.from.IsZero() && !c.Time.After(f.from) // the last one that still is
			if c.Offset >= kept.Offset && (forgotten || asked && c.Offset >= t.offset) {
				t.start, t.offset, forgotten = c.Head(), c.Offset, false
			}
		}
		switch _, known := f.rules[t.origin.Revision]; {
		case forgotten:
			t.unlooked = "Kafka has forgotten the events behind every one of its checkpoints"
		case !known:
			t.unlooked = fmt.Sprintf("the rules of revision %d of the stream are no more in %s, which keeps the last ones only", t.origin.Revision, f.o.topics.Streams())
		default:
			if err := f.rechain(ctx, t); err != nil {
				return err
			}
		}
		if t.unlooked == "" {
			f.size += max(t.end-t.offset, 0)
		}
	}
	slices.SortFunc(f.chains, func(a, b *topicChain) int { return bytes.Compare([]byte(a.text), []byte(b.text)) })
	return nil
}

// Size implements verify.Source: the records are read once.
func (f *TopicFeed) Size() int64 { return f.size / 2 }

// Checkpoints implements verify.Source. What was withheld from the destination, and which
// chains were before, does not matter here: the topic has the events.
func (f *TopicFeed) Checkpoints(_ context.Context, s *verify.Sink) error {
	if f.untrusted > 0 {
		s.Checker().Untrusted(f.untrusted, f.why)
		s.Counted(f.untrusted)
	}
	for _, t := range f.chains {
		if t.unlooked != "" { // Events says so; nothing of it is asked for here
			if err := errors.Join(s.Checker().After(t.text, t.head().Size), s.Checker().Vouch(t.text, t.head(), t.time(), true)); err != nil {
				return err
			}
			continue
		}
		if err := s.Checker().After(t.text, t.start.Size); err != nil {
			return err
		}
		for _, c := range t.confirmed {
			if c.Offset < t.offset {
				continue
			}
			bare := *c
			bare.Withheld, bare.Previous, bare.Beside = nil, nil, nil
			if err := s.Checker().Trust(&bare, true); err != nil {
				return err
			}
			s.Counted(1)
		}
		if t.last != nil && t.last.Size >= t.start.Size {
			if err := s.Checker().Vouch(t.text, t.last.Head, t.ended, true); err != nil {
				return err
			}
		}
	}
	return nil
}

// Events implements verify.Source.
func (f *TopicFeed) Events(ctx context.Context, s *verify.Sink) error {
	for _, t := range f.chains {
		where := fmt.Sprintf("%s[%d]", f.o.topics.Events(), t.origin.Partition)
		if t.unlooked != "" {
			if err := s.Checker().Find(t.text, t.notLookedAt(where)); err != nil {
				return err
			}
			continue
		}
		piece, err := s.Checker().Begin(integrity.Run{Feed: integrity.FeedID(t.text), First: t.start.Size + 1, Before: t.start.Hash, Where: where})
		if err != nil {
			return err
		}
		var full error
		err = f.o.survey().Scan(ctx, consumer.Range{Partition: t.origin.Partition, From: t.offset, To: t.end}, func(r *kgo.Record) {
			if link, id, ok := t.again.Take(r); ok {
				full = errors.Join(full, piece.Event(link.Digest, id))
			}
		}, s.Progress)
		if err = errors.Join(err, full); err != nil {
			return fmt.Errorf("%s: %w", where, err)
		}
		if err := piece.End(); err != nil {
			return err
		}
	}
	return nil
}

// over finds chains that ended although no checkpoint of the one behind them is there: a later
// revision in the same partition is.
func (f *TopicFeed) over() {
	for _, t := range f.chains {
		for _, later := range f.chains {
			a, b := t.origin, later.origin
			if a.TopicID != b.TopicID || a.Partition != b.Partition || cmp.Or(cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.Revision, b.Revision)) >= 0 {
				continue
			}
			if len(later.confirmed) > 0 && (t.ended.IsZero() || later.confirmed[0].Time.Before(t.ended)) {
				t.ended = later.confirmed[0].Time
			}
		}
	}
}

// rechain makes ready what makes a chain anew.
func (f *TopicFeed) rechain(ctx context.Context, t *topicChain) error {
	spec := f.rules[t.origin.Revision]
	format, err := FormatNamed(spec.Format, f.known.Action)
	if err != nil {
		return err
	}
	t.again, err = spec.Rechain(ctx, consumer.RechainConfig{
		Validator: f.o.valid, TopicID: f.o.ids.Events, Format: format, Origin: t.text, Head: t.start,
	})
	if err != nil && t.last != nil { // the key of a mask that is not in force any more
		t.unlooked = fmt.Sprintf("the rules of revision %d of the stream cannot be made ready any more (%v)", t.origin.Revision, err)
		return nil
	}
	return err
}

// head is how far the chain has come, as far as is known.
func (t *topicChain) head() integrity.Head {
	head := integrity.Begin(t.text)
	for _, c := range t.confirmed {
		if c.Size >= head.Size {
			head = c.Head()
		}
	}
	if t.last != nil && t.last.Size >= head.Size {
		head = t.last.Head
	}
	return head
}

// time is when that was said.
func (t *topicChain) time() time.Time {
	if len(t.confirmed) == 0 {
		return t.ended
	}
	return t.confirmed[len(t.confirmed)-1].Time
}

// notLookedAt says what nobody should take for checked, and how it can be.
func (t *topicChain) notLookedAt(where string) integrity.Finding {
	detail := fmt.Sprintf("not looked at are the events up to number %d: %s; check what their destination has of them", t.head().Size, t.unlooked)
	if !t.ended.IsZero() {
		detail += ", or ask for what came later by --from " + t.ended.UTC().Format(time.RFC3339)
	}
	return integrity.Finding{Kind: integrity.Unclear, Where: where, Detail: detail}
}
