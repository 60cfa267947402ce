package spool

import (
	"context"

	"go.opentelemetry.io/otel/propagation"
)

// traced is the trace in which an event was published, as W3C Trace Context writes it: its way
// to Kafka goes on there, however long it has waited.
type traced struct {
	parent string // traceparent; empty: none
	state  string // tracestate
}

func (t traced) is() bool { return t.parent != "" }

// The members of a [propagation.TextMapCarrier].
const (
	traceParent = "traceparent"
	traceState  = "tracestate"
	// stateMost bounds what callers say in tracestate, in bytes: 512 have to be passed on.
	stateMost = 512
)

// tracedOf is the trace of ctx.
func tracedOf(ctx context.Context) traced {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	t := traced{carrier[traceParent], carrier[traceState]}
	if len(t.state) > stateMost {
		t.state = "" // the trace goes on without what others add to it
	}
	return t
}

// within returns ctx with the trace.
func (t traced) within(ctx context.Context) context.Context {
	if !t.is() {
		return ctx
	}
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{traceParent: t.parent, traceState: t.state})
}
