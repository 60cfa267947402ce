package https

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/internal/secret"
	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/sinktest/faults"
	"github.com/auditstream/auditstream/sinks/sinktest/webhook"
	"github.com/auditstream/auditstream/sinks/transport"
)

// newPair makes a receiver and a sink that delivers to it.
func newPair(t *testing.T, c webhook.Config, change func(*Settings)) (*webhook.Server, *Sink) {
	t.Helper()
	setSecrets(t)
	double := webhook.New(c)
	server := httptest.NewServer(double)
	settings := testSettings(server.URL)
	if change != nil {
		change(settings)
	}
	sink, err := open(settings, sinks.Options{Log: zap.NewNop(), Version: "1.2.3"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = sink.Close()
		server.Close()
	})
	return double, sink
}

// batchOf is a batch of events from offset first on.
func batchOf(t *testing.T, sink *Sink, first int64, values ...string) *sinks.Batch {
	t.Helper()
	b := &sinks.Batch{Lane: sinks.Lane{Stream: "acme-hook", UID: "str_1", Epoch: 1, Revision: 1, TopicID: "topic"}}
	for i, v := range values {
		var err error
		if b.Body, err = sink.Frame(b.Body, &sinks.Event{Value: []byte(v)}); err != nil {
			t.Fatal(err)
		}
		b.Events = append(b.Events, sinks.Entry{Offset: first + int64(i), End: len(b.Body)})
	}
	return b
}

