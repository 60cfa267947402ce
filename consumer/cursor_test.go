package consumer_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/sinks"
)

// deliverAll publishes n events from first on, delivers them and stops.
func (r *rig) deliverAll(stream string, first, n int) {
	r.t.Helper()
	r.publish(orgA, first, n)
	stop := r.start()
	r.eventually("the events", func() bool { return r.dest.count(stream) >= first+n })
	stop()
}

func (r *rig) remakeTopic(topic string) {
	r.t.Helper()
	admin := kadm.NewClient(r.client)
	if _, err := admin.DeleteTopic(r.t.Context(), topic); err != nil {
		r.t.Fatal(err)
	}
	r.client.PurgeTopicsFromClient(topic)
	if _, err := admin.CreateTopic(r.t.Context(), r.topics.Partitions, 1, nil, topic); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) forgetGroup() {
	r.t.Helper()
	if _, err := kadm.NewClient(r.client).DeleteGroup(r.t.Context(), "auditstream.recorder"); err != nil {
		r.t.Fatal(err)
	}
}

func missing(want, got []string) []string {
	return slices.DeleteFunc(slices.Clone(want), func(id string) bool { return slices.Contains(got, id) })
}

func TestProgressThatIsLostRepeatsButLeavesNoGap(t *testing.T) {
	r := newRig(t, 2)
	r.stream("a", orgA)
	r.deliverAll("a", 0, 100)
	r.remakeTopic(r.topics.Progress())
	r.publish(orgA, 100, 50)
	r.start()
	r.eventually("all", func() bool { return len(missing(wantIDs(0, 150), r.dest.ids("a"))) == 0 })
}

