package consumer_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/sinks"
)

// wants fails unless a figure has that value.
func (r *rig) wants(want float64, name string, labels ...string) {
	r.t.Helper()
	if got, ok := r.figure(name, labels...); !ok || got != want {
		r.t.Errorf("%s %q is %v (there: %v), not %v", name, labels, got, ok, want)
	}
}

// Every outcome of an attempt has its counter from the first moment on, so that a rate can
// be told from the first failure.
func TestAttemptsAreCountedByOutcome(t *testing.T) {
	r := newRig(t, 1)
	r.stream("s", orgA)
	failures := []error{
		&sinks.Error{Class: sinks.Unavailable, Err: errors.New("busy")},
		errors.New("of no class"),
		&sinks.Error{Class: sinks.Misconfigured, Err: errors.New("no such index")},
	}
	r.dest.program(func(_ string, ids []string) (int, sinks.Receipt, error) {
		if len(failures) == 0 {
			return len(ids), sinks.Receipt{}, nil
		}
		err := failures[0]
		failures = failures[1:]
		return 0, sinks.Receipt{}, err
	})
	stop := r.start()
	r.wants(0, "auditstream_stream_attempts_total", "stream", "s", "outcome", "misconfigured")
	r.publish(orgA, 0, 1)
	r.eventually("the event to arrive", func() bool { return r.dest.count("s") == 1 })
	stop()
	r.wants(2, "auditstream_stream_attempts_total", "stream", "s", "outcome", "unavailable")
	r.wants(1, "auditstream_stream_attempts_total", "stream", "s", "outcome", "misconfigured")
	r.wants(0, "auditstream_stream_attempts_total", "stream", "s", "outcome", "rejected")
	r.wants(1, "auditstream_stream_attempts_total", "stream", "s", "outcome", "taken")
	r.wants(4, "auditstream_delivery_attempt_duration_seconds", "kind", r.name)
	r.wants(3, "auditstream_stream_retried_total", "stream", "s")
}

func TestDeadLettersAreCountedByReason(t *testing.T) {
	r := newRig(t, 1)
	r.stream("s", orgA)
	r.dest.program(func(string, []string) (int, sinks.Receipt, error) {
		return 0, sinks.Receipt{}, &sinks.Error{Class: sinks.Rejected, Named: true, Err: errors.New("never")}
	})
	r.start()
	r.publish(orgA, 0, 2)
	r.produce(&kgo.Record{Topic: r.topics.Events(), Key: []byte(orgA), Value: []byte("no event")})
	r.eventually("two letters of the stream and one of nobody's", func() bool {
		refused, _ := r.figure("auditstream_stream_dead_lettered_total", "stream", "s", "reason", "rejected")
		invalid, _ := r.figure("auditstream_stream_dead_lettered_total", "stream", "_invalid", "reason", "invalid")
		return refused == 2 && invalid == 1
	})
	r.wants(0, "auditstream_stream_dead_lettered_total", "stream", "s", "reason", "expiring")
}

// What comes above the bound is added up, and no figure names it.
func TestStreamsAboveTheBoundShareTheirFigures(t *testing.T) {
	r := newRig(t, 1)
	r.maxStreams = 1
	for _, id := range []string{"first", "second", "third"} {
		r.stream(id, orgA)
	}
	r.start()
	r.publish(orgA, 0, 5)
	r.eventually("everything to arrive", func() bool {
		own, _ := r.figure("auditstream_stream_delivered_total", "stream", "first")
		others, _ := r.figure("auditstream_stream_delivered_total", "stream", consumer.OtherStreams)
		return own == 5 && others == 10
	})
	r.wants(3, "auditstream_streams")
	r.wants(2, "auditstream_streams_aggregated")
	r.wants(2, "auditstream_stream_lanes", "stream", consumer.OtherStreams, "state", "active")
	families, err := r.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if slices.Contains([]string{"second", "third"}, l.GetValue()) {
					t.Errorf("%s names the stream %s", f.GetName(), l.GetValue())
				}
			}
		}
	}
}
