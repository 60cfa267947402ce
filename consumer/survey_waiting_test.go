package consumer_test

import (
	"testing"
	"time"

	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/sinks"
)

// What waits behind a destination that is down is counted by event, also while others of the
// same partition go on, and the same by whoever takes over.
func TestASurveyCountsWhatWaitsExactly(t *testing.T) {
	r := newRig(t, 1)
	r.stream("held", orgA)
	r.stream("neighbour", orgB)
	r.dest.program(func(stream string, ids []string) (int, sinks.Receipt, error) {
		if stream == "held" {
			return 0, sinks.Receipt{}, errDown
		}
		return len(ids), sinks.Receipt{}, nil
	})
	before := time.Now().Add(-time.Second)
	r.publish(orgA, 0, 200)
	r.publish(orgB, 200, 300)
	stop := r.start()
	r.eventually("all of it", func() bool { s := r.survey("held"); return s.LagKind == consumer.LagExact && s.Lag == 200 })
	s := r.survey("held")
	if s.Totals.Matched != 200 || s.Totals.Pending != 200 || s.Oldest == nil || s.Oldest.Before(before) || s.LagSeconds == nil || *s.LagSeconds <= 0 {
		t.Errorf("%+v %+v", s.Waiting, s.Totals)
	}
	r.eventually("the neighbour", func() bool { s := r.survey("neighbour"); return s.Lag == 0 && s.Totals.Delivered == 300 })
	if n := r.survey("neighbour"); n.LagSeconds == nil || *n.LagSeconds != 0 || n.Oldest != nil || n.Rates.Delivered.Hour <= 0 || n.Totals.Matched != 300 {
		t.Errorf("%+v %+v %+v", n.Waiting, n.Totals, n.Rates)
	}
	stop()
	// Without a process, what is appended may be the stream's or not.
	r.publish(orgB, 500, 10)
	if s := r.survey("held"); s.LagKind != consumer.LagAtMost || s.Lag != 210 || s.State != consumer.StatusStopped {
		t.Errorf("%s: %+v", s.State, s.Waiting)
	}
	if n := r.survey("neighbour"); n.LagKind != consumer.LagAtMost || n.Lag != 10 || n.LagSeconds == nil {
		t.Errorf("%+v", n.Waiting)
	}
	stop = r.start()
	r.publish(orgA, 510, 50)
	r.eventually("what a new owner finds", func() bool { s := r.survey("held"); return s.LagKind == consumer.LagExact && s.Lag == 250 })
	r.dest.program(nil)
	r.eventually("the end", func() bool {
		s := r.survey("held")
		return s.Totals == consumer.Totals{Matched: 250, Delivered: 250, Retried: s.Totals.Retried} && s.Lag == 0 && s.Class == ""
	})
	stop()
}

// A survey that follows reads what is new, and finds the same as one that reads everything.
func TestASurveyThatFollowsFindsWhatIsNew(t *testing.T) {
	r := newRig(t, 2)
	r.stream("a", orgA)
	r.following = &consumer.Following{}
	stop := r.start()
	for i := range 3 {
		r.publish(orgA, i*20, 20)
		r.eventually("the events", func() bool {
			s := r.survey("a")
			return s.Totals.Delivered == int64(20*(i+1)) && s.Lag == 0
		})
	}
	stop()
}
