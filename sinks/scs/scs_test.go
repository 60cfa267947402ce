package scs

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/sinktest/faults"
	"github.com/auditstream/auditstream/sinks/sinktest/scsingest"
)

func event(id, value string) *sinks.Event {
	return &sinks.Event{ID: []byte(id), Value: []byte(value), OccurredAt: []byte("2026-11-20T09:59:58.123Z")}
}

func newPair(t *testing.T, lifetime time.Duration) (*scsingest.Server, *Sink) {
	t.Helper()
	double := newDouble(t, lifetime)
	server := httptest.NewServer(double)
	sink, err := open(testSettings(server.URL), sinks.Options{Log: zap.NewNop(), Version: "1.2.3"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = sink.Close()
		server.Close()
	})
	return double, sink
}

func deliver(t *testing.T, sink *Sink, events ...*sinks.Event) error {
	t.Helper()
	b := &sinks.Batch{}
	for i, e := range events {
		var err error
		if b.Body, err = sink.Frame(b.Body, e); err != nil {
			t.Fatal(err)
		}
		b.Events = append(b.Events, sinks.Entry{Offset: int64(i), End: len(b.Body)})
	}
	_, err := sink.Deliver(t.Context(), b)
	return err
}

func TestEventArrives(t *testing.T) {
	double, sink := newPair(t, 0)
	if err := deliver(t, sink, event(`audit_event_1`, `{"a":1}`), event("\"\n\xff", `{"a":2}`)); err != nil {
		t.Fatal(err)
	}
	want := []scsingest.Event{
		{Body: []byte(`{"a":1}`), ID: "audit_event_1", Timestamp: 1_795_168_798_123, Host: `audit "host"`, Source: "auditstream", SourceType: "_json"},
		{Body: []byte(`{"a":2}`), ID: "\"\n\ufffd", Timestamp: 1_795_168_798_123, Host: `audit "host"`, Source: "auditstream", SourceType: "_json"},
	}
	if diff := cmp.Diff(want, double.Events()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestManyLanesShareOneToken(t *testing.T) {
	double, sink := newPair(t, 0)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if err := deliver(t, sink, event("e", `{}`)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := double.Tokens(); n != 1 || len(double.Events()) != 16 {
		t.Errorf("%d tokens were asked for, %d events arrived", n, len(double.Events()))
	}
}

func TestTokenIsReplacedBeforeItEnds(t *testing.T) {
	double, sink := newPair(t, 30*time.Second)
	for range 3 {
		if err := deliver(t, sink, event("e", `{}`)); err != nil {
			t.Fatal(err)
		}
	}
	if n := double.Tokens(); n != 3 {
		t.Errorf("%d tokens, want a new one each time: each has less than a minute left", n)
	}
}

// A token that is revoked is no mistake of people, and not the end of the stream.
func TestTokenRevokedInMidStream(t *testing.T) {
	double, sink := newPair(t, 0)
	if err := deliver(t, sink, event("1", `{"n":1}`)); err != nil {
		t.Fatal(err)
	}
	double.Revoke()
	if err := deliver(t, sink, event("2", `{"n":2}`)); err == nil || sinks.ClassOf(err) != sinks.Unavailable {
		t.Errorf("with the token revoked: %v", err)
	}
	if err := deliver(t, sink, event("2", `{"n":2}`)); err != nil || len(double.Events()) != 2 || double.Tokens() != 2 {
		t.Errorf("with a new one: %v, %d events, %d tokens", err, len(double.Events()), double.Tokens())
	}
}

func TestMendedSecretCountsWithoutARestart(t *testing.T) {
	double, sink := newPair(t, 0)
	t.Setenv("SCS_TEST_SECRET", "wr0ng")
	err := deliver(t, sink, event("1", `{}`))
	if err == nil || sinks.ClassOf(err) != sinks.Misconfigured || !strings.Contains(err.Error(), `client_id and client_secret ("invalid_client")`) {
		t.Errorf("with a wrong secret: %v", err)
	}
	t.Setenv("SCS_TEST_SECRET", clientSecret)
	if err := deliver(t, sink, event("1", `{}`)); err != nil || len(double.Events()) != 1 {
		t.Errorf("mended: %v", err)
	}
}

func TestAuthorizationServerThatFails(t *testing.T) {
	for name, c := range map[string]struct {
		answer faults.Answer
		class  sinks.Class
	}{
		"busy":              {faults.Answer{Status: 503}, sinks.Unavailable},
		"too many requests": {faults.Answer{Status: 429}, sinks.Unavailable},
		"a page":            {faults.Answer{Status: 200, Body: []byte("<html>"), Header: http.Header{"Content-Type": {"text/html"}}}, sinks.Misconfigured},
		"no token":          {faults.Answer{Status: 200, Body: []byte(`{}`)}, sinks.Unavailable},
		"a token for no header": {
			faults.Answer{Status: 200, Body: []byte(`{"access_token":"a\nb"}`)}, sinks.Unavailable,
		},
		"cut off":        {faults.Answer{Cut: faults.CutBeforeAnswer}, sinks.Unavailable},
		"invalid client": {faults.Answer{Status: 400, Body: []byte(`{"error":"invalid_client"}`)}, sinks.Misconfigured},
		"1 GB":           {faults.Answer{Status: 200, Pad: 1 << 30}, sinks.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			double, sink := newPair(t, 0)
			double.Program(func(r *http.Request) *faults.Answer {
				if r.URL.Path != "/token" {
					return nil
				}
				return &c.answer
			})
			err := deliver(t, sink, event("1", `{}`))
			if err == nil || sinks.ClassOf(err) != c.class {
				t.Errorf("%v, want class %v", err, c.class)
			}
			if text := err.Error(); strings.Contains(text, clientSecret) || strings.Contains(text, `a\nb`) {
				t.Errorf("the error says too much: %s", text)
			}
			double.Program(nil)
			if err := deliver(t, sink, event("1", `{}`)); err != nil {
				t.Errorf("well again: %v", err)
			}
		})
	}
}

// One lane hangs at the authorization server; the others can still be told to end.
func TestWaitingForATokenEndsWithItsContext(t *testing.T) {
	double, sink := newPair(t, 0)
	asked := make(chan struct{}, 10)
	double.Program(func(r *http.Request) *faults.Answer {
		asked <- struct{}{}
		return &faults.Answer{Hang: true}
	})
	first, endFirst := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := sink.login.token(first)
		done <- err
	}()
	<-asked
	second, endSecond := context.WithCancel(t.Context())
	endSecond()
	if _, err := sink.login.token(second); !errors.Is(err, context.Canceled) {
		t.Errorf("the one who waits: %v", err)
	}
	endFirst()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("the one who asks: %v", err)
	}
}

