package gatewayclient_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"

	"github.com/auditstream/auditstream/internal/closedport"
	"github.com/auditstream/auditstream/producer"
	"github.com/auditstream/auditstream/producer/audittest"
	"github.com/auditstream/auditstream/producer/gateway"
	"github.com/auditstream/auditstream/producer/gatewayclient"
	"github.com/auditstream/auditstream/schema"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const apiKey = "sk_test"

// keys knows one key, which may publish what begins with "a.".
type keys struct{}

func (keys) Authenticate(r *http.Request) (gateway.Caller, error) {
	if r.Header.Get("Authorization") != "Bearer "+apiKey {
		return gateway.Caller{}, gateway.Unauthorized("")
	}
	return gateway.Caller{Name: "test", Organizations: []string{"*"}, Actions: []string{"a.*"}}, nil
}

// fault answers a request in the gateway's place, or says that it did not.
type fault func(w http.ResponseWriter, r *http.Request, n int64) bool

// shaky is a Kafka that now and then stops to take events in the midst of a call.
type shaky struct {
	*audittest.Recorder
	calls atomic.Int64
}

func (s *shaky) Publish(ctx context.Context, events ...*schema.Event) error {
	n := s.calls.Add(1)
	if n%3 != 0 {
		return s.Recorder.Publish(ctx, events...)
	}
	takes := int(n) % (len(events) + 1)
	failed := &producer.PublishError{Total: len(events)}
	for i := takes; i < len(events); i++ {
		failed.Failed = append(failed.Failed, producer.EventError{Index: i, ID: events[i].ID, Err: producer.ErrUnavailable})
	}
	if err := s.Recorder.Publish(ctx, events[:takes]...); err != nil || len(failed.Failed) == 0 {
		return err
	}
	return failed
}

// rig is a gateway, what it has published, and a client of it.
type rig struct {
	*gatewayclient.Client
	events   audittest.Recorder
	requests atomic.Int64
}

func newRig(t *testing.T, fails fault, change func(*gatewayclient.Config)) *rig {
	t.Helper()
	return newRigOn(t, func(r *rig) gateway.Publisher { return &r.events }, fails, change)
}

// newRigOn is newRig with another Kafka.
func newRigOn(t *testing.T, kafka func(*rig) gateway.Publisher, fails fault, change func(*gatewayclient.Config)) *rig {
	t.Helper()
	r := new(rig)
	server, err := gateway.NewServer(gateway.Config{Publisher: kafka(r), Keys: keys{}})
	if err != nil {
		t.Fatal(err)
	}
	http := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		n := r.requests.Add(1)
		if fails == nil || !fails(w, req, n) {
			server.ServeHTTP(w, req)
		}
	}))
	t.Cleanup(http.Close)
	r.Client = newClient(t, http.URL, change)
	return r
}

func newClient(t *testing.T, url string, change func(*gatewayclient.Config)) *gatewayclient.Client {
	t.Helper()
	c := gatewayclient.Config{URL: url, Key: func(context.Context) (string, error) { return apiKey, nil }}
	if change != nil {
		change(&c)
	}
	client, err := gatewayclient.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = client.Close(ctx) // what is left then is of no interest
	})
	return client
}

func event(organization, n int) *schema.Event {
	return &schema.Event{
		OrganizationID: fmt.Sprintf("org_%026d", organization), Action: fmt.Sprintf("a.%d", n), OccurredAt: "2026-11-22T10:00:00Z",
		Actor: schema.Actor{ID: "user_1", Type: "user", Name: "Zoë <&>"}, Targets: []schema.Target{},
	}
}

// drop ends the connection without an answer.
func drop(http.ResponseWriter) { panic(http.ErrAbortHandler) }

