// Package client is the control plane over HTTP: an [admin.Service] whose work a server does.
// What the server says is wrong comes back as an *[admin.Error], as the server's own service
// would have returned it.
package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/auditstream/auditstream/admin"
)

// Config says which server, and as whom.
type Config struct {
	URL       string                                // of the server, without a path: https://auditstream.example:8082
	Token     func(context.Context) (string, error) // read for each request: a token may be changed in its file
	TLS       *tls.Config                           // nil: the system's certificates
	UserAgent string
	Insecure  bool // send the token over plain HTTP to other machines too
}

// Client is an [admin.Service].
type Client struct {
	config Config
	base   *url.URL
	http   *http.Client
}

var _ admin.Service = (*Client)(nil)

// Times of the client. How long an answer takes is the server's, or the caller's, affair.
const (
	connectTime = 10 * time.Second
	retryPause  = 200 * time.Millisecond
	tries       = 3
)

// maxAnswer bounds an answer that is read whole.
const maxAnswer = 512 << 20

// New makes a client. It does not connect. A token is not sent over plain HTTP to another
// machine, where whoever is in between reads it, unless the configuration says so.
func New(c Config) (*Client, error) {
	base, err := url.Parse(c.URL)
	switch {
	case err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https":
		return nil, fmt.Errorf("%q is no address of a server, such as https://auditstream.example:8082", printable(c.URL))
	case base.User != nil || base.RawQuery != "" || base.Fragment != "" || strings.Trim(base.Path, "/") != "":
		return nil, fmt.Errorf("the server's address has more than a host and a port: write %s://%s", base.Scheme, base.Host)
	case base.Scheme == "http" && !c.Insecure && !loopback(base.Hostname()):
		return nil, fmt.Errorf("%s is plain HTTP: whoever is in between would read the token; use https", base.Host)
	}
	dialer := &net.Dialer{Timeout: connectTime}
	return &Client{config: c, base: base, http: &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, TLSClientConfig: c.TLS,
			TLSHandshakeTimeout: connectTime, MaxIdleConns: 4, IdleConnTimeout: time.Minute,
		},
		// An answer that points elsewhere is none: the token would go along.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Close lets go of idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// printable is an address without what may be a password in it.
func printable(address string) string {
	if i := strings.LastIndex(address, "@"); i >= 0 {
		return "…" + address[i:]
	}
	return address
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// call is one request.
type call struct {
	method string
	path   []string // segments below /v1
	query  url.Values
	kind   string // of the body
	body   []byte
	ifIs   string // version
	accept string
}

// send sends a request and returns an answer that is no error. A GET that could not be sent,
// or whose answer did not come, is sent again: it changes nothing.
func (c *Client) send(ctx context.Context, k call) (*http.Response, error) {
	for try := 1; ; try++ {
		resp, err := c.once(ctx, k)
		if err == nil || k.method != http.MethodGet || try == tries || ctx.Err() != nil {
			return resp, err
		}
		if _, answered := errors.AsType[*admin.Error](err); answered {
			return nil, err
		}
		again := time.NewTimer(retryPause)
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return nil, err
		}
	}
}

func (c *Client) once(ctx context.Context, k call) (*http.Response, error) {
	at := *c.base
	at.Path, at.RawPath = "/v1", "/v1"
	for _, segment := range k.path {
		at.Path += "/" + segment
		at.RawPath += "/" + url.PathEscape(segment)
	}
	at.RawQuery = k.query.Encode()
	req, err := http.NewRequestWithContext(ctx, k.method, at.String(), bytes.NewReader(k.body))
	if err != nil {
		return nil, err
	}
	token, err := c.config.Token(ctx)
	if err != nil {
		return nil, fmt.Errorf("the token: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	if c.config.UserAgent != "" {
		req.Header.Set("User-Agent", c.config.UserAgent)
	}
	if k.body != nil {
		req.Header.Set("Content-Type", k.kind)
	}
	if k.ifIs != "" {
		req.Header.Set("If-Match", k.ifIs)
	}
	if k.accept != "" {
		req.Header.Set("Accept", k.accept)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // without the address's query
		}
		return nil, fmt.Errorf("%s: %w", c.base.Host, err)
	}
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	return nil, c.refused(resp)
}

// maxProblem bounds an error's document.
const maxProblem = 1 << 20

// refused is the error that an answer is.
func (c *Client) refused(resp *http.Response) error {
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxProblem))
	var p admin.ProblemDocument
	if err != nil || json.Unmarshal(b, &p) != nil || p.Code == "" {
		return fmt.Errorf("%s answers %s, not as auditstream does: is it the address of its API?", c.base.Host, resp.Status)
	}
	return errorOf(p)
}

func errorOf(p admin.ProblemDocument) *admin.Error {
	return &admin.Error{Code: p.Code, Message: p.Detail, Problems: p.Problems}
}

// read sends a request and reads its answer.
func read[T any](ctx context.Context, c *Client, k call) (*T, error) {
	resp, err := c.send(ctx, k)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	out := new(T)
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(out); err != nil {
		return nil, fmt.Errorf("%s: the answer cannot be read: %w", c.base.Host, err)
	}
	return out, nil
}

// get reads what is at a path.
func get[T any](ctx context.Context, c *Client, query url.Values, path ...string) (*T, error) {
	return read[T](ctx, c, call{method: http.MethodGet, path: path, query: query})
}

// post sends a body as JSON.
func post[T any](ctx context.Context, c *Client, ch admin.Change, body any, path ...string) (*T, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	return read[T](ctx, c, call{method: http.MethodPost, path: path, query: waiting(ch), kind: "application/json", body: b, ifIs: tag(ch.If)})
}

// tag is a version as a header has it.
func tag(version string) string {
	if version == "" {
		return ""
	}
	return `"` + version + `"`
}

// waiting are the parameters of a change.
func waiting(ch admin.Change) url.Values {
	q := url.Values{}
	if ch.Wait > 0 {
		q.Set("wait", ch.Wait.String())
	}
	return q
}

// reasoned are those of a change whose body is a document.
func reasoned(ch admin.Change) url.Values {
	q := waiting(ch)
	if ch.Reason != "" {
		q.Set("reason", ch.Reason)
	}
	return q
}

type reasonBody struct {
	Reason string `json:"reason,omitempty"`
}
