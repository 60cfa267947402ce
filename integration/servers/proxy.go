//go:build linux

package servers

import (
	"context"
	"encoding/json"
	"net"
	"strings"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// Toxic is one thing that goes wrong in a connection, in toxiproxy's terms: its attributes
// are those of the kind, times in milliseconds.
type Toxic struct {
	Type       string           `json:"type"`   // latency, reset_peer, timeout, slow_close, …
	Stream     string           `json:"stream"` // upstream or downstream
	Attributes map[string]int64 `json:"attributes"`
}

// Proxy stands between a client and a server, and makes their network fail.
type Proxy struct {
	Addr string // where clients connect

	proxy *toxiproxy.Proxy
}

// StartProxy starts a proxy that leads from listen, host:port, to upstream. It ends with
// the test.
func StartProxy(t *testing.T, listen, upstream string) *Proxy {
	t.Helper()
	log := zerolog.Nop()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), log)
	p := &Proxy{proxy: toxiproxy.NewProxy(server, upstream, listen, upstream)}
	p.Up(t)
	p.Addr = p.proxy.Listen
	t.Cleanup(p.proxy.Stop)
	return p
}

// StartProxyTo starts a proxy before the server at upstream, host:port, on a free port.
func StartProxyTo(t *testing.T, upstream string) *Proxy {
	t.Helper()
	return StartProxy(t, net.JoinHostPort("127.0.0.1", "0"), upstream)
}

// Add makes the connections that there are, and those to come, fail in that way.
func (p *Proxy) Add(t *testing.T, toxic Toxic) {
	t.Helper()
	text, err := json.Marshal(toxic)
	if err != nil {
		t.Fatal(err)
	}
	p.within(t, func() {
		if _, err := p.proxy.Toxics.AddToxicJson(strings.NewReader(string(text))); err != nil {
			t.Errorf("proxy: add %s: %v", text, err)
		}
	})
}

// Heal removes what was added.
func (p *Proxy) Heal(t *testing.T) {
	t.Helper()
	p.within(t, func() { p.proxy.Toxics.ResetToxics(context.Background()) })
}

// Down closes all connections and refuses new ones.
func (p *Proxy) Down(t *testing.T) {
	t.Helper()
	p.within(t, p.proxy.Stop)
}

// Up listens again.
func (p *Proxy) Up(t *testing.T) {
	t.Helper()
	if err := p.proxy.Start(); err != nil {
		t.Fatalf("proxy to %s: %v", p.proxy.Upstream, err)
	}
}

// within bounds a change: it has to wait for what every connection is just doing.
func (p *Proxy) within(t *testing.T, change func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		change()
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatalf("the proxy to %s does not change", p.proxy.Upstream)
	}
}
