package app

import (
	"crypto/tls"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/sinks/sinktest/pki"
)

// showAs writes a server's certificate, with a time of change of its own.
func showAs(t *testing.T, c *config.ServerTLS, by *pki.Authority, at time.Time) {
	t.Helper()
	cert, key := by.Issue(t, "a server", time.Now().Add(time.Hour))
	for path, data := range map[string][]byte{c.CertFile: cert, c.KeyFile: key} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTheAPIOverTLS is about handshakes with the API as it is configured; what a server does
// with every kind of certificate is tested where servers are made.
func TestTheAPIOverTLS(t *testing.T) {
	s := newSite(t)
	servers, callers := pki.New(t), pki.New(t)
	dir := t.TempDir()
	cfg := s.config(oneStream)
	cfg.Admin.TLS = &config.ServerTLS{CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem"), ClientCAFile: callers.File()}
	showAs(t, cfg.Admin.TLS, servers, time.Now())
	a := s.api(cfg)
	url, _ := a.logged("the API is served").ContextMap()["url"].(string)
	if !strings.HasPrefix(url, "https://") {
		t.Fatal(url)
	}
	health := func(trusts, by *pki.Authority, until time.Time) error {
		c := &tls.Config{RootCAs: trusts.Pool()}
		if by != nil {
			cert, key := by.Issue(t, "a caller", until)
			pair, err := tls.X509KeyPair(cert, key)
			if err != nil {
				t.Fatal(err)
			}
			c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/healthz", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := (&http.Client{Transport: &http.Transport{TLSClientConfig: c, DisableKeepAlives: true}}).Do(req)
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
		return err
	}
	hour := time.Now().Add(time.Hour)
	if err := health(servers, callers, hour); err != nil {
		t.Errorf("a good caller: %v", err)
	}
	for name, test := range map[string]struct {
		by    *pki.Authority
		until time.Time
		want  string
	}{
		"no certificate":    {nil, hour, "certificate required"},
		"another authority": {pki.New(t), hour, "unknown certificate authority"},
		"an expired one":    {callers, time.Now().Add(-time.Minute), "expired certificate"},
	} {
		if err := health(servers, test.by, test.until); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
	renewed := pki.New(t)
	showAs(t, cfg.Admin.TLS, renewed, time.Now().Add(time.Second))
	if err := health(renewed, callers, hour); err != nil {
		t.Errorf("the renewed certificate is not shown: %v", err)
	}
}
