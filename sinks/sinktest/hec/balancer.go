package hec

import (
	"fmt"
	"net/http"
	"sync"
)

// Balancer is a load balancer before several collectors, each of which numbers and
// acknowledges its own requests only. Whoever sends its cookie back stays with one collector.
type Balancer struct {
	nodes  []*Server
	cookie string // name of the cookie; empty: nobody stays

	mu     sync.Mutex
	next   int          // the node for whoever has no cookie; guarded by mu
	down   map[int]bool // guarded by mu
	answer int          // number of the next one; guarded by mu
}

// NewBalancer makes a balancer whose cookie has that name; empty for one without sticky
// sessions. One whose name begins with AWSALB is written anew with every answer, as that of
// AWS is, which is encrypted each time; others only when they change.
func NewBalancer(cookie string, nodes ...*Server) *Balancer {
	return &Balancer{nodes: nodes, cookie: cookie, down: map[int]bool{}}
}

// Down takes a node out, or in again.
func (b *Balancer) Down(node int, down bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.down[node] = down
}

// ServeHTTP implements http.Handler.
func (b *Balancer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	b.answer++
	node := -1
	if sent, err := r.Cookie(b.cookie); err == nil && b.cookie != "" {
		var n, answer int
		if _, err := fmt.Sscanf(sent.Value, "node%d-%d", &n, &answer); err == nil && n >= 0 && n < len(b.nodes) && !b.down[n] {
			node = n
		}
	}
	stays := node >= 0
	for i := 0; node < 0 && i < len(b.nodes); i++ {
		if b.next = (b.next + 1) % len(b.nodes); !b.down[b.next] {
			node = b.next
		}
	}
	answer := b.answer
	b.mu.Unlock()
	if node < 0 {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte("<html><body><h1>503 Service Temporarily Unavailable</h1></body></html>"))
		return
	}
	if renewed := len(b.cookie) >= 6 && b.cookie[:6] == "AWSALB"; b.cookie != "" && (!stays || renewed) {
		if !renewed {
			answer = 0
		}
		http.SetCookie(w, &http.Cookie{Name: b.cookie, Value: fmt.Sprintf("node%d-%d", node, answer), Path: "/"})
	}
	b.nodes[node].ServeHTTP(w, r)
}
