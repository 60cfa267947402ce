package consumer

import (
	"context"
	"encoding/hex"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/auditstream/auditstream/sinks"
)

// An event's record may name the trace in which it was published, as W3C Trace Context
// writes it. Each attempt to deliver a batch is then a span: it goes on in the trace of the
// batch's first event that is sampled, and is linked to those of the others. Whoever
// published decides what is sampled; a batch without such an event costs nothing.

// Headers of a record that was published in a trace.
const (
	headerTraceParent = "traceparent"
	headerTraceState  = "tracestate"
)

// maxLinks bounds the events of a batch that its spans are linked to: the first ones.
const maxLinks = 64

// traced is an event of a batch that was published in a trace that is sampled.
type traced struct {
	event int // of the chunk
	in    trace.SpanContext
}

// origin is the trace that a record was published in, if that is sampled.
func origin(r *kgo.Record) (in trace.SpanContext, ok bool) {
	var cfg trace.SpanContextConfig
	var state []byte
	for i := range r.Headers {
		switch h := &r.Headers[i]; h.Key {
		case headerTraceParent:
			cfg, ok = traceParent(h.Value)
		case headerTraceState:
			state = h.Value
		}
	}
	if !ok {
		return in, false
	}
	if len(state) > 0 {
		// What a vendor has written there and cannot be read is left out, as the standard says.
		if parsed, err := trace.ParseTraceState(string(state)); err == nil {
			cfg.TraceState = parsed
		}
	}
	in = trace.NewSpanContext(cfg)
	return in, in.IsValid()
}

// traceParent reads the header of a trace that is sampled:
// version "-" trace id "-" span id "-" flags. Later versions may append to it.
func traceParent(text []byte) (cfg trace.SpanContextConfig, ok bool) {
	const form = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"
	if len(text) < len(form) || text[2] != '-' || text[35] != '-' || text[52] != '-' {
		return cfg, false
	}
	var version, flags [1]byte
	// The flags first: most of what is published is not sampled.
	if _, err := hex.Decode(flags[:], text[53:55]); err != nil || !trace.TraceFlags(flags[0]).IsSampled() {
		return cfg, false
	}
	for _, part := range []struct{ to, from []byte }{
		{version[:], text[:2]}, {cfg.TraceID[:], text[3:35]}, {cfg.SpanID[:], text[36:52]}, {flags[:], text[53:55]},
	} {
		for _, c := range part.from {
			if 'A' <= c && c <= 'F' {
				return cfg, false // the standard has lower case only
			}
		}
		if _, err := hex.Decode(part.to, part.from); err != nil {
			return cfg, false
		}
	}
	switch {
	case version[0] == 0xff, version[0] == 0 && len(text) != len(form), len(text) > len(form) && text[len(form)] != '-':
		return cfg, false
	}
	cfg.TraceFlags, cfg.Remote = trace.FlagsSampled, true
	return cfg, true
}

// remember notes the trace of the event that was just put into c, if it has one.
func (l *lane) remember(c *chunk) {
	if in := &l.p.origin; in.IsValid() && len(c.traced) < maxLinks {
		c.traced = append(c.traced, traced{len(c.events) - 1, *in})
	}
}

// span begins the span of an attempt at the events [from, to) of a chunk, if any of them
// was published in a trace. The returned function ends it. What a job sends is no part of
// the way that the event went when it was published: its attempts stand in the job's own
// trace, and are linked to the events'.
func (l *lane) span(ctx context.Context, c *chunk, from, to int) (context.Context, func(sinks.Receipt, error)) {
	var links []trace.Link
	for _, t := range c.traced {
		if from <= t.event && t.event < to {
			links = append(links, trace.Link{SpanContext: t.in})
		}
	}
	if len(links) == 0 {
		return ctx, func(sinks.Receipt, error) {}
	}
	g := l.p.g
	about := []attribute.KeyValue{
		attribute.String("messaging.system", "kafka"),
		attribute.String("messaging.operation.type", "process"),
		attribute.String("messaging.destination.name", l.id.Topic),
		attribute.Int("messaging.destination.partition.id", int(l.id.Partition)),
		attribute.Int("messaging.batch.message_count", to-from),
		attribute.Int64("messaging.kafka.offset", c.events[from].Offset),
		attribute.String("auditstream.stream", l.id.Stream),
		attribute.String("auditstream.kind", g.cfg.Kind.Name),
	}
	what, parent := "deliver", trace.ContextWithRemoteSpanContext(ctx, links[0].SpanContext)
	if g.run != nil {
		what, parent = g.run.what, trace.ContextWithSpanContext(ctx, g.run.in)
		about = append(about, attribute.String("auditstream.job", g.cfg.Sink.Replay))
	} else {
		about = append(about, attribute.String("messaging.consumer.group.name", g.cfg.ID))
	}
	about = append(about, attribute.String("messaging.operation.name", what))
	ctx, span := g.cfg.Tracer.Start(parent, what+" "+l.id.Topic,
		trace.WithSpanKind(trace.SpanKindConsumer), trace.WithLinks(links...), trace.WithAttributes(about...))
	return ctx, func(receipt sinks.Receipt, err error) {
		defer span.End()
		if err == nil {
			span.SetAttributes(attribute.Bool("auditstream.confirmed_later", receipt.Pending != ""))
			return
		}
		span.SetAttributes(attribute.String("error.type", sinks.ClassOf(err).String()), attribute.Int("auditstream.settled", receipt.Settled))
		span.SetStatus(codes.Error, bounded(err.Error()))
	}
}

// jobSpan is the span of a run of a job, in which its attempts stand.
type jobSpan struct {
	what string // the task's job: replay, redrive
	in   trace.SpanContext
}

// traceRun begins the span of a run, in a trace of its own. The returned function ends it.
func (j *Job) traceRun(ctx context.Context) func(done bool, err error) {
	g := j.g
	if g.cfg.Tracer == nil {
		return func(bool, error) {}
	}
	_, span := g.cfg.Tracer.Start(ctx, j.task.Job+" "+j.task.Stream, trace.WithNewRoot(), trace.WithAttributes(
		attribute.String("auditstream.job", j.task.UID),
		attribute.String("auditstream.stream", j.task.Stream),
		attribute.String("auditstream.kind", g.cfg.Kind.Name),
	))
	g.run = &jobSpan{j.task.Job, span.SpanContext()}
	return func(done bool, err error) {
		defer span.End()
		now := j.Standing()
		span.SetAttributes(
			attribute.Bool("auditstream.done", done),
			attribute.Int64("auditstream.delivered", now.Delivered),
			attribute.Int64("auditstream.refused", now.Refused),
			attribute.Int64("auditstream.expired", now.Expired),
		)
		if err != nil {
			span.SetStatus(codes.Error, bounded(err.Error()))
		}
	}
}
