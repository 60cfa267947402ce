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

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/internal/checkpoints"
	"github.com/auditstream/auditstream/internal/kafka"
)

// feedMark is a place of a chain whose number is known: so many of the feed's events lie
// between the beginning of the chain and the offset.
type feedMark struct {
	origin string
	begin  int64 // offset at which the chain begins
	offset int64
	size   int64
	signed bool
	former bool  // of a former revision of the stream
	after  int64 // the size behind which dead is counted
	dead   int64 // of the events, dead-lettered, as the feed says; -1: it does not

	counted, letters int64 // by the topic, in what was read below the offset
	read             bool  // up to the offset everything was read
}

// marks takes the places of a partition's chains in, with those at which the chains begin.
func (p *reportPart) marks(list []*feedMark) {
	begun := map[string]bool{}
	for _, m := range list {
		if !begun[m.origin] && m.begin >= 0 { // one behind a log that was cut off begins where nobody can tell
			begun[m.origin] = true
			p.feed = append(p.feed, &feedMark{origin: m.origin, begin: m.begin, offset: m.begin, former: m.former, dead: -1})
		}
	}
	p.feed = append(p.feed, list...)
	slices.SortStableFunc(p.feed, func(a, b *feedMark) int {
		return cmp.Or(cmp.Compare(a.offset, b.offset), cmp.Compare(a.origin, b.origin), cmp.Compare(a.size, b.size))
	})
}

// passes says that everything below an offset was counted.
func (p *reportPart) passes(offset int64) {
	for len(p.feed) > p.tally.marked && p.feed[p.tally.marked].offset <= offset {
		m := p.feed[p.tally.marked]
		m.counted, m.letters, m.read = p.tally.matched, p.tally.lettered, m.offset >= p.from
		p.tally.marked++
	}
}

// feedSlack is how much older than what it is about a checkpoint may seem: its record has the
// time of one broker, the events that of others.
const feedSlack = time.Hour

// maxFeedMarks bounds the places of a partition's chains that are held against the topic: a
// checkpoint every ten minutes for half a year. Of more every second one is left out, which
// makes spans longer and forgets no event.
const maxFeedMarks = 1 << 15

// readFeed finds the numbers of the feed: in the checkpoints that are kept in Kafka, and in the
// records of progress, which nobody has signed.
func (r *reporter) readFeed(ctx context.Context) error {
	found := map[int32][]*feedMark{}
	if err := r.readCheckpoints(ctx, found); err != nil {
		return err
	}
	for _, p := range r.parts {
		if c := p.lane.Chain; c != nil {
			if origin, err := integrity.ParseOrigin(c.Origin); err == nil {
				found[p.number] = append(found[p.number], &feedMark{origin: c.Origin, begin: c.Begin, offset: c.Offset, size: c.Size, former: r.former(origin), dead: -1})
			}
		}
		p.marks(found[p.number])
	}
	return nil
}

// former says whether a chain is of a former revision of the stream.
func (r *reporter) former(o integrity.Origin) bool {
	return o.Revision != r.status.Spec.Revision || o.Epoch != r.status.Spec.Epoch
}

// readCheckpoints reads the checkpoints of the stream that were made about the time.
func (r *reporter) readCheckpoints(ctx context.Context, found map[int32][]*feedMark) error {
	topic := r.o.topics.Checkpoints()
	statements, err := checkpoints.ReadStatements(ctx, r.o.client, r.o.topics)
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return nil // no process that makes checkpoints has run yet
	}
	if err != nil {
		return err
	}
	keys, err := checkpoints.Trusted(statements)
	if keys == nil {
		return fmt.Errorf("keys of checkpoints: %w", err)
	}
	listed, err := kadm.NewClient(r.o.client).ListOffsetsAfterMilli(ctx, r.first.Add(-feedSlack).UnixMilli(), topic)
	if err = errors.Join(err, listed.Error()); err != nil {
		return fmt.Errorf("offsets of %s: %w", topic, err)
	}
	from, ok := listed.Lookup(topic, kafka.CheckpointsPartition)
	if !ok {
		return nil
	}
	spec := r.status.Spec
	mine := []byte("auditstream/" + spec.ID + "/" + spec.UID + "/" + r.o.ids.Events + "/")
	_, err = r.o.reader.ReadOn(ctx, topic, kafka.CheckpointsPartition, from.Offset, func(rec *kgo.Record) {
		if !bytes.HasPrefix(rec.Key, mine) {
			return
		}
		c, err := keys.Open(rec.Value)
		if err != nil || c.Origin != string(rec.Key) {
			r.unsigned++
			return
		}
		m, number := r.mark(c)
		found[number] = append(found[number], m)
		if len(found[number]) > maxFeedMarks {
			found[number] = everySecond(found[number])
		}
	})
	if err != nil {
		return fmt.Errorf("checkpoints: %w", err)
	}
	return nil
}

// mark is the place that a checkpoint speaks of.
func (r *reporter) mark(c *integrity.Checkpoint) (m *feedMark, number int32) {
	origin, _ := integrity.ParseOrigin(c.Origin) // whoever signs a checkpoint has read it
	m = &feedMark{
		origin: c.Origin, begin: origin.Begin, offset: c.Offset, size: c.Size, signed: true, former: r.former(origin), after: c.After,
	}
	for _, w := range c.Withheld {
		if !lettered(w.Reason) {
			m.dead = -1
			break
		}
		m.dead += w.To - w.From + 1
	}
	return m, origin.Partition
}

// lettered says whether each event that is withheld for a reason has a dead letter. Of the
// others some have none: what Kafka forgot before, and what an older object has.
func lettered(reason string) bool {
	return slices.Contains([]string{"rejected", "expiring"}, reason)
}

// everySecond leaves every second place out, the first and the last ones not.
func everySecond(list []*feedMark) []*feedMark {
	out := list[:0]
	for i, m := range list {
		if m.dead = -1; i%2 == 0 || i == len(list)-1 {
			out = append(out, m)
		}
	}
	return out
}

// held is what the numbers of a partition's feed say.
type held struct {
	admin.ReportFeed
	missing []string // dead letters that the feed speaks of, and that are not there
}

// held holds the numbers that the feed has given against the events that the topic has for it,
// from each place whose number is known to the next one of the same chain.
func (p *reportPart) held() held {
	var out held
	if p.tally.taken {
		out.Open = p.tally.settled
		return out
	}
	last := map[string]*feedMark{}
	for _, b := range p.feed {
		a := last[b.origin]
		if b.read {
			last[b.origin] = b
		}
		if a == nil || !b.read {
			continue
		}
		events, numbers := b.counted-a.counted, b.size-a.size
		if b.former && events != numbers {
			out.Changed++
			continue
		}
		out.Spans++
		if b.signed {
			out.Signed++
		}
		out.Events += events
		out.Numbers += numbers
		if events != numbers {
			out.Differ = append(out.Differ, admin.ReportSpan{
				Partition: p.number, Origin: b.origin, From: a.offset, To: b.offset,
				First: a.size + 1, Last: b.size, Events: events, Signed: b.signed,
			})
		}
		if letters := b.letters - a.letters; b.dead > letters && a.size == b.after {
			out.missing = append(out.missing, missingLetters(p.number, a.offset, b.offset, b.dead, letters))
		}
	}
	out.Open = max(0, p.tally.settled-out.Events)
	return out
}
