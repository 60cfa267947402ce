package app

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/consumer"
)

// Tail hands what is published to each, from now on or from the last events on, until ctx
// ends or each returns an error, which it returns. It reads beside delivery, in no group.
// each may be as slow as it likes: what comes meanwhile waits in a bounded buffer, of which
// the oldest are dropped and counted in Missed of the next.
func (o *Operator) Tail(ctx context.Context, q admin.TailQuery, each func(admin.TailEvent) error) error {
	if q.Last < 0 || q.Last > admin.MaxTailLast {
		return admin.CodeInvalid.Errorf("the last %d events cannot be shown: 0 to %d can", q.Last, admin.MaxTailLast)
	}
	if q.Ends && q.Last == 0 {
		return admin.CodeInvalid.Errorf("without the last events, and ending with them, there is nothing to show")
	}
	s := newSieve(o, q)
	if q.Stream != "" {
		spec, err := o.Spec(ctx, q.Stream)
		if err != nil {
			return err
		}
		selection := spec.Selection()
		s.selection = &selection
	}
	extents, err := o.extents(ctx)
	if err != nil {
		return err
	}
	if q.Last > 0 {
		last, err := o.last(ctx, s, extents)
		if err != nil {
			return fmt.Errorf("read the last events: %w", err)
		}
		for _, e := range last {
			if err := each(e); err != nil {
				return err
			}
		}
	}
	if q.Ends {
		return nil
	}
	return o.follow(ctx, s, extents, each)
}

// sieve lets the records pass that a query asks for. It is used by one goroutine; fresh makes
// one for another.
type sieve struct {
	o         *Operator
	q         admin.TailQuery
	selection *consumer.Selection // nil: of no stream alone
	inspector *consumer.Inspector
}

func newSieve(o *Operator, q admin.TailQuery) *sieve {
	return &sieve{o: o, q: q, inspector: consumer.NewInspector(o.valid, o.ids.Events)}
}

func (s *sieve) fresh() *sieve {
	f := newSieve(s.o, s.q)
	f.selection = s.selection
	return f
}

// pass is a record as it is shown; false if it is not asked for. A record that is no valid
// event has no action, actor or stream to ask for.
func (s *sieve) pass(r *kgo.Record) (admin.TailEvent, bool) {
	if s.q.Organization != "" && string(r.Key) != s.q.Organization {
		return admin.TailEvent{}, false
	}
	event, violations := s.inspector.Event(r)
	if event == nil {
		if len(s.q.Actions) > 0 || s.q.Actor != "" || s.selection != nil {
			return admin.TailEvent{}, false
		}
		e := invalidEvent(r, violations)
		if s.q.Payload && json.Valid(r.Value) {
			e.Event = bytes.Clone(r.Value)
		}
		return e, true
	}
	switch {
	case len(s.q.Actions) > 0 && !consumer.ActionMatches(s.q.Actions, string(event.Action)),
		s.selection != nil && !s.wanted(),
		s.q.Actor != "" && actorOf(event.Value).ID != s.q.Actor:
		return admin.TailEvent{}, false
	}
	e := tailEvent(r, event)
	if s.q.Payload {
		e.Event = bytes.Clone(event.Value)
	}
	return e, true
}

// wanted says whether the event that was looked at last belongs to the stream that is asked
// for. What its filter has no verdict on goes to its dead letters, and is shown.
func (s *sieve) wanted() bool {
	wants, err := s.selection.Wants(s.inspector)
	return wants || err != nil
}

// actor is what is looked at of who did it.
type actor struct{ ID, Type string }

func actorOf(value []byte) actor {
	var event struct{ Actor actor }
	_ = json.Unmarshal(value, &event) // it is valid JSON
	return event.Actor
}

const (
	// lastWindow is how many offsets are read back at first for the last events, and
	// lastGrowth how many times that for each further step.
	lastWindow, lastGrowth = 256, 4
	// lastWindowMost bounds a step.
	lastWindowMost = 1 << 16
	// lastReach is how far back in a partition is looked for events that pass.
	lastReach = 1_000_000
)

