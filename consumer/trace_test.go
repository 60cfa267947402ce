package consumer

import (
	"context"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/auditstream/auditstream/sinks"
)

const sampledParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func TestTraceParent(t *testing.T) {
	cases := []struct {
		name, parent string
		want         bool
	}{
		{"sampled", sampledParent, true},
		{"sampled, with flags of the future", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff", true},
		{"of a later version, which says more", "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", true},
		{"not sampled", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", false},
		{"no trace", "00-00000000000000000000000000000000-00f067aa0ba902b7-01", false},
		{"no span", "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", false},
		{"the version that there never is", "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false},
		{"version 0 with more", sampledParent + "-more", false},
		{"a later version, run on", "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01more", false},
		{"upper case", "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", false},
		{"no hexadecimal", "00-4bf92f3577b34da6a3ce929d0e0e473x-00f067aa0ba902b7-01", false},
		{"other dashes", "00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01", false},
		{"cut off", sampledParent[:54], false},
		{"nothing", "", false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			in, ok := origin(&kgo.Record{Headers: []kgo.RecordHeader{
				{Key: headerTraceParent, Value: []byte(c.parent)},
				{Key: headerTraceState, Value: []byte("vendor=1")},
			}})
			if ok != c.want {
				t.Fatalf("in a trace that is sampled: %v, want %v", ok, c.want)
			}
			if ok && (in.TraceID().String() != "4bf92f3577b34da6a3ce929d0e0e4736" || in.SpanID().String() != "00f067aa0ba902b7" || !in.IsRemote() || in.TraceState().Get("vendor") != "1") {
				t.Errorf("%+v", in)
			}
		})
	}
	if in, ok := origin(&kgo.Record{Headers: []kgo.RecordHeader{{Key: headerTraceParent, Value: []byte(sampledParent)}, {Key: headerTraceState, Value: []byte("=\x00")}}}); !ok || in.TraceState().Len() != 0 {
		t.Errorf("a state that cannot be read spoils the trace: %v, %v", ok, in)
	}
}

func FuzzTraceParent(f *testing.F) {
	f.Add([]byte(sampledParent))
	f.Add([]byte("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if cfg, ok := traceParent(text); ok && !cfg.TraceFlags.IsSampled() {
			t.Errorf("%q is taken, and not sampled", text)
		}
	})
}

// queue puts the record into c as offer does, without its frame.
func (l *lane) queue(c *chunk, r *kgo.Record) {
	if l.p.g.cfg.Tracer != nil {
		l.p.origin, _ = origin(r)
	}
	c.events = append(c.events, sinks.Entry{Offset: r.Offset})
	l.remember(c)
}

// tracedBatch is what traces cost over a batch of a hundred events: the memory of every
// event's trace, and the span of an attempt.
func tracedBatch(tb testing.TB, tracer trace.Tracer, parent string) func() {
	tb.Helper()
	p := newTestPartition(tb, lineSink{}, sinks.Batching{MaxBytes: 1 << 20})
	p.g.cfg.Tracer = tracer
	l := p.addLane(p.streams[0], 0, nil)
	r := records(1, 7)[0]
	if parent != "" {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: headerTraceParent, Value: []byte(parent)})
	}
	c := &chunk{events: make([]sinks.Entry, 0, 100), traced: make([]traced, 0, maxLinks)}
	ctx := context.Background()
	return func() {
		c.events, c.traced = c.events[:0], c.traced[:0]
		for range 100 {
			l.queue(c, r)
		}
		_, ended := l.span(ctx, c, 0, 100)
		ended(sinks.Receipt{}, nil)
	}
}

// Who has no traces pays nothing for them; nor does, beside a look at the header, who has
// traces and samples few.
func TestTracesThatAreNotWantedAllocateNothing(t *testing.T) {
	tracer := noop.NewTracerProvider().Tracer("")
	for _, c := range []struct {
		name   string
		tracer trace.Tracer
		parent string
	}{
		{"off, and nobody else has any", nil, ""},
		{"off, although the publisher has some", nil, sampledParent},
		{"on, and the publisher has none", tracer, ""},
		{"on, and the event's is not sampled", tracer, sampledParent[:53] + "00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if n := testing.AllocsPerRun(100, tracedBatch(t, c.tracer, c.parent)); n != 0 {
				t.Errorf("%v allocations a batch", n)
			}
		})
	}
}

func BenchmarkTracesOfABatch(b *testing.B) {
	tracer := noop.NewTracerProvider().Tracer("")
	for _, c := range []struct {
		name   string
		tracer trace.Tracer
		parent string
	}{{"off", nil, sampledParent}, {"not sampled", tracer, sampledParent[:53] + "00"}, {"sampled", tracer, sampledParent}} {
		b.Run(c.name, func(b *testing.B) {
			batch := tracedBatch(b, c.tracer, c.parent)
			b.ReportAllocs()
			for b.Loop() {
				batch()
			}
		})
	}
}
