package transport

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/auditstream/auditstream/internal/egress"
	"github.com/auditstream/auditstream/internal/secret"
	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/sinktest/pki"
)

const proxyPassword = "pr0xy-passw0rd"

// forwarder is a proxy that asks for a log-in.
type forwarder struct{ passed atomic.Int64 }

func (f *forwarder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte("auditstream:"+proxyPassword))
	if r.Header.Get("Proxy-Authorization") != want {
		w.WriteHeader(http.StatusProxyAuthRequired)
		return
	}
	f.passed.Add(1)
	if r.Method != http.MethodConnect {
		_, _ = io.WriteString(w, "through the proxy to "+r.URL.Host)
		return
	}
	there, err := (&net.Dialer{}).DialContext(r.Context(), "tcp", r.Host)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer there.Close() //nolint:errcheck // a tunnel of a test
	w.WriteHeader(http.StatusOK)
	here, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer here.Close() //nolint:errcheck // as above
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(there, buffered)
		_ = there.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(here, there)
	_ = here.Close()
	<-done
}

func TestProxy(t *testing.T) {
	proxy := &forwarder{}
	address := serve(t, proxy.ServeHTTP)
	authority := pki.New(t)
	secure := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{authority.Server(t, time.Now().Add(time.Hour))}})
	t.Setenv("TRANSPORT_TEST_PROXY", proxyPassword)
	through := func(c *Config) {
		c.Settings.CAFile = authority.File()
		c.Settings.Proxy = Proxy{URL: address, Username: "auditstream", Password: secret.Ref{Env: "TRANSPORT_TEST_PROXY"}}
	}
	if got, err := post(t, newClient(t, "http://destination.example", through)); err != nil || got != "through the proxy to destination.example" {
		t.Errorf("plain: %q, %v", got, err)
	}
	if got, err := post(t, newClient(t, secure.URL, through)); err != nil || got != "HTTP/1.1" {
		t.Errorf("with TLS: %q, %v", got, err)
	}
	if n := proxy.passed.Load(); n != 2 {
		t.Errorf("%d requests went through the proxy, not 2", n)
	}
	_, err := post(t, newClient(t, "https://127.0.0.1:1", through))
	mustRefuse(t, err, sinks.Unavailable, "the proxy does not reach https://127.0.0.1:1 now")

	t.Run("a password that is wrong, then mended", func(t *testing.T) {
		t.Setenv("TRANSPORT_TEST_PROXY", "wr0ng")
		client := newClient(t, secure.URL, through)
		_, err := post(t, client)
		mustRefuse(t, err, sinks.Misconfigured, "proxy.password")
		if strings.Contains(err.Error(), "wr0ng") {
			t.Errorf("the error shows the password: %v", err)
		}
		t.Setenv("TRANSPORT_TEST_PROXY", proxyPassword)
		client.ForgetCredential()
		if _, err := post(t, client); err != nil {
			t.Errorf("mended: %v", err)
		}
	})
	t.Run("a password that is not there", func(t *testing.T) {
		client := newClient(t, secure.URL, func(c *Config) {
			through(c)
			c.Settings.Proxy.Password = secret.Ref{Env: "TRANSPORT_TEST_ABSENT"}
		})
		_, err := post(t, client)
		mustRefuse(t, err, sinks.Misconfigured, "proxy.password: secret {env: TRANSPORT_TEST_ABSENT}")
	})
}

func TestProxySettings(t *testing.T) {
	for name, c := range map[string]struct {
		proxy Proxy
		want  string // field with a violation
	}{
		"none":                 {Proxy{}, ""},
		"direct":               {Proxy{URL: "direct"}, ""},
		"one":                  {Proxy{URL: "http://proxy.example:3128"}, ""},
		"one with a log-in":    {Proxy{URL: "socks5://proxy.example", Username: "u", Password: secret.Ref{Env: "P"}}, ""},
		"no URL":               {Proxy{URL: "proxy.example:3128"}, "proxy.url"},
		"a password in it":     {Proxy{URL: "http://u:hunter2@proxy.example"}, "proxy.url"},
		"a path":               {Proxy{URL: "http://proxy.example/path"}, "proxy.url"},
		"a password alone":     {Proxy{URL: "http://proxy.example", Password: secret.Ref{Env: "P"}}, "proxy.username"},
		"a username alone":     {Proxy{URL: "http://proxy.example", Username: "u"}, "proxy.password"},
		"a log-in to no proxy": {Proxy{URL: "direct", Username: "u", Password: secret.Ref{Env: "P"}}, "proxy.username"},
	} {
		t.Run(name, func(t *testing.T) {
			s := Defaults()
			s.Proxy = c.proxy
			errs := s.Validate()
			if c.want == "" && len(errs) == 0 {
				return
			}
			if len(errs) != 1 || !strings.HasPrefix(errs[0].Error(), c.want+": ") || strings.Contains(errs[0].Error(), "hunter2") {
				t.Errorf("violations %v, want one of %q", errs, c.want)
			}
		})
	}
}

// strangers is a policy for streams that are not the operator's.
type strangers struct{ policy *egress.Policy }

func (s strangers) Check(owner string, to netip.Addr) error {
	if owner != "somebody" {
		return errors.New("asked for " + owner)
	}
	return s.policy.Check(false, to)
}

func TestEgressIsAskedAtEveryConnection(t *testing.T) {
	guarded := sinks.Options{Version: "1", Owner: "somebody", Egress: strangers{egress.New([]egress.Prefix{}, nil)}}
	server := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "here") })
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	// A name that looks harmless, and the address itself, stand for this machine.
	for _, host := range []string{"localhost", "127.0.0.1"} {
		client := newClient(t, "http://"+net.JoinHostPort(host, u.Port()), func(c *Config) { c.Options = guarded })
		_, err := post(t, client)
		mustRefuse(t, err, sinks.Misconfigured, "delivery.egress.allow")
	}
	t.Run("a proxy of the stream is asked for", func(t *testing.T) {
		client := newClient(t, "http://destination.example", func(c *Config) {
			c.Options, c.Settings.Proxy.URL = guarded, server
		})
		_, err := post(t, client)
		mustRefuse(t, err, sinks.Misconfigured, "delivery.egress.allow")
	})
}

func TestProxyOfTheEnvironmentMayBeAnywhere(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	address := server.Listener.Addr().String()
	settings := Defaults()
	pool, err := newTransport(connecting{owner: "somebody", egress: strangers{egress.New([]egress.Prefix{}, nil)}}, &settings)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pool.DialContext(t.Context(), "tcp", address); err == nil {
		t.Error("an address that is no proxy's is not asked for")
	}
	conn, err := pool.DialContext(context.WithValue(t.Context(), routeKey{}, route{trusted: address}), "tcp", address)
	if err != nil {
		t.Fatalf("the proxy of the environment: %v", err)
	}
	_ = conn.Close()
	for address, want := range map[string]string{
		"http://proxy.example": "proxy.example:80", "https://proxy.example": "proxy.example:443",
		"socks5://proxy.example": "proxy.example:1080", "http://[::1]:3128": "[::1]:3128",
	} {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		if got := hostPort(u); got != want {
			t.Errorf("%s is dialled at %s, not %s", address, got, want)
		}
	}
}
