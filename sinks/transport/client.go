// Package transport is the HTTP layer that the sinks share: one [Client] a sink. It
// makes one attempt a [Client.Do] and promises that
//
//   - every wait ends: by the context, by the client's time-out, by that of one step,
//   - an answer is read up to [MaxBody] bytes and never unpacked,
//   - no redirect is followed, for it would carry the credential to another place,
//   - TLS certificates are always verified,
//   - no error holds the credential, the URL's path or query, or a header's value,
//   - nothing refers to the caller's memory any more once Do has returned.
//
// What an answer means for the events is decided here where it does not depend on the
// kind of destination: [Answer.Class] and [Answer.Refusal].
package transport

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"time"

	"github.com/auditstream/auditstream/internal/secret"
)

const (
	// MaxBody is how much of an answer's body is read, in bytes. The answers of Splunk and
	// Datadog are below 1 KB; a connection whose answer is larger is closed.
	MaxBody = 64 << 10

	maxHeader   = 64 << 10 // of an answer, in bytes
	dialTimeout = 10 * time.Second
	tlsTimeout  = 10 * time.Second
	idleTimeout = 50 * time.Second // below the 60 s after which common load balancers drop idle connections

	// A lane has one request in flight, so this is the number of lanes of one stream that
	// find a connection open after a pause. Idle connections beyond it are closed.
	maxIdle = 16
)

// Config is what a client needs.
type Config struct {
	Service string      // what should answer, as people call it: "Splunk HEC"
	URL     string      // in full; see BaseURL
	Version string      // of auditstream, for the user agent
	Header  http.Header // of every request; may be nil

	Credential       secret.Ref // read when it is first needed, and after ForgetCredential
	CredentialHeader string     // the header that carries it
	CredentialPrefix string     // what precedes it there: "Splunk "

	SecretHeaders []SecretHeader // more headers that are secrets

	CAFile    string        // PEM certificates that are trusted in place of the system's; "": the system's
	Timeout   time.Duration // of one request, from reading the credential to the answer's end; more than 0
	GzipLevel int           // 1 (fast) to 9 (small); 0: bodies are sent as they are
}

// SecretHeader is a header of every request that no error, log or test shows.
type SecretHeader struct {
	Name   string
	Prefix string // of the value, and no secret: "Bearer "
	Value  secret.Ref
}

type secretHeader struct {
	SecretHeader

	secret *Secret
}

// Client speaks to one service. It is safe for concurrent use.
type Client struct {
	config  Config
	address string // scheme and host, for messages
	http    *http.Client
	pool    *http.Transport
	secrets []secretHeader
	gzip    *compressor // nil: not compressed
}

// New makes a client. It reads the CA file and does nothing on the network.
func New(c Config) (*Client, error) {
	u, err := url.Parse(c.URL)
	if err != nil {
		return nil, errors.New("the url cannot be read") // the cause would repeat it
	}
	if c.Timeout <= 0 {
		return nil, errors.New("the time-out is not more than 0")
	}
	roots, err := readRoots(c.CAFile)
	if err != nil {
		return nil, err
	}
	protocols := new(http.Protocols)
	// One request a connection: a stuck one then never holds up those of other lanes.
	protocols.SetHTTP1(true)
	pool := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: dialTimeout}).DialContext,
		TLSHandshakeTimeout:    tlsTimeout,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		ResponseHeaderTimeout:  c.Timeout,
		IdleConnTimeout:        idleTimeout,
		MaxIdleConns:           maxIdle,
		MaxIdleConnsPerHost:    maxIdle,
		MaxResponseHeaderBytes: maxHeader,
		DisableCompression:     true, // a small packed answer may be a large unpacked one
		Protocols:              protocols,
	}
	client := &Client{
		config:  c,
		address: u.Scheme + "://" + u.Host,
		pool:    pool,
		http: &http.Client{
			Transport:     pool,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	headers := c.SecretHeaders
	if c.CredentialHeader != "" {
		headers = append(slices.Clip(headers), SecretHeader{c.CredentialHeader, c.CredentialPrefix, c.Credential})
	}
	for _, h := range headers {
		client.secrets = append(client.secrets, secretHeader{h, NewSecret(h.Value)})
	}
	if c.GzipLevel != 0 {
		if client.gzip, err = newCompressor(c.GzipLevel); err != nil {
			return nil, err
		}
	}
	return client, nil
}

func readRoots(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil //nolint:nilnil // no pool means the system's certificates
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("ca_file: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("ca_file: %s holds no certificate in PEM form", file)
	}
	return roots, nil
}

// ForgetCredential makes the next request read its secrets anew: it is called after
// an answer that may mean that the present one is wrong, so that a mended one counts
// without a restart.
func (c *Client) ForgetCredential() {
	for _, s := range c.secrets {
		s.secret.Forget()
	}
}

// Close closes idle connections.
func (c *Client) Close() { c.pool.CloseIdleConnections() }
