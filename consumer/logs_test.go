package consumer_test

import (
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/sinks"
)

// Who looks for a stream in the logs of several processes finds all that is about it, and
// where: what is said of a lane names its partition, and everything the kind.
func TestLogsNameStreamPartitionAndKind(t *testing.T) {
	r := newRig(t, 2)
	core, logs := observer.New(zap.DebugLevel)
	r.logs = zap.New(core)
	r.stream("down", orgA)
	r.stream("refused", orgA)
	r.stream("going", orgA)
	tries := 0
	r.dest.program(func(stream string, ids []string) (int, sinks.Receipt, error) {
		switch stream {
		case "down":
			if tries++; tries < 3 {
				return 0, sinks.Receipt{}, &sinks.Error{Class: sinks.Misconfigured, Err: errors.New("the token was revoked")}
			}
		case "refused":
			return 0, sinks.Receipt{}, &sinks.Error{Class: sinks.Rejected, Named: true, Err: errors.New("never")}
		}
		return len(ids), sinks.Receipt{}, nil
	})
	g := r.group()
	stop := r.run(g)
	r.publish(orgA, 0, 2)
	r.produce(&kgo.Record{Topic: r.topics.Events(), Key: []byte(orgA), Value: []byte("no event")})
	r.eventually("what can arrive to arrive, and the rest to be refused", func() bool {
		refused, _ := r.figure("auditstream_stream_dead_lettered_total", "stream", "refused", "reason", "rejected")
		invalid, _ := r.figure("auditstream_stream_dead_lettered_total", "stream", "_invalid", "reason", "invalid")
		return r.dest.count("down") == 2 && refused == 2 && invalid == 1
	})
	r.stream("going", orgA, func(s *consumer.Spec) { s.Revision, s.State = 2, consumer.SpecPaused })
	if err := g.Learn(t.Context(), r.specs); err != nil {
		t.Fatal(err)
	}
	stop()

	lanes := map[string]bool{} // messages about one
	for _, entry := range logs.All() {
		fields := entry.ContextMap()
		if _, ok := fields["kind"]; !ok {
			t.Errorf("%q names no kind: %v", entry.Message, fields)
		}
		_, stream := fields["stream"]
		_, partition := fields["partition"]
		switch {
		case stream && partition:
			lanes[entry.Message] = true
		case stream && entry.Message != "stream paused" && entry.Message != "stream changed":
			t.Errorf("%q is about a stream and names no partition: %v", entry.Message, fields)
		}
	}
	for _, want := range []string{"stream is held, nothing is lost", "stream delivers again", "event dead-lettered"} {
		if !lanes[want] {
			t.Errorf("nothing says %q of a lane; said were: %v", want, lanes)
		}
	}
}
