package httpserver

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// timely bounds how long the body of a request may take. A handler that reads it may set a
// deadline of its own; one that does not read it has to be bounded all the same: the server
// reads on before it answers, in the handler's first large write or behind its end, and a
// caller who sends nothing more would hold the request for ever, key or no key.
func timely(next http.Handler, d time.Duration) http.Handler {
	if d == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength == 0 {
			next.ServeHTTP(w, r)
			return
		}
		control := http.NewResponseController(w)
		_ = control.SetReadDeadline(time.Now().Add(d)) // without one, the body is in memory
		body := &bodyToItsEnd{ReadCloser: r.Body, control: control}
		r.Body = body
		next.ServeHTTP(w, r)
		if !body.ended {
			_ = control.SetReadDeadline(time.Now().Add(d)) // also where the handler took its own away
		}
	})
}

// bodyToItsEnd takes the deadline away at the end of a body: what is read from then on only
// shows whether the caller is still there, and a deadline would be taken for its going.
type bodyToItsEnd struct {
	io.ReadCloser
	control *http.ResponseController
	ended   bool // owned by the handler
}

func (b *bodyToItsEnd) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) && !b.ended {
		b.ended = true
		_ = b.control.SetReadDeadline(time.Time{})
	}
	return n, err
}
