package app

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/internal/egress"
	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/all"
)

// standIn answers at an address of this machine, and counts who connects.
type standIn struct {
	url         string
	connections atomic.Int64
}

func newStandIn(t *testing.T, addr string, h http.HandlerFunc) *standIn {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", addr+":0")
	if err != nil {
		t.Skipf("this machine has no %s: %v", addr, err)
	}
	s := &standIn{}
	server := httptest.NewUnstartedServer(h)
	server.Listener = l
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.connections.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

// Whatever a stream's settings name, the policy is asked before it is connected to: not only
// the destination, but also who gives tokens or credentials for it, and the proxy before it.
func TestEveryAddressOfEveryKindIsAskedFor(t *testing.T) {
	const first, second = "127.0.0.2", "127.0.0.3"
	ok := func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"access_token": "t", "expires_in": 60}`) //nolint:errcheck // the client is gone
	}
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("a-secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	kinds := map[string]bool{}
	for _, test := range []struct{ name, kind, settings string }{
		{"splunk", "splunk", "url: SECOND, token: SECRET"},
		{"splunk behind a proxy", "splunk", "url: \"https://splunk.example\", token: SECRET, proxy: {url: SECOND}"},
		{"datadog", "datadog", "url: SECOND, api_key: SECRET"},
		{"https", "https", "url: SECOND"},
		{"scs, to the authorization server", "scs", "tenant: acme, client_id: c, client_secret: SECRET, url: FIRST, auth_url: SECOND"},
		{"scs, to the API", "scs", "tenant: acme, client_id: c, client_secret: SECRET, auth_url: FIRST, url: SECOND"},
		{"s3", "s3", "bucket: acme-audit, endpoint: SECOND, path_style: true, access_key_id: A, secret_access_key: SECRET"},
		{"s3, to the token service", "s3", "bucket: acme-audit, endpoint: FIRST, path_style: true, access_key_id: A, secret_access_key: SECRET, role_arn: \"arn:aws:iam::123456789012:role/audit\", sts_endpoint: SECOND"},
	} {
		t.Run(test.name, func(t *testing.T) {
			kinds[test.kind] = true
			allowed, refused := newStandIn(t, first, ok), newStandIn(t, second, ok)
			settings := strings.NewReplacer("FIRST", `"`+allowed.url+`"`, "SECOND", `"`+refused.url+`"`, "SECRET", fmt.Sprintf("{file: %q}", secret)).Replace(test.settings)
			cfg, err := config.Parse("c.yaml", fmt.Appendf(nil, "kafka: {brokers: [\"127.0.0.1:9092\"]}\ndelivery: {egress: {allow: [%s]}}\nstreams: [{id: a, organization_id: \"*\", %s: {%s}}]", first, test.kind, settings), all.Kinds())
			if err != nil {
				t.Fatal(err)
			}
			_, err = StreamTest{Config: cfg, Spec: SpecOf(cfg.Streams[0]), Version: "test"}.Run(t.Context(), func(sinks.Step) {})
			if sinks.ClassOf(err) != sinks.Misconfigured || !strings.Contains(fmt.Sprint(err), "delivery.egress.allow") {
				t.Errorf("error %v", err)
			}
			if n := refused.connections.Load(); n != 0 {
				t.Errorf("%d connections to an address that is not allowed", n)
			}
			// The same with the address allowed: it is this one that was asked for.
			cfg.Delivery.Egress.Allow = append(cfg.Delivery.Egress.Allow, egress.Prefix{Prefix: netip.MustParsePrefix(second + "/32")})
			_, _ = StreamTest{Config: cfg, Spec: SpecOf(cfg.Streams[0]), Version: "test"}.Run(t.Context(), func(sinks.Step) {})
			if refused.connections.Load() == 0 {
				t.Error("nobody connects to it when it is allowed: the test asks for nothing")
			}
		})
	}
	for _, kind := range Kinds() {
		if kind != "file" && !kinds[kind] {
			t.Errorf("kind %s is on the network, and is not asked about here", kind)
		}
	}
	if !slices.Contains(Kinds(), "file") {
		t.Error("there is no kind file any more")
	}
}
