package consumer_test

import (
	"context"
	"net"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/sinks"
)

// silence makes Kafka hang for whoever dials through it: connections are accepted, and
// nothing is ever answered.
type silence struct{ on atomic.Bool }

func (s *silence) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, address)
	return &silentConn{conn, s}, err
}

type silentConn struct {
	net.Conn
	s *silence
}

// Write swallows what Kafka is not to hear.
func (c *silentConn) Write(b []byte) (int, error) {
	if c.s.on.Load() {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

// Read swallows what Kafka had still to say. Deadlines hold all the same.
func (c *silentConn) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		if err != nil || !c.s.on.Load() {
			return n, err
		}
	}
}

func TestAShutdownEndsAlsoWhileKafkaHangs(t *testing.T) {
	tests := map[string]func(r *rig){
		"with nothing to do": func(*rig) {},
		"with a lane that is behind, and much to save": func(r *rig) {
			r.dest.program(func(stream string, ids []string) (int, sinks.Receipt, error) {
				if stream == "b" {
					return 0, sinks.Receipt{}, &sinks.Error{Class: sinks.Unavailable, Err: errDown}
				}
				return len(ids), sinks.Receipt{}, nil
			})
			r.publish(orgA, 100, 3000)
		},
	}
	for name, busy := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 2)
			var hush silence
			client := r.opts
			r.opts = append(slices.Clip(r.opts), kgo.Dialer(hush.dial))
			r.stream("a", orgA)
			r.stream("b", orgA)
			r.publish(orgA, 0, 100)
			stop := r.start()
			r.eventually("the first events", func() bool { return r.dest.count("a") >= 100 && r.dest.count("b") >= 100 })
			busy(r)
			hush.on.Store(true)
			stop() // fails after shutdownLimit
			// Another process, which Kafka answers, goes on.
			r.opts = client
			r.dest.program(nil)
			r.publish(orgA, 5000, 10)
			r.start()
			r.eventually("the rest", func() bool {
				return len(missing(wantIDs(5000, 10), r.dest.ids("a"))) == 0 && len(missing(wantIDs(5000, 10), r.dest.ids("b"))) == 0
			})
		})
	}
}
