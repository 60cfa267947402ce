package consumer_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/sinks"
)

// A hundred destinations hang for the whole run, with far more lanes than requests may be
// under way; the hundred others get everything.
func TestDestinationsThatHangKeepNoRequestFromTheOthers(t *testing.T) {
	const (
		streams, events = 200, 60
		inFlight        = 8
	)
	r := newRig(t, 6)
	r.inFlight, r.slowAfter = inFlight, 20*time.Millisecond
	for i := range streams {
		r.stream(fmt.Sprintf("s%03d", i), consumer.AllOrganizations) // in every partition
	}
	hangs := func(stream string) bool { return stream < "s100" }
	var hanging, most atomic.Int64
	r.dest.delay(func(ctx context.Context, stream string) error {
		if !hangs(stream) {
			return nil
		}
		n := hanging.Add(1)
		defer hanging.Add(-1)
		for had := most.Load(); n > had && !most.CompareAndSwap(had, n); had = most.Load() {
		}
		<-ctx.Done()
		return ctx.Err()
	})
	organizations := make([]string, 30) // enough for every partition
	for i := range organizations {
		organizations[i] = fmt.Sprintf("org_%026d", i)
	}
	for i := range events {
		r.publish(organizations[i%len(organizations)], i, 1)
	}
	r.start()
	r.eventually("all events at the destinations that work", func() bool {
		for i := streams / 2; i < streams; i++ {
			if r.dest.count(fmt.Sprintf("s%03d", i)) < events {
				return false
			}
		}
		return true
	})
	if most.Load() <= inFlight {
		t.Errorf("%d requests hung at once, which all of them could have: this shows nothing", most.Load())
	}
}

// Fifty of two hundred destinations hang for the whole run. What waits for them stays
// within the budget, and everybody else gets everything, in order.
func TestStuckDestinationsHoldNoMoreThanTheBudgetAndBlockNobody(t *testing.T) {
	const (
		streams, stuck = 200, 50
		events, size   = 60, 3000 // for each stream
		budget         = 2 << 20  // a fifth of what the stuck ones would queue
		oneEvent       = 4<<10 + 16*24
	)
	r := newRig(t, 6)
	r.budget, r.inFlight = budget, streams
	r.batching = sinks.Batching{MaxBytes: 64 << 10, Linger: 5 * time.Millisecond}
	organization := func(i int) string { return fmt.Sprintf("org_%026d", i) }
	for i := range streams {
		r.stream(fmt.Sprintf("s%03d", i), organization(i))
	}
	hangs := func(stream string) bool { return stream < fmt.Sprintf("s%03d", stuck) }
	var most atomic.Int64
	r.dest.delay(func(ctx context.Context, stream string) error {
		for used := r.memory.Used(); ; {
			had := most.Load()
			if used <= had || most.CompareAndSwap(had, used) {
				break
			}
		}
		if hangs(stream) {
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	})
	pad := strings.Repeat("x", size)
	publish := func(first, n int) {
		var records []*kgo.Record
		for i := first; i < first+n; i++ {
			for s := range streams {
				rec := record(r.topics.Events(), organization(s), eventID(i), "user.login")
				rec.Value = append(rec.Value[:len(rec.Value)-1], fmt.Sprintf(`,"zzz":%q}`, pad)...)
				records = append(records, rec)
			}
		}
		r.produce(records...)
	}
	arrived := func(n int) func() bool {
		return func() bool {
			for i := stuck; i < streams; i++ {
				if r.dest.count(fmt.Sprintf("s%03d", i)) < n {
					return false
				}
			}
			return true
		}
	}

	publish(0, events/2)
	r.start()
	r.eventually("the first half of the events at the destinations that work", arrived(events/2))
	publish(events/2, events-events/2) // while the others have been stuck for long
	r.eventually("all events at the destinations that work", arrived(events))

	want := wantIDs(0, events)
	for i := range streams {
		stream := fmt.Sprintf("s%03d", i)
		switch got := r.dest.ids(stream); {
		case hangs(stream) && len(got) > 0:
			t.Errorf("%s has %d events although it hangs", stream, len(got))
		case !hangs(stream) && !slices.Equal(got, want):
			t.Errorf("%s has %d events, want %d, each once and in order", stream, len(got), len(want))
		}
	}
	if limit := int64(budget + streams*oneEvent); most.Load() > limit {
		t.Errorf("%d bytes were held, want %d at most: the budget, and one event a lane", most.Load(), limit)
	}
	if most.Load() < budget/2 {
		t.Errorf("%d bytes were held at most: the destinations that hang did not fill the budget, so this shows nothing", most.Load())
	}
	t.Logf("%d of %d bytes held at most", most.Load(), budget)
}
