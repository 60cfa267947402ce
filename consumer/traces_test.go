package consumer_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/producer"
	"github.com/auditstream/auditstream/schema"
	"github.com/auditstream/auditstream/sinks"
)

// traces has the rig's processes and a producer write their spans into memory.
func (r *rig) traces() (*tracetest.InMemoryExporter, *sdktrace.TracerProvider) {
	r.t.Helper()
	spans := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans), sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.AlwaysSample())))
	r.t.Cleanup(func() { _ = provider.Shutdown(context.WithoutCancel(r.t.Context())) })
	r.tracer = provider.Tracer("delivery")
	return spans, provider
}

func (r *rig) publisher(provider trace.TracerProvider) *producer.Client {
	r.t.Helper()
	client, err := producer.New(producer.Config{Brokers: r.broker.ListenAddrs(), Topic: r.topics.Events(), Traces: provider, DeliveryTimeout: time.Minute})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = client.Close(context.WithoutCancel(r.t.Context())) })
	return client
}

func anEvent(id int) *schema.Event {
	return &schema.Event{
		ID: eventID(id), OrganizationID: orgA, Action: "user.login", OccurredAt: "2026-11-01T00:00:00Z",
		Actor: schema.Actor{ID: "u", Type: "user"}, Targets: []schema.Target{{ID: "t", Type: "team"}},
	}
}

func named(spans tracetest.SpanStubs, name string) (out tracetest.SpanStubs) {
	for _, s := range spans {
		if s.Name == name {
			out = append(out, s)
		}
	}
	return out
}

// From the request that a service serves to the answer of the destination it is one trace,
// with every attempt in it.
func TestPublishAndDeliverAreOneTrace(t *testing.T) {
	r := newRig(t, 1)
	r.stream("s", orgA)
	spans, provider := r.traces()
	down := true
	r.dest.program(func(_ string, ids []string) (int, sinks.Receipt, error) {
		if down {
			down = false
			return 0, sinks.Receipt{}, &sinks.Error{Class: sinks.Unavailable, Err: errors.New("too busy")}
		}
		return len(ids), sinks.Receipt{}, nil
	})
	stop := r.start()
	ctx, request := provider.Tracer("service").Start(t.Context(), "request")
	if err := r.publisher(provider).Publish(ctx, anEvent(1)); err != nil {
		t.Fatal(err)
	}
	request.End()
	r.eventually("the event to arrive", func() bool { return r.dest.count("s") == 1 })
	stop()
	published, delivered := named(spans.GetSpans(), "publish audit.events"), named(spans.GetSpans(), "deliver audit.events")
	if len(published) != 1 || len(delivered) != 2 {
		t.Fatalf("%d spans of publishing and %d of attempts, not 1 and 2", len(published), len(delivered))
	}
	if published[0].Parent.SpanID() != request.SpanContext().SpanID() {
		t.Error("publishing is not part of the request")
	}
	for i, want := range []codes.Code{codes.Error, codes.Unset} {
		d := delivered[i]
		if d.SpanContext.TraceID() != request.SpanContext().TraceID() || d.Parent.SpanID() != published[0].SpanContext.SpanID() {
			t.Errorf("attempt %d is not in the trace of the event", i+1)
		}
		if len(d.Links) != 1 || d.Links[0].SpanContext.SpanID() != published[0].SpanContext.SpanID() {
			t.Errorf("attempt %d is not linked to the event", i+1)
		}
		if d.Status.Code != want {
			t.Errorf("attempt %d ended with %v %q, want %v", i+1, d.Status.Code, d.Status.Description, want)
		}
	}
}

// A batch may have thousands of events: its span is linked to some of them.
func TestABatchIsLinkedToItsFirstEvents(t *testing.T) {
	r := newRig(t, 1)
	r.batching = sinks.Batching{MaxBytes: 1 << 20, MaxEvents: 200, Linger: time.Hour}
	r.stream("s", orgA)
	spans, provider := r.traces()
	var events []*schema.Event
	for i := range 200 {
		events = append(events, anEvent(i))
	}
	if err := r.publisher(provider).Publish(t.Context(), events...); err != nil {
		t.Fatal(err)
	}
	stop := r.start()
	r.eventually("the batch to arrive", func() bool { return r.dest.count("s") == 200 })
	stop()
	delivered := named(spans.GetSpans(), "deliver audit.events")
	if len(delivered) != 1 || len(delivered[0].Links) != 64 {
		t.Fatalf("%d attempts; links of the first: %d, not 64", len(delivered), len(delivered[0].Links))
	}
	if len(named(spans.GetSpans(), "publish audit.events")) != 200 {
		t.Error("not every event has its span")
	}
}