func TestGroupOffsetsThatExpiredRepeatNothingWhileProgressIsThere(t *testing.T) {
	r := newRig(t, 2)
	r.stream("a", orgA)
	r.deliverAll("a", 0, 100)
	r.forgetGroup()
	r.publish(orgA, 100, 50)
	r.start()
	r.eventually("all", func() bool { return r.dest.count("a") >= 150 })
	if diff := cmp.Diff(wantIDs(0, 150), r.dest.ids("a")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAnEventsTopicMadeAnewIsDeliveredWhole(t *testing.T) {
	r := newRig(t, 1)
	r.stream("a", orgA)
	r.deliverAll("a", 0, 100)
	r.remakeTopic(r.topics.Events())
	r.publish(orgA, 100, 20) // lower offsets than the lane's cursor
	r.start()
	r.eventually("all", func() bool { return r.dest.count("a") >= 120 })
	if diff := cmp.Diff(wantIDs(0, 120), r.dest.ids("a")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAStreamAddedLaterStartsWhereItIsToldTo(t *testing.T) {
	r := newRig(t, 1)
	r.stream("old", orgA)
	r.deliverAll("old", 0, 100)
	time.Sleep(5 * time.Millisecond) // Kafka's times are milliseconds
	r.stream("beginning", orgA)
	r.stream("now", orgA, func(s *consumer.Spec) { s.Start = consumer.StartNow })
	time.Sleep(5 * time.Millisecond)
	r.publish(orgA, 100, 50)
	r.start()
	r.eventually("all", func() bool {
		return r.dest.count("old") >= 150 && r.dest.count("beginning") >= 150 && r.dest.count("now") >= 50
	})
	for stream, want := range map[string][]string{"old": wantIDs(0, 150), "beginning": wantIDs(0, 150), "now": wantIDs(100, 50)} {
		if diff := cmp.Diff(want, r.dest.ids(stream)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", stream, diff)
		}
	}
}

func TestAStreamMadeAgainUnderTheSameIDHasANewCursor(t *testing.T) {
	r := newRig(t, 1)
	r.stream("a", orgA)
	r.deliverAll("a", 0, 100)
	r.stream("a", orgA, func(s *consumer.Spec) { s.UID = "str_again" })
	r.start()
	r.eventually("everything again", func() bool { return r.dest.count("a") >= 200 })
	if diff := cmp.Diff(slices.Concat(wantIDs(0, 100), wantIDs(0, 100)), r.dest.ids("a")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestARevisionGoesOnAtTheCursor(t *testing.T) {
	r := newRig(t, 1)
	r.stream("a", orgA)
	r.deliverAll("a", 0, 100)
	r.stream("a", orgA, func(s *consumer.Spec) { s.Revision, s.EpochOffset = 2, new(int64(0)) })
	r.deliverAll("a", 100, 100)
	if diff := cmp.Diff(wantIDs(0, 200), r.dest.ids("a")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := r.dest.batches[len(r.dest.batches)-1].Lane.Revision; got != 2 {
		t.Errorf("revision %d was delivered, want 2", got)
	}
}

func TestAnEpochThatContinuesGoesOnAtTheCursorAndOneThatDoesNotStartsAnew(t *testing.T) {
	r := newRig(t, 1)
	r.stream("a", orgA)
	r.deliverAll("a", 0, 100)
	r.stream("a", orgA, func(s *consumer.Spec) { s.Revision, s.Epoch, s.EpochOffset = 2, 2, new(int64(0)) })
	r.deliverAll("a", 100, 100)
	if diff := cmp.Diff(wantIDs(0, 200), r.dest.ids("a")); diff != "" {
		t.Errorf("continued (-want +got):\n%s", diff)
	}
	r.stream("a", orgA, func(s *consumer.Spec) { s.Revision, s.Epoch, s.BaseEpoch = 3, 3, 3 })
	r.start()
	r.eventually("everything again", func() bool { return r.dest.count("a") >= 400 })
	if diff := cmp.Diff(slices.Concat(wantIDs(0, 200), wantIDs(0, 200)), r.dest.ids("a")); diff != "" {
		t.Errorf("reset (-want +got):\n%s", diff)
	}
}

func TestAPausedStreamKeepsItsCursorAndHoldsUpNoOther(t *testing.T) {
	r := newRig(t, 1)
	r.stream("a", orgA)
	r.stream("b", orgA)
	r.deliverAll("a", 0, 100)
	r.stream("a", orgA, func(s *consumer.Spec) { s.Revision, s.State, s.EpochOffset = 2, consumer.SpecPaused, new(int64(0)) })
	r.publish(orgA, 100, 300)
	stop := r.start()
	r.eventually("stream b", func() bool { return r.dest.count("b") >= 400 })
	stop()
	if n := r.dest.count("a"); n != 100 {
		t.Errorf("a paused stream has %d events, want 100", n)
	}
	r.stream("a", orgA, func(s *consumer.Spec) { s.Revision, s.EpochOffset = 3, new(int64(0)) })
	r.start()
	r.eventually("what waited", func() bool { return r.dest.count("a") >= 400 })
	for _, s := range []string{"a", "b"} {
		if diff := cmp.Diff(wantIDs(0, 400), r.dest.ids(s)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", s, diff)
		}
	}
}

func TestWhatRetentionTookIsARecordedGap(t *testing.T) {
	r := newRig(t, 1)
	r.stream("a", orgA)
	r.deliverAll("a", 0, 100)
	r.publish(orgA, 100, 100)
	var offsets kadm.Offsets
	offsets.Add(kadm.Offset{Topic: r.topics.Events(), Partition: 0, At: 150})
	if _, err := kadm.NewClient(r.client).DeleteRecords(t.Context(), offsets); err != nil {
		t.Fatal(err)
	}
	stop := r.start()
	r.eventually("what is left", func() bool { return r.dest.count("a") >= 150 })
	stop()
	if diff := cmp.Diff(slices.Concat(wantIDs(0, 100), wantIDs(150, 50)), r.dest.ids("a")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	p := r.progress("str_a")
	if p.Expired != 50 || len(p.Gaps) != 1 || p.Gaps[0].From != 100 || p.Gaps[0].To != 150 {
		t.Errorf("the lane's record says expired %d, gaps %+v; want 50 and [100, 150)", p.Expired, p.Gaps)
	}
}

// A process may have read the streams before others began an epoch, and take a partition
// over after they have gone on in it.
func TestWhatRetentionTookIsARecordedGapAlsoIfTheNextOwnerKnowsAnOlderEpoch(t *testing.T) {
	r := newRig(t, 1)
	r.stream("a", orgA)
	old := r.specs
	r.revise("a", func(s *consumer.Spec) { s.Epoch = 2 })
	r.deliverAll("a", 0, 100)
	r.publish(orgA, 100, 100)
	var offsets kadm.Offsets
	offsets.Add(kadm.Offset{Topic: r.topics.Events(), Partition: 0, At: 150})
	if _, err := kadm.NewClient(r.client).DeleteRecords(t.Context(), offsets); err != nil {
		t.Fatal(err)
	}
	present := r.specs
	r.specs = old
	g := r.group()
	r.specs = present
	stop := r.run(g)
	r.eventually("the partition", func() bool { return g.Ready() == nil })
	r.learn(g)
	r.eventually("what is left", func() bool { return r.dest.count("a") >= 150 })
	stop()
	p := r.progress("str_a")
	if p.Expired != 50 || len(p.Gaps) != 1 || p.Gaps[0].From != 100 || p.Gaps[0].To != 150 {
		t.Errorf("the lane's record says expired %d, gaps %+v; want 50 and [100, 150)", p.Expired, p.Gaps)
	}
}

func TestOffsetsWithoutRecordsHoldNobodyUp(t *testing.T) {
	r := newRig(t, 1)
	r.stream("a", orgA)
	r.deliverAll("a", 0, 10)
	txn, err := kgo.NewClient(append(slices.Clone(r.opts), kgo.TransactionalID("test"))...)
	if err != nil {
		t.Fatal(err)
	}
	defer txn.Close()
	send := func(first int, end kgo.TransactionEndTry) {
		if err := txn.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		for i := range 10 {
			txn.Produce(t.Context(), record(r.topics.Events(), orgA, eventID(first+i), "user.login"), nil)
		}
		if err := txn.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := txn.EndTransaction(t.Context(), end); err != nil {
			t.Fatal(err)
		}
	}
	send(100, kgo.TryAbort) // ten records that never were, and a marker
	send(10, kgo.TryCommit)
	r.stream("late", orgA) // behind, with a marker at the end of what it has to catch up
	stop := r.start()
	r.eventually("both", func() bool { return r.dest.count("a") >= 20 && r.dest.count("late") >= 20 })
	stop()
	r.publish(orgA, 20, 10)
	r.start()
	r.eventually("both again", func() bool { return r.dest.count("a") >= 30 && r.dest.count("late") >= 30 })
	for _, s := range []string{"a", "late"} {
		if diff := cmp.Diff(wantIDs(0, 30), r.dest.ids(s)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", s, diff)
		}
	}
}

func TestTwoProcessesShareThePartitionsAndOneTakesOverFromTheOther(t *testing.T) {
	r := newRig(t, 6)
	r.stream("all", consumer.AllOrganizations)
	for i, org := range []string{orgA, orgB, "org_CCCCCCCCCCCCCCCCCCCCCCCCCC", "org_DDDDDDDDDDDDDDDDDDDDDDDDDD"} {
		r.publish(org, i*1000, 100)
	}
	stop := r.start()
	r.start()
	r.eventually("400", func() bool { return r.dest.count("all") >= 400 })
	stop()
	for i, org := range []string{orgA, orgB, "org_CCCCCCCCCCCCCCCCCCCCCCCCCC", "org_DDDDDDDDDDDDDDDDDDDDDDDDDD"} {
		r.publish(org, i*1000+100, 100)
	}
	r.eventually("800", func() bool { return r.dest.count("all") >= 800 })
	ids := r.dest.ids("all")
	slices.Sort(ids)
	if n := len(slices.Compact(ids)); n != 800 || len(r.dest.ids("all")) != 800 {
		t.Errorf("%d events, %d different ones; want 800 once each", len(r.dest.ids("all")), n)
	}
}

func TestCatchingUpGoesOnBesideLiveTraffic(t *testing.T) {
	r := newRig(t, 1)
	r.stream("slow", orgA)
	r.stream("live", orgA)
	slow := true
	r.dest.program(func(stream string, ids []string) (int, sinks.Receipt, error) {
		if stream == "slow" && slow {
			return 0, sinks.Receipt{}, &sinks.Error{Class: sinks.Unavailable, Err: errDown}
		}
		return len(ids), sinks.Receipt{}, nil
	})
	r.start()
	for i := range 20 {
		r.publish(orgA, i*100, 100)
	}
	r.eventually("live", func() bool { return r.dest.count("live") >= 2000 })
	r.dest.mu.Lock()
	slow = false
	r.dest.mu.Unlock()
	for i := range 20 {
		r.publish(orgA, 2000+i*100, 100)
	}
	r.eventually("both", func() bool { return r.dest.count("slow") >= 4000 && r.dest.count("live") >= 4000 })
	for _, s := range []string{"slow", "live"} {
		if diff := cmp.Diff(wantIDs(0, 4000), r.dest.ids(s)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", s, diff)
		}
	}
}
