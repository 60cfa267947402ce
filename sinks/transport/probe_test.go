package transport

import (
	"context"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/auditstream/auditstream/internal/closedport"

	"github.com/auditstream/auditstream/internal/secret"
	"github.com/auditstream/auditstream/sinks"
)

// probeSteps probes one request of c, whose refusals are those of Unknown, and returns the
// names of the steps, those that failed with an exclamation mark, and the last step.
func probeSteps(t *testing.T, c *Client) ([]string, sinks.Step) {
	t.Helper()
	var names []string
	var last sinks.Step
	err := Probe(t.Context(), func(s sinks.Step) {
		name := s.Name
		if s.Err != nil {
			name += "!"
		}
		names, last = append(names, name), s
	}, func(ctx context.Context) error {
		a, err := c.Post(ctx, []byte(`[{"id":1}`), []byte("]"))
		if err != nil {
			return err
		}
		if !a.OK() {
			return a.Unknown()
		}
		return nil
	})
	if (err == nil) != (last.Err == nil) {
		t.Errorf("the probe returns %v, its last step has %v", err, last.Err)
	}
	return names, last
}

func TestProbeNamesTheStepThatFailed(t *testing.T) {
	answers := func(status int) string {
		return serve(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "you sent "+r.Header.Get("Authorization"))
		})
	}
	secure := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // it is refused, and would say so
	secure.StartTLS()
	t.Cleanup(secure.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})
	if err := os.WriteFile(ca, block, 0o600); err != nil {
		t.Fatal(err)
	}

	cases := []struct {
		name, url string
		change    func(*Config)
		want      []string
	}{
		{"all is well", answers(200), nil, []string{"tcp", "credentials", "write"}},
		{"all is well, with TLS", secure.URL, func(c *Config) { c.Settings.CAFile = ca }, []string{"tcp", "tls", "credentials", "write"}},
		{"no such host", "http://auditstream.invalid", nil, []string{"dns!"}},
		{"nobody listens", "http://" + closedport.Address(t), nil, []string{"tcp!"}},
		{"a certificate of nobody", secure.URL, nil, []string{"tcp", "tls!"}},
		{"a key that is not there", answers(200), func(c *Config) { c.Credential = secret.Ref{Env: "TRANSPORT_TEST_ABSENT"} }, []string{"credentials!"}},
		{"a key that is refused", answers(403), nil, []string{"tcp", "credentials!"}},
		{"a write that is refused", answers(503), nil, []string{"tcp", "write!"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, last := probeSteps(t, newClient(t, c.url, c.change))
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("steps (-want +got):\n%s\n%v", diff, last.Err)
			}
		})
	}
}

// packedSize is where a size stands that the compressor decides.
var packedSize = regexp.MustCompile(`(Content-Length: |\()[0-9]+(\r| bytes)`)

func TestProbeShowsWhatWasSentAndAnswered(t *testing.T) {
	var arrived string
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if err := r.Write(&strings.Builder{}); err != nil {
			t.Error(err)
		}
		arrived = r.Header.Get("Authorization")
		w.Header().Set("Date", "Sun, 22 Nov 2026 12:00:00 GMT")
		w.Header().Set("X-Echo", arrived)
		_, _ = io.WriteString(w, "you sent "+arrived)
	})
	for name, level := range map[string]int{"as it is": 0, "gzip": 1} {
		t.Run(name, func(t *testing.T) {
			_, last := probeSteps(t, newClient(t, url, func(c *Config) { c.Settings.Compression, c.Settings.GzipLevel = gzipIf(level), level }))
			host := strings.TrimPrefix(url, "http://")
			want := "POST /path?query=1 HTTP/1.1\r\nHost: " + host + "\r\nUser-Agent: auditstream/1.2.3\r\n" +
				"Authorization: Key [redacted]\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n" + `[{"id":1}]`
			if level > 0 {
				want = strings.Replace(want, "Content-Type", "Content-Encoding: gzip\r\nContent-Type", 1)
				want = strings.Replace(want, "Length: 10", "Length: N", 1) + "\n(N bytes of gzip, shown unpacked)"
				last.Sent = packedSize.ReplaceAllString(last.Sent, "${1}N${2}")
			}
			if diff := cmp.Diff(want, last.Sent); diff != "" {
				t.Errorf("sent (-want +got):\n%s", diff)
			}
			want = "HTTP/1.1 200 OK\r\nContent-Length: 23\r\nContent-Type: text/plain; charset=utf-8\r\n" +
				"Date: Sun, 22 Nov 2026 12:00:00 GMT\r\nX-Echo: Key [redacted]\r\n\r\nyou sent Key [redacted]"
			if diff := cmp.Diff(want, last.Answer); diff != "" {
				t.Errorf("answered (-want +got):\n%s", diff)
			}
			if arrived != "Key "+key {
				t.Errorf("the server got %q", arrived)
			}
		})
	}
}
