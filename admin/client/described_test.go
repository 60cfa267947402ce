package client_test

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/internal/openapi/openapitest"
)

// theContract is the description of the API, against which requests and answers are held.
var theContract = sync.OnceValues(func() (*openapitest.Contract, error) {
	text, err := admin.OpenAPI()
	if err != nil {
		return nil, err
	}
	var whole any
	if err := yaml.Unmarshal(text, &whole); err != nil {
		return nil, err
	}
	b, err := json.Marshal(whole)
	if err != nil {
		return nil, err
	}
	return openapitest.New(b)
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
		c.Check(t, openapitest.Exchange{
			Method: r.Method, Path: r.URL.EscapedPath(), Asked: r.Header, Sent: body,
			Status: seen.Code, Answered: seen.Header(), Answer: seen.Body.Bytes(),
		})
		maps.Copy(w.Header(), seen.Header())
		w.WriteHeader(seen.Code)
		_, _ = w.Write(seen.Body.Bytes())
	})
}
