package transport

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/auditstream/auditstream/internal/closedport"

	"github.com/klauspost/compress/gzip"

	"github.com/auditstream/auditstream/internal/secret"
	"github.com/auditstream/auditstream/internal/units"
	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/sinktest/faults"
)

const key = "s3cr3t-key"

// newClient makes a client that posts to url with the key; change alters its config.
func newClient(t *testing.T, url string, change func(*Config)) *Client {
	t.Helper()
	t.Setenv("TRANSPORT_TEST_KEY", key)
	config := Config{
		Service: "the service", URL: url + "/path?query=1", Options: sinks.Options{Version: "1.2.3"},
		Credential: secret.Ref{Env: "TRANSPORT_TEST_KEY"}, CredentialHeader: "Authorization", CredentialPrefix: "Key ",
		Settings: Settings{Compression: None, Timeout: units.Duration(time.Minute)},
	}
	if change != nil {
		change(&config)
	}
	c, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func gzipIf(level int) string {
	if level > 0 {
		return Gzip
	}
	return None
}

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

func TestPostSendsThePartsAsOneBody(t *testing.T) {
	parts := [][]byte{[]byte("["), nil, bytes.Repeat([]byte("0123456789"), 10_000), []byte("]")}
	want := bytes.Join(parts, nil)
	for name, level := range map[string]int{"as they are": 0, "gzip 1": 1, "gzip 9": 9} {
		t.Run(name, func(t *testing.T) {
			var got []byte
			url := serve(t, func(_ http.ResponseWriter, r *http.Request) {
				in := io.Reader(r.Body)
				if r.Header.Get("Content-Encoding") == "gzip" {
					z, err := gzip.NewReader(in)
					if err != nil {
						t.Error(err)
						return
					}
					in = z
				} else if r.ContentLength != int64(len(want)) {
					t.Errorf("Content-Length %d, want %d", r.ContentLength, len(want))
				}
				got, _ = io.ReadAll(in)
			})
			c := newClient(t, url, func(c *Config) { c.Settings.Compression, c.Settings.GzipLevel = gzipIf(level), level })
			for range 3 { // with a pooled writer too
				got = nil
				if _, err := c.Post(t.Context(), parts...); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got, want) {
					t.Fatalf("%d bytes arrived, not the %d that were sent", len(got), len(want))
				}
			}
		})
	}
}

func TestFailures(t *testing.T) {
	nobody := "http://" + closedport.Address(t)
	fault := func(a faults.Answer) string {
		h := faults.New(http.NotFoundHandler())
		h.Program(func(*http.Request) *faults.Answer { return &a })
		return serve(t, h.ServeHTTP)
	}
	malformed := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(conn, "NOT HTTP "+r.Header.Get("Authorization")+"\r\n\r\n")
		_ = conn.Close()
	})
	untrusted := httptest.NewUnstartedServer(http.NotFoundHandler())
	untrusted.Config.ErrorLog = log.New(io.Discard, "", 0) // it is refused, and would say so
	untrusted.StartTLS()
	t.Cleanup(untrusted.Close)
	plain := strings.Replace(serve(t, http.NotFound), "http:", "https:", 1)

	cases := []struct {
		name, url string
		timeout   time.Duration
		class     sinks.Class
		words     string
	}{
		{"nobody listens", nobody, time.Minute, sinks.Unavailable, "connection refused: is the service listening at " + nobody + "?"},
		{"reset", fault(faults.Answer{Cut: faults.CutBeforeAnswer}), time.Minute, sinks.Unavailable, "connection reset by http://127.0.0.1"},
		{"cut in the answer", fault(faults.Answer{Status: 200, Body: []byte("whole"), Cut: faults.CutInAnswer}), time.Minute, sinks.Unavailable, "closed the connection before its answer was complete"},
		{"no answer", fault(faults.Answer{Hang: true}), 50 * time.Millisecond, sinks.Unavailable, "no answer from http://127.0.0.1"},
		{"no HTTP", malformed, time.Minute, sinks.Unavailable, "malformed HTTP"},
		{"no such host", "http://auditstream.invalid", time.Minute, sinks.Unavailable, "auditstream.invalid"},
		{"a certificate of nobody", untrusted.URL, time.Minute, sinks.Misconfigured, "name that authority's certificate in ca_file"},
		{"no TLS", plain, time.Minute, sinks.Misconfigured, "speaks plain HTTP"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			client := newClient(t, c.url, func(config *Config) { config.Settings.Timeout = units.Duration(c.timeout) })
			_, err := client.Post(t.Context(), []byte("body"))
			if err == nil || sinks.ClassOf(err) != c.class || !strings.Contains(err.Error(), c.words) {
				t.Fatalf("error %q, want class %v and %q", err, c.class, c.words)
			}
			if text := err.Error(); strings.Contains(text, key) || strings.Contains(text, "query") {
				t.Errorf("the error says too much: %s", text)
			}
			if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
				t.Errorf("%v passes for the end of the caller's context", err)
			}
		})
	}
}

