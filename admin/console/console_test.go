package console_test

import (
	"crypto/sha256"
	"errors"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/admin/admintest"
	"github.com/auditstream/auditstream/admin/console"
)

// Tokens of the callers in tests.
const (
	adminToken    = "token-of-the-admin"
	operatorToken = "token-of-the-operator"
	viewerToken   = "token-of-the-viewer"
)

// rig is a console with a control plane in memory, and callers whose tokens can be revoked.
type rig struct {
	*httptest.Server
	service *admintest.Service

	mu      sync.Mutex
	callers map[[sha256.Size]byte]admin.Caller // guarded by mu
}

func newRig(tb testing.TB, service *admintest.Service) *rig {
	tb.Helper()
	r := &rig{service: service, callers: map[[sha256.Size]byte]admin.Caller{}}
	for token, role := range map[string]admin.Role{adminToken: admin.RoleAdmin, operatorToken: admin.RoleOperator, viewerToken: admin.RoleViewer} {
		r.callers[sha256.Sum256([]byte(token))] = admin.Caller{Name: "the-" + string(role), Role: role}
	}
	h, err := console.New(console.Config{
		Service: func(c admin.Caller) (admin.Service, error) { return admin.Confine(service, service, c), nil },
		Caller: func(digest [sha256.Size]byte) (admin.Caller, bool) {
			r.mu.Lock()
			defer r.mu.Unlock()
			c, ok := r.callers[digest]
			return c, ok
		},
		Version: "1.2.3",
	})
	if err != nil {
		tb.Fatal(err)
	}
	r.Server = httptest.NewServer(h)
	tb.Cleanup(r.Close)
	return r
}

// revoke takes a token away.
func (r *rig) revoke(token string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.callers, sha256.Sum256([]byte(token)))
}

// browser keeps cookies and follows no redirect.
type browser struct {
	tb   testing.TB
	rig  *rig
	http *http.Client
}

func (r *rig) browser(tb testing.TB) *browser {
	tb.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		tb.Fatal(err)
	}
	return &browser{tb: tb, rig: r, http: &http.Client{
		Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// as is a browser that has logged in.
func (r *rig) as(tb testing.TB, token string) *browser {
	tb.Helper()
	b := r.browser(tb)
	if got := b.post("/login", url.Values{"token": {token}}); got.status != http.StatusSeeOther {
		tb.Fatalf("log-in: %d\n%s", got.status, got.text)
	}
	return b
}

// answer is what a browser got.
type answer struct {
	status int
	header http.Header
	text   string
}

func (b *browser) do(req *http.Request) answer {
	b.tb.Helper()
	res, err := b.http.Do(req)
	if err != nil {
		b.tb.Fatal(err)
	}
	text, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil {
		b.tb.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(text)}
}

func (b *browser) get(path string, header ...string) answer {
	b.tb.Helper()
	return b.do(b.request(http.MethodGet, path, nil, header...))
}

func (b *browser) request(method, path string, body io.Reader, header ...string) *http.Request {
	b.tb.Helper()
	req, err := http.NewRequestWithContext(b.tb.Context(), method, b.rig.URL+path, body)
	if err != nil {
		b.tb.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return req
}

// post sends a form as a page of the console does: with the session's own secret.
func (b *browser) post(path string, form url.Values) answer {
	b.tb.Helper()
	if path != "/login" && !form.Has("csrf") {
		form.Set("csrf", b.csrf())
	}
	return b.do(b.request(http.MethodPost, path, strings.NewReader(form.Encode()),
		"Content-Type", "application/x-www-form-urlencoded", "Sec-Fetch-Site", "same-origin"))
}

func (b *browser) csrf() string {
	b.tb.Helper()
	page := b.get("/streams")
	m := regexp.MustCompile(`name="csrf" value="([^"]+)"`).FindStringSubmatch(page.text)
	if m == nil {
		b.tb.Fatalf("no csrf in the page: %d\n%s", page.status, page.text)
	}
	return m[1]
}

// says fails unless a page was shown that holds every text.
func (a answer) says(tb testing.TB, status int, texts ...string) {
	tb.Helper()
	if a.status != status {
		tb.Errorf("status %d, want %d", a.status, status)
	}
	missing := false
	for _, s := range texts {
		if !strings.Contains(a.text, s) {
			tb.Errorf("the page does not say %q", s)
			missing = true
		}
	}
	if missing {
		_, main, _ := strings.Cut(a.text, "<main")
		tb.Logf("it says: %.3000s", strings.Join(strings.Fields(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(main, " ")), " "))
	}
}

// saysNothing fails if a page holds one of the texts.
func (a answer) saysNothing(tb testing.TB, texts ...string) {
	tb.Helper()
	for _, s := range texts {
		if strings.Contains(a.text, s) {
			tb.Errorf("the page says %q", s)
		}
	}
}
