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
	"errors"
	"net/http"
	"net/url"
	"slices"
	"sync"
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

	// Idle connections beyond these are closed, the one that was used longest ago first. A
	// process has no more requests under way than maxIdlePerAddress by default. An idle
	// connection takes some 20 KiB, with TLS twice that.
	maxIdlePerAddress = 64
	maxIdle           = 4096
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
	pool    *pool
	closing sync.Once
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
	how, err := c.connecting()
	if err != nil {
		return nil, err
	}
	client := &Client{
		config:  c,
		address: u.Scheme + "://" + u.Host,
		http: &http.Client{
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
	if client.pool, err = joinPool(how); err != nil {
		return nil, err
	}
	client.http.Transport = client.pool
	return client, nil
}

// ForgetCredential makes the next request read its secrets anew: it is called after
// an answer that may mean that the present one is wrong, so that a mended one counts
// without a restart.
func (c *Client) ForgetCredential() {
	for _, s := range c.secrets {
		s.secret.Forget()
	}
}

// Close leaves the connections to others that use them, or closes the idle ones.
func (c *Client) Close() { c.closing.Do(c.pool.leave) }
