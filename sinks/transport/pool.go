package transport

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"

	"github.com/auditstream/auditstream/sinks"
)

// connecting is how connections are made: everything about them that is not the address.
// Clients that connect in the same way share a pool, and with it the connections to one
// address; those that differ in anything never do. Whatever a setting changes about
// connections belongs here.
type connecting struct {
	roots  string // PEM certificates that are trusted; "": the system's
	caFile string // where they stand, for messages
	other  string // the other settings that are about connections, as JSON

	// Who asks for an address may not be let in by a connection of somebody who may go there.
	owner  string
	egress sinks.Egress
}

// connecting reads what c says about connections.
func (c *Config) connecting() (connecting, error) {
	how := connecting{caFile: c.Settings.CAFile, owner: c.Options.Owner, egress: c.Options.Egress}
	if how.caFile != "" {
		pem, err := os.ReadFile(how.caFile)
		if err != nil {
			return how, fmt.Errorf("ca_file: %w", err)
		}
		how.roots = string(pem)
	}
	other, err := json.Marshal([]any{
		c.Settings.PinSHA256, c.Settings.ClientCert, c.Settings.ClientKey, c.Settings.Proxy, c.Settings.HTTP2,
	})
	if err != nil {
		return how, err
	}
	how.other = string(other)
	return how, nil
}

// pool is the connections of all clients that connect in the same way. Thousands of
// streams to one collector then find open connections, and keep no more of them than a
// few; thousands of collectors share one bound of what is kept open.
type pool struct {
	*http.Transport

	how   connecting
	users int // guarded by pools
}

//nolint:gochecknoglobals // what is shared by all clients of the process
var pools struct {
	sync.Mutex

	open map[connecting]*pool // guarded by the mutex
}

// joinPool returns the pool of a way to connect, which s describes. The caller leaves it.
func joinPool(how connecting, s *Settings) (*pool, error) {
	pools.Lock()
	defer pools.Unlock()
	p := pools.open[how]
	if p == nil {
		transport, err := newTransport(how, s)
		if err != nil {
			return nil, err
		}
		p = &pool{Transport: transport, how: how}
		if pools.open == nil {
			pools.open = map[connecting]*pool{}
		}
		pools.open[how] = p
	}
	p.users++
	return p, nil
}

// leave closes the idle connections when nobody is left. Until then those to an address
// that nobody uses any more close by themselves.
func (p *pool) leave() {
	pools.Lock()
	p.users--
	last := p.users == 0
	if last {
		delete(pools.open, p.how)
	}
	pools.Unlock()
	if last {
		p.CloseIdleConnections()
	}
}

func newTransport(how connecting, s *Settings) (*http.Transport, error) {
	secured, err := s.tls([]byte(how.roots))
	if err != nil {
		return nil, err
	}
	protocols := new(http.Protocols)
	// One request a connection: a stuck one then never holds up those of other lanes.
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(s.HTTP2)
	guarded := &net.Dialer{Timeout: dialTimeout, Control: sinks.Options{Owner: how.owner, Egress: how.egress}.Control}
	free := &net.Dialer{Timeout: dialTimeout}
	return &http.Transport{
		Proxy:                  s.Proxy.choose,
		OnProxyConnectResponse: refusedByProxy,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if address == routeOf(ctx).trusted {
				return dial(ctx, free, network, address)
			}
			return dial(ctx, guarded, network, address)
		},
		TLSHandshakeTimeout:    tlsTimeout,
		TLSClientConfig:        secured,
		IdleConnTimeout:        idleTimeout,
		MaxIdleConns:           maxIdle,
		MaxIdleConnsPerHost:    maxIdlePerAddress,
		MaxResponseHeaderBytes: maxHeader,
		DisableCompression:     true, // a small packed answer may be a large unpacked one
		Protocols:              protocols,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout, WriteByteTimeout: pingTimeout},
	}, nil
}

// route is what connections for one request have to know of its client. It travels with the
// request's context, for the pool is shared.
type route struct {
	trusted  string // address of the environment's proxy
	password string // of the stream's own proxy
}

type routeKey struct{}

func routeOf(ctx context.Context) route {
	r, _ := ctx.Value(routeKey{}).(route)
	return r
}
