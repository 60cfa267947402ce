package spool

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/trace"

	"github.com/auditstream/auditstream/schema"
)

// traces is a Kafka that notes the trace in which each event is published.
type traces struct {
	*kafka
	of chan string
}

func (k traces) PublishAsync(ctx context.Context, e *schema.Event, done func(error)) {
	t := tracedOf(ctx)
	k.of <- e.ID + " " + t.parent + " " + t.state
	k.kafka.PublishAsync(ctx, e, done)
}

func within(t *testing.T, state string) context.Context {
	t.Helper()
	parsed, err := trace.ParseTraceState(state)
	if err != nil {
		t.Fatal(err)
	}
	return trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{0x4b, 0xf9}, SpanID: trace.SpanID{7}, TraceFlags: trace.FlagsSampled, TraceState: parsed,
	}))
}

// What goes to Kafka after a while, and from another process, goes on in the trace of the
// request that brought it.
func TestTheTraceGoesThroughTheSpool(t *testing.T) {
	t.Parallel()
	r := open(t, t.TempDir(), &kafka{})
	r.kafka.set(away, false)
	long := "a=" + strings.Repeat("x", 200) + ",b=" + strings.Repeat("y", 200) + ",c=" + strings.Repeat("z", 200)
	for n, ctx := range []context.Context{within(t, "vendor=opaque"), t.Context(), within(t, ""), within(t, long)} {
		if err := r.Publish(ctx, event(1, n)); err != nil {
			t.Fatal(err)
		}
	}
	k := traces{&kafka{}, make(chan string, 10)}
	s, err := Open(Config{Dir: killed(t, r), Kafka: k})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	over := make(chan error, 1)
	go func() { over <- s.Run(ctx) }()
	const parent = "00-4bf90000000000000000000000000000-0700000000000000-01"
	var got []string
	for range 4 {
		got = append(got, <-k.of)
	}
	want := []string{
		event(1, 0).ID + " " + parent + " vendor=opaque",
		event(1, 1).ID + "  ",
		event(1, 2).ID + " " + parent + " ",
		event(1, 3).ID + " " + parent + " ", // more than has to be passed on
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	stop()
	if err := <-over; err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
