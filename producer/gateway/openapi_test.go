package gateway

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/auditstream/auditstream/internal/openapi"
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
	doc, err := jsonschema.UnmarshalJSON(probe.Body)
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	compiler.AssertFormat()
	if err := compiler.AddResource("openapi.json", doc); err != nil {
		t.Fatal(err)
	}
	check := func(what, pointer string, body []byte) {
		s, err := compiler.Compile("openapi.json#" + pointer)
		if err != nil {
			t.Errorf("%s: there is no %s: %v", what, pointer, err)
			return
		}
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
		if err == nil {
			err = s.Validate(value)
		}
		if err != nil {
			t.Errorf("%s is not as described: %v\n%s", what, err, body)
		}
	}
	paths, _ := doc.(map[string]any)["paths"].(map[string]any)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		item, known := paths[r.URL.Path].(map[string]any)
		operation, served := item[strings.ToLower(r.Method)].(map[string]any)
		if !known || !served || r.URL.Path == "/openapi.yaml" {
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
		what := fmt.Sprintf("%s %s, answered %d", r.Method, r.URL.Path, seen.status)
		at := "/paths/" + strings.ReplaceAll(r.URL.Path, "/", "~1") + "/" + strings.ToLower(r.Method)
		responses, _ := operation["responses"].(map[string]any)
		response, ok := responses[strconv.Itoa(seen.status)].(map[string]any)
		if !ok {
			t.Errorf("%s: the status is not described", what)
			return
		}
		pointer := at + "/responses/" + strconv.Itoa(seen.status) + "/content/application~1json/schema"
		if _, shared := response["$ref"]; shared {
			pointer = "/components/responses/Error/content/application~1json/schema"
		}
		check(what, pointer, seen.body.Bytes())
		_, takesBody := operation["requestBody"]
		camel := bytes.Contains(sent.Bytes(), []byte("occurredAt"))
		if takesBody && seen.status == http.StatusOK && !camel && r.Header.Get("Content-Encoding") == "" && r.Header.Get("Content-Type") == typeJSON {
			check("the body of "+what, at+"/requestBody/content/application~1json/schema", sent.Bytes())
		}
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
