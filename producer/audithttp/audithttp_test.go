package audithttp_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/auditstream/auditstream/producer/auditctx"
	"github.com/auditstream/auditstream/producer/audithttp"
	"github.com/auditstream/auditstream/schema"
)

func TestClientIP(t *testing.T) {
	t.Parallel()
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")}
	tests := []struct {
		name      string
		proxies   []netip.Prefix
		remote    string
		forwarded []string
		want      string
	}{
		{"without proxies the connection counts", nil, "192.0.2.1:1234", []string{"198.51.100.1"}, "192.0.2.1"},
		{"a stranger is not believed", proxies, "192.0.2.1:1234", []string{"198.51.100.1"}, "192.0.2.1"},
		{"a proxy is", proxies, "10.0.0.1:1234", []string{"198.51.100.1"}, "198.51.100.1"},
		{"what the client made up stands further left", proxies, "10.0.0.1:1234", []string{"203.0.113.9, 198.51.100.1"}, "198.51.100.1"},
		{"also in a line of its own", proxies, "10.0.0.1:1234", []string{"203.0.113.9", "198.51.100.1"}, "198.51.100.1"},
		{"through two proxies", proxies, "10.0.0.1:1234", []string{"203.0.113.9, 198.51.100.1,10.0.0.2"}, "198.51.100.1"},
		{"proxies only", proxies, "10.0.0.1:1234", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"a proxy that says nothing", proxies, "10.0.0.1:1234", nil, "10.0.0.1"},
		{"a proxy that says something else", proxies, "10.0.0.1:1234", []string{"198.51.100.1, unknown"}, "10.0.0.1"},
		{"an empty entry", proxies, "10.0.0.1:1234", []string{"198.51.100.1,"}, "10.0.0.1"},
		{"an empty line", proxies, "10.0.0.1:1234", []string{""}, "10.0.0.1"},
		{"with a port", proxies, "10.0.0.1:1234", []string{"198.51.100.1:4711"}, "198.51.100.1"},
		{"IPv6", proxies, "[2001:db8::1]:1234", []string{"2001:db9::1"}, "2001:db9::1"},
		{"IPv6 with a port", proxies, "[2001:db8::1]:1234", []string{"[2001:db9::1]:4711"}, "2001:db9::1"},
		{"IPv6 in brackets", proxies, "[2001:db8::1]:1234", []string{"[2001:db9::1]"}, "2001:db9::1"},
		{"IPv4 within IPv6", proxies, "[::ffff:10.0.0.1]:1234", []string{"::ffff:198.51.100.1"}, "198.51.100.1"},
		{"a zone", nil, "[fe80::1%eth0]:1234", nil, "fe80::1"},
		{"a Unix socket", proxies, "@", []string{"198.51.100.1"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
			r.RemoteAddr = tt.remote
			for _, line := range tt.forwarded {
				r.Header.Add("X-Forwarded-For", line)
			}
			got := ""
			if ip := (audithttp.Config{TrustedProxies: tt.proxies}).ClientIP(r); ip.IsValid() {
				got = ip.String()
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// carried is what a handler finds in the context of a request.
func carried(t *testing.T, c audithttp.Config, change func(*http.Request)) auditctx.Values {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/?org=org_01JAAAAAAAAAAAAAAAAAAAAAAA", nil)
	r.RemoteAddr = "192.0.2.1:1234"
	change(r)
	var got auditctx.Values
	handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = auditctx.FromContext(r.Context()) })
	audithttp.Middleware(c)(handler).ServeHTTP(httptest.NewRecorder(), r)
	return got
}

func TestTheHandlerFindsWhoActsForWhomAndFromWhere(t *testing.T) {
	t.Parallel()
	c := audithttp.Config{
		Actor: func(r *http.Request) (schema.Actor, bool) {
			user, _, ok := r.BasicAuth()
			return schema.Actor{ID: user, Type: "user"}, ok
		},
		Organization: func(r *http.Request) string { return r.URL.Query().Get("org") },
	}
	got := carried(t, c, func(r *http.Request) {
		r.SetBasicAuth("user_1", "")
		r.Header.Set("User-Agent", "curl/8")
	})
	want := auditctx.Values{
		OrganizationID: "org_01JAAAAAAAAAAAAAAAAAAAAAAA", Actor: schema.Actor{ID: "user_1", Type: "user"},
		Context: &schema.Context{Location: "192.0.2.1", UserAgent: "curl/8"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if got := carried(t, c, func(*http.Request) {}); got.Actor.ID != "" {
		t.Errorf("a request of nobody has the actor %+v", got.Actor)
	}
}

// What an outer handler knows stays where the middleware does not know better.
func TestWhatIsNotKnownLeavesTheContextAsItIs(t *testing.T) {
	t.Parallel()
	got := carried(t, audithttp.Config{
		Actor:        func(*http.Request) (schema.Actor, bool) { return schema.Actor{}, false },
		Organization: func(*http.Request) string { return "" },
	}, func(r *http.Request) {
		ctx := auditctx.WithOrganization(r.Context(), "org_01JBBBBBBBBBBBBBBBBBBBBBBB")
		*r = *r.WithContext(auditctx.WithActor(ctx, schema.Actor{ID: "service_1", Type: "system"}))
	})
	if got.OrganizationID != "org_01JBBBBBBBBBBBBBBBBBBBBBBB" || got.Actor.ID != "service_1" {
		t.Errorf("got %+v", got)
	}
}

func TestNoUserAgentKeepsAnEventFromBeingPublished(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, header, want string }{
		{"none", "", ""},
		{"not UTF-8", "a\xff\xfeb", "a\uFFFDb"},
		{"too long", strings.Repeat("x", 1<<20), strings.Repeat("x", audithttp.MaxUserAgent)},
		{"cut between characters", "x" + strings.Repeat("ä", audithttp.MaxUserAgent), "x" + strings.Repeat("ä", audithttp.MaxUserAgent/2-1)},
		{"too long and not UTF-8", strings.Repeat("\x80", 1<<20), "\uFFFD"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := carried(t, audithttp.Config{}, func(r *http.Request) { r.Header.Set("User-Agent", tt.header) })
			if got.Context.UserAgent != tt.want {
				t.Errorf("got %q, want %q", got.Context.UserAgent, tt.want)
			}
			e := &schema.Event{OrganizationID: "org_01JAAAAAAAAAAAAAAAAAAAAAAA", Action: "a.b", OccurredAt: "2026-01-02T03:04:05Z", Actor: schema.Actor{ID: "a", Type: "user"}, Targets: []schema.Target{}, Context: got.Context}
			if v := e.Validate(); v != nil {
				t.Error(v)
			}
		})
	}
}

func FuzzClientIP(f *testing.F) {
	f.Add("10.0.0.1:1", "198.51.100.1, 10.0.0.2", "a\xffb")
	f.Add("[::ffff:10.0.0.1]:1", ",,,", "")
	c := audithttp.Config{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	f.Fuzz(func(t *testing.T, remote, forwarded, agent string) {
		got := carried(t, c, func(r *http.Request) {
			r.RemoteAddr = remote
			r.Header["X-Forwarded-For"] = []string{forwarded}
			r.Header["User-Agent"] = []string{agent}
		})
		if at := got.Context.Location; at != "" {
			if _, err := netip.ParseAddr(at); err != nil {
				t.Errorf("the location %q is no address", at)
			}
		}
		if !utf8.ValidString(got.Context.UserAgent) || len(got.Context.UserAgent) > 3*audithttp.MaxUserAgent {
			t.Errorf("the user agent is %q", got.Context.UserAgent)
		}
	})
}
