package console

import (
	"net/http"
	"strings"

	"github.com/auditstream/auditstream/admin"
)

// counted counts the requests that next answers. Its mux leaves in a request by which pattern
// it was found.
func counted(m *admin.Metrics, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := &answered{ResponseWriter: w}
		done := m.Begin(admin.DoorConsole, r.Method)
		defer func() { done(routeOf(r.Pattern), a.status) }()
		next.ServeHTTP(a, r)
	})
}

// routeOf is a pattern of the mux as a route; that of every other path is none.
func routeOf(pattern string) string {
	if pattern == everythingElse {
		return ""
	}
	return strings.TrimSuffix(pattern, "{$}")
}

// answered remembers the status of an answer.
type answered struct {
	http.ResponseWriter
	status int
}

// Unwrap is for http.ResponseController.
func (a *answered) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// Flush hands on what is written so far.
func (a *answered) Flush() { _ = http.NewResponseController(a.ResponseWriter).Flush() }

func (a *answered) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *answered) Write(p []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	return a.ResponseWriter.Write(p)
}
