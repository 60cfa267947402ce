package transport

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

var errRevoked = errors.New("the request is over")

// payload is the body of one request: parts that are somebody else's memory.
type payload struct {
	mu      sync.Mutex
	parts   [][]byte      // guarded by mu: what it refers to is read under mu, or until sent is closed
	revoked bool          // guarded by mu
	sender  *net.TCPConn  // being written to; nil: none; guarded by mu
	sent    chan struct{} // closed when that write is over; guarded by mu
}

func (p *payload) size() int64 {
	var n int64
	for _, part := range p.parts {
		n += int64(len(part))
	}
	return n
}

// revoke waits for a Read under way and lets no other begin. A write to a connection is
// broken off: if it still waits for its peer, the request was given up or answered before
// its end, and the connection is of no use any more.
func (p *payload) revoke() {
	p.mu.Lock()
	p.revoked, p.parts = true, nil
	sent := p.sent
	if p.sender != nil {
		_ = p.sender.SetWriteDeadline(longAgo()) // fails only for one that is closed, which writes nothing more
	}
	p.mu.Unlock()
	if sent != nil {
		<-sent
	}
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

// left is how many bytes were not read.
func (r *payloadReader) left() int64 {
	r.payload.mu.Lock()
	defer r.payload.mu.Unlock()
	n := -int64(r.at)
	for _, part := range r.payload.parts[min(r.part, len(r.payload.parts)):] {
		n += int64(len(part))
	}
	return max(0, n)
}

// sendTo writes what was not read to a connection, from where it lies. The kernel copies it
// while the call lasts, and revoke waits for its end, so that nobody refers to the memory
// afterwards.
func (r *payloadReader) sendTo(c *net.TCPConn) (int64, error) {
	p := r.payload
	p.mu.Lock()
	if p.revoked {
		p.mu.Unlock()
		return 0, errRevoked
	}
	var left net.Buffers
	for i := r.part; i < len(p.parts); i++ {
		if part := p.parts[i]; i == r.part {
			left = append(left, part[r.at:])
		} else {
			left = append(left, part)
		}
	}
	sent := make(chan struct{})
	p.sender, p.sent = c, sent
	p.mu.Unlock()

	n, err := left.WriteTo(c)

	p.mu.Lock()
	defer p.mu.Unlock()
	defer close(sent)
	p.sender, p.sent = nil, nil
	r.part, r.at = len(p.parts), 0 // of a write that failed nothing more is read
	if p.revoked {
		// All of it was written when revoke came, and the connection may carry other requests; or it
		// was not, and the error makes the transport close it.
		_ = c.SetWriteDeadline(time.Time{}) // fails only for one that is closed
		if err != nil {
			err = errRevoked
		}
	}
	return n, err
}

func (r *payloadReader) Close() error { return nil }
