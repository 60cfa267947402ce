package gateway

import (
	"bytes"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/auditstream/auditstream/internal/openapi"
	"github.com/auditstream/auditstream/internal/openapi/openapitest"
)

var update = flag.Bool("update", false, "write openapi.yaml anew")

// whole is a server with every route that there can be.
func whole(t *testing.T) *server {
	t.Helper()
	return &server{cfg: Config{Schemas: struct{ Schemas }{}, Exports: struct{ Exports }{}, Retentions: struct{ Retentions }{}}}
}

func TestEachRouteIsDescribed(t *testing.T) {
	about := description()
	for _, r := range whole(t).routes() {
		d, ok := about[r.method+" "+r.path]
		if !ok || d.about == "" || len(d.answers) == 0 {
			t.Errorf("%s %s: neither what it does nor what it answers is said", r.method, r.path)
		}
		delete(about, r.method+" "+r.path)
	}
	for route := range about {
		t.Errorf("%s is described, and is not there", route)
	}
}

// The file is there to be read, and so that a change of the API is seen as one.
func TestTheDescriptionInTheRepository(t *testing.T) {
	d, err := whole(t).describe()
	if err != nil {
		t.Fatal(err)
	}
	got, err := openapi.YAML(d)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("openapi.yaml", got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("go test ./producer/gateway -run Description -update writes it anew (-want +got):\n%s", diff)
	}
}

func TestTheDescriptionIsServedToEverybody(t *testing.T) {
	d := newDesk(t)
	for path, kind := range map[string]string{"/openapi.json": typeJSON, "/openapi.yaml": typeYAML} {
		answer, body := d.ask("GET", path, "", "Authorization", "")
		if answer.StatusCode != 200 || answer.Header.Get("Content-Type") != kind || !strings.Contains(body, "/audit_logs/events/batch") {
			t.Errorf("%s: %d %s", path, answer.StatusCode, body)
		}
	}
}

// asDescribed holds what a handler is asked and answers against its own description: every
// status, every body of an answer, and every body of a request that was taken.
func asDescribed(t *testing.T, handler http.Handler) http.Handler {
	t.Helper()
	probe := httptest.NewRecorder()
	handler.ServeHTTP(probe, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/openapi.json", nil))
	contract, err := openapitest.New(probe.Body.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !contract.Describes(r.Method, r.URL.Path) {
			handler.ServeHTTP(w, r)
			return
		}
		var sent bytes.Buffer
		r.Body = struct {
			io.Reader
			io.Closer
		}{io.TeeReader(r.Body, &sent), r.Body}
		seen := &answerSeen{ResponseWriter: w}
		handler.ServeHTTP(seen, r)
		e := openapitest.Exchange{Method: r.Method, Path: r.URL.Path, Asked: r.Header, Status: seen.status, Answered: w.Header(), Answer: seen.body.Bytes()}
		camel := bytes.Contains(sent.Bytes(), []byte("occurredAt"))
		if sent.Len() > 0 && seen.status == http.StatusOK && !camel && r.Header.Get("Content-Encoding") == "" {
			e.Sent = sent.Bytes()
		}
		contract.Check(t, e)
	})
}

// answerSeen keeps an answer as it passes.
type answerSeen struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (a *answerSeen) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *answerSeen) WriteHeader(status int) {
	a.status = status
	a.ResponseWriter.WriteHeader(status)
}

func (a *answerSeen) Write(p []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	a.body.Write(p)
	return a.ResponseWriter.Write(p)
}

func TestEachCodeHasItsStatus(t *testing.T) {
	for _, code := range Codes() {
		if s := status(code); (s == http.StatusInternalServerError) != (code == CodeInternal) {
			t.Errorf("%s has the status %d", code, s)
		}
	}
}
