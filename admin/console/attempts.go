package console

import (
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// Bounds of log-ins with a token that is nobody's.
const (
	maxAttempts    = 10          // of one address in attemptTime
	maxAttemptsAll = 200         // of all addresses in attemptTime
	attemptTime    = time.Minute //
	maxAddresses   = 4096        // that are remembered
)

// attempts counts failed log-ins by address, so that tokens cannot be guessed at speed.
type attempts struct {
	mu        sync.Mutex
	since     time.Time      // guarded by mu, like all below
	all       int            //
	byAddress map[string]int //
}

func newAttempts() *attempts { return &attempts{byAddress: map[string]int{}} }

// allowed says whether an address may try now.
func (a *attempts) allowed(address string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.turn()
	return a.all < maxAttemptsAll && a.byAddress[address] < maxAttempts
}

// failed notes an attempt that failed. Beyond so many addresses only the sum counts.
func (a *attempts) failed(address string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.turn()
	a.all++
	if _, known := a.byAddress[address]; known || len(a.byAddress) < maxAddresses {
		a.byAddress[address]++
	}
}

// turn begins to count anew when the time is over. The caller holds mu.
func (a *attempts) turn() {
	if now := time.Now(); now.Sub(a.since) >= attemptTime {
		a.since, a.all = now, 0
		clear(a.byAddress)
	}
}

// addressOf is whom attempts are counted for: the network of an IPv6 address, since one
// machine has as many addresses in it as it likes. What a proxy says of others is not
// believed.
func addressOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	ip, err := netip.ParseAddr(host)
	if err != nil || ip.Unmap().Is4() {
		return host
	}
	network, err := ip.WithZone("").Prefix(64)
	if err != nil {
		return host
	}
	return network.String()
}
