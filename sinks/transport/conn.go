package transport

import (
	"context"
	"io"
	"net"
	"time"
)

// conn is a TCP connection that takes the body of a request without a copy on the way: over
// plain HTTP the transport of the standard library hands the body to the connection to read
// from, and would otherwise copy it in pieces of 32 KiB through memory of its own, which
// costs as much as the kernel's own copy. Whatever stands between (TLS, HTTP/2) does not
// call ReadFrom and is served as ever.
type conn struct{ *net.TCPConn }

// ReadFrom sends what r has.
func (c conn) ReadFrom(r io.Reader) (int64, error) {
	if limited, ok := r.(*io.LimitedReader); ok {
		if body, ok := limited.R.(*payloadReader); ok && body.left() <= limited.N {
			n, err := body.sendTo(c.TCPConn)
			limited.N -= n
			return n, err
		}
	}
	return c.TCPConn.ReadFrom(r)
}

// dial makes connections of d that are sent to without a copy.
func dial(ctx context.Context, d *net.Dialer, network, address string) (net.Conn, error) {
	made, err := d.DialContext(ctx, network, address)
	if tcp, ok := made.(*net.TCPConn); ok {
		return conn{tcp}, err
	}
	return made, err
}

// longAgo is a deadline that has passed.
func longAgo() time.Time { return time.Unix(1, 0) }
