package httpserver

import (
	"container/list"
	"context"
	"net"
	"net/http"
	"sync"
)

// connections bounds how many connections are open at once, so that nobody can take all of a
// process's descriptors and memory by opening them. At the bound a new one takes the place of
// the one on which nothing has been under way for the longest time: that is one that is kept
// for later, or one whose caller does not come to the point. A request under way is never
// ended for it; where nothing else is left, the new connection is closed.
type connections struct {
	net.Listener
	most int // 0: no bound
	note Figures

	mu      sync.Mutex
	open    int        // guarded by mu
	waiting *list.List // of *connection on which nothing is under way, the longest first; guarded by mu
}

// connection is one that is open.
type connection struct {
	net.Conn
	all *connections

	requests int           // under way; guarded by all.mu
	place    *list.Element // in all.waiting; guarded by all.mu
	closed   bool          // guarded by all.mu
}

func bounded(l net.Listener, most int, note Figures) *connections {
	return &connections{Listener: l, most: most, note: note, waiting: list.New()}
}

// Accept waits for a connection that may stay.
func (c *connections) Accept() (net.Conn, error) {
	for {
		conn, err := c.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if taken := c.take(conn); taken != nil {
			return taken, nil
		}
		_ = conn.Close()
	}
}

// take counts a connection in; nil: there is no room.
func (c *connections) take(conn net.Conn) net.Conn {
	c.mu.Lock()
	var victim *connection
	if c.most > 0 && c.open >= c.most {
		if c.note.Evicted != nil {
			c.note.Evicted.Inc()
		}
		front := c.waiting.Front()
		if front == nil {
			c.mu.Unlock()
			return nil
		}
		victim = front.Value.(*connection)
		victim.leave()
	}
	taken := &connection{Conn: conn, all: c}
	taken.place = c.waiting.PushBack(taken)
	c.opened(1)
	c.mu.Unlock()
	if victim != nil {
		_ = victim.Conn.Close()
	}
	return taken
}

// opened counts one in, or out. mu is held.
func (c *connections) opened(change int) {
	c.open += change
	if c.note.Open != nil {
		c.note.Open.Set(float64(c.open))
	}
}

// count says how many are open.
func (c *connections) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.open
}

// leave counts the connection out, once. all.mu is held.
func (c *connection) leave() {
	if c.closed {
		return
	}
	c.closed = true
	c.all.opened(-1)
	if c.place != nil {
		c.all.waiting.Remove(c.place)
		c.place = nil
	}
}

// Close closes it.
func (c *connection) Close() error {
	c.all.mu.Lock()
	c.leave()
	c.all.mu.Unlock()
	return c.Conn.Close()
}

// begin notes that a request is under way: its headers have come.
func (c *connection) begin() {
	c.all.mu.Lock()
	defer c.all.mu.Unlock()
	c.requests++
	if c.place != nil {
		c.all.waiting.Remove(c.place)
		c.place = nil
	}
}

// end notes that a request has been answered.
func (c *connection) end() {
	c.all.mu.Lock()
	defer c.all.mu.Unlock()
	if c.requests--; c.requests == 0 && !c.closed {
		c.place = c.all.waiting.PushBack(c)
	}
}

// connectionKey is under which a request's context has its connection.
type connectionKey struct{}

// connContext is for http.Server.
func connContext(ctx context.Context, c net.Conn) context.Context {
	for {
		switch under := c.(type) {
		case *connection:
			return context.WithValue(ctx, connectionKey{}, under)
		case interface{ NetConn() net.Conn }: // *tls.Conn
			c = under.NetConn()
		default:
			return ctx
		}
	}
}

// noted notes on the connections what is under way.
func noted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ok := r.Context().Value(connectionKey{}).(*connection); ok {
			c.begin()
			defer c.end()
		}
		next.ServeHTTP(w, r)
	})
}
