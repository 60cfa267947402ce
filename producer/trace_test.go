package producer_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/auditstream/auditstream/producer"
	"github.com/auditstream/auditstream/schema"
)

// inMemory keeps spans.
func inMemory(t *testing.T, sampler sdktrace.Sampler) (*tracetest.InMemoryExporter, *sdktrace.TracerProvider) {
	t.Helper()
	spans := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans), sdktrace.WithSampler(sampler))
	t.Cleanup(func() { _ = provider.Shutdown(context.WithoutCancel(t.Context())) })
	return spans, provider
}

func signIn(id string) *schema.Event {
	return &schema.Event{
		ID: id, OrganizationID: "org_01JAAAAAAAAAAAAAAAAAAAAAAA", Action: "user.signed_in", OccurredAt: "2026-11-22T10:00:00Z",
		Actor: schema.Actor{Type: "user", ID: "user_1"}, Targets: []schema.Target{{Type: "team", ID: "team_1"}},
	}
}

// The headers are those of W3C Trace Context, behind the record's own.
func TestARecordNamesTheSpanThatPublishedIt(t *testing.T) {
	t.Parallel()
	k := startKafka(t)
	spans, provider := inMemory(t, sdktrace.AlwaysSample())
	c := to(k)
	c.Traces = provider
	p := newProducer(t, c)
	state, err := trace.ParseTraceState("vendor=1")
	if err != nil {
		t.Fatal(err)
	}
	caller := trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{0x4b, 0xf9, 0x2f, 0x35}, SpanID: trace.SpanID{1}, TraceFlags: trace.FlagsSampled, TraceState: state, Remote: true,
	})
	if err := p.Publish(trace.ContextWithSpanContext(t.Context(), caller), signIn("audit_event_01JAAAAAAAAAAAAAAAAAAAAAAA")); err != nil {
		t.Fatal(err)
	}
	done := spans.GetSpans()
	if len(done) != 1 || done[0].Name != "publish audit.events" || done[0].SpanKind != trace.SpanKindProducer || done[0].Parent.SpanID() != caller.SpanID() || done[0].Status.Code != codes.Unset {
		t.Fatalf("spans: %+v", done)
	}
	var got [][2]string
	for _, h := range records(t, k)[0].Headers {
		got = append(got, [2]string{h.Key, string(h.Value)})
	}
	want := [][2]string{
		{"version", "1"},
		{"encoding", "jcs"},
		{"tracestate", "vendor=1"},
		{"traceparent", "00-4bf92f35000000000000000000000000-" + done[0].SpanContext.SpanID().String() + "-01"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// An event that is refused has its span all the same: it is what somebody looks for.
func TestARefusedEventIsASpanThatFailed(t *testing.T) {
	t.Parallel()
	spans, provider := inMemory(t, sdktrace.AlwaysSample())
	c := to(startKafka(t))
	c.Traces = provider
	p := newProducer(t, c)
	e := signIn("audit_event_01JAAAAAAAAAAAAAAAAAAAAAAA")
	e.Action = ""
	if p.Publish(t.Context(), e) == nil {
		t.Fatal("an event without action is accepted")
	}
	if done := spans.GetSpans(); len(done) != 1 || done[0].Status.Code != codes.Error {
		t.Errorf("spans: %+v", done)
	}
}

func TestWhatIsNotSampledSaysSo(t *testing.T) {
	t.Parallel()
	k := startKafka(t)
	spans, provider := inMemory(t, sdktrace.NeverSample())
	c := to(k)
	c.Traces = provider
	p := newProducer(t, c)
	if err := p.Publish(t.Context(), signIn("audit_event_01JAAAAAAAAAAAAAAAAAAAAAAA")); err != nil {
		t.Fatal(err)
	}
	headers := records(t, k)[0].Headers
	if last := headers[len(headers)-1]; last.Key != "traceparent" || string(last.Value[len(last.Value)-3:]) != "-00" {
		t.Errorf("the last header is %s: %s", last.Key, last.Value)
	}
	if n := len(spans.GetSpans()); n != 0 {
		t.Errorf("%d spans", n)
	}
}

// A relay publishes in one call what several requests have left it.
func TestEachEventOfACallGoesOnInATraceOfItsOwn(t *testing.T) {
	t.Parallel()
	spans, provider := inMemory(t, sdktrace.AlwaysSample())
	c := to(startKafka(t))
	c.Traces = provider
	p := newProducer(t, c)
	first, second := signIn("audit_event_01JAAAAAAAAAAAAAAAAAAAAAAA"), signIn("audit_event_01JBBBBBBBBBBBBBBBBBBBBBBB")
	request := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled})
	caller := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{3}, SpanID: trace.SpanID{4}, TraceFlags: trace.FlagsSampled})
	ctx := producer.WithTraces(trace.ContextWithSpanContext(t.Context(), caller), func(e *schema.Event) trace.SpanContext {
		if e == first {
			return request
		}
		return trace.SpanContext{} // not known: the caller's
	})
	if err := p.Publish(ctx, first, second); err != nil {
		t.Fatal(err)
	}
	got := map[trace.TraceID]bool{}
	for _, s := range spans.GetSpans() {
		got[s.SpanContext.TraceID()] = true
	}
	if diff := cmp.Diff(map[trace.TraceID]bool{{1}: true, {3}: true}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
