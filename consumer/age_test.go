package consumer_test

import (
	"testing"

	"github.com/auditstream/auditstream/consumer"
)

// lag is what the figures of a stream say at one moment: seconds are -1 while there is no
// such figure.
func (r *rig) lag(id string) (events, seconds float64) {
	r.t.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	seconds = -1
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if len(m.GetLabel()) == 0 || m.GetLabel()[0].GetValue() != id {
				continue
			}
			switch f.GetName() {
			case "auditstream_stream_lag_events":
				events = m.GetGauge().GetValue()
			case "auditstream_stream_lag_seconds":
				seconds = m.GetGauge().GetValue()
			}
		}
	}
	return events, seconds
}

// Nothing is queued for a lane that is paused, or that has just been placed: how long its
// events wait is known all the same, and before it is, it does not look like no time. Also
// where nothing ever expires.
func TestHowLongEventsWaitIsKnownAfterAStart(t *testing.T) {
	for name, retention := range map[string]int{"events expire": 7 * 24 * 3600_000, "events are kept for ever": -1} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 1)
			r.retain(retention)
			r.stream("held", orgA, func(s *consumer.Spec) { s.State = consumer.SpecPaused })
			r.stream("free", orgA)
			stop := r.start()
			r.publish(orgA, 0, 50)
			r.eventually("the lane to be on record", func() bool { return r.dest.count("free") == 50 && r.liveProgress("str_held") == 1 })
			stop()
			r.start()
			r.eventually("the age", func() bool {
				events, seconds := r.lag("held")
				if events > 0 && seconds == 0 {
					t.Fatal("events that wait have no age")
				}
				return seconds > 0
			})
			r.eventually("no age of what does not wait", func() bool { events, seconds := r.lag("free"); return events == 0 && seconds == 0 })
		})
	}
}
