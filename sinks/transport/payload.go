package transport

import (
	"errors"
	"io"
	"sync"
)

var errRevoked = errors.New("the request is over")

// payload is the body of one request: parts that are somebody else's memory.
type payload struct {
	mu      sync.Mutex
	parts   [][]byte // guarded by mu: what it refers to is read under mu only
	revoked bool     // guarded by mu
}

func (p *payload) size() int64 {
	var n int64
	for _, part := range p.parts {
		n += int64(len(part))
	}
	return n
}

// revoke waits for a Read under way and lets no other begin.
func (p *payload) revoke() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.revoked, p.parts = true, nil
}

// open returns a reader of the whole payload.
func (p *payload) open() io.ReadCloser { return &payloadReader{payload: p} }

// payloadReader has no WriteTo on purpose: that would hand out the memory itself.
type payloadReader struct {
	payload *payload
	part    int // the part that is read
	at      int // offset in it
}

func (r *payloadReader) Read(b []byte) (int, error) {
	r.payload.mu.Lock()
	defer r.payload.mu.Unlock()
	if r.payload.revoked {
		return 0, errRevoked
	}
	n := 0
	for n < len(b) && r.part < len(r.payload.parts) {
		part := r.payload.parts[r.part]
		copied := copy(b[n:], part[r.at:])
		n += copied
		r.at += copied
		if r.at == len(part) {
			r.part, r.at = r.part+1, 0
		}
	}
	if n == 0 && len(b) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (r *payloadReader) Close() error { return nil }
