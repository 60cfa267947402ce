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
	"github.com/auditstream/auditstream/internal/secret"
	"github.com/auditstream/auditstream/producer/gateway/access"
	"github.com/auditstream/auditstream/sinks/sinktest/pki"
)

// The organizations of these tests.
const (
	oneOrganization     = "org_01JAAAAAAAAAAAAAAAAAAAAAAA"
	anotherOrganization = "org_01JBBBBBBBBBBBBBBBBBBBBBBB"
)

// publishes sends one event with a key.
func (d *door) publishes(c *http.Client, key, organization, action string) (status int, answer http.Header, body string) {
	d.t.Helper()
	url, _ := d.logged("events are taken in").ContextMap()["url"].(string)
	req, err := http.NewRequestWithContext(d.t.Context(), http.MethodPost, url+"/audit_logs/events", strings.NewReader(`{"organization_id":"`+organization+
		`","event":{"action":"`+action+`","occurred_at":"2026-11-22T10:00:00Z","actor":{"type":"user","id":"u"},"targets":[]}}`))
	if err != nil {
		d.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	resp, err := c.Do(req)
	if err != nil {
		return 0, nil, err.Error()
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(b)
}

// closing is a client that uses each connection once.
func closing(c *tls.Config) *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: c, DisableKeepAlives: true}}
}

func TestAKeyAllowsWhatItListsAndNothingElse(t *testing.T) {
	s := newSite(t)
	s.there()
	file := filepath.Join(t.TempDir(), "key")
	first, second, gone, confined := access.NewKey(), access.NewKey(), access.NewKey(), access.NewKey()
	if err := os.WriteFile(file, []byte(first), 0o600); err != nil {
		t.Fatal(err)
	}
	d := s.gateway(func(c *config.Config) {
		c.Gateway.Keys = []config.GatewayKey{
			{Name: "billing", Key: secret.Ref{File: file}, Organizations: []string{config.AllOrganizations}},
			{Name: "billing", Hash: access.HashOf(second), Organizations: []string{config.AllOrganizations}},
			{Name: "billing", Hash: access.HashOf(gone), Organizations: []string{config.AllOrganizations}, Expires: time.Now().Add(-time.Hour)},
			{Name: "web", Hash: access.HashOf(confined), Organizations: []string{oneOrganization}, Actions: []string{"user.*"}},
		}
	})
	d.ready()
	for name, test := range map[string]struct {
		key, organization, action string
		status                    int
		says                      string
	}{
		"from a file":          {first, oneOrganization, "user.a", http.StatusOK, `"success":true`},
		"by its hash":          {second, oneOrganization, "user.b", http.StatusOK, `"success":true`},
		"within its scope":     {confined, oneOrganization, "user.c", http.StatusOK, `"success":true`},
		"another organization": {confined, anotherOrganization, "user.d", http.StatusNotFound, "Organization not found: '" + anotherOrganization + "'."},
		"another action":       {confined, oneOrganization, "invoice.e", http.StatusForbidden, `"code":"forbidden"`},
		"expired":              {gone, oneOrganization, "user.f", http.StatusUnauthorized, "has expired"},
		"none":                 {"", oneOrganization, "user.g", http.StatusUnauthorized, `"message":"Unauthorized"`},
		"mistyped":             {first[:50], oneOrganization, "user.h", http.StatusUnauthorized, "check sum"},
		"not known":            {access.NewKey(), oneOrganization, "user.i", http.StatusUnauthorized, "not valid"},
	} {
		status, _, body := d.publishes(closing(nil), test.key, test.organization, test.action)
		if status != test.status || !strings.Contains(body, test.says) {
			t.Errorf("%s: %d %s, want %d %q", name, status, body, test.status, test.says)
		}
	}
	if n := len(s.published()); n != 3 {
		t.Errorf("%d events are in Kafka, want those three that were allowed", n)
	}
	// The file now has the hash of another key.
	next := access.NewKey()
	if err := os.WriteFile(file, []byte(access.HashOf(next)), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the former key is refused", func() bool {
		status, _, _ := d.publishes(closing(nil), first, oneOrganization, "user.j")
		return status == http.StatusUnauthorized || status == http.StatusTooManyRequests
	})
	if status, _, body := d.publishes(closing(nil), next, oneOrganization, "user.k"); status != http.StatusOK {
		t.Errorf("the new key: %d %s", status, body)
	}
	d.end()
	for _, entry := range d.logs.All() {
		for _, key := range []string{first, second, gone, confined, next} {
			if strings.Contains(entry.Message, key) || strings.Contains(strings.Join(texts(entry.ContextMap()), " "), key) {
				t.Errorf("the log shows a key: %s %v", entry.Message, entry.ContextMap())
			}
		}
	}
}

