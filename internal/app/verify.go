package app

import (
	"bytes"
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
// the records, by the stream's own rules, and held against the checkpoints in Kafka. It is
// there for the present revision of the stream alone, for nobody has the rules of former ones.
type TopicFeed struct {
	o      *Operator
	spec   consumer.Spec
	format *consumer.Format
	from   time.Time
	chains []*topicChain
	size   int64
}

// topicChain is one chain of the revision.
type topicChain struct {
	origin    integrity.Origin
	text      string
	start     integrity.Head // of the chain, at offset
	offset    int64
	end       int64 // offset that the chain's last checkpoint reaches
	unknown   bool  // Kafka has forgotten where every checkpoint stands
	confirmed []*integrity.Checkpoint
}

// maxTopicCheckpoints bounds the checkpoints of a chain that are held against the topic.
const maxTopicCheckpoints = 1 << 16

// OpenTopicFeed finds the chains of a stream's present revision, and where to begin: with the
// last checkpoint at or before from of which Kafka still has what comes behind. keys are those
// whose checkpoints count; nil: those that the first statement in Kafka has handed trust to.
func (o *Operator) OpenTopicFeed(ctx context.Context, id string, from time.Time, keys *integrity.Keys) (*TopicFeed, *integrity.Keys, error) {
	specs, err := o.readOn(ctx)
	if err != nil {
		return nil, nil, err
	}
	spec, err := findStream(specs, id)
	if err != nil {
		return nil, nil, err
	}
	f := &TopicFeed{o: o, spec: spec, from: from}
	known, err := newKnownActions()
	if err != nil {
		return nil, nil, err
	}
	if err := known.read(ctx, o.client, o.topics.Schemas()); err != nil && !errors.Is(err, kerr.UnknownTopicOrPartition) {
		return nil, nil, err
	}
	if f.format, err = FormatNamed(spec.Format, known.Action); err != nil {
		return nil, nil, err
	}
	if keys == nil {
		statements, err := checkpoints.ReadStatements(ctx, o.client, o.topics)
		if err != nil && !errors.Is(err, kerr.UnknownTopicOrPartition) {
			return nil, nil, err
		}
		if keys, err = checkpoints.Trusted(statements); keys == nil {
			return nil, nil, fmt.Errorf("keys of checkpoints: %w", err)
		}
	}
	if err := f.readCheckpoints(ctx, keys); err != nil {
		return nil, nil, err
	}
	return f, keys, f.place(ctx)
}

// readCheckpoints finds those of the stream's present revision.
func (f *TopicFeed) readCheckpoints(ctx context.Context, keys *integrity.Keys) error {
	byOrigin := map[string]*topicChain{}
	mine := []byte("auditstream/" + f.spec.ID + "/" + f.spec.UID + "/" + f.o.ids.Events + "/")
	_, err := f.o.reader.ReadToEnd(ctx, f.o.topics.Checkpoints(), kafka.CheckpointsPartition, func(r *kgo.Record) {
		if !bytes.HasPrefix(r.Key, mine) {
			return
		}
		c, err := keys.Open(r.Value)
		if err != nil || c.Origin != string(r.Key) {
			return // it counts for nothing
		}
		origin, err := integrity.ParseOrigin(c.Origin)
		if err != nil || origin.Epoch != f.spec.Epoch || origin.Revision != f.spec.Revision {
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
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return nil
	}
	return err
}

// place finds where in the topic each chain begins to be checked.
func (f *TopicFeed) place(ctx context.Context) error {
	topic := f.o.topics.Events()
	starts, err := kadm.NewClient(f.o.client).ListStartOffsets(ctx, topic)
	if err = errors.Join(err, starts.Error()); err != nil {
		return fmt.Errorf("offsets of %s: %w", topic, err)
	}
	for _, t := range f.chains {
		kept, ok := starts.Lookup(topic, t.origin.Partition)
		if !ok {
			return fmt.Errorf("%s has no partition %d", topic, t.origin.Partition)
		}
		t.start, t.offset, t.unknown = integrity.Begin(t.text), t.origin.Begin, t.origin.Begin < kept.Offset
		for _, c := range t.confirmed {
			t.end = max(t.end, c.Offset)
			asked := !f.from.IsZero() && !c.Time.After(f.from) // the last one that still is
			if c.Offset >= kept.Offset && (t.unknown || asked && c.Offset >= t.offset) {
				t.start, t.offset, t.unknown = c.Head(), c.Offset, false
			}
		}
		if !t.unknown {
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
	for _, t := range f.chains {
		if t.unknown {
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
			bare.Withheld, bare.Previous = nil, nil
			if err := s.Checker().Trust(&bare, true); err != nil {
				return err
			}
			s.Counted(1)
		}
	}
	return nil
}

// Events implements verify.Source.
func (f *TopicFeed) Events(ctx context.Context, s *verify.Sink) error {
	for _, t := range f.chains {
		where := fmt.Sprintf("%s[%d]", f.o.topics.Events(), t.origin.Partition)
		if t.unknown {
			s.Checker().Unreadable(fmt.Sprintf("%s: Kafka has forgotten where every checkpoint of %s stands", where, t.text))
			continue
		}
		again, err := f.spec.Rechain(ctx, consumer.RechainConfig{
			Validator: f.o.valid, TopicID: f.o.ids.Events, Format: f.format, Origin: t.text, Head: t.start,
		})
		if err != nil {
			return err
		}
		piece, err := s.Checker().Begin(integrity.Run{Feed: integrity.FeedID(t.text), First: t.start.Size + 1, Before: t.start.Hash, Where: where})
		if err != nil {
			return err
		}
		var full error
		err = f.o.survey().Scan(ctx, consumer.Range{Partition: t.origin.Partition, From: t.offset, To: t.end}, func(r *kgo.Record) {
			if link, id, ok := again.Take(r); ok {
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
