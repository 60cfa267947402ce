package consumer_test

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/sinks"
)

// down refuses everything of one stream until it is told otherwise.
func (d *destination) down(stream string) (up func()) {
	var repaired atomic.Bool
	d.program(func(s string, ids []string) (int, sinks.Receipt, error) {
		if s == stream && !repaired.Load() {
			return 0, sinks.Receipt{}, &sinks.Error{Class: sinks.Unavailable, Err: errDown}
		}
		return len(ids), sinks.Receipt{}, nil
	})
	return func() { repaired.Store(true) }
}

func TestAShutdownEndsAlsoWhileKafkaIsAway(t *testing.T) {
	r := newRig(t, 2)
	r.stream("a", orgA)
	r.stream("b", orgB)
	r.dest.down("b")
	r.publish(orgA, 0, 100)
	r.publish(orgB, 100, 100)
	stop := r.start()
	r.eventually("stream a", func() bool { return r.dest.count("a") >= 100 })
	r.broker.Close()
	stop() // fails after shutdownLimit
}

func TestAShutdownWaitsForNoDestination(t *testing.T) {
	tests := map[string]func(ctx context.Context, release <-chan struct{}) error{
		"that returns when its context ends": func(ctx context.Context, _ <-chan struct{}) error {
			<-ctx.Done()
			return ctx.Err()
		},
		"that ignores its context": func(_ context.Context, release <-chan struct{}) error {
			<-release
			return errDown
		},
	}
	for name, hang := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 1)
			r.stream("a", orgA)
			release := make(chan struct{})
			var under atomic.Int32
			r.dest.delay(func(ctx context.Context, _ string) error {
				under.Add(1)
				defer under.Add(-1)
				return hang(ctx, release)
			})
			r.publish(orgA, 0, 100)
			stop := r.start()
			r.eventually("a request", func() bool { return under.Load() > 0 })
			stop() // fails after shutdownLimit
			close(release)
			r.eventually("the request's end", func() bool { return under.Load() == 0 })
			r.dest.delay(nil)
			r.start()
			r.eventually("all", func() bool { return r.dest.count("a") >= 100 })
			if diff := cmp.Diff(wantIDs(0, 100), r.dest.ids("a")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestAShutdownDoesNotWaitForTheNextAttempt(t *testing.T) {
	r := newRig(t, 1)
	r.drain = time.Minute // for requests under way, of which there are none
	r.retry = consumer.Retry{Min: time.Hour, Max: time.Hour, Probe: time.Hour}
	r.stream("a", orgA)
	r.dest.program(func(string, []string) (int, sinks.Receipt, error) {
		return 0, sinks.Receipt{}, &sinks.Error{Class: sinks.Misconfigured, Err: errDown}
	})
	r.publish(orgA, 0, 10)
	stop := r.start()
	r.eventually("the lane on hold", func() bool { return r.progress("str_a").State == consumer.StateInvalid })
	stop() // fails after shutdownLimit
	r.dest.program(nil)
	r.start()
	r.eventually("the events", func() bool { return r.dest.count("a") >= 10 })
}

func TestALaneIsActiveAgainOnceItsLettersAreWritten(t *testing.T) {
	r := newRig(t, 1)
	r.stream("a", orgA)
	down := r.broker.Fault(kfake.Fault{
		Keys: []kmsg.Key{kmsg.Produce}, Topic: r.topics.DeadLetters(), Err: kerr.TopicAuthorizationFailed, Count: -1,
	})
	r.publish(orgA, 0, 1)
	r.produce(record(r.topics.Events(), orgA, eventID(1), "huge"))
	r.start()
	r.eventually("the lane in error", func() bool { return r.progress("str_a").State == consumer.StateError })
	if got := r.progress("str_a"); got.Cursor != 1 || !strings.Contains(got.Error, "TOPIC_AUTHORIZATION_FAILED") {
		t.Errorf("cursor %d, error %q; want 1, the offset of the letter, and Kafka's reason", got.Cursor, got.Error)
	}
	down.Remove()
	r.eventually("the letter", func() bool { return len(r.letters()) == 1 })
	r.eventually("the lane active", func() bool {
		p := r.progress("str_a")
		return p.State == consumer.StateActive && p.Error == "" && p.Cursor == 2
	})
}

func TestEachKindKeepsItsOwnProgressThroughInvalidRecords(t *testing.T) {
	r := newRig(t, 1)
	bad := func() *kgo.Record {
		return &kgo.Record{Topic: r.topics.Events(), Key: []byte(orgA), Value: []byte("no event")}
	}
	r.stream("a", orgA)
	down := r.broker.Fault(kfake.Fault{
		Keys: []kmsg.Key{kmsg.Produce}, Topic: r.topics.DeadLetters(), Err: kerr.TopicAuthorizationFailed, Count: -1,
	})
	r.publish(orgA, 0, 5)
	r.produce(bad()) // offset 5
	stop := r.start()
	r.eventually("stream a, and its letter held", func() bool {
		return r.dest.count("a") == 5 && r.progress("_invalid.recorder").State == consumer.StateError
	})
	stop()
	down.Remove()

	// Another kind begins behind that record and gets further.
	time.Sleep(5 * time.Millisecond) // Kafka's times are milliseconds
	r.name = "other"
	r.stream("b", orgA, func(s *consumer.Spec) { s.Start = consumer.StartNow })
	time.Sleep(5 * time.Millisecond)
	r.publish(orgA, 5, 5)
	r.produce(bad()) // offset 11
	stop = r.start()
	r.eventually("stream b and its letter", func() bool { return r.dest.count("b") == 5 && len(r.letters()) == 1 })
	stop()

	r.name = "recorder"
	r.start()
	r.eventually("the first kind's letters", func() bool { return len(r.letters()) >= 3 })
	var got []string
	for _, l := range r.letters() {
		got = append(got, header(l, "auditstream.letter.kind")+" "+header(l, "auditstream.letter.offset"))
	}
	if diff := cmp.Diff([]string{"other 11", "recorder 5", "recorder 11"}, got); diff != "" {
		t.Errorf("letters (-want +got):\n%s", diff)
	}
	ids := map[string]bool{}
	for _, l := range r.letters() {
		ids[header(l, "auditstream.letter.id")] = true
	}
	if len(ids) != 2 {
		t.Errorf("ids %v; the two kinds' letters about one record have the same", ids)
	}
}

func TestWhatKafkaTakesBelowACommittedOffsetThatItLostIsDelivered(t *testing.T) {
	r := newRig(t, 1)
	r.stream("a", orgA)
	r.stream("b", orgB) // without a lane yet
	r.deliverAll("a", 0, 100)
	admin := kadm.NewClient(r.client)
	committed, err := admin.FetchOffsets(t.Context(), "auditstream.recorder")
	if err != nil {
		t.Fatal(err)
	}
	o, ok := committed.Lookup(r.topics.Events(), 0)
	if !ok || o.At != 100 {
		t.Fatalf("the commit is at %d, want 100", o.At)
	}
	o.At = 1000 // as if 900 records had been lost by an unclean election
	offsets := kadm.Offsets{}
	offsets.Add(o.Offset)
	if err := admin.CommitAllOffsets(t.Context(), "auditstream.recorder", offsets); err != nil {
		t.Fatal(err)
	}
	r.start()
	r.eventually("a commit where the log ends", func() bool {
		now, err := admin.FetchOffsets(t.Context(), "auditstream.recorder")
		o, _ := now.Lookup(r.topics.Events(), 0)
		return err == nil && o.At == 100
	})
	r.publish(orgB, 100, 50)
	r.eventually("stream b", func() bool { return r.dest.count("b") >= 50 })
	if diff := cmp.Diff(wantIDs(100, 50), r.dest.ids("b")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestALogThatWasCutOffIsReadAgainFromThere(t *testing.T) {
	r := newRig(t, 1)
	r.stream("a", orgA)
	r.publish(orgA, 0, 100)
	r.start()
	r.eventually("all", func() bool { return r.dest.count("a") >= 100 })
	// A new leader whose epoch ends at offset 60: what stands there from now on is new.
	var once atomic.Bool
	r.broker.ControlKey(int16(kmsg.OffsetForLeaderEpoch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		r.broker.KeepControl()
		if once.Swap(true) {
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.OffsetForLeaderEpochResponse)
		for _, topic := range req.(*kmsg.OffsetForLeaderEpochRequest).Topics {
			answer := kmsg.OffsetForLeaderEpochResponseTopic{Topic: topic.Topic}
			for _, p := range topic.Partitions {
				answer.Partitions = append(answer.Partitions, kmsg.OffsetForLeaderEpochResponseTopicPartition{Partition: p.Partition, EndOffset: 60})
			}
			resp.Topics = append(resp.Topics, answer)
		}
		return resp, nil, true
	})
	r.broker.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Err: kerr.FencedLeaderEpoch, When: func(req kmsg.Request) bool {
		return req.(*kmsg.FetchRequest).SessionEpoch >= 0 // the consumer's, not a single read
	}})
	r.eventually("what stands from offset 60 on", func() bool { return r.dest.count("a") >= 140 })
	if diff := cmp.Diff(slices.Concat(wantIDs(0, 100), wantIDs(60, 40)), r.dest.ids("a")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWhatRetentionTakesFromARunningReaderIsAGapOfEveryStream(t *testing.T) {
	r := newRig(t, 1)
	r.stream("a", orgA)
	r.stream("b", orgA)
	r.stream("c", orgB) // without a lane yet
	up := r.dest.down("b")
	r.publish(orgA, 0, 100)
	r.start()
	r.eventually("stream a, and b behind", func() bool {
		return r.dest.count("a") == 100 && r.progress("str_b").State == consumer.StateError
	})
	held := r.broker.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: r.topics.Events(), Err: kerr.NotLeaderForPartition, Count: -1})
	r.publish(orgA, 100, 50)
	var offsets kadm.Offsets
	offsets.Add(kadm.Offset{Topic: r.topics.Events(), Partition: 0, At: 130})
	if _, err := kadm.NewClient(r.client).DeleteRecords(t.Context(), offsets); err != nil {
		t.Fatal(err)
	}
	held.Remove()
	r.eventually("what is left", func() bool { return r.dest.count("a") >= 120 })
	up()
	r.eventually("what b has left", func() bool { return slices.Contains(r.dest.ids("b"), eventID(149)) })
	r.eventually("the gaps on record", func() bool {
		return r.progress("str_a").Expired > 0 && r.progress("str_b").Expired > 0 && r.progress("str_c").Expired > 0
	})
	for uid, want := range map[string][2]int64{"str_a": {100, 130}, "str_c": {100, 130}} {
		p := r.progress(uid)
		if len(p.Gaps) != 1 || p.Gaps[0].From != want[0] || p.Gaps[0].To != want[1] {
			t.Errorf("%s: gaps %+v, want %v", uid, p.Gaps, want)
		}
	}
	b := r.progress("str_b")
	if len(b.Gaps) != 1 || b.Gaps[0].To != 130 {
		t.Fatalf("str_b: gaps %+v, want one up to 130", b.Gaps)
	}
	want := slices.Concat(wantIDs(0, int(b.Gaps[0].From)), wantIDs(130, 20))
	if diff := cmp.Diff(want, r.dest.ids("b")); diff != "" {
		t.Errorf("stream b has its gap, and nothing else is missing (-want +got):\n%s", diff)
	}
}

func TestABatchThatTheNextEventDoesNotFitHoldsUpNoOtherStream(t *testing.T) {
	for name, change := range map[string]func(*sinks.Batching){
		"by bytes":   func(b *sinks.Batching) { b.MaxBytes = 3*len(event(orgA, eventID(0), "user.login")) + 10 },
		"one event":  func(b *sinks.Batching) { b.MaxBytes = 1 },
		"to a byte":  func(b *sinks.Batching) { b.MaxBytes = 3 * (len(event(orgA, eventID(0), "user.login")) + 1) },
		"by letters": func(*sinks.Batching) {},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 1)
			r.batching = sinks.Batching{MaxBytes: 1 << 20}
			change(&r.batching)
			r.stream("broken", orgA)
			r.stream("healthy", orgA)
			up := r.dest.down("broken")
			for i := range 100 {
				action := "user.login"
				if name == "by letters" && i%3 == 0 {
					action = "huge"
				}
				r.produce(record(r.topics.Events(), orgA, eventID(i), action))
			}
			want := wantIDs(0, 100)
			if name == "by letters" {
				for i := 99; i >= 0; i -= 3 {
					want = slices.Delete(want, i, i+1)
				}
			}
			r.start()
			r.eventually("the healthy stream", func() bool { return r.dest.count("healthy") >= len(want) })
			up()
			r.eventually("the other one", func() bool { return r.dest.count("broken") >= len(want) })
			for _, s := range []string{"healthy", "broken"} {
				if diff := cmp.Diff(want, r.dest.ids(s)); diff != "" {
					t.Errorf("%s (-want +got):\n%s", s, diff)
				}
			}
		})
	}
}

