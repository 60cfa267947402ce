package consumer_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/sinks"
)

// revise changes a stream as its next record in the streams topic would.
func (r *rig) revise(id string, change func(*consumer.Spec)) {
	r.t.Helper()
	i := slices.IndexFunc(r.specs.Streams, func(s consumer.Spec) bool { return s.ID == id })
	next := r.specs.Streams[i].Revise()
	change(&next)
	next.Offset, next.Time = r.specs.Offset, time.Now()
	r.specs.Streams = slices.Clone(r.specs.Streams)
	r.specs.Streams[i] = next
	r.specs.Offset++
}

func (r *rig) learn(g *consumer.Group) {
	r.t.Helper()
	if err := g.Learn(r.t.Context(), r.specs); err != nil {
		r.t.Fatal(err)
	}
}

func TestAStreamThatIsAddedWhileDeliveryRunsStartsWhereItIsToldTo(t *testing.T) {
	r := newRig(t, 2)
	r.stream("old", orgA)
	g := r.group()
	stop := r.run(g)
	r.publish(orgA, 0, 100)
	r.eventually("old", func() bool { return r.dest.count("old") >= 100 })
	time.Sleep(5 * time.Millisecond) // Kafka's times are milliseconds
	r.stream("beginning", orgA)
	r.stream("now", orgA, func(s *consumer.Spec) { s.Start = consumer.StartNow })
	time.Sleep(5 * time.Millisecond)
	r.learn(g)
	r.publish(orgA, 100, 50)
	r.eventually("all", func() bool {
		return r.dest.count("old") >= 150 && r.dest.count("beginning") >= 150 && r.dest.count("now") >= 50
	})
	stop()
	r.publish(orgA, 150, 10)
	r.start()
	r.eventually("what came later", func() bool {
		return r.dest.count("old") >= 160 && r.dest.count("beginning") >= 160 && r.dest.count("now") >= 60
	})
	for stream, want := range map[string][]string{"old": wantIDs(0, 160), "beginning": wantIDs(0, 160), "now": wantIDs(100, 60)} {
		if diff := cmp.Diff(want, r.dest.ids(stream)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", stream, diff)
		}
	}
}

func TestAChangeWhileDeliveryRunsGoesOnAtTheCursorAndTouchesNoOtherStream(t *testing.T) {
	r := newRig(t, 2)
	r.stream("changed", orgA)
	r.stream("untouched", orgA)
	g := r.group()
	r.run(g)
	for i := range 20 {
		r.publish(orgA, i*50, 50)
		r.revise("changed", func(s *consumer.Spec) { s.Actions = []string{fmt.Sprintf("user.%s*", [...]string{"", "l"}[i%2])} })
		r.learn(g)
	}
	r.eventually("both", func() bool { return r.dest.count("changed") >= 1000 && r.dest.count("untouched") >= 1000 })
	for _, s := range []string{"changed", "untouched"} {
		if diff := cmp.Diff(wantIDs(0, 1000), r.dest.ids(s)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", s, diff)
		}
	}
}

