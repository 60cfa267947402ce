package transport

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/auditstream/auditstream/internal/secret"
	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/sinktest/pki"
)

// serveTLS serves with config and answers with what it knows of its client.
func serveTLS(t *testing.T, config *tls.Config) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text := r.Proto
		if certs := r.TLS.PeerCertificates; len(certs) > 0 {
			text += " " + certs[0].Subject.CommonName
		}
		_, _ = io.WriteString(w, text)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // clients refuse it, and it would say so
	server.TLS = config
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

func post(t *testing.T, c *Client) (string, error) {
	t.Helper()
	a, err := c.Post(t.Context(), []byte("body"))
	if err != nil {
		return "", err
	}
	return string(a.Body), nil
}

// mustRefuse checks that err is of class want and has words in its text.
func mustRefuse(t *testing.T, err error, want sinks.Class, words string) {
	t.Helper()
	if err == nil || sinks.ClassOf(err) != want || !strings.Contains(err.Error(), words) {
		t.Errorf("error %v, want class %v and %q", err, want, words)
	}
}

func TestPinnedCertificate(t *testing.T) {
	authority := pki.New(t)
	server := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{authority.Server(t, time.Now().Add(time.Hour))}})
	fingerprint := sha256.Sum256(server.TLS.Certificates[0].Certificate[0])
	right := hex.EncodeToString(fingerprint[:])
	wrong := strings.Repeat("ab", sha256.Size)
	var coloned []string
	for part := range slices.Chunk([]byte(strings.ToUpper(right)), 2) {
		coloned = append(coloned, string(part))
	}
	for name, c := range map[string]struct {
		pins  []string
		taken bool
	}{
		"the right one":             {[]string{right}, true},
		"as openssl prints it":      {[]string{strings.Join(coloned, ":")}, true},
		"one of two, in a rotation": {[]string{wrong, right}, true},
		"a wrong one":               {[]string{wrong}, false},
	} {
		t.Run(name, func(t *testing.T) {
			client := newClient(t, server.URL, func(config *Config) { config.Settings.PinSHA256 = c.pins })
			_, err := post(t, client)
			if c.taken && err != nil {
				t.Error(err)
			}
			if !c.taken {
				mustRefuse(t, err, sinks.Misconfigured, right)
			}
		})
	}
}

func TestExpiredCertificate(t *testing.T) {
	authority := pki.New(t)
	server := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{authority.Server(t, time.Now().Add(-time.Hour))}})
	_, err := post(t, newClient(t, server.URL, func(c *Config) { c.Settings.CAFile = authority.File() }))
	mustRefuse(t, err, sinks.Misconfigured, "has expired")
}

func TestOurOwnCertificate(t *testing.T) {
	authority := pki.New(t)
	server := serveTLS(t, &tls.Config{
		Certificates: []tls.Certificate{authority.Server(t, time.Now().Add(time.Hour))},
		ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: authority.Pool(),
		// TLS 1.3 would refuse only after the client has begun to send, and the reset that
		// follows may overtake the alert.
		MaxVersion: tls.VersionTLS12,
	})
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	issue := func(a *pki.Authority, name string) {
		cert, private := a.Issue(t, name, time.Now().Add(time.Hour))
		for file, data := range map[string][]byte{certFile: cert, keyFile: private} {
			if err := os.WriteFile(file, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	trusting := func(c *Config) { c.Settings.CAFile = authority.File() }
	with := func(c *Config) {
		trusting(c)
		c.Settings.ClientCert, c.Settings.ClientKey = secret.Ref{File: certFile}, secret.Ref{File: keyFile}
	}
	issue(authority, "first")
	client := newClient(t, server.URL, with)
	if got, err := post(t, client); err != nil || got != "HTTP/1.1 first" {
		t.Errorf("%q, %v", got, err)
	}
	issue(authority, "renewed")
	client.Close() // the next request makes a new connection
	if got, err := post(t, client); err != nil || got != "HTTP/1.1 renewed" {
		t.Errorf("%q, %v", got, err)
	}

	_, err := post(t, newClient(t, server.URL, trusting))
	mustRefuse(t, err, sinks.Misconfigured, "client_cert")
	issue(pki.New(t), "a stranger")
	_, err = post(t, newClient(t, server.URL, with))
	mustRefuse(t, err, sinks.Misconfigured, "client_cert")
	if err := os.WriteFile(keyFile, []byte("hunter2"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = post(t, newClient(t, server.URL, with))
	mustRefuse(t, err, sinks.Misconfigured, "no certificate and its private key")
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the error shows the key: %v", err)
	}
	if err := os.Remove(certFile); err != nil {
		t.Fatal(err)
	}
	_, err = post(t, newClient(t, server.URL, with))
	mustRefuse(t, err, sinks.Misconfigured, "client_cert: secret {file: "+certFile)
}

func TestHTTP2IsSpokenWhereItIsAskedFor(t *testing.T) {
	authority := pki.New(t)
	server := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{authority.Server(t, time.Now().Add(time.Hour))}})
	for proto, on := range map[string]bool{"HTTP/1.1": false, "HTTP/2.0": true} {
		client := newClient(t, server.URL, func(c *Config) {
			c.Settings.CAFile, c.Settings.HTTP2 = authority.File(), on
		})
		if got, err := post(t, client); err != nil || got != proto {
			t.Errorf("%q, %v; want %s", got, err, proto)
		}
	}
}
