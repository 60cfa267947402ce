package consumer_test

import (
	"context"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/auditstream/auditstream/sinks"
)

// survey asks Kafka where a stream stands, as an operator would.
func (r *rig) survey(id string) consumer.Status {
	r.t.Helper()
	ids, err := kafka.TopicIDs(r.t.Context(), kadm.NewClient(r.client), r.topics.Names()...)
	if err != nil {
		r.t.Fatal(err)
	}
	list, err := consumer.Survey{
		Client: r.client,
		Topics: consumer.Topics{Events: r.topics.Events(), Progress: r.topics.Progress(), DeadLetters: r.topics.DeadLetters()},
		IDs:    consumer.IDs{Cluster: "c", Events: ids[r.topics.Events()], Progress: ids[r.topics.Progress()], Streams: ids[r.topics.Streams()]},
		Group:  func(kind string) string { return "auditstream." + kind }, Follow: r.following,
	}.Of(context.Background(), r.specs, func(s consumer.Spec) bool { return s.ID == id })
	if err != nil {
		r.t.Fatal(err)
	}
	if len(list) != 1 {
		r.t.Fatalf("%d streams named %q", len(list), id)
	}
	return list[0]
}

func TestASurveyBeforeAnythingWasDelivered(t *testing.T) {
	r := newRig(t, 2)
	r.stream("a", orgA)
	r.publish(orgA, 0, 30)
	s := r.survey("a")
	if s.State != consumer.StatusStopped || s.Lag != 30 || s.InForce || len(s.Lanes) != 2 {
		t.Errorf("%+v", s)
	}
}

// An idle lane's record is written rarely: it must not pass for one that is behind.
func TestASurveyFindsNoLagWhereALaneHasNothingToDo(t *testing.T) {
	r := newRig(t, 1)
	r.stream("idle", orgA)
	r.stream("busy", orgB)
	r.publish(orgA, 0, 1)
	stop := r.start()
	r.eventually("the idle stream's only event", func() bool { return r.dest.count("idle") == 1 && r.survey("idle").Lag == 0 })
	cursor := r.progress("str_idle").Cursor
	r.publish(orgB, 1, 300)
	r.eventually("the busy stream", func() bool { return r.dest.count("busy") == 300 && r.survey("busy").Lag == 0 })
	r.eventually("no lag", func() bool { return r.survey("idle").Lag == 0 })
	if s := r.survey("idle"); s.State != consumer.StateActive || !s.InForce || s.Totals.Delivered != 1 || s.Lanes[0].Owner == "" {
		t.Errorf("%+v", s)
	}
	if again := r.progress("str_idle").Cursor; again != cursor {
		t.Errorf("the idle stream's record was written again: this test shows nothing")
	}
	stop()
	r.publish(orgB, 301, 5)
	if s := r.survey("idle"); s.State != consumer.StatusStopped || s.Lag != 5 {
		t.Errorf("without a process: state %s, lag %d; want %s and an upper bound of 5", s.State, s.Lag, consumer.StatusStopped)
	}
}

func TestASurveySaysWhyAStreamIsHeldAndThatItsNeighbourIsNot(t *testing.T) {
	r := newRig(t, 1)
	r.stream("held", orgA)
	r.stream("neighbour", orgA)
	r.dest.program(func(stream string, ids []string) (int, sinks.Receipt, error) {
		if stream == "held" {
			return 0, sinks.Receipt{}, errDown
		}
		return len(ids), sinks.Receipt{}, nil
	})
	r.publish(orgA, 0, 200)
	stop := r.start()
	r.eventually("the state", func() bool {
		held, neighbour := r.survey("held"), r.survey("neighbour")
		return held.State == consumer.StateError && held.Lag == 200 && neighbour.Lag == 0
	})
	if s := r.survey("held"); s.Error == "" || s.Since == nil || s.NextAttempt == nil || s.Totals.Retried == 0 || s.Lanes[0].Cursor != 0 {
		t.Errorf("%+v", s)
	}
	stop()
	stop = r.start() // and the same for who takes over
	r.publish(orgA, 200, 50)
	r.eventually("the lag", func() bool { return r.survey("held").Lag == 250 && r.survey("neighbour").Lag == 0 })
	r.dest.program(nil)
	r.eventually("the end", func() bool { return r.survey("held").Lag == 0 && r.survey("held").State == consumer.StateActive })
	stop()
}

func TestStreamsAreOrderedByWhatNeedsAnOperatorFirst(t *testing.T) {
	of := func(state string, lag int64) consumer.Status {
		return consumer.Status{State: state, Waiting: consumer.Waiting{Lag: lag}}
	}
	order := []consumer.Status{
		of(consumer.StateInvalid, 0), of(consumer.StateError, 9), of(consumer.StateError, 8), of(consumer.StatusStopped, 99),
		of(consumer.StatusPaused, 99), of(consumer.StateActive, 7), of(consumer.StateActive, 0),
	}
	for i := range order[1:] {
		if order[i].Compare(order[i+1]) >= 0 {
			t.Errorf("%s, lag %d, does not come before %s, lag %d", order[i].State, order[i].Lag, order[i+1].State, order[i+1].Lag)
		}
	}
}