func TestReceiverThatRemembersIdsTakesABatchOnce(t *testing.T) {
	double, sink := newPair(t, webhook.Config{Dedupe: true}, nil)
	b := batchOf(t, sink, 7, `{"n":1}`, `{"n":2}`)
	double.Program(func(*http.Request) *faults.Answer { return &faults.Answer{Store: true, Cut: faults.CutBeforeAnswer} })
	if _, err := sink.Deliver(t.Context(), b); sinks.ClassOf(err) != sinks.Unavailable || err == nil {
		t.Fatalf("an answer that is lost: %v", err)
	}
	double.Program(nil)
	for range 2 {
		if _, err := sink.Deliver(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(double.Events()); n != 2 {
		t.Errorf("%d events are stored, want each of 2 once", n)
	}
}

func TestBatchIDNamesOneBatch(t *testing.T) {
	_, sink := newPair(t, webhook.Config{}, nil)
	whole := batchOf(t, sink, 7, "1", "2", "3")
	seen := map[string]string{}
	for name, c := range map[string]struct {
		batch  *sinks.Batch
		replay string
	}{
		"the batch":     {whole, ""},
		"its first":     {whole.Slice(0, 1), ""},
		"its first two": {whole.Slice(0, 2), ""},
		"its last two":  {whole.Slice(1, 3), ""},
		"a replay":      {whole, "job_1"},
		"another job":   {whole, "job_2"},
		"another lane": {func() *sinks.Batch {
			other := *whole
			other.Lane.Partition++
			return &other
		}(), ""},
		"another revision": {func() *sinks.Batch {
			other := *whole
			other.Lane.Revision++
			return &other
		}(), ""},
	} {
		id := batchID(c.batch, c.replay)
		if other, ok := seen[id]; ok {
			t.Errorf("%s and %s have the same id", name, other)
		}
		seen[id] = name
		if again := batchID(c.batch, c.replay); again != id {
			t.Errorf("%s has the ids %s and %s", name, id, again)
		}
	}
}

func TestSecretsRotate(t *testing.T) {
	both := func(s *Settings) {
		s.SigningSecrets = []secret.Ref{{Env: "HTTPS_TEST_FIRST"}, {Env: "HTTPS_TEST_SECOND"}}
	}
	for name, c := range map[string]struct {
		receiver []string
		sender   func(*Settings)
		taken    bool
	}{
		"before":                                   {[]string{first}, nil, true},
		"the sender signs with both":               {[]string{first}, both, true},
		"the receiver knows the new one only":      {[]string{second}, both, true},
		"the receiver has gone ahead":              {[]string{second}, nil, false},
		"the receiver takes both, the sender old":  {[]string{second, first}, nil, true},
		"signatures are not looked at":             {nil, nil, true},
		"not signed, and the receiver looks at it": {[]string{first}, func(s *Settings) { s.SigningSecrets = nil }, false},
	} {
		t.Run(name, func(t *testing.T) {
			double, sink := newPair(t, webhook.Config{Secrets: c.receiver}, c.sender)
			_, err := sink.Deliver(t.Context(), batchOf(t, sink, 0, `{"n":1}`))
			if (err == nil) != c.taken || len(double.Events()) == 1 != c.taken {
				t.Errorf("%v, %d events arrived", err, len(double.Events()))
			}
			if err != nil && sinks.ClassOf(err) != sinks.Misconfigured {
				t.Errorf("class of %v", err)
			}
		})
	}
}

func TestMendedSecretCountsWithoutARestart(t *testing.T) {
	double, sink := newPair(t, webhook.Config{Secrets: []string{first}}, nil)
	for _, wrong := range []string{second, "whsec_c2hvcnQ=", "whsec_!", "hunter2"} {
		t.Setenv("HTTPS_TEST_FIRST", wrong)
		_, err := sink.Deliver(t.Context(), batchOf(t, sink, 0, `{}`))
		if err == nil || sinks.ClassOf(err) != sinks.Misconfigured || strings.Contains(err.Error(), wrong) {
			t.Errorf("with %s: %v", wrong, err)
		}
	}
	t.Setenv("HTTPS_TEST_FIRST", first)
	if _, err := sink.Deliver(t.Context(), batchOf(t, sink, 0, `{}`)); err != nil || len(double.Events()) != 1 {
		t.Errorf("mended: %v", err)
	}
}

func TestRequestSaysWhoseEventsItCarries(t *testing.T) {
	double, sink := newPair(t, webhook.Config{}, nil)
	if _, err := sink.Deliver(t.Context(), batchOf(t, sink, 0, `{"n":1}`)); err != nil {
		t.Fatal(err)
	}
	e := double.Events()[0]
	if e.Stream != "acme-hook" || e.Replay != "" || !strings.HasPrefix(e.Batch, "msg_") || string(e.Value) != `{"n":1}` {
		t.Errorf("%+v", e)
	}
}

func TestValidate(t *testing.T) {
	cases := []struct {
		name   string
		change func(*Settings)
		want   []string // fields with a violation
	}{
		{"what the tests use", func(*Settings) {}, nil},
		{"a URL alone", func(s *Settings) { *s = *defaults().(*Settings); s.URL = "https://hooks.example/a/b" }, nil},
		{"nothing at all", func(s *Settings) { *s = Settings{} }, []string{"url", "method", "body", "compression", "gzip_level", "timeout", "max_bytes"}},
		{"a query", func(s *Settings) { s.URL += "?token=x" }, []string{"url"}},
		{"GET", func(s *Settings) { s.Method = "GET" }, []string{"method"}},
		{"a header of ours", func(s *Settings) { s.Headers = map[string]string{"webhook-id": "x", "Content-Type": "text/plain"} }, []string{"headers.webhook-id"}},
		{"a header twice", func(s *Settings) { s.Headers["authorization"] = "x" }, []string{"secret_headers.Authorization"}},
		{"no name", func(s *Settings) { s.Headers = map[string]string{"a b": "x"} }, []string{"headers"}},
		{"two lines", func(s *Settings) { s.Headers = map[string]string{"a": "x\ny: z"} }, []string{"headers.a"}},
		{"a secret in two places", func(s *Settings) { s.SecretHeaders["A"] = secret.Ref{Env: "A", File: "b"} }, []string{"secret_headers.A"}},
		{"no secret", func(s *Settings) { s.SigningSecrets = []secret.Ref{{}} }, []string{"signing_secrets[0]"}},
		{"many secrets", func(s *Settings) {
			s.SigningSecrets = []secret.Ref{{Env: "A"}, {Env: "A"}, {Env: "A"}, {Env: "A"}, {Env: "A"}, {Env: "A"}}
		}, []string{"signing_secrets"}},
		{"statuses that say nothing about events", func(s *Settings) { s.RejectedStatuses = []int{400, 401, 500, 429} }, []string{"rejected_statuses[1]", "rejected_statuses[2]", "rejected_statuses[3]"}},
		{"zstd", func(s *Settings) { s.Compression = transport.Zstd }, nil},
		{"less than no events", func(s *Settings) { s.MaxEvents = -1 }, []string{"max_events"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := testSettings("https://hooks.example")
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

func FuzzDecodeKey(f *testing.F) {
	f.Add(first)
	f.Add("whsec_")
	f.Fuzz(func(t *testing.T, text string) {
		key, err := decodeKey(text)
		if err == nil && (len(key) < minKey || len(key) > maxKey) {
			t.Errorf("a key of %d bytes", len(key))
		}
		if err != nil && len(text) > 12 && strings.Contains(err.Error(), text) {
			t.Errorf("the error repeats the secret: %v", err)
		}
	})
}
