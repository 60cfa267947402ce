package s3

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/auditstream/auditstream/sinks"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
)

// common is what the sinks of one [Kind] share. A process may have ten thousand streams to
// S3, each with a sink of its own: what is large, or limited, or asked of a service of the
// machine, is there once.
type common struct {
	packers packers

	mu       sync.Mutex
	pools    map[connecting]*pool               // guarded by mu
	machines map[string]aws.CredentialsProvider // credentials of this machine, by region; guarded by mu
}

// connecting is how connections are made: sinks that differ in it share none. Who is not
// let in to an address may not come in by the connection of somebody who is.
type connecting struct {
	caFile string
	owner  string
	egress sinks.Egress
}

// pool is the connections of all sinks that connect in the same way.
type pool struct {
	*http.Transport

	users int // guarded by common.mu
}

// connect gives the connections of those who connect as how says. Each call is followed by
// one of disconnect.
func (c *common) connect(how connecting) (*http.Transport, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.pools[how]
	if p == nil {
		roots, err := readRoots(how.caFile)
		if err != nil {
			return nil, err
		}
		p = &pool{Transport: newTransport(how, roots)}
		if c.pools == nil {
			c.pools = map[connecting]*pool{}
		}
		c.pools[how] = p
	}
	p.users++
	return p.Transport, nil
}

// disconnect closes the idle connections when nobody is left to use them.
func (c *common) disconnect(how connecting) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.pools[how]
	if p.users--; p.users == 0 {
		delete(c.pools, how) // the next one reads the file anew
		p.CloseIdleConnections()
	}
}

// machine is the SDK's chain of what a machine may have: environment, shared files, web
// identity, container, instance. A chain is a quarter of a megabyte, and asks services
// that bound how often they are asked.
func (c *common) machine(region string) (aws.CredentialsProvider, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m := c.machines[region]; m != nil {
		return m, nil
	}
	loaded, err := config.LoadDefaultConfig(context.Background(), config.WithRegion(region))
	if err != nil {
		return nil, fmt.Errorf("s3: read the AWS settings of this machine: %w", err)
	}
	if c.machines == nil {
		c.machines = map[string]aws.CredentialsProvider{}
	}
	c.machines[region] = loaded.Credentials
	return loaded.Credentials, nil
}

func readRoots(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil //nolint:nilnil // no pool means the system's certificates
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("s3: ca_file: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("s3: ca_file: %s holds no certificate in PEM form", file)
	}
	return roots, nil
}

// newTransport has a time-out for every step that the time-out of the whole request
// would leave to chance.
func newTransport(how connecting, roots *x509.CertPool) *http.Transport {
	const (
		perHost = 32  // objects go out over a handful of connections
		idle    = 256 // of all buckets together: an idle connection with TLS is some 50 KB
	)
	guarded := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second, Control: sinks.Options{Owner: how.owner, Egress: how.egress}.Control}
	free := &net.Dialer{Timeout: guarded.Timeout, KeepAlive: guarded.KeepAlive}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true) // S3 speaks nothing else
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if address == ctx.Value(trustedKey{}) {
				return free.DialContext(ctx, network, address)
			}
			return guarded.DialContext(ctx, network, address)
		},
		TLSHandshakeTimeout:    10 * time.Second,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		ExpectContinueTimeout:  time.Second,
		IdleConnTimeout:        55 * time.Second, // S3 closes idle connections after about a minute
		MaxIdleConns:           idle,
		MaxIdleConnsPerHost:    perHost,
		MaxResponseHeaderBytes: 64 << 10, // S3's are below 4 KB, user metadata included
		DisableCompression:     true,     // an object is compared as it is stored
		Protocols:              protocols,
	}
}

// trustedKey is of the address, in a request's context, that the operator's policy is not
// asked about: that of the proxy which the environment of the process names.
type trustedKey struct{}

// proxied gives r the address of its proxy to be trusted.
func proxied(r *http.Request) *http.Request {
	u, err := http.ProxyFromEnvironment(r)
	if err != nil || u == nil {
		return r
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}[u.Scheme]
	}
	return r.WithContext(context.WithValue(r.Context(), trustedKey{}, net.JoinHostPort(u.Hostname(), port)))
}
