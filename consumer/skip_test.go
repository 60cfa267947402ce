package consumer_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/auditstream/auditstream/sinks"
)

// move changes the stream a as an operator's skip would.
func (r *rig) move(change func(consumer.Spec) consumer.Spec) {
	r.t.Helper()
	i := slices.IndexFunc(r.specs.Streams, func(s consumer.Spec) bool { return s.ID == "a" })
	next := change(r.specs.Streams[i])
	next.Offset, next.Time = r.specs.Offset, time.Now()
	r.specs.Streams = slices.Clone(r.specs.Streams)
	r.specs.Streams[i] = next
	r.specs.Offset++
}

func byOps(what string) consumer.Change {
	return consumer.Change{What: what, By: "ops", At: time.Now()}
}

// afterNow waits until Kafka's clock, which counts milliseconds, has gone on.
func afterNow() { time.Sleep(5 * time.Millisecond) }

// A batch is under way when the stream is moved: it ends, the move begins behind it, and
// the gap on record says exactly what was passed over.
func TestASkipToNowPassesOverWhatWaitsAndSaysExactlyWhat(t *testing.T) {
	r := newRig(t, 1)
	r.stream("a", orgA)
	release := make(chan struct{})
	r.dest.program(func(_ string, ids []string) (int, sinks.Receipt, error) {
		<-release
		return len(ids), sinks.Receipt{}, nil
	})
	g := r.group()
	stop := r.run(g)
	r.publish(orgA, 0, 100)
	r.eventually("a request under way", func() bool { return r.liveProgress("str_a") > 0 })
	afterNow()
	r.move(func(s consumer.Spec) consumer.Spec { return s.MoveTo(consumer.StartNow, byOps("skipped to now")) })
	afterNow()
	r.learn(g)
	r.publish(orgA, 100, 50)
	if s := r.survey("a"); s.InForce {
		t.Error("in force although the former epoch's batch is under way")
	}
	close(release)
	r.dest.program(nil)
	r.eventually("what came later", func() bool { return r.dest.count("a") >= 60 && r.survey("a").Lag == 0 && r.survey("a").InForce })
	stop()
	if diff := cmp.Diff(slices.Concat(wantIDs(0, 10), wantIDs(100, 50)), r.dest.ids("a")); diff != "" {
		t.Errorf("the batch under way and what came later (-want +got):\n%s", diff)
	}
	gaps := r.survey("a").Lanes[0].Gaps
	if len(gaps) != 1 || gaps[0].From != 10 || gaps[0].To != 100 || gaps[0].By != "ops" || gaps[0].Reason != "skipped to now by ops" {
		t.Errorf("gaps %+v, want [10, 100)", gaps)
	}
}