// What whoever published does not want sampled makes no span in delivery; neither does what
// was published without traces.
func TestWhoPublishesDecidesWhatIsSampled(t *testing.T) {
	r := newRig(t, 1)
	r.stream("s", orgA)
	spans, _ := r.traces()
	never := sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.NeverSample()))
	stop := r.start()
	if err := r.publisher(never).Publish(t.Context(), anEvent(1)); err != nil {
		t.Fatal(err)
	}
	if err := r.publisher(nil).Publish(t.Context(), anEvent(2)); err != nil {
		t.Fatal(err)
	}
	r.eventually("both events to arrive", func() bool { return r.dest.count("s") == 2 })
	stop()
	if n := len(spans.GetSpans()); n != 0 {
		t.Errorf("%d spans", n)
	}
}

// Without traces of its own delivery passes by what others have written into the headers.
func TestRecordsOfATraceAreDeliveredWithoutTraces(t *testing.T) {
	r := newRig(t, 1)
	r.stream("s", orgA)
	_, provider := r.traces()
	r.tracer = nil
	stop := r.start()
	if err := r.publisher(provider).Publish(t.Context(), anEvent(1)); err != nil {
		t.Fatal(err)
	}
	r.eventually("the event to arrive", func() bool { return r.dest.count("s") == 1 })
	stop() // an attempt is counted after its event has arrived
	r.wants(1, "auditstream_stream_attempts_total", "stream", "s", "outcome", "taken")
}

// What a job sends is traced in the job's own trace, and linked to the traces in which the
// events were published: those do not grow by what is done about them a month later.
func TestAJobsTraceIsLinkedToThoseOfItsEvents(t *testing.T) {
	for _, job := range []string{consumer.TaskReplay, consumer.TaskRedrive} {
		t.Run(job, func(t *testing.T) {
			r := newRig(t, 1)
			r.stream("a", orgA)
			spans, provider := r.traces()
			ctx, request := provider.Tracer("service").Start(t.Context(), "request")
			if err := r.publisher(provider).Publish(ctx, anEvent(1), anEvent(2)); err != nil {
				t.Fatal(err)
			}
			request.End()
			if job == consumer.TaskRedrive {
				r.refuseAll()
			}
			stop := r.start()
			r.eventually("both events to be settled", func() bool {
				return r.dest.count("a") == 2 || len(r.states()) == 2
			})
			stop()
			spans.Reset()
			var task consumer.Task
			traced := func(c *consumer.JobConfig) { c.Tracer = r.tracer }
			changes := []func(*consumer.JobConfig){traced}
			if job == consumer.TaskReplay {
				task = r.task(0, 2)
			} else {
				r.dest.program(nil)
				var letters func(*consumer.JobConfig)
				task, letters = r.redriving()
				changes = append(changes, letters)
			}
			j, err := r.job(task, changes...)
			if err != nil {
				t.Fatal(err)
			}
			if done, err := j.Run(t.Context()); err != nil || !done {
				t.Fatal(done, err)
			}
			runs, attempts := named(spans.GetSpans(), job+" a"), named(spans.GetSpans(), job+" "+task.Topic)
			if len(runs) != 1 || len(attempts) == 0 {
				t.Fatalf("%d spans of the run, %d of attempts", len(runs), len(attempts))
			}
			if runs[0].Parent.IsValid() || runs[0].SpanContext.TraceID() == request.SpanContext().TraceID() {
				t.Error("the run has no trace of its own")
			}
			linked := 0
			for _, a := range attempts {
				if a.Parent.SpanID() != runs[0].SpanContext.SpanID() {
					t.Error("an attempt is not part of the run")
				}
				for _, l := range a.Links {
					if l.SpanContext.TraceID() == request.SpanContext().TraceID() {
						linked++
					}
				}
				if v := valueOf(a, "auditstream.job"); v != jobUID {
					t.Errorf("an attempt says that it is of job %q", v)
				}
			}
			if linked != 2 {
				t.Errorf("%d events are linked, not 2", linked)
			}
			if v := valueOf(runs[0], "auditstream.delivered"); v != "2" {
				t.Errorf("the run says that %s were delivered", v)
			}
		})
	}
}

func valueOf(s tracetest.SpanStub, name string) string {
	for _, a := range s.Attributes {
		if string(a.Key) == name {
			return a.Value.String()
		}
	}
	return ""
}
