// Package faults makes an honest double of a destination fail on purpose, in the ways
// that real destinations and the networks before them fail. A fault can strike after
// the double has durably stored what it was sent: the case that retries must survive.
package faults

import (
	"bytes"
	"io"
	"maps"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
)

// Cut says where a connection breaks.
type Cut int

const (
	// NoCut lets the connection live.
	NoCut Cut = iota
	// CutBeforeBody resets the connection before the request's body is read. Store has
	// no meaning then.
	CutBeforeBody
	// CutBeforeAnswer resets the connection when the body has been read, before the first
	// byte of an answer.
	CutBeforeAnswer
	// CutInAnswer breaks the connection in the middle of the answer's body.
	CutInAnswer
)

// Answer is what happens to one request in place of the double's own answer.
type Answer struct {
	Store  bool        // hand the request to the double first: what it takes is durable, whatever is answered
	Status int         // of the answer; 0 with Store: the double's own answer, else 200
	Header http.Header // of the answer
	Body   []byte      // of the answer
	Pad    int64       // bytes of spaces that follow Body
	Cut    Cut         // where the connection breaks
	Hang   bool        // answer nothing until the client goes away or the server closes
}

// Hook decides about a request: nil leaves it to the double. It is called
// concurrently and must not read the body.
type Hook func(*http.Request) *Answer

// Handler stands before a double's handler.
type Handler struct {
	next   http.Handler
	padded atomic.Int64

	mu   sync.Mutex
	hook Hook // guarded by mu
}

// New puts faults before next. Until Program is called there are none.
func New(next http.Handler) *Handler { return &Handler{next: next} }

// Program makes hook decide about every later request; nil ends all faults.
func (h *Handler) Program(hook Hook) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hook = hook
}

// Padded is how many answers with a Pad were taken by their client to the last byte.
func (h *Handler) Padded() int { return int(h.padded.Load()) }

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	hook := h.hook
	h.mu.Unlock()
	var a *Answer
	if hook != nil {
		a = hook(r)
	}
	if a == nil {
		h.next.ServeHTTP(w, r)
		return
	}
	h.strike(w, r, a)
}

func (h *Handler) strike(w http.ResponseWriter, r *http.Request, a *Answer) {
	if a.Cut == CutBeforeBody {
		reset(w)
	}
	own := &recorder{header: http.Header{}}
	if a.Store {
		h.next.ServeHTTP(own, r)
	}
	// Without the body read to its end the server does not notice a client that leaves.
	_, _ = io.Copy(io.Discard, r.Body)
	if a.Hang {
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	}
	if a.Cut == CutBeforeAnswer {
		reset(w)
	}

	status, header, body := a.Status, a.Header, a.Body
	if status == 0 {
		status = http.StatusOK
		if a.Store {
			status, header, body = own.status(), own.header, own.body.Bytes()
		}
	}
	maps.Copy(w.Header(), header)
	w.Header().Set("Content-Length", strconv.FormatInt(int64(len(body))+a.Pad, 10))
	if a.Cut == CutInAnswer {
		// One byte more than follows, so that even an empty body is cut short.
		w.Header().Set("Content-Length", strconv.Itoa(len(body)+1))
		w.WriteHeader(status)
		_, _ = w.Write(body[:len(body)/2])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(status)
	if _, err := w.Write(body); err != nil || a.Pad == 0 {
		return
	}
	if _, err := io.Copy(w, io.LimitReader(spaces{}, a.Pad)); err == nil {
		h.padded.Add(1)
	}
}

// reset breaks the connection with a TCP reset, so that the client sees neither an
// answer nor an orderly end, and ends the handler.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		raw := conn
		if t, ok := conn.(interface{ NetConn() net.Conn }); ok {
			raw = t.NetConn()
		}
		if t, ok := raw.(*net.TCPConn); ok {
			_ = t.SetLinger(0)
		}
		_ = raw.Close()
	}
	panic(http.ErrAbortHandler)
}

type spaces struct{}

func (spaces) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// recorder takes the double's own answer, for it may be thrown away.
type recorder struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(code int) {
	if r.code == 0 {
		r.code = code
	}
}

func (r *recorder) Write(p []byte) (int, error) { return r.body.Write(p) }

func (r *recorder) status() int {
	if r.code == 0 {
		return http.StatusOK
	}
	return r.code
}