// texts are the texts among the fields of an entry.
func texts(fields map[string]any) []string {
	var out []string
	for _, v := range fields {
		if text, ok := v.(string); ok {
			out = append(out, text)
		}
	}
	return out
}

func TestRatesOfTheGateway(t *testing.T) {
	s := newSite(t)
	s.there()
	limited := access.NewKey()
	d := s.gateway(func(c *config.Config) {
		c.Gateway.Keys = append(c.Gateway.Keys, config.GatewayKey{
			Name: "limited", Hash: access.HashOf(limited), Organizations: []string{config.AllOrganizations}, Limit: &config.Rate{PerSecond: 1, Burst: 3},
		})
	})
	d.ready()
	refused := 0
	for range 500 {
		status, header, body := d.publishes(http.DefaultClient, limited, oneOrganization, "user.a")
		if status == http.StatusTooManyRequests {
			if refused++; header.Get("Retry-After") == "" || !strings.Contains(body, `"message":"Too many requests.","code":"rate_limit_exceeded"`) {
				t.Errorf("%v %s", header, body)
			}
			break
		}
	}
	if refused == 0 {
		t.Error("nobody was told to wait")
	}
	if status, _, body := d.publishes(http.DefaultClient, gatewayKey, oneOrganization, "user.b"); status != http.StatusOK {
		t.Errorf("another key: %d %s", status, body)
	}
}

func TestTheGatewayOverTLS(t *testing.T) {
	s := newSite(t)
	s.there()
	servers, callers := pki.New(t), pki.New(t)
	dir, bound := t.TempDir(), access.NewKey()
	var shows *config.ServerTLS
	d := s.gateway(func(c *config.Config) {
		shows = &config.ServerTLS{CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem"), ClientCAFile: callers.File(), ClientOptional: true}
		showAs(t, shows, servers, time.Now())
		c.Gateway.TLS = shows
		c.Gateway.Keys = append(c.Gateway.Keys, config.GatewayKey{
			Name: "bound", Hash: access.HashOf(bound), Organizations: []string{config.AllOrganizations}, Certificates: []string{"billing.internal"},
		})
	})
	client := func(by *pki.Authority, until time.Time, name string) *http.Client {
		c := &tls.Config{RootCAs: servers.Pool()}
		if by != nil {
			cert, key := by.Issue(t, "a caller", until, name)
			pair, err := tls.X509KeyPair(cert, key)
			if err != nil {
				t.Fatal(err)
			}
			c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
		}
		return &http.Client{Transport: &http.Transport{TLSClientConfig: c, DisableKeepAlives: true, ForceAttemptHTTP2: true}}
	}
	hour := time.Now().Add(time.Hour)
	eventually(t, "a gateway that takes events", func() bool {
		status, _, _ := d.publishes(client(nil, hour, ""), gatewayKey, oneOrganization, "user.a")
		return status == http.StatusOK
	})
	for name, test := range map[string]struct {
		client *http.Client
		key    string
		status int
		says   string
	}{
		"a key that needs no certificate":  {client(nil, hour, ""), gatewayKey, http.StatusOK, ""},
		"one that does, with it":           {client(callers, hour, "billing.internal"), bound, http.StatusOK, ""},
		"one that does, without":           {client(nil, hour, ""), bound, http.StatusUnauthorized, "client certificate only"},
		"one that does, with another's":    {client(callers, hour, "web.internal"), bound, http.StatusUnauthorized, "another name"},
		"a certificate, and no key":        {client(callers, hour, "billing.internal"), "", http.StatusUnauthorized, "Unauthorized"},
		"a certificate of somebody else's": {client(pki.New(t), hour, "billing.internal"), bound, 0, "unknown certificate authority"},
		"an expired certificate":           {client(callers, time.Now().Add(-time.Minute), "billing.internal"), bound, 0, "expired certificate"},
	} {
		// Over TLS 1.3 a server sees the client's certificate when the client is at its request
		// already: whether that reads why it was sent away, or cannot write any more, is chance.
		var status int
		var body string
		for range 50 {
			status, _, body = d.publishes(test.client, test.key, oneOrganization, "user.b")
			if status != 0 || strings.Contains(body, test.says) {
				break
			}
		}
		if status != test.status || !strings.Contains(body, test.says) {
			t.Errorf("%s: %d %s, want %d %q", name, status, body, test.status, test.says)
		}
	}
	renewed := pki.New(t)
	showAs(t, shows, renewed, time.Now().Add(time.Second))
	if status, _, _ := d.publishes(client(nil, hour, ""), gatewayKey, oneOrganization, "user.c"); status != 0 {
		t.Errorf("the former certificate is still shown: %d", status)
	}
	servers = renewed
	if status, _, body := d.publishes(client(nil, hour, ""), gatewayKey, oneOrganization, "user.d"); status != http.StatusOK {
		t.Errorf("the renewed certificate is not shown: %d %s", status, body)
	}
}
