package transport

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
)

// connecting is how connections are made: everything about them that is not the address.
// Clients that connect in the same way share a pool, and with it the connections to one
// address; those that differ in anything never do. Whatever a setting changes about
// connections belongs here.
type connecting struct {
	roots  string // PEM certificates that are trusted; "": the system's
	caFile string // where they stand, for messages
}

// connecting reads what c says about connections.
func (c *Config) connecting() (connecting, error) {
	how := connecting{caFile: c.CAFile}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return how, fmt.Errorf("ca_file: %w", err)
		}
		how.roots = string(pem)
	}
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

// joinPool returns the pool of a way to connect. The caller leaves it.
func joinPool(how connecting) (*pool, error) {
	pools.Lock()
	defer pools.Unlock()
	p := pools.open[how]
	if p == nil {
		transport, err := newTransport(how)
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

func newTransport(how connecting) (*http.Transport, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if how.caFile != "" {
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM([]byte(how.roots)) {
			return nil, fmt.Errorf("ca_file: %s holds no certificate in PEM form", how.caFile)
		}
	}
	protocols := new(http.Protocols)
	// One request a connection: a stuck one then never holds up those of other lanes.
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: dialTimeout}).DialContext,
		TLSHandshakeTimeout:    tlsTimeout,
		TLSClientConfig:        conf,
		IdleConnTimeout:        idleTimeout,
		MaxIdleConns:           maxIdle,
		MaxIdleConnsPerHost:    maxIdlePerAddress,
		MaxResponseHeaderBytes: maxHeader,
		DisableCompression:     true, // a small packed answer may be a large unpacked one
		Protocols:              protocols,
	}, nil
}