func answer(w http.ResponseWriter, status int, body string) {
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

func TestEventsArriveInOrderWhateverFailsOnTheWay(t *testing.T) {
	t.Parallel()
	const organizations, each = 10, 30
	faults := func(w http.ResponseWriter, r *http.Request, n int64) bool {
		switch n % 13 {
		case 3:
			answer(w, http.StatusServiceUnavailable, `{"message":"Too many requests are being served.","code":"busy"}`)
		case 7:
			answer(w, http.StatusBadGateway, "<html>")
		case 11:
			_, _ = io.Copy(io.Discard, r.Body)
			drop(w)
		default:
			return false
		}
		return true
	}
	unsteady := func(r *rig) gateway.Publisher { return &shaky{Recorder: &r.events} }
	r := newRigOn(t, unsteady, faults, func(c *gatewayclient.Config) { c.DeliveryTimeout = 5 * time.Minute })
	var sent []*schema.Event
	var failures atomic.Int64
	for n := range each {
		for o := range organizations {
			e := event(o, n)
			sent = append(sent, e)
			r.PublishAsync(t.Context(), e, func(err error) {
				if err != nil {
					failures.Add(1)
				}
			})
		}
	}
	if err := r.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := failures.Load(); n != 0 {
		t.Errorf("%d events have failed", n)
	}
	for o := range organizations {
		name := fmt.Sprintf("org_%026d", o)
		if diff := cmp.Diff(audittest.OfOrganization(sent, name), audittest.OfOrganization(r.events.Events(), name)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
}

// What has come together while a request is under way goes together.
func TestEventsThatWaitGoInOneRequest(t *testing.T) {
	t.Parallel()
	hold, begun, release := held()
	defer release()
	r := newRig(t, hold, nil)
	outcomes := make(chan error, 103)
	done := func(err error) { outcomes <- err }
	r.PublishAsync(t.Context(), event(1, 0), done)
	<-begun
	for n := range 102 {
		e := event(1, n+1)
		if n == 50 {
			e.Action = "b.refused"
		}
		r.PublishAsync(t.Context(), e, done)
	}
	release()
	if err := r.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	var refused, failed int
	for range 103 {
		err := <-outcomes
		if _, ok := errors.AsType[*gatewayclient.RefusedError](err); ok {
			refused++
		} else if err != nil {
			failed++
		}
	}
	if got := len(r.events.Events()); got != 102 || refused != 1 || failed != 0 {
		t.Errorf("%d events published, %d refused, %d failed", got, refused, failed)
	}
	if n := r.requests.Load(); n != 2 {
		t.Errorf("%d requests, want 2", n)
	}
}

func TestAnAnswerThatIsBrokenOffIsUncertain(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"no JSON":         `{"results":[{"status":200},`,
		"too few results": `{"results":[]}`,
		"too many":        `{"results":[{"status":200},{"status":200},{"status":200},{"status":200}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			told, free := make(chan struct{}, 100), make(chan struct{})
			r := newRig(t, func(w http.ResponseWriter, r *http.Request, _ int64) bool {
				if !strings.HasSuffix(r.URL.Path, "/batch") {
					told <- struct{}{}
					<-free
					return false
				}
				answer(w, http.StatusOK, text)
				return true
			}, func(c *gatewayclient.Config) { c.DeliveryTimeout = 2 * time.Second })
			outcomes := make(chan error, 2)
			r.PublishAsync(t.Context(), event(1, 0), nil)
			<-told
			for n := range 2 {
				r.PublishAsync(t.Context(), event(1, n+1), func(err error) { outcomes <- err })
			}
			close(free)
			for range 2 {
				if err := <-outcomes; !errors.Is(err, producer.ErrUnavailable) || !producer.Uncertain(err) {
					t.Errorf("got %v, want an uncertain producer.ErrUnavailable", err)
				}
			}
		})
	}
}

func TestARequestSaysWhoseItIsAndWhichEventAndTrace(t *testing.T) {
	t.Parallel()
	var got http.Header
	r := newRig(t, func(_ http.ResponseWriter, r *http.Request, _ int64) bool { got = r.Header.Clone(); return false }, nil)
	ctx := trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}}))
	e := event(1, 1)
	if err := r.Publish(ctx, e); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"Authorization": "Bearer " + apiKey, "Idempotency-Key": e.ID, "Content-Type": "application/json",
		"Traceparent": "00-01000000000000000000000000000000-0200000000000000-00",
	} {
		if got.Get(name) != want {
			t.Errorf("%s: %q, want %q", name, got.Get(name), want)
		}
	}
	if got := r.events.Published(t, "a.1")[0]; got.ID != e.ID {
		t.Errorf("sent %s, published %s", e.ID, got.ID)
	}
}

func TestWhatIsRefusedIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil, nil)
	forbidden, invalid := event(1, 1), event(1, 2)
	forbidden.Action, invalid.Action = "b.1", ""
	err := r.Publish(t.Context(), event(1, 0), forbidden, invalid, nil, event(1, 3))
	failed, ok := errors.AsType[*producer.PublishError](err)
	if !ok || len(failed.Failed) != 3 || failed.Total != 5 {
		t.Fatalf("got %v", err)
	}
	if refused, ok := errors.AsType[*gatewayclient.RefusedError](failed.Failed[0].Err); !ok || refused.Status != http.StatusForbidden || refused.Code != "forbidden" || failed.Failed[0].Index != 1 || producer.Uncertain(refused) {
		t.Errorf("got %v", failed.Failed[0].Err)
	}
	if _, ok := errors.AsType[schema.Violations](failed.Failed[1].Err); !ok {
		t.Errorf("got %v", failed.Failed[1].Err)
	}
	r.events.Published(t, "a.0", "a.3")
	if n := r.requests.Load(); n > 3 { // fewer where they went together
		t.Errorf("%d requests, want at most 3: one each, and none for what is not valid", n)
	}
}

func TestWhatTheGatewayFindsWrongAreViolations(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request, _ int64) bool {
		answer(w, http.StatusBadRequest, `{"message":"Invalid Audit Log event.","code":"invalid_audit_log_event","errors":[{"code":"type","message":"must be a string","instancePath":"/metadata/email","pointer":"/event/metadata/email"}]}`)
		return true
	}, nil)
	err := r.Publish(t.Context(), event(1, 1))
	got, _ := errors.AsType[schema.Violations](err)
	if diff := cmp.Diff(schema.Violations{{Pointer: "/metadata/email", Code: "type", Message: "must be a string"}}, got); diff != "" {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
}

func TestAfterTheTimeOutItIsSaidWhetherTheEventMayHaveArrived(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name      string
		fails     fault
		uncertain bool
	}{
		{"the gateway has no room", func(w http.ResponseWriter, _ *http.Request, _ int64) bool {
			answer(w, http.StatusServiceUnavailable, `{"message":"Too many requests are being served.","code":"busy"}`)
			return true
		}, false},
		{"too many requests", func(w http.ResponseWriter, _ *http.Request, _ int64) bool {
			w.Header().Set("Retry-After", "3600")
			answer(w, http.StatusTooManyRequests, `{"message":"Too many requests.","code":"rate_limit_exceeded"}`)
			return true
		}, false},
		{"Kafka has not answered the gateway", func(w http.ResponseWriter, _ *http.Request, _ int64) bool {
			answer(w, http.StatusServiceUnavailable, `{"message":"It may have taken the event.","code":"uncertain"}`)
			return true
		}, true},
		{"a proxy fails", func(w http.ResponseWriter, _ *http.Request, _ int64) bool {
			answer(w, http.StatusGatewayTimeout, "<html>")
			return true
		}, true},
		{"the connection breaks", func(w http.ResponseWriter, _ *http.Request, _ int64) bool { drop(w); return true }, true},
		{"refused in the end", func(w http.ResponseWriter, _ *http.Request, n int64) bool {
			if n == 1 {
				drop(w)
			}
			answer(w, http.StatusUnauthorized, `{"message":"Unauthorized","code":"unauthorized"}`)
			return true
		}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, tt.fails, func(c *gatewayclient.Config) { c.DeliveryTimeout = time.Second })
			err := r.Publish(t.Context(), event(1, 1))
			if err == nil || producer.Uncertain(err) != tt.uncertain {
				t.Errorf("got %v, want uncertain: %v", err, tt.uncertain)
			}
			if _, refused := errors.AsType[*gatewayclient.RefusedError](err); !refused && !errors.Is(err, producer.ErrUnavailable) {
				t.Errorf("got %v, want producer.ErrUnavailable", err)
			}
			if strings.Contains(fmt.Sprint(err), apiKey) {
				t.Errorf("the key is in the error: %v", err)
			}
		})
	}
	t.Run("nobody listens", func(t *testing.T) {
		t.Parallel()
		c := newClient(t, fmt.Sprintf("http://127.0.0.1:%d", closedport.Find(t)), func(c *gatewayclient.Config) { c.DeliveryTimeout = time.Second })
		if err := c.Publish(t.Context(), event(1, 1)); !errors.Is(err, producer.ErrUnavailable) || producer.Uncertain(err) {
			t.Errorf("got %v, want a certain producer.ErrUnavailable", err)
		}
	})
}

// The key goes nowhere but to the gateway.
func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	var elsewhere atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	t.Cleanup(other.Close)
	r := newRig(t, func(w http.ResponseWriter, r *http.Request, _ int64) bool {
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		return true
	}, nil)
	if refused, ok := errors.AsType[*gatewayclient.RefusedError](r.Publish(t.Context(), event(1, 1))); !ok || refused.Status != http.StatusTemporaryRedirect {
		t.Errorf("got %v", refused)
	}
	if elsewhere.Load() != 0 {
		t.Error("the request was sent elsewhere")
	}
}

// held answers when it is told to.
func held() (fails fault, begun <-chan struct{}, release func()) {
	told, free := make(chan struct{}, 100), make(chan struct{})
	return func(http.ResponseWriter, *http.Request, int64) bool {
		told <- struct{}{}
		<-free
		return false
	}, told, sync.OnceFunc(func() { close(free) })
}

func TestCloseFlushes(t *testing.T) {
	t.Parallel()
	fails, begun, release := held()
	r := newRig(t, fails, nil)
	outcome := make(chan error, 2)
	for n := range 2 {
		r.PublishAsync(t.Context(), event(1, n), func(err error) { outcome <- err })
	}
	<-begun
	closed := make(chan error)
	go func() { closed <- r.Close(context.WithoutCancel(t.Context())) }()
	release()
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if len(outcome) != 2 || <-outcome != nil || <-outcome != nil {
		t.Error("not both events were accepted when Close returned")
	}
	if err := r.Publish(t.Context(), event(1, 2)); !errors.Is(err, producer.ErrClosed) || producer.Uncertain(err) {
		t.Errorf("after Close: %v", err)
	}
	r.events.Published(t, "a.0", "a.1")
}

func TestCloseWithoutTime(t *testing.T) {
	t.Parallel()
	fails, begun, release := held()
	defer release()                                                                    // before the server is closed, which waits for it
	r := newRig(t, fails, func(c *gatewayclient.Config) { c.MaxBufferedBytes = 2000 }) // room for two
	outcome := [3]chan error{make(chan error, 1), make(chan error, 1), make(chan error, 1)}
	r.PublishAsync(t.Context(), event(1, 0), func(err error) { outcome[0] <- err })
	<-begun
	r.PublishAsync(t.Context(), event(1, 1), func(err error) { outcome[1] <- err })
	go r.PublishAsync(t.Context(), event(1, 2), func(err error) { outcome[2] <- err })
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Publish(ended, event(2, 0)); !errors.Is(err, context.Canceled) || producer.Uncertain(err) {
		t.Errorf("a caller that had given up: %v", err)
	}
	if err := r.Close(ended); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "events are not answered yet") {
		t.Errorf("Close: %v", err)
	}
	for n, uncertain := range []bool{true, false, false} { // under way, behind it, waiting for room
		if err := <-outcome[n]; !errors.Is(err, producer.ErrClosed) || producer.Uncertain(err) != uncertain {
			t.Errorf("event %d: %v, want producer.ErrClosed, uncertain: %v", n, err, uncertain)
		}
	}
}

func TestTheBufferIsBounded(t *testing.T) {
	t.Parallel()
	fails, begun, release := held()
	defer release() // before the server is closed, which waits for it
	r := newRig(t, fails, func(c *gatewayclient.Config) { c.MaxBufferedBytes, c.DeliveryTimeout = 1, time.Second })
	first := make(chan error, 1)
	r.PublishAsync(t.Context(), event(1, 0), func(err error) { first <- err })
	<-begun
	impatient, cancel := context.WithCancel(t.Context())
	blocked := make(chan error)
	go func() { blocked <- r.Publish(impatient, event(2, 1)) }()
	cancel()
	if err := <-blocked; !errors.Is(err, context.Canceled) || producer.Uncertain(err) {
		t.Errorf("got %v, want a certain context.Canceled", err)
	}
	if err := <-first; !errors.Is(err, producer.ErrUnavailable) || !producer.Uncertain(err) {
		t.Errorf("got %v, want an uncertain producer.ErrUnavailable", err)
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	key := func(context.Context) (string, error) { return apiKey, nil }
	for want, c := range map[string]gatewayclient.Config{
		"Config.URL: required":                              {Key: key},
		"Config.Key: required":                              {URL: "http://a"},
		"Config.URL: has to be http://":                     {URL: "ftp://a", Key: key},
		"Config.URL: has to be":                             {URL: "https://user:geheim@a", Key: key},
		"Config.DeliveryTimeout: 1ms is less than a second": {URL: "http://a", Key: key, DeliveryTimeout: time.Millisecond},
		"Config.MaxBufferedBytes: -1 is negative":           {URL: "http://a", Key: key, MaxBufferedBytes: -1},
		"Config.Requests: -1 is less than 1":                {URL: "http://a", Key: key, Requests: -1},
	} {
		if _, err := gatewayclient.New(c); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "geheim") {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