func TestASkipToNowOfAStreamThatIsUpToDateRepeatsNothing(t *testing.T) {
	r := newRig(t, 1)
	r.stream("a", orgA)
	g := r.group()
	r.run(g)
	for i := range 10 {
		r.move(func(s consumer.Spec) consumer.Spec { return s.MoveTo(consumer.StartNow, byOps("skipped to now")) })
		r.publish(orgA, i*50, 50) // delivered before the process hears of the move
		r.eventually("the events", func() bool { return r.dest.count("a") >= (i+1)*50 })
		r.learn(g)
	}
	r.eventually("no lag", func() bool { return r.survey("a").Lag == 0 })
	if diff := cmp.Diff(wantIDs(0, 500), r.dest.ids("a")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAStreamDeletedWhileNobodyDeliversLeavesNoRecord(t *testing.T) {
	r := newRig(t, 2)
	r.stream("a", orgA)
	r.stream("b", orgA)
	stop := r.start()
	r.publish(orgA, 0, 50)
	r.eventually("both", func() bool { return r.dest.count("a") >= 50 && r.dest.count("b") >= 50 })
	stop()
	r.revise("a", func(s *consumer.Spec) { s.State = consumer.SpecDeleted })
	stop = r.start()
	r.eventually("no record", func() bool { return r.liveProgress("str_a") == 0 })
	stop()
	if n := r.liveProgress("str_b"); n != 1 {
		t.Errorf("%d records of the stream that is still there, want 1", n)
	}
}

// A move that no process has taken over yet is as good after a start, and repeated no
// more by the next one.
func TestMovesWhileNobodyDelivers(t *testing.T) {
	r := newRig(t, 1)
	r.stream("a", orgA)
	stop := r.start()
	r.publish(orgA, 0, 50)
	r.eventually("the first", func() bool { return r.dest.count("a") >= 50 && r.survey("a").Lag == 0 })
	stop()
	r.publish(orgA, 50, 50)
	afterNow()
	r.move(func(s consumer.Spec) consumer.Spec { return s.MoveTo(consumer.StartNow, byOps("skipped to now")) })
	afterNow()
	r.publish(orgA, 100, 50)
	for range 2 {
		stop = r.start()
		r.eventually("what came after the skip", func() bool { return r.dest.count("a") >= 100 && r.survey("a").Lag == 0 })
		stop()
	}
	if diff := cmp.Diff(slices.Concat(wantIDs(0, 50), wantIDs(100, 50)), r.dest.ids("a")); diff != "" {
		t.Errorf("after a skip (-want +got):\n%s", diff)
	}
	if gaps := r.survey("a").Lanes[0].Gaps; len(gaps) != 1 || gaps[0].From != 50 || gaps[0].To != 100 {
		t.Errorf("gaps %+v, want [50, 100)", gaps)
	}
	r.move(func(s consumer.Spec) consumer.Spec { return s.MoveTo(consumer.StartBeginning, byOps("moved")) })
	for range 2 {
		stop = r.start()
		r.eventually("everything again", func() bool { return r.dest.count("a") >= 250 && r.survey("a").Lag == 0 })
		stop()
	}
	if diff := cmp.Diff(slices.Concat(wantIDs(0, 50), wantIDs(100, 50), wantIDs(0, 150)), r.dest.ids("a")); diff != "" {
		t.Errorf("after a reset (-want +got):\n%s", diff)
	}
	if gaps := r.survey("a").Lanes[0].Gaps; len(gaps) != 0 {
		t.Errorf("gaps %+v of what was read again", gaps)
	}
}

// One partition is moved; the others are at rest, and stay so.
func TestAMoveOfOnePartitionLeavesTheOthersAlone(t *testing.T) {
	r := newRig(t, 3)
	r.stream("a", consumer.AllOrganizations)
	g := r.group()
	stop := r.run(g)
	organizations := []string{orgA, orgB, "org_CCCCCCCCCCCCCCCCCCCCCCCCCC", "org_DDDDDDDDDDDDDDDDDDDDDDDDDD", "org_EEEEEEEEEEEEEEEEEEEEEEEEEE"}
	for i, org := range organizations {
		r.publish(org, i*20, 20)
	}
	r.eventually("all", func() bool { return r.dest.count("a") >= 100 && r.survey("a").Lag == 0 })
	ids, err := kafka.TopicIDs(t.Context(), kadm.NewClient(r.client), r.topics.Events())
	if err != nil {
		t.Fatal(err)
	}
	number, end := int32(-1), int64(0)
	for _, l := range r.survey("a").Lanes {
		if l.End > 10 {
			number, end = l.Partition, l.End
		}
	}
	r.move(func(s consumer.Spec) consumer.Spec {
		return s.MovePartition(number, end-10, ids[r.topics.Events()], false, byOps("moved"))
	})
	r.learn(g)
	r.eventually("ten again", func() bool { return r.dest.count("a") >= 110 && r.survey("a").Lag == 0 })
	stop()
	stop = r.start()
	r.publish(orgA, 100, 5)
	r.eventually("what came later", func() bool { return r.dest.count("a") >= 115 && r.survey("a").Lag == 0 })
	stop()
	got := r.dest.ids("a")
	if len(got) != 115 {
		t.Errorf("%d events, want 105 and ten of them again", len(got))
	}
	slices.Sort(got)
	if diff := cmp.Diff(wantIDs(0, 105), slices.Compact(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
