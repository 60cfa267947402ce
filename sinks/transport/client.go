// Package transport is the HTTP layer that the sinks share: one [Client] a sink. It
// makes one attempt a [Client.Do] and promises that
//
//   - every wait ends: by the context, by the client's time-out, by that of one step,
//   - an answer is read up to [MaxBody] bytes and never unpacked,
//   - no redirect is followed, for it would carry the credential to another place,
//   - certificates are always verified: by the authorities that are trusted, or by their
//     fingerprint,
//   - no connection is made to an address that the operator does not allow,
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
	"github.com/auditstream/auditstream/sinks"
)

const (
	// MaxBody is how much of an answer's body is read, in bytes. The answers of Splunk and
	// Datadog are below 1 KB; a connection whose answer is larger is closed.
	MaxBody = 64 << 10

	maxHeader   = 64 << 10 // of an answer, in bytes
	dialTimeout = 10 * time.Second
	tlsTimeout  = 10 * time.Second
	pingAfter   = 15 * time.Second // of silence on a connection that carries several requests
	pingTimeout = 15 * time.Second // after which such a one is given up
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
	Header  http.Header // of every request; may be nil

	Credential       secret.Ref // read when it is first needed, and after ForgetCredential
	CredentialHeader string     // the header that carries it
	CredentialPrefix string     // what precedes it there: "Splunk "

	SecretHeaders []SecretHeader // more headers that are secrets
	SpacedSecrets bool           // SecretHeaders may hold spaces, as in "Bearer TOKEN"

	Settings Settings      // what the operator has set
	Options  sinks.Options // of the sink
}

// SecretHeader is a header of every request that no error, log or test shows.
type SecretHeader struct {
	Name   string
	Prefix string // of the value, and no secret: "Bearer "
	Value  secret.Ref
	Encode func(secret string) string // how the secret stands there; nil: as it is
}

type secretHeader struct {
	SecretHeader

	secret *Secret
}

func (h *secretHeader) encoded(secret string) string {
	if h.Encode == nil {
		return secret
	}
	return h.Encode(secret)
}

// Client speaks to one service. It is safe for concurrent use.
type Client struct {
	config  Config
	timeout time.Duration // of one request, from reading the secrets to the answer's end
	address string        // scheme and host, for messages
	trusted string        // address of the environment's proxy, which egress is not asked for
	http    *http.Client
	pool    *pool
	closing sync.Once
	secrets []secretHeader
	proxy   *Secret     // password of the stream's own proxy; nil: none
	packs   *compressor // nil: bodies are sent as they are
}

// New makes a client. It reads the CA file and does nothing on the network.
func New(c Config) (*Client, error) {
	u, err := url.Parse(c.URL)
	if err != nil {
		return nil, errors.New("the url cannot be read") // the cause would repeat it
	}
	if c.Settings.Timeout <= 0 {
		return nil, errors.New("the time-out is not more than 0")
	}
	how, err := c.connecting()
	if err != nil {
		return nil, err
	}
	client := &Client{
		config:  c,
		timeout: c.Settings.Timeout.Std(),
		address: u.Scheme + "://" + u.Host,
		trusted: c.Settings.Proxy.ofEnvironment(u),
		http: &http.Client{
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	headers := c.SecretHeaders
	if c.CredentialHeader != "" {
		headers = append(slices.Clip(headers), SecretHeader{Name: c.CredentialHeader, Prefix: c.CredentialPrefix, Value: c.Credential})
	}
	for _, h := range headers {
		s := NewSecret(h.Value)
		s.spaced = c.SpacedSecrets
		client.secrets = append(client.secrets, secretHeader{h, s})
	}
	if c.Settings.Proxy.Username != "" {
		client.proxy = NewSecret(c.Settings.Proxy.Password)
	}
	if packing, ok := c.Settings.packing(); ok {
		if client.packs, err = newCompressor(packing); err != nil {
			return nil, err
		}
	}
	if client.pool, err = joinPool(how, &c.Settings); err != nil {
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
	if c.proxy != nil {
		c.proxy.Forget()
	}
}

// Close leaves the connections to others that use them, or closes the idle ones.
func (c *Client) Close() { c.closing.Do(c.pool.leave) }
