// Package openapitest holds what a server is asked, and what it answers, against the description
// of its API.
package openapitest

import (
	"bytes"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Contract is a description (OpenAPI 3.1). It may be used by many goroutines at once.
type Contract struct {
	paths     map[string]any
	responses map[string]any // that operations share, by name

	mu       sync.Mutex
	compiler *jsonschema.Compiler // guarded by mu
}

// home is where the description is for the compiler of schemas.
const home = "https://auditstream.example/openapi.json"

// New reads a description in JSON.
func New(document []byte) (*Contract, error) {
	whole, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
	if err != nil {
		return nil, err
	}
	c := &Contract{compiler: jsonschema.NewCompiler()}
	top, _ := whole.(map[string]any)
	c.paths, _ = top["paths"].(map[string]any)
	components, _ := top["components"].(map[string]any)
	c.responses, _ = components["responses"].(map[string]any)
	c.compiler.DefaultDraft(jsonschema.Draft2020)
	c.compiler.AssertFormat()
	return c, c.compiler.AddResource(home, whole)
}

// Exchange is a request and its answer.
type Exchange struct {
	Method, Path string // the path as it was sent
	Asked        http.Header
	Sent         []byte // nil: it is not looked at

	Status   int
	Answered http.Header
	Answer   []byte
}

// Describes says whether there is such an operation.
func (c *Contract) Describes(method, path string) bool {
	_, operation := c.operation(method, path)
	return operation != nil
}

// operation is what the description says of a path, and under which name.
func (c *Contract) operation(method, path string) (template string, operation map[string]any) {
	at := func(template string) map[string]any {
		item, _ := c.paths[template].(map[string]any)
		operation, _ := item[strings.ToLower(method)].(map[string]any)
		return operation
	}
	if operation := at(path); operation != nil {
		return path, operation
	}
	have := strings.Split(path, "/")
	for template := range c.paths {
		parts := strings.Split(template, "/")
		same := func(a, b string) bool { return a == b || strings.HasPrefix(a, "{") }
		if slices.EqualFunc(parts, have, same) {
			return template, at(template)
		}
	}
	return path, nil
}

// Check holds an exchange against the description: the operation, the status, the type of the
// answer and its body; and the body that was sent.
func (c *Contract) Check(tb testing.TB, e Exchange) {
	tb.Helper()
	template, operation := c.operation(e.Method, e.Path)
	if operation == nil {
		tb.Errorf("%s %s is not described", e.Method, e.Path)
		return
	}
	at := "/paths/" + escape(template) + "/" + strings.ToLower(e.Method)
	if kind := mediaType(e.Asked); e.Sent != nil && kind == "application/json" {
		c.valid(tb, at+"/requestBody/content/"+escape(kind)+"/schema", e.Sent)
	}
	responses, _ := operation["responses"].(map[string]any)
	status := strconv.Itoa(e.Status)
	answer, described := responses[status].(map[string]any)
	if !described {
		tb.Errorf("%s %s answers %s, which is not described: %.1000s", e.Method, template, status, e.Answer)
		return
	}
	place := at + "/responses/" + status
	if shared, is := answer["$ref"].(string); is {
		place = strings.TrimPrefix(shared, "#")
		answer, _ = c.responses[place[strings.LastIndex(place, "/")+1:]].(map[string]any)
	}
	if len(e.Answer) == 0 {
		return
	}
	kind := mediaType(e.Answered)
	content, _ := answer["content"].(map[string]any)
	if _, known := content[kind]; !known {
		tb.Errorf("%s %s answers %s as %q, which is not described", e.Method, template, status, kind)
		return
	}
	place += "/content/" + escape(kind) + "/schema"
	switch {
	case strings.HasSuffix(kind, "ndjson"):
		for line := range bytes.Lines(e.Answer) {
			c.valid(tb, place, line)
		}
	case strings.HasSuffix(kind, "json"):
		c.valid(tb, place, e.Answer)
	}
}

func mediaType(h http.Header) string {
	kind, _, _ := mime.ParseMediaType(h.Get("Content-Type")) // none is ""
	return kind
}

// escape is a name as a part of a JSON pointer in a fragment.
func escape(name string) string {
	return strings.NewReplacer("{", "%7B", "}", "%7D").Replace(strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1"))
}

func (c *Contract) valid(tb testing.TB, pointer string, value []byte) {
	tb.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	schema, err := c.compiler.Compile(home + "#" + pointer)
	if err != nil {
		tb.Errorf("%s: %v", pointer, err)
		return
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(value))
	if err == nil {
		err = schema.Validate(v)
	}
	if err != nil {
		tb.Errorf("%s: %v\n%.2000s", pointer, err, value)
	}
}
