package httpserver

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/auditstream/auditstream/sinks/sinktest/pki"
)

// papers are the files of a server with TLS, and the authorities behind them.
type papers struct {
	servers, callers *pki.Authority
	tls              TLS
}

func newPapers(t *testing.T) *papers {
	t.Helper()
	dir := t.TempDir()
	p := &papers{servers: pki.New(t), callers: pki.New(t), tls: TLS{
		CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem"), ClientCAFile: filepath.Join(dir, "ca.pem"),
	}}
	p.issue(t, p.servers)
	p.vouch(t, p.callers)
	return p
}

// issue gives the server another certificate.
func (p *papers) issue(t *testing.T, by *pki.Authority) {
	t.Helper()
	cert, key := by.Issue(t, "a server", time.Now().Add(time.Hour))
	replace(t, p.tls.CertFile, cert)
	replace(t, p.tls.KeyFile, key)
}

// vouch makes an authority the one that vouches for callers.
func (p *papers) vouch(t *testing.T, by *pki.Authority) {
	t.Helper()
	data, err := os.ReadFile(by.File())
	if err != nil {
		t.Fatal(err)
	}
	replace(t, p.tls.ClientCAFile, data)
}

// replace writes a file with a time of change of its own, which a test could not wait for.
func replace(t *testing.T, path string, data []byte) {
	t.Helper()
	at := time.Now()
	if info, err := os.Stat(path); err == nil {
		at = info.ModTime().Add(time.Second)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

// caller is a client with a certificate of its own, or none.
func (p *papers) caller(t *testing.T, by *pki.Authority, until time.Time) *tls.Config {
	t.Helper()
	c := &tls.Config{RootCAs: p.servers.Pool(), ClientSessionCache: tls.NewLRUClientSessionCache(8)}
	if by == nil {
		return c
	}
	cert, key := by.Issue(t, "a caller", until)
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	// Also where the server names other authorities: a hostile caller sends what it has.
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	return c
}

// ask is the status that a server answers with, and the protocol that it was asked over.
func ask(t *testing.T, s *Server, c *tls.Config, h2 bool) (status int, over string, err error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL(), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: &http.Transport{TLSClientConfig: c, ForceAttemptHTTP2: h2, DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return 0, "", err
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, resp.Header.Get("Over"), resp.Body.Close()
}

// said is a handler that answers with what it was called over.
func said(w http.ResponseWriter, r *http.Request) { w.Header().Set("Over", r.Proto) }

func TestCallersProveWhoTheyAre(t *testing.T) {
	p := newPapers(t)
	optional := p.tls
	optional.ClientOptional = true
	unasked := TLS{CertFile: p.tls.CertFile, KeyFile: p.tls.KeyFile}
	hour := time.Now().Add(time.Hour)
	for name, test := range map[string]struct {
		server TLS
		by     *pki.Authority
		until  time.Time
		refuse string // what the caller hears; empty: it is served
	}{
		"a good certificate":                    {p.tls, p.callers, hour, ""},
		"none":                                  {p.tls, nil, hour, "certificate required"},
		"of another authority":                  {p.tls, pki.New(t), hour, "unknown certificate authority"},
		"of the server's authority":             {p.tls, p.servers, hour, "unknown certificate authority"},
		"expired":                               {p.tls, p.callers, time.Now().Add(-time.Minute), "expired certificate"},
		"not valid yet":                         {p.tls, p.callers, time.Now().Add(72 * time.Hour), "expired certificate"},
		"optional: a good one":                  {optional, p.callers, hour, ""},
		"optional: none":                        {optional, nil, hour, ""},
		"optional: a wrong one":                 {optional, pki.New(t), hour, "unknown certificate authority"},
		"optional: an expired one":              {optional, p.callers, time.Now().Add(-time.Minute), "expired certificate"},
		"nobody is asked, and one shows one":    {unasked, pki.New(t), hour, ""},
		"nobody is asked, and nothing is shown": {unasked, nil, hour, ""},
	} {
		t.Run(name, func(t *testing.T) {
			for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
				s := serve(t, Config{TLS: &test.server, Handler: http.HandlerFunc(said)})
				c := p.caller(t, test.by, test.until)
				c.MaxVersion = version
				status, _, err := ask(t, s, c, false)
				switch {
				case test.refuse == "" && (err != nil || status != http.StatusOK):
					t.Errorf("%s: not served: %v", tls.VersionName(version), err)
				case test.refuse != "" && err == nil:
					t.Errorf("%s: served", tls.VersionName(version))
				case test.refuse != "" && version == tls.VersionTLS13 && !strings.Contains(err.Error(), test.refuse):
					t.Errorf("%s: the caller hears %v, want %q", tls.VersionName(version), err, test.refuse)
				}
			}
		})
	}
}

func TestOldVersionsOfTLSAreRefused(t *testing.T) {
	p := newPapers(t)
	s := serve(t, Config{TLS: &TLS{CertFile: p.tls.CertFile, KeyFile: p.tls.KeyFile}, Handler: http.HandlerFunc(said)})
	c := p.caller(t, nil, time.Time{})
	c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	if _, _, err := ask(t, s, c, false); err == nil || !strings.Contains(err.Error(), "protocol version") {
		t.Errorf("TLS 1.1: %v", err)
	}
}

func TestAServerOfTLSSpeaksNothingElse(t *testing.T) {
	p := newPapers(t)
	s := serve(t, Config{TLS: &p.tls, Handler: http.HandlerFunc(said)})
	s.scheme = "http"
	if status, _, err := ask(t, s, nil, false); err == nil && status != http.StatusBadRequest {
		t.Error(status)
	}
}

func TestARenewedCertificateIsShownWithoutARestart(t *testing.T) {
	p := newPapers(t)
	s := serve(t, Config{TLS: &TLS{CertFile: p.tls.CertFile, KeyFile: p.tls.KeyFile}, Handler: http.HandlerFunc(said)})
	if _, _, err := ask(t, s, p.caller(t, nil, time.Time{}), false); err != nil {
		t.Fatal(err)
	}
	// While it is being written there is nothing to be read.
	whole, err := os.ReadFile(p.tls.CertFile)
	if err != nil {
		t.Fatal(err)
	}
	replace(t, p.tls.CertFile, whole[:40])
	if _, _, err := ask(t, s, p.caller(t, nil, time.Time{}), false); err != nil {
		t.Errorf("half a certificate has taken the former one's place: %v", err)
	}
	if err := os.Remove(p.tls.CertFile); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ask(t, s, p.caller(t, nil, time.Time{}), false); err != nil {
		t.Errorf("a certificate that is away has taken the former one with it: %v", err)
	}
	former := p.caller(t, nil, time.Time{})
	p.servers = pki.New(t)
	p.issue(t, p.servers)
	if _, _, err := ask(t, s, p.caller(t, nil, time.Time{}), false); err != nil {
		t.Errorf("the new certificate is not shown: %v", err)
	}
	if _, _, err := ask(t, s, former, false); err == nil {
		t.Error("the former certificate is still shown")
	}
}

func TestAnAuthorityThatIsTakenAwayVouchesForNobody(t *testing.T) {
	p := newPapers(t)
	s := serve(t, Config{TLS: &p.tls, Handler: http.HandlerFunc(said)})
	former := p.caller(t, p.callers, time.Now().Add(time.Hour))
	for range 2 { // the second one would take a ticket of the first, were there any
		if _, _, err := ask(t, s, former, false); err != nil {
			t.Fatal(err)
		}
	}
	next := pki.New(t)
	p.vouch(t, next)
	if _, _, err := ask(t, s, former, false); err == nil {
		t.Error("who was vouched for by the former authority is served")
	}
	if _, _, err := ask(t, s, p.caller(t, next, time.Now().Add(time.Hour)), false); err != nil {
		t.Errorf("who is vouched for by the new one is not: %v", err)
	}
}

func TestFilesOfTLSThatAreNone(t *testing.T) {
	p := newPapers(t)
	key := filepath.Join(t.TempDir(), "both.pem")
	cert, private := p.callers.Issue(t, "an authority, by mistake with its key", time.Now().Add(time.Hour))
	replace(t, key, append(cert, private...))
	for name, test := range map[string]struct {
		tls  TLS
		want []string
	}{
		"no certificate":     {TLS{CertFile: "/nonexistent/cert.pem", KeyFile: p.tls.KeyFile}, []string{"tls", "/nonexistent/cert.pem"}},
		"no key":             {TLS{CertFile: p.tls.CertFile, KeyFile: "/nonexistent/key.pem"}, []string{"tls", "/nonexistent/key.pem"}},
		"another's key":      {TLS{CertFile: p.servers.File(), KeyFile: p.tls.KeyFile}, []string{"tls", "private key does not match"}},
		"no authorities":     {TLS{CertFile: p.tls.CertFile, KeyFile: p.tls.KeyFile, ClientCAFile: "/nonexistent/ca.pem"}, []string{"client_ca_file", "/nonexistent/ca.pem"}},
		"a key for them":     {TLS{CertFile: p.tls.CertFile, KeyFile: p.tls.KeyFile, ClientCAFile: p.tls.KeyFile}, []string{"client_ca_file", "no certificate"}},
		"a key beside them":  {TLS{CertFile: p.tls.CertFile, KeyFile: p.tls.KeyFile, ClientCAFile: key}, []string{"client_ca_file", "private key"}},
		"the wrong way":      {TLS{CertFile: p.tls.KeyFile, KeyFile: p.tls.CertFile}, []string{"tls", "may have been switched"}},
		"one file, no other": {TLS{}, []string{"tls"}},
	} {
		_, err := Open(t.Context(), Config{Address: "127.0.0.1:0", TLS: &test.tls, Handler: http.HandlerFunc(said), Log: zap.NewNop()})
		for _, want := range test.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", name, err, want)
			}
		}
	}
}

