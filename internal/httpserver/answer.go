package httpserver

import (
	"net/http"
	"time"
)

// writeTimeout bounds how long a caller takes to read what is written at once.
const writeTimeout = 30 * time.Second

// Answer is an answer under way: what of it is logged, and a deadline for each part of it.
type Answer struct {
	http.ResponseWriter
	Control *http.ResponseController
	Status  int // 0: nothing is sent yet
	Bytes   int64
}

// NewAnswer is the answer that goes to w.
func NewAnswer(w http.ResponseWriter) Answer {
	return Answer{ResponseWriter: w, Control: http.NewResponseController(w)}
}

// Unwrap is for http.ResponseController.
func (a *Answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// WriteHeader notes the status.
func (a *Answer) WriteHeader(status int) {
	if a.Status == 0 {
		a.Status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

// Write counts, and gives the caller so much time to read.
func (a *Answer) Write(p []byte) (int, error) {
	if a.Status == 0 {
		a.Status = http.StatusOK
	}
	_ = a.Control.SetWriteDeadline(time.Now().Add(writeTimeout)) // where there is none, a test writes into memory
	n, err := a.ResponseWriter.Write(p)
	a.Bytes += int64(n)
	return n, err
}

// Route is what a mux has for a request: whether anything, and if not, which methods it would
// allow at this path; "" is none.
func Route(mux *http.ServeMux, r *http.Request) (found bool, allow string) {
	handler, pattern := mux.Handler(r)
	if pattern != "" {
		return true, ""
	}
	// The mux answers with 404, or with 405 and what is allowed.
	probe := &headerOnly{header: http.Header{}}
	handler.ServeHTTP(probe, r)
	if probe.status != http.StatusMethodNotAllowed {
		return false, ""
	}
	return false, probe.header.Get("Allow")
}

// headerOnly takes an answer's head.
type headerOnly struct {
	header http.Header
	status int
}

func (h *headerOnly) Header() http.Header         { return h.header }
func (h *headerOnly) WriteHeader(status int)      { h.status = status }
func (h *headerOnly) Write(p []byte) (int, error) { return len(p), nil }