func TestASlowStreamFallsBehindInsteadOfHoldingItsPartition(t *testing.T) {
	r := newRig(t, 1)
	r.batching = sinks.Batching{MaxBytes: 1 << 20, MaxEvents: 1}
	r.stream("slow", orgA)
	r.stream("healthy", orgA)
	r.dest.delay(func(ctx context.Context, stream string) error {
		if stream != "slow" {
			return nil
		}
		select { // faster than any patience with one batch
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
			return nil
		}
	})
	r.publish(orgA, 0, 400)
	r.start()
	r.eventually("both streams", func() bool { return r.dest.count("healthy") >= 400 && r.dest.count("slow") >= 400 })
	if !r.wasBehind("str_slow") {
		t.Error("the slow stream was waited for all along")
	}
	if diff := cmp.Diff(wantIDs(0, 400), r.dest.ids("slow")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestNothingIsCommittedWhoseProgressIsNotWritten(t *testing.T) {
	r := newRig(t, 1)
	r.stream("a", orgA)
	r.deliverAll("a", 0, 10)
	down := r.broker.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: r.topics.Progress(), Err: kerr.TopicAuthorizationFailed, Count: -1})
	r.publish(orgA, 10, 10)
	stop := r.start()
	r.eventually("the events", func() bool { return r.dest.count("a") >= 20 })
	r.eventually("three attempts to save", func() bool { return down.Hits() >= 3 })
	stop()
	committed, err := kadm.NewClient(r.client).FetchOffsets(t.Context(), "auditstream.recorder")
	if err != nil {
		t.Fatal(err)
	}
	if o, _ := committed.Lookup(r.topics.Events(), 0); o.At != 10 {
		t.Errorf("offset %d is committed, want 10: progress beyond it was never written", o.At)
	}
	down.Remove()
	r.start()
	r.eventually("the repeats", func() bool { return r.dest.count("a") >= 30 })
	if diff := cmp.Diff(slices.Concat(wantIDs(0, 20), wantIDs(10, 10)), r.dest.ids("a")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestNoEventIsSentBeforeItsRevisionIsOnRecord(t *testing.T) {
	r := newRig(t, 1)
	r.stream("a", orgA)
	down := r.broker.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: r.topics.Progress(), Err: kerr.TopicAuthorizationFailed, Count: -1})
	r.publish(orgA, 0, 10)
	r.start()
	r.eventually("attempts to record it", func() bool { return down.Hits() >= 5 })
	if n := r.dest.count("a"); n != 0 {
		t.Errorf("%d events were sent", n)
	}
	down.Remove()
	r.eventually("the events", func() bool { return r.dest.count("a") >= 10 })
	if diff := cmp.Diff(wantIDs(0, 10), r.dest.ids("a")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestProgressOfANewerFormatHoldsThePartition(t *testing.T) {
	r := newRig(t, 1)
	r.stream("a", orgA)
	r.deliverAll("a", 0, 10)
	newer := &kgo.Record{Topic: r.topics.Progress(), Key: []byte("str_a/1/1"), Value: []byte(`{"v":2,"where":"elsewhere"}`)}
	r.produce(newer)
	r.publish(orgA, 10, 10)
	tried := r.broker.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.JoinGroup}, Observe: true, Count: -1})
	r.start()
	r.eventually("a second try", func() bool { return tried.Hits() >= 3 })
	if n := r.dest.count("a"); n != 10 {
		t.Errorf("%d events were delivered on top of progress that is not understood", n-10)
	}
	r.produce(&kgo.Record{Topic: r.topics.Progress(), Key: []byte("str_a/1/1")})
	r.eventually("the rest, once it can be understood", func() bool { return slices.Contains(r.dest.ids("a"), eventID(19)) })
}
