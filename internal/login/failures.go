package login

import (
	"net"
	"net/http"
	"sync"
	"time"
)

// Bounds of failures.
const (
	failuresAMinute = 20
	maxFailing      = 4096 // addresses in memory
)

// Failures counts failures to log in by address, in memory of a fixed size. A valid secret is
// let through however many there were, or anybody who shares an address with others could
// lock them out; secrets are too long to be guessed. What is bounded is work, and the log.
// The zero value is ready.
type Failures struct {
	mu    sync.Mutex
	since time.Time      // guarded by mu
	count map[string]int // guarded by mu
}

// Add counts one more from a host and says whether it is within the bounds.
func (f *Failures) Add(host string, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.count == nil || now.Sub(f.since) >= time.Minute || len(f.count) >= maxFailing && f.count[host] == 0 {
		f.since, f.count = now, map[string]int{}
	}
	f.count[host]++
	return f.count[host] <= failuresAMinute
}

// Host is the address of whoever has connected. What headers say of it is not asked: anybody
// can write them.
func Host(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