func TestHTTP2IsSpokenWithinABound(t *testing.T) {
	p := newPapers(t)
	unasked := &TLS{CertFile: p.tls.CertFile, KeyFile: p.tls.KeyFile}
	for _, tls := range []*TLS{unasked, {CertFile: p.tls.CertFile, KeyFile: p.tls.KeyFile, ClientCAFile: p.tls.ClientCAFile}} {
		s := serve(t, Config{TLS: tls, Handler: http.HandlerFunc(said), Bounds: Bounds{Streams: 17}})
		_, over, err := ask(t, s, p.caller(t, p.callers, time.Now().Add(time.Hour)), true)
		if err != nil || over != "HTTP/2.0" {
			t.Fatalf("%s %v", over, err)
		}
		if n := streamsAllowed(t, s, p.caller(t, p.callers, time.Now().Add(time.Hour))); n != 17 {
			t.Errorf("%d requests at once are offered, want 17", n)
		}
	}
	s := serve(t, Config{TLS: unasked, Handler: http.HandlerFunc(said)})
	if _, over, err := ask(t, s, p.caller(t, nil, time.Time{}), true); err != nil || over != "HTTP/1.1" {
		t.Errorf("without a bound: %s %v", over, err)
	}
}

// streamsAllowed is SETTINGS_MAX_CONCURRENT_STREAMS (RFC 9113, 6.5.2) of a server.
func streamsAllowed(t *testing.T, s *Server, c *tls.Config) uint32 {
	t.Helper()
	c.NextProtos = []string{"h2"}
	conn, err := (&tls.Dialer{Config: c}).DialContext(t.Context(), "tcp", s.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // only read
	patient(t, conn)
	// The preface, and settings that ask for nothing.
	if _, err := conn.Write(append([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 0, 0, 0, 4, 0, 0, 0, 0, 0)); err != nil {
		t.Fatal(err)
	}
	head := make([]byte, 9)
	if _, err := io.ReadFull(conn, head); err != nil || head[3] != 4 {
		t.Fatalf("the first frame is of type %d: %v", head[3], err)
	}
	body := make([]byte, binary.BigEndian.Uint32(append([]byte{0}, head[:3]...)))
	if _, err := io.ReadFull(conn, body); err != nil {
		t.Fatal(err)
	}
	for r := bytes.NewReader(body); r.Len() > 0; {
		var setting struct {
			ID    uint16
			Value uint32
		}
		if err := binary.Read(r, binary.BigEndian, &setting); err != nil {
			t.Fatal(err)
		}
		if setting.ID == 3 {
			return setting.Value
		}
	}
	t.Fatal("the server sets no bound")
	return 0
}

// patient keeps a test from waiting for ever.
func patient(t *testing.T, conn net.Conn) {
	t.Helper()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
}