// last are the last events that pass, of all partitions together, the oldest first.
func (o *Operator) last(ctx context.Context, s *sieve, extents map[int32]extent) ([]admin.TailEvent, error) {
	found := make(chan []admin.TailEvent, len(extents))
	reading, ctx := errgroup.WithContext(ctx)
	reading.SetLimit(seekReaders)
	for number, x := range extents {
		reading.Go(func() error {
			events, err := o.lastOf(ctx, s.fresh(), number, x)
			found <- events
			return err
		})
	}
	if err := reading.Wait(); err != nil {
		return nil, err
	}
	close(found)
	var all []admin.TailEvent
	for events := range found {
		all = append(all, events...)
		slices.SortStableFunc(all, func(a, b admin.TailEvent) int {
			return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
		})
		all = all[max(0, len(all)-s.q.Last):]
	}
	return all, nil
}

// lastOf are those of one partition: read back in growing steps until there are enough.
func (o *Operator) lastOf(ctx context.Context, s *sieve, number int32, x extent) ([]admin.TailEvent, error) {
	var events []admin.TailEvent
	window := int64(max(lastWindow, s.q.Last))
	for to := x.to; to > max(x.from, x.to-lastReach) && len(events) < s.q.Last; {
		from := max(x.from, to-window)
		var step []admin.TailEvent
		err := o.survey().Scan(ctx, consumer.Range{Partition: number, From: from, To: to}, func(r *kgo.Record) {
			e, ok := s.pass(r)
			if !ok {
				return
			}
			if step = append(step, e); len(step) >= 2*s.q.Last {
				step = append(step[:0], step[len(step)-s.q.Last:]...)
			}
		}, nil)
		if err != nil {
			return nil, err
		}
		events = append(step, events...)
		events = events[max(0, len(events)-s.q.Last):]
		to, window = from, min(window*lastGrowth, lastWindowMost)
	}
	return events, nil
}

// growthEvery is how often is looked for partitions that have come into being.
const growthEvery = 10 * time.Second

// follow hands on what comes behind extents. What the reader puts into the buffer each takes
// out at its own pace.
func (o *Operator) follow(ctx context.Context, s *sieve, extents map[int32]extent, each func(admin.TailEvent) error) error {
	topic := o.topics.Events()
	at := map[int32]kgo.Offset{}
	for number, x := range extents {
		at[number] = kgo.NewOffset().At(x.to)
	}
	client, err := kgo.NewClient(append(slices.Clone(o.opts),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: at}),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), // retention was faster: there is nothing to be counted here
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxBytes(4<<20), kgo.FetchMaxPartitionBytes(1<<20),
	)...)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	buffer := newTailBuffer()
	ended := make(chan error, 1)
	go func() {
		defer buffer.close()
		ended <- o.read(ctx, client, s, extents, buffer)
	}()
	for {
		e, ok := buffer.take(ctx)
		if !ok {
			break
		}
		if err := each(e); err != nil {
			stop()
			<-ended //nolint:errcheck // it was stopped
			return err
		}
	}
	stop()
	if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// read puts what passes into the buffer until ctx ends.
func (o *Operator) read(ctx context.Context, client *kgo.Client, s *sieve, extents map[int32]extent, buffer *tailBuffer) error {
	topic := o.topics.Events()
	known := map[int32]bool{}
	for number := range extents {
		known[number] = true
	}
	look := time.Now().Add(growthEvery)
	for {
		polling, cancel := context.WithDeadline(ctx, look)
		fetches := client.PollFetches(polling)
		cancel()
		if err := ctx.Err(); err != nil {
			return err
		}
		for _, e := range fetches.Errors() {
			lost := &kgo.ErrDataLoss{}
			switch {
			case errors.Is(e.Err, context.DeadlineExceeded), errors.As(e.Err, &lost):
			case errors.Is(e.Err, kerr.UnknownTopicID), errors.Is(e.Err, kerr.InconsistentTopicID):
				return fmt.Errorf("topic %s was deleted, or made anew: follow it again from its beginning", topic)
			default:
				return fmt.Errorf("follow %s[%d]: %w", topic, e.Partition, e.Err)
			}
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if e, ok := s.pass(r); ok {
				buffer.put(e)
			}
		})
		if time.Now().Before(look) {
			continue
		}
		look = time.Now().Add(growthEvery)
		now, err := o.extents(ctx)
		if err != nil {
			continue // Kafka is away: the client waits for it
		}
		for number, x := range now {
			if !known[number] {
				known[number] = true
				client.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: {number: kgo.NewOffset().At(x.from)}})
			}
		}
	}
}
