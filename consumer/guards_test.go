package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/sinks"
)

var errBadData = &sinks.Error{Class: sinks.Rejected, Status: 400, Err: errors.New("invalid data format")}

func TestARunOfRejectionsHoldsTheLane(t *testing.T) {
	r := newRig(t, 1)
	r.rejections = 5
	r.stream("a", orgA)
	var mu sync.Mutex
	broken, probes := true, 0
	r.dest.program(func(_ string, ids []string) (int, sinks.Receipt, error) {
		mu.Lock()
		defer mu.Unlock()
		if !broken {
			return len(ids), sinks.Receipt{}, nil
		}
		if slices.Equal(ids, []string{eventID(5)}) {
			probes++
		} else if probes > 0 {
			t.Errorf("%d events were sent while the lane was held, want one", len(ids))
		}
		return 0, sinks.Receipt{}, errBadData
	})
	r.publish(orgA, 0, 300)
	r.start()
	r.eventually("ten probes with one event", func() bool { mu.Lock(); defer mu.Unlock(); return probes >= 10 })
	r.eventually("the record says so", func() bool {
		p := r.progress("str_a")
		return p.State == consumer.StateError && strings.Contains(p.Error, "5 events in a row were refused: a broken mapping")
	})
	if n := len(r.letters()); n != 5 {
		t.Errorf("%d dead letters, want the 5 that made the run", n)
	}
	mu.Lock()
	broken = false
	mu.Unlock()
	r.eventually("the other events", func() bool { return r.dest.count("a") >= 295 })
	if diff := cmp.Diff(wantIDs(5, 295), r.dest.ids("a")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	r.eventually("the lane is well", func() bool { return r.progress("str_a").State == consumer.StateActive })
	if n := len(r.letters()); n != 5 {
		t.Errorf("%d dead letters, want 5: a probe makes none", n)
	}
}

func TestASuccessEndsARunOfRejections(t *testing.T) {
	r := newRig(t, 1)
	r.rejections = 2
	r.stream("a", orgA)
	r.dest.program(func(_ string, ids []string) (int, sinks.Receipt, error) {
		for i, id := range ids { // every other one is bad
			if id[len(id)-1]%2 == 1 {
				return i, sinks.Receipt{Settled: i}, &sinks.Error{Class: sinks.Rejected, Event: i, Named: true, Err: errBadData.Err}
			}
		}
		return len(ids), sinks.Receipt{}, nil
	})
	r.publish(orgA, 0, 100)
	r.start()
	r.eventually("50 events and 50 letters", func() bool { return r.dest.count("a") >= 50 && len(r.letters()) >= 50 })
}

func TestOneTenantsBadEventsDoNotHoldAStreamOfAll(t *testing.T) {
	r := newRig(t, 1)
	r.rejections = 5
	r.stream("all", consumer.AllOrganizations)
	var mu sync.Mutex
	broken := func(id string) bool { return id < eventID(100) }
	r.dest.program(func(_ string, ids []string) (int, sinks.Receipt, error) {
		mu.Lock()
		defer mu.Unlock()
		if slices.ContainsFunc(ids, broken) {
			return 0, sinks.Receipt{}, errBadData
		}
		return len(ids), sinks.Receipt{}, nil
	})
	r.publish(orgA, 0, 100)
	r.publish(orgB, 100, 10)
	r.start()
	r.eventually("the other tenant's events", func() bool { return r.dest.count("all") >= 10 })
	if n := len(r.letters()); n != 100 {
		t.Errorf("%d dead letters, want 100", n)
	}
	// What two tenants' events have in common is not the events.
	mu.Lock()
	broken = func(string) bool { return true }
	mu.Unlock()
	r.publish(orgA, 200, 20)
	r.publish(orgB, 220, 20)
	r.eventually("the lane holds", func() bool { return r.progress("str_all").State == consumer.StateError })
	if n := len(r.letters()); n != 121 {
		t.Errorf("%d dead letters, want 100, the 20 of the one, and one of the other", n)
	}
}

// organizations are n of them, which fall on all partitions.
func organizations(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("org_%026d", i)
	}
	return out
}

func TestLanesOfADestinationThatIsDownTakeTurns(t *testing.T) {
	const partitions = 6
	r := newRig(t, partitions)
	r.stream("all", consumer.AllOrganizations)
	var mu sync.Mutex
	attempts, inside, most := 0, 0, 0
	next := make(chan struct{})
	r.dest.delay(func(ctx context.Context, _ string) error {
		mu.Lock()
		attempts++
		early := attempts <= 50 // until the breaker has opened for sure
		if !early {
			inside++
			most = max(most, inside)
		}
		mu.Unlock()
		if early {
			return errDown
		}
		defer func() { mu.Lock(); inside--; mu.Unlock() }()
		select {
		case <-next:
			return errDown
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	for i, o := range organizations(60) {
		r.publish(o, i, 1)
	}
	r.start()
	for range 20 {
		r.eventually("a probe", func() bool { mu.Lock(); defer mu.Unlock(); return inside > 0 })
		next <- struct{}{}
	}
	if most != 1 {
		t.Errorf("%d attempts at once at a destination that is down, want 1", most)
	}
	close(next)
	r.dest.delay(nil)
	r.eventually("all events", func() bool { return r.dest.count("all") >= 60 })
	if n := len(r.dest.ids("all")); n != 60 {
		t.Errorf("%d events, want 60", n)
	}
}

func TestAStreamHasNoMoreThanItsShareOfRequests(t *testing.T) {
	r := newRig(t, 6)
	r.perStream = 2
	r.stream("all", consumer.AllOrganizations)
	r.stream("other", consumer.AllOrganizations)
	var mu sync.Mutex
	inside := map[string]int{}
	release := make(chan struct{})
	r.dest.delay(func(ctx context.Context, stream string) error {
		mu.Lock()
		inside[stream]++
		if inside[stream] > 2 {
			t.Errorf("%d requests of stream %s at once, want 2", inside[stream], stream)
		}
		mu.Unlock()
		defer func() { mu.Lock(); inside[stream]--; mu.Unlock() }()
		select {
		case <-release:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	for i, o := range organizations(60) {
		r.publish(o, i, 1)
	}
	r.start()
	r.eventually("both have their share", func() bool { mu.Lock(); defer mu.Unlock(); return inside["all"] == 2 && inside["other"] == 2 })
	close(release)
	r.eventually("all events", func() bool { return r.dest.count("all") >= 60 && r.dest.count("other") >= 60 })
}
