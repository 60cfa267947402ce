package consumer_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/consumer/deadletter"
	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/auditstream/auditstream/sinks"
)

// redriving is a job over all that the dead letters hold of stream a.
func (r *rig) redriving() (consumer.Task, func(*consumer.JobConfig)) {
	r.t.Helper()
	topic, err := deadletter.Connect(deadletter.Config{Kafka: r.opts, Topic: r.topics.DeadLetters(), By: "test"})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(topic.Close)
	ids, err := kafka.TopicIDs(r.t.Context(), kadm.NewClient(r.client), r.topics.DeadLetters())
	if err != nil {
		r.t.Fatal(err)
	}
	bounds, err := topic.Bounds(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	t := consumer.Task{
		UID: jobUID, Job: consumer.TaskRedrive, Stream: "a", StreamUID: "str_a", Epoch: 1,
		Topic: r.topics.DeadLetters(), TopicID: ids[r.topics.DeadLetters()], Ranges: []consumer.Range{{Partition: 0, From: bounds[0][0], To: bounds[0][1]}},
	}
	return t, func(c *consumer.JobConfig) {
		c.Letters = topic.Redrive(deadletter.Selection{UID: "str_a", Reason: jobUID, Until: map[int32]int64{0: bounds[0][1]}})
	}
}

// redrive runs such a job to its end.
func (r *rig) redrive() consumer.JobStanding {
	r.t.Helper()
	t, with := r.redriving()
	j, err := r.job(t, with)
	if err != nil {
		r.t.Fatal(err)
	}
	done, err := j.Run(r.t.Context())
	if err != nil || !done {
		r.t.Fatalf("done %t, %v; %+v", done, err, j.Standing())
	}
	return j.Standing()
}

// states are those of stream a's letters, in their order.
func (r *rig) states() []string {
	r.t.Helper()
	topic, err := deadletter.Connect(deadletter.Config{Kafka: r.opts, Topic: r.topics.DeadLetters()})
	if err != nil {
		r.t.Fatal(err)
	}
	defer topic.Close()
	listing, err := topic.List(r.t.Context(), deadletter.Query{Stream: "str_a", Limit: 100})
	if err != nil {
		r.t.Fatal(err)
	}
	var out []string
	for _, l := range slices.Backward(listing.Letters) {
		out = append(out, string(l.State))
	}
	return out
}

// refuseAll has the destination refuse every event of stream a that live delivery brings.
func (r *rig) refuseAll() {
	r.dest.program(func(stream string, ids []string) (int, sinks.Receipt, error) {
		if stream == "a" {
			return 0, sinks.Receipt{}, &sinks.Error{Class: sinks.Rejected, Err: errors.New("bad event")}
		}
		return len(ids), sinks.Receipt{}, nil
	})
}

// An event that has no id gets one by its place in the events topic, and keeps it when it
// comes from the dead letters.
func TestARedrivenEventHasTheIDThatItHad(t *testing.T) {
	r := newRig(t, 1)
	r.stream("a", orgA)
	r.stream("b", orgA)
	r.refuseAll()
	r.publish(orgA, 0, 1)
	r.produce(&kgo.Record{
		Topic: r.topics.Events(), Key: []byte(orgA),
		Value: []byte(`{"action":"user.login","actor":{"id":"u","type":"user"},"occurred_at":"2026-11-01T00:00:00Z","organization_id":"` + orgA +
			`","targets":[{"id":"t","type":"team"}]}`),
	})
	stop := r.start()
	r.eventually("the letters, and what the other stream gets", func() bool { return len(r.letters()) == 2 && r.dest.count("b") == 2 })
	stop()
	if got := r.redrive(); got.Delivered != 2 || got.Refused != 0 {
		t.Errorf("standing %+v", got)
	}
	if diff := cmp.Diff(r.dest.ids("b"), r.dest.ids(replayed)); diff != "" {
		t.Errorf("ids (-as delivered +as redriven):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"redriven", "redriven"}, r.states()); diff != "" {
		t.Errorf("letters (-want +got):\n%s", diff)
	}
	if err := r.jobs().Forget(t.Context(), r.task(0, 1)); err != nil { // so that it begins anew
		t.Fatal(err)
	}
	if got := r.redrive(); got.Delivered != 0 || r.dest.count(replayed) != 2 {
		t.Errorf("letters that are redriven were sent again: %+v", got)
	}
}

// A stream that belongs to somebody else now gets nothing of what its former organization
// had.
func TestARedriveSendsNothingThatItsStreamDoesNotTakeAnyMore(t *testing.T) {
	r := newRig(t, 1)
	r.stream("a", orgA)
	r.refuseAll()
	r.publish(orgA, 0, 3)
	stop := r.start()
	r.eventually("the letters", func() bool { return len(r.letters()) == 3 })
	stop()
	r.stream("a", orgB, func(s *consumer.Spec) { s.Revision = 2 })
	if got := r.redrive(); got.Delivered != 0 || got.Refused != 3 {
		t.Errorf("standing %+v", got)
	}
	if n := r.dest.count(replayed); n != 0 {
		t.Errorf("%d events of another organization were sent", n)
	}
	if diff := cmp.Diff([]string{"open", "open", "open"}, r.states()); diff != "" {
		t.Errorf("letters (-want +got):\n%s", diff)
	}
	if n := len(r.letters()); n != 3 {
		t.Errorf("%d records in the dead letters: a refused redrive makes none", n)
	}
}

// Between an event's acknowledgement and its letter's mark a process may end, and the stream
// be changed. Whether to send the event again is then not for the redrive to decide: its
// letter stays open.
func TestALetterStaysOpenWhoseMarkWasLostAndWhoseEventIsNotWantedAnyMore(t *testing.T) {
	r := newRig(t, 1)
	r.stream("a", orgA)
	r.refuseAll()
	r.publish(orgA, 0, 1)
	stop := r.start()
	r.eventually("the letter", func() bool { return len(r.letters()) == 1 })
	stop()
	task, with := r.redriving()
	ctx, end := context.WithCancel(t.Context())
	j, err := r.job(task, func(c *consumer.JobConfig) {
		with(c)
		c.Letters = endsBeforeMark{c.Letters, end}
	})
	if err != nil {
		t.Fatal(err)
	}
	if done, _ := j.Run(ctx); done || r.dest.count(replayed) != 1 {
		t.Fatalf("done %t; %d events were sent before the end, not 1", done, r.dest.count(replayed))
	}
	r.stream("a", orgB, func(s *consumer.Spec) { s.Revision = 2 })
	if got := r.redrive(); got.Refused != 1 || r.dest.count(replayed) != 1 {
		t.Errorf("standing %+v, %d events sent", got, r.dest.count(replayed))
	}
	if diff := cmp.Diff([]string{"open"}, r.states()); diff != "" {
		t.Errorf("letters (-want +got):\n%s", diff)
	}
}

// endsBeforeMark are letters of a process that ends when it has a mark to write.
type endsBeforeMark struct {
	consumer.Letters
	end func()
}

func (l endsBeforeMark) Mark(ctx context.Context, _ int32, _ []int64, _ string) error {
	l.end()
	<-ctx.Done()
	return ctx.Err()
}

// A hundred refusals in a row hold a lane, but not a redrive: nothing is drained, what is
// refused stays where it is.
func TestARedriveTriesEveryLetter(t *testing.T) {
	r := newRig(t, 1)
	r.stream("a", orgA)
	r.refuseAll()
	r.publish(orgA, 0, 30)
	stop := r.start()
	r.eventually("the letters", func() bool { return len(r.letters()) == 30 })
	stop()
	r.rejections = 5
	r.dest.program(func(_ string, ids []string) (int, sinks.Receipt, error) {
		if ids[0] < eventID(25) {
			return 0, sinks.Receipt{}, &sinks.Error{Class: sinks.Rejected, Err: errors.New("bad event")}
		}
		return len(ids), sinks.Receipt{}, nil
	})
	if got := r.redrive(); got.Delivered != 5 || got.Refused != 25 {
		t.Errorf("standing %+v", got)
	}
	if diff := cmp.Diff(wantIDs(25, 5), r.dest.ids(replayed)); diff != "" {
		t.Errorf("redriven (-want +got):\n%s", diff)
	}
}
