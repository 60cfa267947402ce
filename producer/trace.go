package producer

import (
	"context"

	"github.com/auditstream/auditstream/schema"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// traced begins the span of publishing an event, if there are traces. It ends when the event
// is acknowledged or has failed, which may be after the caller has gone on.
func (c *Client) traced(ctx context.Context, event *schema.Event, finish func(error)) (context.Context, func(error)) {
	if c.tracer == nil {
		return ctx, finish
	}
	if of, ok := ctx.Value(tracesKey{}).(func(*schema.Event) trace.SpanContext); ok {
		if own := of(event); own.IsValid() {
			ctx = trace.ContextWithRemoteSpanContext(ctx, own)
		}
	}
	ctx, span := c.tracer.Start(ctx, "publish "+c.conf.Topic,
		trace.WithSpanKind(trace.SpanKindProducer),
		trace.WithAttributes(
			attribute.String("messaging.system", "kafka"),
			attribute.String("messaging.operation.name", "publish"),
			attribute.String("messaging.operation.type", "send"),
			attribute.String("messaging.destination.name", c.conf.Topic),
		))
	return ctx, func(err error) {
		if id := idOf(event); id != "" && span.IsRecording() {
			span.SetAttributes(attribute.String("messaging.message.id", id))
		}
		if err != nil {
			span.SetStatus(codes.Error, err.Error())
		}
		span.End()
		finish(err)
	}
}

type tracesKey struct{}

// WithTraces returns a context with which Publish has each event go on in a trace of its
// own, the one that of returns, where that is valid: for those who publish in one call what
// comes from several requests, as the relay of package outbox does.
func WithTraces(ctx context.Context, of func(*schema.Event) trace.SpanContext) context.Context {
	return context.WithValue(ctx, tracesKey{}, of)
}

// carry writes the span of ctx into the record's headers, as W3C Trace Context has it, also
// when it is not sampled: whoever reads the record goes by that.
func (c *Client) carry(ctx context.Context, r *kgo.Record) {
	if c.tracer != nil {
		propagation.TraceContext{}.Inject(ctx, carrier{r})
	}
}

// carrier is a record's headers as a [propagation.TextMapCarrier].
type carrier struct{ r *kgo.Record }

func (c carrier) Get(key string) string {
	for _, h := range c.r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

func (c carrier) Set(key, value string) {
	c.r.Headers = append(c.r.Headers, kgo.RecordHeader{Key: key, Value: []byte(value)})
}

func (c carrier) Keys() []string {
	var keys []string
	for _, h := range c.r.Headers {
		keys = append(keys, h.Key)
	}
	return keys
}
