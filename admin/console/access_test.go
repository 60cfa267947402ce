package console_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/auditstream/auditstream/admin/admintest"
)

func TestWithoutSessionEveryPageAsksForAToken(t *testing.T) {
	b := newRig(t, admintest.World()).browser(t)
	for _, path := range []string{"/", "/streams", "/streams/acme-splunk", "/history", "/nowhere"} {
		got := b.get(path)
		if got.status != http.StatusSeeOther || !strings.HasPrefix(got.header.Get("Location"), "/login") {
			t.Errorf("%s: %d to %q", path, got.status, got.header.Get("Location"))
		}
		got = b.get(path, "HX-Request", "true", "HX-Target", "live")
		if got.status != http.StatusUnauthorized || !strings.HasPrefix(got.header.Get("HX-Redirect"), "/login") {
			t.Errorf("refresh of %s: %d to %q", path, got.status, got.header.Get("HX-Redirect"))
		}
	}
}

func TestLogIn(t *testing.T) {
	r := newRig(t, admintest.World())
	b := r.browser(t)
	b.get("/login").says(t, http.StatusOK, "Token", `type="password"`)
	b.post("/login", url.Values{"token": {"nobody's"}}).says(t, http.StatusUnauthorized, "Nobody has this token")
	b.post("/login", url.Values{"token": {""}}).says(t, http.StatusUnauthorized)

	got := b.post("/login", url.Values{"token": {" " + viewerToken + "\n"}, "next": {"/streams?q=a"}})
	got.says(t, http.StatusSeeOther)
	if to := got.header.Get("Location"); to != "/streams?q=a" {
		t.Errorf("leads to %q", to)
	}
	cookie := got.header.Get("Set-Cookie")
	for _, part := range []string{"HttpOnly", "SameSite=Strict", "Path=/", "Max-Age="} {
		if !strings.Contains(cookie, part) {
			t.Errorf("cookie %q lacks %s", cookie, part)
		}
	}
	if strings.Contains(cookie, viewerToken) {
		t.Error("the token stands in the cookie")
	}
	b.get("/").says(t, http.StatusOK, "the-viewer", "viewer")
}

func TestLogInLeadsNowhereElse(t *testing.T) {
	b := newRig(t, admintest.World()).browser(t)
	for _, next := range []string{"https://evil.example/", "//evil.example/", `/\evil.example`, "/\t/evil.example", "javascript:alert(1)", "/login?next=/x", "http:evil", "%2f%2fevil"} {
		got := b.post("/login", url.Values{"token": {viewerToken}, "next": {next}})
		if to := got.header.Get("Location"); to != "/" {
			t.Errorf("next=%q leads to %q", next, to)
		}
	}
}

func TestLogInEndsTheSessionThatWas(t *testing.T) {
	r := newRig(t, admintest.World())
	b := r.as(t, viewerToken)
	u, _ := url.Parse(r.URL)
	before := b.http.Jar.Cookies(u)
	if got := b.post("/login", url.Values{"token": {operatorToken}}); got.status != http.StatusSeeOther {
		t.Fatal(got.status)
	}
	if after := b.http.Jar.Cookies(u); after[0].Value == before[0].Value {
		t.Error("the session kept its identity")
	}
	b.http.Jar.SetCookies(u, before)
	b.get("/").says(t, http.StatusSeeOther)
}

func TestLogOut(t *testing.T) {
	r := newRig(t, admintest.World())
	b := r.as(t, viewerToken)
	u, _ := url.Parse(r.URL)
	before := b.http.Jar.Cookies(u)
	b.post("/logout", url.Values{"csrf": {"guessed"}}).says(t, http.StatusForbidden)
	b.get("/").says(t, http.StatusOK)
	b.post("/logout", url.Values{}).says(t, http.StatusSeeOther)
	b.http.Jar.SetCookies(u, before) // the cookie alone is worth nothing any more
	b.get("/").says(t, http.StatusSeeOther)
}

func TestSessionEndsWithItsToken(t *testing.T) {
	r := newRig(t, admintest.World())
	b := r.as(t, operatorToken)
	b.get("/").says(t, http.StatusOK)
	r.revoke(operatorToken)
	b.get("/").says(t, http.StatusSeeOther)
	r.as(t, viewerToken).get("/").says(t, http.StatusOK)
}

func TestGuessingTokensIsSlow(t *testing.T) {
	r := newRig(t, admintest.World())
	b := r.browser(t)
	var last int
	for range 12 {
		last = b.post("/login", url.Values{"token": {"guess"}}).status
	}
	if last != http.StatusTooManyRequests {
		t.Errorf("the twelfth guess: %d", last)
	}
	// Not even the right one is looked at then.
	b.post("/login", url.Values{"token": {adminToken}}).says(t, http.StatusTooManyRequests, "in a minute")
}

func TestHeaders(t *testing.T) {
	b := newRig(t, admintest.World()).as(t, viewerToken)
	for _, path := range []string{"/", "/login", "/nowhere"} {
		h := b.get(path).header
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY", "Cache-Control": "no-store",
			"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
		} {
			if got := h.Get(name); got != want {
				t.Errorf("%s: %s is %q", path, name, got)
			}
		}
		csp := h.Get("Content-Security-Policy")
		for _, part := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"} {
			if !strings.Contains(csp, part) {
				t.Errorf("%s: the policy lacks %s: %s", path, part, csp)
			}
		}
		if strings.Contains(csp, "unsafe") {
			t.Errorf("%s: %s", path, csp)
		}
		if h.Get("Permissions-Policy") == "" || h.Get("Strict-Transport-Security") != "" {
			t.Errorf("%s: %v", path, h)
		}
	}
}

// Over TLS, also where a proxy ends it, the cookie is the host's alone.
func TestCookieOverTLS(t *testing.T) {
	b := newRig(t, admintest.World()).browser(t)
	req := b.request(http.MethodPost, "/login", strings.NewReader(url.Values{"token": {viewerToken}}.Encode()),
		"Content-Type", "application/x-www-form-urlencoded", "X-Forwarded-Proto", "https")
	got := b.do(req)
	if c := got.header.Get("Set-Cookie"); !strings.HasPrefix(c, "__Host-") || !strings.Contains(c, "Secure") || strings.Contains(c, "Domain") {
		t.Errorf("cookie %q", c)
	}
	if got.header.Get("Strict-Transport-Security") == "" {
		t.Error("the browser is not told to come over TLS from now on")
	}
}

// Pages hold nothing that the policy forbids, so that it never has to stop anything of ours.
func TestNoInlineScriptsOrStyles(t *testing.T) {
	b := newRig(t, admintest.World()).as(t, adminToken)
	for _, path := range pages() {
		got := b.get(path)
		got.saysNothing(t, "<script>", "<style", " style=", " onclick=", " onload=", "javascript:", "hx-on", "hx-vals")
	}
}
