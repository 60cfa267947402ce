package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/schema"
	"github.com/auditstream/auditstream/sinks"
)

const (
	// near is how far around the time that an id says its record is looked for first: clocks
	// differ, and publishing waits for Kafka.
	near = 10 * time.Minute
	// seekReaders is how many partitions are read at once: each holds a fetch of some MiB.
	seekReaders = 4
)

// extent is what Kafka has of a partition.
type extent struct {
	from, to int64
	first    time.Time // append time of the first event; zero without one
}

// pass is one part of the search: ranges of some partitions, and what they are in words.
type pass struct {
	ranges []consumer.Range
	what   string
}

func (p pass) offsets() int64 {
	n := int64(0)
	for _, r := range p.ranges {
		n += r.To - r.From
	}
	return n
}

// seek looks for the records of the event. It begins where it most likely is, and ends with
// the pass that has found one, unless the query says from when on everything is to be looked
// through.
func (e *explainer) seek(ctx context.Context) error {
	e.found = map[place]*admin.EventCopy{}
	if err := e.measure(ctx); err != nil {
		return err
	}
	passes, err := e.passes(ctx)
	if err != nil {
		return err
	}
	of, passed := int64(0), int64(0)
	for _, p := range passes {
		of += p.offsets()
	}
	var mu sync.Mutex
	told := func(n int64) {
		mu.Lock()
		defer mu.Unlock()
		passed += n
		if e.q.Progress != nil {
			e.q.Progress(passed, of)
		}
	}
	var looked []string
	up, err := e.patiently(ctx, func(ctx context.Context) error {
		for _, p := range passes {
			if len(p.ranges) == 0 {
				continue
			}
			if err := e.look(ctx, p, told); err != nil {
				looked = append(looked, p.what+" (not to its end)")
				return err
			}
			looked = append(looked, p.what)
			if len(e.found) > 0 && e.q.Since.IsZero() {
				break
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("look for the event: %w", err)
	}
	e.out.Complete = !up
	e.out.Sought = fmt.Sprintf("looked through %d of %d offsets of %s", passed, e.all(), e.o.topics.Events())
	if len(looked) > 0 {
		e.out.Sought += ": " + strings.Join(looked, ", then ")
	}
	return nil
}

func (e *explainer) all() int64 {
	n := int64(0)
	for _, x := range e.extents {
		n += x.to - x.from
	}
	return n
}

// measure asks what Kafka has.
func (e *explainer) measure(ctx context.Context) error {
	topic := e.o.topics.Events()
	var err error
	if e.extents, err = e.o.extents(ctx); err != nil {
		return err
	}
	firsts, err := kadm.NewClient(e.o.client).ListOffsetsAfterMilli(ctx, 0, topic) // with their times
	if err = errors.Join(err, firsts.Error()); err != nil {
		return fmt.Errorf("first events of %s: %w", topic, err)
	}
	for number, x := range e.extents {
		if first, ok := firsts.Lookup(topic, number); ok && first.Timestamp > 0 && first.Offset < x.to {
			x.first = time.UnixMilli(first.Timestamp).UTC()
			e.extents[number] = x
		}
	}
	return nil
}

// extents are what Kafka has of the events topic.
func (o *Operator) extents(ctx context.Context) (map[int32]extent, error) {
	admin, topic := kadm.NewClient(o.client), o.topics.Events()
	starts, err := admin.ListStartOffsets(ctx, topic)
	if err = errors.Join(err, starts.Error()); err != nil {
		return nil, fmt.Errorf("start of %s: %w", topic, err)
	}
	ends, err := admin.ListCommittedOffsets(ctx, topic)
	if err = errors.Join(err, ends.Error()); err != nil {
		return nil, fmt.Errorf("end of %s: %w", topic, err)
	}
	extents := map[int32]extent{}
	for number, end := range ends[topic] {
		if start, ok := starts.Lookup(topic, number); ok {
			extents[number] = extent{from: start.Offset, to: max(end.Offset, start.Offset)}
		}
	}
	return extents, nil
}

// after are the first offsets of all partitions that were appended at t or later.
func (e *explainer) after(ctx context.Context, t time.Time) (map[int32]int64, error) {
	topic := e.o.topics.Events()
	listed, err := kadm.NewClient(e.o.client).ListOffsetsAfterMilli(ctx, t.UnixMilli(), topic)
	if err = errors.Join(err, listed.Error()); err != nil {
		return nil, fmt.Errorf("offsets of %s at %s: %w", topic, t.Format(time.RFC3339), err)
	}
	out := map[int32]int64{}
	for number, x := range e.extents {
		at := x.to
		if o, ok := listed.Lookup(topic, number); ok {
			at = min(max(o.Offset, x.from), x.to)
		}
		out[number] = at
	}
	return out, nil
}

// backwards are the ages at which the parts of a search from the end on are divided.
func backwards() []time.Duration {
	return []time.Duration{time.Hour, 6 * time.Hour, 24 * time.Hour, 3 * 24 * time.Hour}
}

// passes are the parts of the search in the order in which they are gone through: around the
// time that the id says, or else from the end of the log backwards; and in the partition that
// the organization's key leads to before any other, where it stands if the topic has grown
// since.
func (e *explainer) passes(ctx context.Context) ([]pass, error) {
	type slice struct {
		from, to map[int32]int64 // nil: start or end of the log
		what     string
	}
	bound := e.q.Since
	var slices []slice
	var cuts []time.Time // the newest first
	if made, ok := e.idTime(); ok {
		around, err := e.after(ctx, made.Add(-near))
		if err != nil {
			return nil, err
		}
		behind, err := e.after(ctx, made.Add(near))
		if err != nil {
			return nil, err
		}
		at := made.Format(time.RFC3339)
		slices = append(slices,
			slice{around, behind, "what was appended within 10 minutes of " + at + ", which is when its id was made"},
			slice{behind, nil, "what came later"}, slice{nil, around, "what came before"})
	} else {
		now := time.Now()
		for _, age := range backwards() {
			if t := now.Add(-age); t.After(bound) {
				cuts = append(cuts, t)
			}
		}
		var to map[int32]int64
		for i, t := range cuts {
			from, err := e.after(ctx, t)
			if err != nil {
				return nil, err
			}
			what := fmt.Sprintf("the last %s", ageText(backwards()[i]))
			if i > 0 {
				what = fmt.Sprintf("up to %s ago", ageText(backwards()[i]))
			}
			slices = append(slices, slice{from, to, what})
			to = from
		}
		slices = append(slices, slice{nil, to, "what is older"})
	}
	least := map[int32]int64{}
	if !bound.IsZero() {
		var err error
		if least, err = e.after(ctx, bound); err != nil {
			return nil, err
		}
	}
	var passes []pass
	for _, some := range e.partitions() {
		for _, s := range slices {
			p := pass{what: s.what}
			for _, number := range some.numbers {
				x := e.extents[number]
				r := consumer.Range{Partition: number, From: x.from, To: x.to}
				if s.from != nil {
					r.From = s.from[number]
				}
				if s.to != nil {
					r.To = s.to[number]
				}
				if r.From = max(r.From, least[number]); r.From < r.To {
					p.ranges = append(p.ranges, r)
				}
			}
			if some.what != "" {
				p.what += " in " + some.what
			}
			passes = append(passes, p)
		}
	}
	return passes, nil
}

func ageText(d time.Duration) string {
	if d >= 48*time.Hour {
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	}
	if d == time.Hour {
		return "hour"
	}
	return fmt.Sprintf("%d hours", d/time.Hour)
}

// partitionsOf is a part of the partitions, and what it is in words.
type partitionsOf struct {
	numbers []int32
	what    string
}

// partitions are those that the event may be in, the likely ones first.
func (e *explainer) partitions() []partitionsOf {
	var all []int32
	for number := range e.extents {
		all = append(all, number)
	}
	slices.Sort(all)
	if e.q.Organization == "" || len(all) == 0 {
		return []partitionsOf{{numbers: all}}
	}
	own := partitionOf(e.q.Organization, len(all))
	others := slices.DeleteFunc(slices.Clone(all), func(n int32) bool { return n == own })
	return []partitionsOf{{[]int32{own}, fmt.Sprintf("partition %d, the organization's", own)}, {others, "the other partitions"}}
}

// partitionOf is where every Kafka client puts a key.
func partitionOf(key string, partitions int) int32 {
	return int32(kgo.StickyKeyPartitioner(nil).ForTopic("").Partition(&kgo.Record{Key: []byte(key)}, partitions))
}

// look reads a pass, several partitions at a time.
func (e *explainer) look(ctx context.Context, p pass, told func(int64)) error {
	var mu sync.Mutex
	reading, ctx := errgroup.WithContext(ctx)
	reading.SetLimit(seekReaders)
	survey := e.o.survey()
	for _, r := range p.ranges {
		reading.Go(func() error {
			sought := newSought(e.o, e.q)
			return survey.Scan(ctx, r, func(rec *kgo.Record) {
				c := sought.copyOf(rec)
				if c == nil {
					return
				}
				mu.Lock()
				defer mu.Unlock()
				if len(e.found) < maxCopies {
					e.found[place{c.Partition, c.Offset}] = c
				}
			}, told)
		})
	}
	return reading.Wait()
}

// sought recognises the records of one event. It is used by one goroutine.
type sought struct {
	id, organization []byte
	inspector        *consumer.Inspector
}

func newSought(o *Operator, q admin.ExplainQuery) *sought {
	return &sought{id: []byte(q.EventID), organization: []byte(q.Organization), inspector: consumer.NewInspector(o.valid, o.ids.Events)}
}

// copyOf is a record as a copy of the event; nil if it is none. Only records that can be are
// looked into: those that hold the id, and those without one, whose place makes it.
func (s *sought) copyOf(r *kgo.Record) *admin.EventCopy {
	holds := bytes.Contains(r.Value, s.id)
	if !holds && (!bytes.HasPrefix(s.id, []byte("audit_event_")) || consumer.PassesThrough(r)) {
		return nil
	}
	if len(s.organization) > 0 && !bytes.Equal(r.Key, s.organization) {
		return nil
	}
	event, violations := s.inspector.Event(r)
	if event != nil {
		if !bytes.Equal(event.ID, s.id) {
			return nil
		}
		return &admin.EventCopy{TailEvent: tailEvent(r, event)}
	}
	var f schema.Fields
	_ = schema.Scan(r.Value, &f) // what was found before an error is the best there is
	if !bytes.Equal(f.ID, s.id) {
		return nil
	}
	return &admin.EventCopy{TailEvent: invalidEvent(r, violations)}
}

// tailEvent is what identifies an event.
func tailEvent(r *kgo.Record, e *sinks.Event) admin.TailEvent {
	return admin.TailEvent{
		Partition: r.Partition, Offset: r.Offset, Time: r.Timestamp.UTC(),
		OrganizationID: string(e.OrganizationID), Action: string(e.Action), ID: string(e.ID), OccurredAt: string(e.OccurredAt),
		ActorType: actorOf(e.Value).Type,
	}
}

// invalidEvent is what can be said of a record that is no valid event. What is wrong is said
// without the values, which are not to be shown to everybody.
func invalidEvent(r *kgo.Record, violations schema.Violations) admin.TailEvent {
	var f schema.Fields
	_ = schema.Scan(r.Value, &f) // as above
	wrong := "it is no valid event"
	if len(violations) > 0 {
		v := violations[0]
		wrong = v.Code
		if v.Pointer != "" {
			wrong = v.Pointer + ": " + v.Code
		}
		if more := len(violations) - 1; more > 0 {
			wrong += fmt.Sprintf(", and %d more", more)
		}
	}
	return admin.TailEvent{
		Partition: r.Partition, Offset: r.Offset, Time: r.Timestamp.UTC(), OrganizationID: clip(r.Key),
		Action: clip(f.Action), ID: clip(f.ID), OccurredAt: clip(f.OccurredAt), Invalid: wrong,
	}
}

// maxUnchecked bounds a text that nothing has checked, in bytes.
const maxUnchecked = 256

func clip(b []byte) string {
	if len(b) > maxUnchecked {
		return strings.ToValidUTF8(string(b[:maxUnchecked]), "") + "…"
	}
	return strings.ToValidUTF8(string(b), "\uFFFD")
}