func TestAMendedDestinationIsTriedAtOnceNotAtTheNextProbe(t *testing.T) {
	r := newRig(t, 1)
	r.retry.Probe = time.Hour
	r.stream("a", orgA)
	var mended atomic.Bool
	r.dest.program(func(_ string, ids []string) (int, sinks.Receipt, error) {
		if !mended.Load() {
			return 0, sinks.Receipt{}, &sinks.Error{Class: sinks.Misconfigured, Err: errDown}
		}
		return len(ids), sinks.Receipt{}, nil
	})
	g := r.group()
	r.run(g)
	r.publish(orgA, 0, 100)
	r.eventually("the lane to be held", func() bool { return r.progress("str_a").State == consumer.StateInvalid })
	mended.Store(true)
	r.revise("a", func(*consumer.Spec) {})
	r.learn(g)
	r.eventually("the events", func() bool { return r.dest.count("a") >= 100 })
	if diff := cmp.Diff(wantIDs(0, 100), r.dest.ids("a")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPauseAndResumeWhileDeliveryRuns(t *testing.T) {
	r := newRig(t, 1)
	r.stream("a", orgA)
	r.stream("b", orgA)
	g := r.group()
	r.run(g)
	r.publish(orgA, 0, 100)
	r.eventually("the first", func() bool { return r.dest.count("a") >= 100 && r.dest.count("b") >= 100 })
	r.revise("a", func(s *consumer.Spec) { s.State = consumer.SpecPaused })
	r.learn(g)
	r.publish(orgA, 100, 500)
	r.eventually("b", func() bool { return r.dest.count("b") >= 600 })
	if n := r.dest.count("a"); n != 100 {
		t.Errorf("a paused stream has %d events, want 100", n)
	}
	r.eventually("the state", func() bool { return r.progress("str_a").State == consumer.StatePaused })
	r.revise("a", func(s *consumer.Spec) { s.State = consumer.SpecActive })
	r.learn(g)
	r.eventually("a", func() bool { return r.dest.count("a") >= 600 })
	for _, s := range []string{"a", "b"} {
		if diff := cmp.Diff(wantIDs(0, 600), r.dest.ids(s)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", s, diff)
		}
	}
}

func TestAStreamDeletedWhileDeliveryRunsGetsNothingMoreAndLeavesNoRecord(t *testing.T) {
	r := newRig(t, 1)
	r.stream("a", orgA)
	r.stream("b", orgA)
	g := r.group()
	stop := r.run(g)
	r.publish(orgA, 0, 100)
	r.eventually("the first", func() bool { return r.dest.count("a") >= 100 && r.dest.count("b") >= 100 })
	r.revise("a", func(s *consumer.Spec) { s.State = consumer.SpecDeleted })
	r.learn(g)
	r.publish(orgA, 100, 100)
	r.eventually("b", func() bool { return r.dest.count("b") >= 200 })
	stop()
	if n := r.dest.count("a"); n != 100 {
		t.Errorf("a deleted stream has %d events, want 100", n)
	}
	if n := r.liveProgress("str_a"); n != 0 {
		t.Errorf("%d records of progress are left", n)
	}
}

func TestASkipAndAResetWhileDeliveryRuns(t *testing.T) {
	r := newRig(t, 1)
	r.stream("a", orgA)
	g := r.group()
	r.run(g)
	r.publish(orgA, 0, 100)
	r.eventually("the first", func() bool { return r.dest.count("a") >= 100 })
	r.revise("a", func(s *consumer.Spec) {
		s.Epoch, s.BaseEpoch, s.EpochOffset, s.Start = 2, 2, nil, consumer.StartBeginning
	})
	r.learn(g)
	r.eventually("everything again", func() bool { return r.dest.count("a") >= 200 })
	if diff := cmp.Diff(slices.Concat(wantIDs(0, 100), wantIDs(0, 100)), r.dest.ids("a")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestChangesFollowEachOtherFasterThanABatch(t *testing.T) {
	r := newRig(t, 2)
	r.stream("a", orgA)
	release := make(chan struct{})
	r.dest.program(func(_ string, ids []string) (int, sinks.Receipt, error) {
		<-release
		return len(ids), sinks.Receipt{}, nil
	})
	g := r.group()
	stop := r.run(g)
	r.publish(orgA, 0, 200)
	r.eventually("a request under way", func() bool { return r.progress("str_a").Cursor == 0 && r.liveProgress("str_a") > 0 })
	for range 5 {
		r.revise("a", func(*consumer.Spec) {})
		r.learn(g)
	}
	close(release)
	r.dest.program(nil)
	r.eventually("all", func() bool { return r.dest.count("a") >= 200 })
	stop()
	if diff := cmp.Diff(wantIDs(0, 200), r.dest.ids("a")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if n := r.liveProgress("str_a"); n != 1 {
		t.Errorf("%d records of progress, want that of the last revision alone", n)
	}
}

func TestRandomChangesUnderTrafficLoseNothingThatMatchesAlways(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	r := newRig(t, 3)
	organizations := []string{orgA, orgB, "org_CCCCCCCCCCCCCCCCCCCCCCCCCC"}
	for i := range 4 {
		r.stream(fmt.Sprint("s", i), consumer.AllOrganizations)
	}
	var failing atomic.Bool
	r.dest.program(func(_ string, ids []string) (int, sinks.Receipt, error) {
		if failing.Load() {
			return 0, sinks.Receipt{}, errDown
		}
		return len(ids), sinks.Receipt{}, nil
	})
	g := r.group()
	stop := r.run(g)
	const rounds, each = 60, 20
	for round := range rounds {
		for i, org := range organizations {
			r.publish(org, (round*len(organizations)+i)*each, each)
		}
		id := fmt.Sprint("s", random.IntN(4))
		switch random.IntN(6) {
		case 0:
			r.revise(id, func(s *consumer.Spec) { s.State = consumer.SpecPaused })
		case 1:
			r.revise(id, func(s *consumer.Spec) { s.Actions = []string{"user.*"} })
		case 2:
			failing.Store(!failing.Load())
			continue
		case 3:
			stop()
			g = r.group()
			stop = r.run(g)
			continue
		default:
			r.revise(id, func(s *consumer.Spec) { s.State = consumer.SpecActive })
		}
		r.learn(g)
	}
	failing.Store(false)
	for i := range 4 {
		r.revise(fmt.Sprint("s", i), func(s *consumer.Spec) { s.State = consumer.SpecActive })
	}
	r.learn(g)
	want := wantIDs(0, rounds*each*len(organizations))
	for i := range 4 {
		id := fmt.Sprint("s", i)
		r.eventually(id, func() bool { return r.dest.count(id) >= len(want) })
		got := r.dest.ids(id)
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", id, diff)
		}
	}
}

// A process that has read the streams topic less far than the one before it takes a
// partition, and hears of the newer stream a moment later.
func TestAStreamThatTheFormerOwnerKnewGoesOnAtItsRecord(t *testing.T) {
	r := newRig(t, 1)
	r.stream("old", orgA)
	known := r.specs
	r.stream("newer", orgA)
	stop := r.start()
	r.publish(orgA, 0, 100)
	r.eventually("both", func() bool { return r.dest.count("old") >= 100 && r.dest.count("newer") >= 100 })
	stop()
	all := r.specs
	r.specs = known
	g := r.group()
	stop = r.run(g)
	r.publish(orgA, 100, 50)
	r.eventually("the stream that it knows", func() bool { return r.dest.count("old") >= 150 })
	r.specs = all
	r.learn(g)
	r.eventually("the other", func() bool { return r.dest.count("newer") >= 150 })
	stop()
	for _, s := range []string{"old", "newer"} {
		if diff := cmp.Diff(wantIDs(0, 150), r.dest.ids(s)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", s, diff)
		}
	}
}
