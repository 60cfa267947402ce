package consumer_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/auditstream/auditstream/sinks"
)

// lastRecord is the newest record of progress of a stream in partition 0.
func (r *rig) lastRecord(uid string) *kgo.Record {
	r.t.Helper()
	var last *kgo.Record
	reader := &kafka.Reader{Client: r.client}
	if _, err := reader.ReadToEnd(r.t.Context(), r.topics.Progress(), 0, func(rec *kgo.Record) {
		if strings.HasPrefix(string(rec.Key), uid+"/") && rec.Value != nil {
			last = rec
		}
	}); err != nil {
		r.t.Fatal(err)
	}
	if last == nil {
		r.t.Fatalf("stream %s has no record of progress", uid)
	}
	return last
}

// writeProgress writes to partition 0 of the progress topic, as some process would.
func (r *rig) writeProgress(key, value []byte) {
	r.t.Helper()
	cl, err := kgo.NewClient(append(slices.Clone(r.opts), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		r.t.Fatal(err)
	}
	defer cl.Close()
	if err := cl.ProduceSync(r.t.Context(), &kgo.Record{Topic: r.topics.Progress(), Key: key, Value: value}).FirstErr(); err != nil {
		r.t.Fatal(err)
	}
}

func TestASingleRecordOfProgressThatIsLostLeavesNoGap(t *testing.T) {
	r := newRig(t, 1)
	r.stream("behind", orgA)
	r.stream("other", orgA)
	r.dest.program(func(stream string, ids []string) (int, sinks.Receipt, error) {
		if stream == "behind" {
			return 0, sinks.Receipt{}, &sinks.Error{Class: sinks.Unavailable, Err: errDown}
		}
		return len(ids), sinks.Receipt{}, nil
	})
	r.publish(orgA, 0, 400) // more than a lane holds
	stop := r.start()
	r.eventually("the other stream", func() bool { return r.dest.count("other") >= 400 })
	stop()
	r.writeProgress(r.lastRecord("str_behind").Key, nil)
	r.dest.program(nil)
	r.start()
	r.eventually("everything", func() bool { return len(missing(wantIDs(0, 400), r.dest.ids("behind"))) == 0 })
	if diff := cmp.Diff(wantIDs(0, 400), r.dest.ids("other")); diff != "" {
		t.Errorf("the other stream (-want +got):\n%s", diff)
	}
}

func TestAStaleOwnerThatStillWritesProgressOnlyRepeats(t *testing.T) {
	r := newRig(t, 1)
	r.stream("a", orgA)
	r.deliverAll("a", 0, 100)
	stale := r.lastRecord("str_a")
	r.deliverAll("a", 100, 100)
	r.writeProgress(stale.Key, stale.Value)
	r.publish(orgA, 200, 50)
	r.start()
	r.eventually("everything", func() bool { return len(missing(wantIDs(0, 250), r.dest.ids("a"))) == 0 })
	if diff := cmp.Diff(slices.Concat(wantIDs(0, 200), wantIDs(100, 150)), r.dest.ids("a")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAStaleOwnerOfAnOlderRevisionMovesNoCursor(t *testing.T) {
	r := newRig(t, 1)
	r.stream("a", orgA)
	r.deliverAll("a", 0, 100)
	stale := r.lastRecord("str_a")
	r.stream("a", orgA, func(s *consumer.Spec) { s.Revision, s.EpochOffset = 2, new(int64(0)) })
	r.deliverAll("a", 100, 100)
	r.writeProgress(stale.Key, stale.Value)
	r.deliverAll("a", 200, 50)
	if diff := cmp.Diff(wantIDs(0, 250), r.dest.ids("a")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestNewPartitionsAreDeliveredWholeAlsoToAStreamThatStartsNow(t *testing.T) {
	r := newRig(t, 1)
	r.stream("all", consumer.AllOrganizations)
	r.stream("now", consumer.AllOrganizations, func(s *consumer.Spec) { s.Start = consumer.StartNow })
	r.publish(orgA, 0, 50)
	stop := r.start()
	r.eventually("the first", func() bool { return r.dest.count("all") >= 50 && r.dest.count("now") >= 50 })
	admin := kadm.NewClient(r.client)
	for _, topic := range []string{r.topics.Progress(), r.topics.Events()} { // progress first: it must be there when the events are found
		if _, err := admin.UpdatePartitions(context.WithoutCancel(t.Context()), 3, topic); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	for p := range int32(3) {
		rec := record(r.topics.Events(), orgB, eventID(1000+int(p)), "user.login")
		rec.Partition = p
		r.produceAt(rec)
	}
	r.start()
	want := []string{eventID(1000), eventID(1001), eventID(1002)}
	r.eventually("what the new partitions hold", func() bool {
		return len(missing(want, r.dest.ids("all"))) == 0 && len(missing(want, r.dest.ids("now"))) == 0
	})
	for _, s := range []string{"all", "now"} {
		got := r.dest.ids(s)
		slices.Sort(got)
		if diff := cmp.Diff(slices.Concat(wantIDs(0, 50), want), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", s, diff)
		}
	}
}

// produceAt produces to the partitions that the records name.
func (r *rig) produceAt(records ...*kgo.Record) {
	r.t.Helper()
	cl, err := kgo.NewClient(append(slices.Clone(r.opts), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		r.t.Fatal(err)
	}
	defer cl.Close()
	if err := cl.ProduceSync(r.t.Context(), records...).FirstErr(); err != nil {
		r.t.Fatal(err)
	}
}

func TestWhatAnEventsTopicThatIsGoneHadUndeliveredIsARecordedGap(t *testing.T) {
	r := newRig(t, 1)
	r.stream("down", orgA)
	r.stream("well", orgA)
	r.dest.down("down")
	r.publish(orgA, 0, 400) // more than a lane holds
	stop := r.start()
	r.eventually("the other stream", func() bool { return r.dest.count("well") >= 400 })
	stop()
	r.remakeTopic(r.topics.Events())
	r.publish(orgA, 1000, 10)
	r.dest.program(nil)
	stop = r.start()
	r.eventually("the new topic", func() bool { return r.dest.count("down") >= 10 && r.dest.count("well") >= 410 })
	stop()
	if diff := cmp.Diff(wantIDs(1000, 10), r.dest.ids("down")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// Kafka has forgotten the group's offset with the topic, and with it how far that went.
	for stream, at := range map[string]int64{"str_down": 0, "str_well": 400} {
		if p := r.progress(stream); len(p.Gaps) != 1 || p.Gaps[0].From != at || p.Gaps[0].To != at {
			t.Errorf("%s: gaps %+v, want one from %d on", stream, p.Gaps, at)
		}
	}
}

// The log was cut off while nobody read, and has grown beyond the position since: only the
// leader's epoch can tell.
func TestWhatKafkaTookWhereTheLogWasCutOffMeanwhileIsDelivered(t *testing.T) {
	r := newRig(t, 1)
	r.stream("a", orgA)
	r.deliverAll("a", 0, 100)
	r.publish(orgA, 100, 10)
	asked := make(chan int32, 1)
	r.broker.ControlKey(int16(kmsg.OffsetForLeaderEpoch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		ask, ok := req.(*kmsg.OffsetForLeaderEpochRequest)
		if !ok {
			return nil, nil, false
		}
		asked <- ask.Topics[0].Partitions[0].LeaderEpoch
		resp, ok := ask.ResponseKind().(*kmsg.OffsetForLeaderEpochResponse)
		if !ok {
			return nil, nil, false
		}
		part := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
		part.LeaderEpoch, part.EndOffset = ask.Topics[0].Partitions[0].LeaderEpoch, 60
		resp.Topics = append(resp.Topics, kmsg.OffsetForLeaderEpochResponseTopic{
			Topic: r.topics.Events(), Partitions: []kmsg.OffsetForLeaderEpochResponseTopicPartition{part},
		})
		return resp, nil, true
	})
	stop := r.start()
	r.eventually("what is new", func() bool { return r.dest.count("a") >= 150 })
	stop()
	if epoch := <-asked; epoch < 0 {
		t.Errorf("asked for the end of leader epoch %d", epoch)
	}
	if diff := cmp.Diff(slices.Concat(wantIDs(0, 100), wantIDs(60, 50)), r.dest.ids("a")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	r.publish(orgA, 110, 10)
	r.start()
	r.eventually("what comes then", func() bool { return r.dest.count("a") >= 160 })
	if n := r.dest.count("a"); n != 160 {
		t.Errorf("%d events after the next start, want 160: nothing is cut off any more", n)
	}
}
