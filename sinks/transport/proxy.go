package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/auditstream/auditstream/internal/secret"
	"github.com/auditstream/auditstream/sinks"
)

// Proxy is a proxy that requests go through.
type Proxy struct {
	URL      string     `json:"url,omitempty"` // http, https or socks5; direct: none; empty: that of the environment
	Username string     `json:"username,omitempty"`
	Password secret.Ref `json:"password,omitzero"`
}

// direct is the Proxy.URL that goes past a proxy of the environment.
const direct = "direct"

func (p *Proxy) validate() []error {
	var errs []error
	wrong := func(field, message string) {
		errs = append(errs, &sinks.FieldError{Field: "proxy." + field, Message: message})
	}
	_, err := p.parse()
	if err != nil {
		wrong("url", err.Error())
	}
	there := p.URL != "" && p.URL != direct
	switch {
	case p.Username == "" && !p.Password.IsZero():
		wrong("username", "is missing beside a password")
	case p.Username != "" && !there:
		wrong("username", "stands without the url of a proxy")
	case p.Username != "" && p.Password.IsZero():
		wrong("password", "is missing beside a username")
	case !p.Password.IsZero():
		if err := p.Password.Check(); err != nil {
			wrong("password", err.Error())
		}
	}
	return errs
}

// parse reads the URL; nil if it names no proxy. Its errors do not repeat it: people put
// passwords there.
func (p *Proxy) parse() (*url.URL, error) {
	if p.URL == "" || p.URL == direct {
		return nil, nil //nolint:nilnil // no proxy, and nothing wrong with that
	}
	u, err := url.Parse(p.URL)
	switch {
	case err != nil:
		return nil, errors.New("is not a URL: write it as in http://proxy.example:3128, or direct for none")
	case u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "socks5":
		return nil, errors.New("does not begin with http://, https:// or socks5://, and is not direct either")
	case u.Hostname() == "":
		return nil, errors.New("names no host: write it as in http://proxy.example:3128")
	case u.User != nil:
		return nil, errors.New("holds a user name or password: write them as username and password")
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("holds more than scheme, host and port")
	}
	return u, nil
}

// ofEnvironment is the address of the proxy that the process's environment names for
// requests to u, empty if they go elsewhere: the operator has set it, so it may be anywhere.
func (p *Proxy) ofEnvironment(u *url.URL) string {
	if p.URL != "" {
		return ""
	}
	found, err := http.ProxyFromEnvironment(&http.Request{URL: u})
	if err != nil || found == nil {
		return ""
	}
	return hostPort(found)
}

// choose is the Proxy of an http.Transport.
func (p *Proxy) choose(r *http.Request) (*url.URL, error) {
	if p.URL == "" {
		return http.ProxyFromEnvironment(r)
	}
	own, err := p.parse()
	if err != nil || own == nil {
		return nil, err
	}
	if p.Username != "" {
		own.User = url.UserPassword(p.Username, routeOf(r.Context()).password)
	}
	return own, nil
}

// proxyError says that a proxy would not connect us.
type proxyError struct{ status int }

func (e *proxyError) Error() string { return fmt.Sprintf("the proxy answers HTTP %d", e.status) }

// refusedByProxy is the OnProxyConnectResponse of an http.Transport.
func refusedByProxy(_ context.Context, _ *url.URL, _ *http.Request, res *http.Response) error {
	if res.StatusCode != http.StatusOK {
		return &proxyError{res.StatusCode}
	}
	return nil
}

// words say what a proxy's refusal to connect to address means.
func (e *proxyError) words(address string) (sinks.Class, string) {
	switch {
	case e.status == http.StatusProxyAuthRequired:
		return sinks.Misconfigured, "the proxy wants a log-in, or refuses the one that it got: set proxy.username and proxy.password"
	case e.status >= 500 || e.status == http.StatusTooManyRequests || e.status == http.StatusRequestTimeout:
		return sinks.Unavailable, fmt.Sprintf("the proxy does not reach %s now (HTTP %d)", address, e.status)
	}
	return sinks.Misconfigured, fmt.Sprintf("the proxy refuses to connect to %s (HTTP %d): does it allow that?", address, e.status)
}

// hostPort is the address that a transport dials for a proxy.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}
