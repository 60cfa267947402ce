package transport

import (
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/auditstream/auditstream/internal/secret"
)

// doorman counts the connections of a server.
type doorman struct {
	sync.Mutex

	opened int
	closed chan struct{} // a token for each
}

func (d *doorman) watch(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		d.Lock()
		defer d.Unlock()
		d.opened++
	case http.StateClosed:
		d.closed <- struct{}{}
	case http.StateActive, http.StateIdle, http.StateHijacked:
	}
}

func (d *doorman) count() int {
	d.Lock()
	defer d.Unlock()
	return d.opened
}

func watched(t *testing.T, start func(*httptest.Server)) (*httptest.Server, *doorman) {
	t.Helper()
	d := &doorman{closed: make(chan struct{}, 100)}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	s.Config.ConnState = d.watch
	start(s)
	t.Cleanup(s.Close)
	return s, d
}

func postAll(t *testing.T, clients ...*Client) {
	t.Helper()
	for _, c := range clients {
		if _, err := c.Post(t.Context(), []byte("body")); err != nil {
			t.Fatal(err)
		}
	}
}

func TestStreamsToOneAddressShareItsConnections(t *testing.T) {
	s, d := watched(t, (*httptest.Server).Start)
	var clients []*Client
	for range 100 {
		clients = append(clients, newClient(t, s.URL, nil))
	}
	postAll(t, clients...)
	if n := d.count(); n != 1 {
		t.Errorf("a hundred streams, one request at a time: %d connections", n)
	}
}

func TestConnectionsCloseWithTheLastWhoUsesThem(t *testing.T) {
	s, d := watched(t, (*httptest.Server).Start)
	one, other := newClient(t, s.URL, nil), newClient(t, s.URL, nil)
	postAll(t, one)
	one.Close()
	one.Close() // a second time, which must count for nobody else
	postAll(t, other)
	if n := d.count(); n != 1 {
		t.Errorf("%d connections, although somebody was left", n)
	}
	other.Close()
	<-d.closed
	pools.Lock()
	defer pools.Unlock()
	if len(pools.open) != 0 {
		t.Errorf("%d pools are left", len(pools.open))
	}
}

// What one stream trusts must not vouch for another's connection.
func TestAConnectionIsNotSharedWithWhoTrustsOthers(t *testing.T) {
	s, d := watched(t, (*httptest.Server).StartTLS)
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	file := func(name string, content []byte) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ours, again, more := file("ca.pem", block), file("ca.pem", block), file("ca.pem", append(block, block...))
	trusting := func(path string) *Client {
		return newClient(t, s.URL, func(c *Config) { c.Settings.CAFile = path })
	}
	postAll(t, trusting(ours), trusting(ours))
	if n := d.count(); n != 1 {
		t.Errorf("two streams with the same certificates: %d connections", n)
	}
	if err := os.WriteFile(ours, append(block, '\n'), 0o600); err != nil {
		t.Fatal(err)
	}
	postAll(t, trusting(ours), trusting(again), trusting(more))
	if n := d.count(); n != 4 {
		t.Errorf("and three with others: %d connections in all", n)
	}
	if _, err := newClient(t, s.URL, nil).Post(t.Context(), []byte("body")); err == nil {
		t.Error("a stream that trusts the system's certificates found a connection open")
	}
}

// Nor must what one owner's streams may connect to be open for another's.
func TestAConnectionIsNotSharedAcrossOwnersAndSettings(t *testing.T) {
	s, d := watched(t, (*httptest.Server).Start)
	everywhere, elsewhere := &anywhere{1}, &anywhere{2}
	for i, c := range []struct {
		change func(*Config)
		want   int // connections up to here
	}{
		{func(c *Config) { c.Options.Owner, c.Options.Egress = "file", everywhere }, 1},
		{func(c *Config) { c.Options.Owner, c.Options.Egress = "file", everywhere }, 1},
		{func(c *Config) { c.Options.Owner, c.Options.Egress = "acme", everywhere }, 2},
		{func(c *Config) { c.Options.Owner, c.Options.Egress = "acme", elsewhere }, 3},
		{func(c *Config) { c.Settings.Proxy.URL = "direct" }, 4},
		{func(c *Config) { c.Settings.PinSHA256 = []string{strings.Repeat("ab", 32)} }, 5},
		{func(c *Config) {
			c.Settings.ClientCert, c.Settings.ClientKey = secret.Ref{Exec: []string{"a, b"}}, secret.Ref{Env: "K"}
		}, 6},
		{func(c *Config) {
			c.Settings.ClientCert, c.Settings.ClientKey = secret.Ref{Exec: []string{"a", "b"}}, secret.Ref{Env: "K"}
		}, 7},
	} {
		postAll(t, newClient(t, s.URL, c.change))
		if n := d.count(); n != c.want {
			t.Errorf("%d connections after client %d, want %d", n, i, c.want)
		}
	}
}

// anywhere allows every address.
type anywhere struct{ number int } // of a size, or all would be one

func (*anywhere) Check(string, netip.Addr) error { return nil }
