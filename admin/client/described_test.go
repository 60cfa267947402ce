package client_test

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/auditstream/auditstream/admin"
)

// contract is the description of the API, against which requests and answers are held.
type contract struct {
	paths    map[string]map[string]any
	compiler *jsonschema.Compiler
	mu       sync.Mutex
}

var theContract = sync.OnceValues(func() (*contract, error) {
	text, err := admin.OpenAPI()
	if err != nil {
		return nil, err
	}
	var document struct {
		Paths map[string]map[string]any `yaml:"paths"`
	}
	var whole any
	if err := yaml.Unmarshal(text, &document); err != nil {
		return nil, err
	}
	if err := yaml.Unmarshal(text, &whole); err != nil {
		return nil, err
	}
	b, err := json.Marshal(whole)
	if err != nil {
		return nil, err
	}
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	c := &contract{paths: document.Paths, compiler: jsonschema.NewCompiler()}
	c.compiler.DefaultDraft(jsonschema.Draft2020)
	c.compiler.AssertFormat()
	return c, c.compiler.AddResource("https://auditstream.example/openapi.json", parsed)
})

// described is a handler whose every request and answer has to be as the description says.
func described(t *testing.T, next http.Handler) http.Handler {
	t.Helper()
	c, err := theContract()
	if err != nil {
		t.Fatal(err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		if strings.HasSuffix(r.URL.Path, "/tail") { // does not end: its lines are held against it by the tests of the server
			next.ServeHTTP(w, r)
			return
		}
		seen := httptest.NewRecorder()
		next.ServeHTTP(seen, r)
		c.check(t, r, body, seen)
		maps.Copy(w.Header(), seen.Header())
		w.WriteHeader(seen.Code)
		_, _ = w.Write(seen.Body.Bytes())
	})
}

// route is the path of the description that a path is one of.
func (c *contract) route(path string) string {
	if _, ok := c.paths[path]; ok {
		return path
	}
	have := strings.Split(path, "/")
	for template := range c.paths {
		parts := strings.Split(template, "/")
		if len(parts) != len(have) {
			continue
		}
		match := true
		for i, p := range parts {
			match = match && (p == have[i] || strings.HasPrefix(p, "{"))
		}
		if match {
			return template
		}
	}
	return ""
}

func (c *contract) check(t *testing.T, r *http.Request, body []byte, seen *httptest.ResponseRecorder) {
	t.Helper()
	path := c.route(r.URL.EscapedPath())
	operation, ok := c.paths[path][strings.ToLower(r.Method)].(map[string]any)
	if !ok {
		t.Errorf("%s %s is not described", r.Method, r.URL.Path)
		return
	}
	at := "/paths/" + escape(path) + "/" + strings.ToLower(r.Method)
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err == nil && kind == "application/json" {
		c.valid(t, at+"/requestBody/content/application~1json/schema", body)
	}
	responses, _ := operation["responses"].(map[string]any)
	code := strconv.Itoa(seen.Code)
	answer, ok := responses[code].(map[string]any)
	if !ok {
		t.Errorf("%s %s answers %s, which is not described: %s", r.Method, path, code, seen.Body)
		return
	}
	kind, _, _ := mime.ParseMediaType(seen.Header().Get("Content-Type"))
	place := at + "/responses/" + code
	if ref, is := answer["$ref"].(string); is {
		place = strings.TrimPrefix(ref, "#")
		answer = map[string]any{"content": map[string]any{"application/problem+json": nil}}
	}
	content, _ := answer["content"].(map[string]any)
	if _, known := content[kind]; !known && seen.Body.Len() > 0 {
		t.Errorf("%s %s answers %s as %q, which is not described", r.Method, path, code, kind)
		return
	}
	for line := range bytes.Lines(seen.Body.Bytes()) {
		c.valid(t, place+"/content/"+escape(kind)+"/schema", line)
	}
}

// escape is a name as a part of a JSON pointer in a fragment.
func escape(name string) string {
	return strings.NewReplacer("{", "%7B", "}", "%7D").Replace(strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1"))
}

func (c *contract) valid(t *testing.T, pointer string, value []byte) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	schema, err := c.compiler.Compile("https://auditstream.example/openapi.json#" + pointer)
	if err != nil {
		t.Errorf("%s: %v", pointer, err)
		return
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(value))
	if err == nil {
		err = schema.Validate(v)
	}
	if err != nil {
		t.Errorf("%s: %v\n%s", pointer, err, value)
	}
}