func TestLargestEventArrives(t *testing.T) {
	double, sink := newPair(t, 0)
	frame, err := sink.Frame(nil, event("1", `{"a":""}`))
	if err != nil {
		t.Fatal(err)
	}
	fits := maxRequest - len("[]") - (len(frame) - len(","))
	if err := deliver(t, sink, event("1", `{"a":"`+strings.Repeat("x", fits)+`"}`)); err != nil || len(double.Events()) != 1 {
		t.Errorf("the largest: %v", err)
	}
	if _, err := sink.Frame(nil, event("1", `{"a":"`+strings.Repeat("x", fits+1)+`"}`)); sinks.ClassOf(err) != sinks.Rejected || err == nil {
		t.Errorf("one byte more: %v", err)
	}
}

func TestValidate(t *testing.T) {
	cases := []struct {
		name   string
		change func(*Settings)
		want   []string // fields with a violation
	}{
		{"what the tests use", func(*Settings) {}, nil},
		{"nothing at all", func(s *Settings) { *s = Settings{} }, []string{
			"tenant", "client_id", "client_secret", "url", "auth_url", "compression", "gzip_level", "timeout", "max_bytes", "max_events",
		}},
		{"a tenant that is a path", func(s *Settings) { s.Tenant = "../x" }, []string{"tenant"}},
		{"more than a request has", func(s *Settings) { s.MaxBytes, s.MaxEvents = maxRequest, 501 }, []string{"max_bytes", "max_events"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := testSettings("https://api.scp.splunk.com")
			c.change(s)
			var got []string
			if joined, ok := s.Validate().(interface{ Unwrap() []error }); ok {
				for _, err := range joined.Unwrap() {
					if f, ok := errors.AsType[*sinks.FieldError](err); ok {
						got = append(got, f.Field)
					}
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("violations (-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzAppendText(f *testing.F) {
	f.Add("audit_event_1")
	f.Add("\"\\\x00\xff")
	f.Fuzz(func(t *testing.T, text string) {
		var back string
		if err := json.Unmarshal(appendText(nil, []byte(text)), &back); err != nil || back != strings.ToValidUTF8(text, "\ufffd") && json.Valid([]byte(`"`+text+`"`)) {
			t.Errorf("%q came back as %q, %v", text, back, err)
		}
	})
}