func TestCAFile(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(server.Close)
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good.pem"), filepath.Join(dir, "bad.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	for file, content := range map[string][]byte{good: block, bad: []byte("no certificate")} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := newClient(t, server.URL, func(c *Config) { c.Settings.CAFile = good })
	if _, err := c.Post(t.Context()); err != nil {
		t.Errorf("with the authority's certificate: %v", err)
	}
	for _, file := range []string{bad, filepath.Join(dir, "missing.pem")} {
		if _, err := New(Config{URL: server.URL, Settings: Settings{Timeout: units.Duration(time.Second), CAFile: file}}); err == nil || !strings.Contains(err.Error(), "ca_file") {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func TestNoRedirectIsFollowed(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/path" {
			t.Errorf("a request for %s", r.URL.Path)
		}
		http.Redirect(w, r, "/elsewhere?token=x", http.StatusTemporaryRedirect)
	})
	a, err := newClient(t, url, nil).Post(t.Context(), []byte("body"))
	if err != nil {
		t.Fatal(err)
	}
	if refusal := a.Unknown(); refusal.Class != sinks.Misconfigured || !strings.Contains(refusal.Error(), "redirects to "+url+",") {
		t.Errorf("%v", refusal)
	}
}

func TestAnswerIsBounded(t *testing.T) {
	for size, over := range map[int]bool{MaxBody: false, MaxBody + 1: true} {
		url := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(bytes.Repeat([]byte("x"), size)) })
		a, err := newClient(t, url, nil).Post(t.Context())
		if err != nil || a.Over != over || len(a.Body) != MaxBody {
			t.Errorf("%d bytes: over %v, kept %d, %v", size, a.Over, len(a.Body), err)
		}
	}
}

func TestPackedAnswerStaysPacked(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Accept-Encoding"); got != "" {
			t.Errorf("asks for %s", got)
		}
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = z.Write(make([]byte, 1<<20))
		_ = z.Close()
	})
	a, err := newClient(t, url, nil).Post(t.Context())
	if err != nil || len(a.Body) > 10_000 {
		t.Errorf("%d bytes, %v", len(a.Body), err)
	}
}

func TestConnectionIsReused(t *testing.T) {
	remotes := map[string]bool{}
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		remotes[r.RemoteAddr] = true
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte("busy"))
	})
	c := newClient(t, url, nil)
	for range 5 {
		if _, err := c.Post(t.Context(), []byte("body")); err != nil {
			t.Fatal(err)
		}
	}
	if len(remotes) != 1 {
		t.Errorf("5 requests took %d connections", len(remotes))
	}
}

// early answers at once and keeps the body, which a real transport may go on sending.
type early struct{ body io.ReadCloser }

func (e *early) RoundTrip(r *http.Request) (*http.Response, error) {
	e.body = r.Body
	return &http.Response{StatusCode: http.StatusServiceUnavailable, Body: http.NoBody, Request: r}, nil
}

func TestMemoryIsTheCallersAfterPost(t *testing.T) {
	for name, level := range map[string]int{"as it is": 0, "gzip": 1} {
		transport := &early{}
		c := newClient(t, "http://127.0.0.1", func(c *Config) { c.Settings.Compression, c.Settings.GzipLevel = gzipIf(level), level })
		c.http.Transport = transport
		if _, err := c.Post(t.Context(), []byte("body")); err != nil {
			t.Fatal(err)
		}
		if n, err := transport.body.Read(make([]byte, 10)); n != 0 || err == nil || errors.Is(err, io.EOF) {
			t.Errorf("%s: read %d bytes after Post, %v", name, n, err)
		}
	}
}

func TestRevokedPayloadIsNotRead(t *testing.T) {
	p := &payload{parts: [][]byte{[]byte("first"), []byte("second")}}
	r := p.open()
	got := make([]byte, 7)
	if n, err := io.ReadFull(r, got); err != nil || string(got) != "firstse" {
		t.Fatalf("read %d, %q, %v", n, got, err)
	}
	p.revoke()
	if n, err := r.Read(got); n != 0 || err == nil || errors.Is(err, io.EOF) {
		t.Errorf("read %d, %v; want an error that is no end", n, err)
	}
	if n, err := p.open().Read(got); n != 0 || err == nil {
		t.Errorf("opened again: read %d, %v", n, err)
	}
}

func TestCredentialThatCannotStandInAHeader(t *testing.T) {
	url := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("a request was sent") })
	c := newClient(t, url, nil)
	for name, value := range map[string]string{"two lines": "first\nsecond", "a space": "Splunk secret", "no ASCII": "clé"} {
		t.Setenv("TRANSPORT_TEST_KEY", value)
		_, err := c.Post(t.Context())
		if err == nil || sinks.ClassOf(err) != sinks.Misconfigured || !strings.Contains(err.Error(), "TRANSPORT_TEST_KEY") || strings.Contains(err.Error(), value) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCredentialWithoutSpaceAroundIt(t *testing.T) {
	var got string
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Get("Authorization") })
	c := newClient(t, url, nil)
	t.Setenv("TRANSPORT_TEST_KEY", " "+key+"\n")
	if _, err := c.Post(t.Context()); err != nil || got != "Key "+key {
		t.Errorf("%q, %v", got, err)
	}
}
