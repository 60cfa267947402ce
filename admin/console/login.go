package console

import (
	"crypto/sha256"
	"net/http"
	"net/url"
	"strings"

	"go.uber.org/zap"

	"github.com/auditstream/auditstream/admin"
)

// maxToken bounds what is taken for a token, in bytes.
const maxToken = 4096

func (c *console) loginPage(w http.ResponseWriter, r *http.Request) {
	c.askForToken(w, r, http.StatusOK, "")
}

func (c *console) askForToken(w http.ResponseWriter, r *http.Request, status int, problem string) {
	p := &page{Title: "Log in", Assets: c.assets, Version: c.config.Version}
	write(w, r, status, frame(p, loginForm(r.FormValue("next"), problem)))
}

// login trades a token for a session. The session that the browser had ends: a new one never
// has an identity that was known before.
func (c *console) login(w http.ResponseWriter, r *http.Request) {
	address := addressOf(r)
	if !c.attempts.allowed(address) {
		w.Header().Set("Retry-After", "60")
		c.askForToken(w, r, http.StatusTooManyRequests, "Too many attempts have failed. Try again in a minute.")
		return
	}
	token := strings.TrimSpace(r.PostFormValue("token"))
	digest := sha256.Sum256([]byte(token))
	caller, known := c.config.Caller(digest)
	if token == "" || len(token) > maxToken || !known {
		c.attempts.failed(address)
		c.config.Metrics.LoginFailed(admin.DoorConsole)
		c.log.Warn("log-in refused", zap.String("address", address))
		c.askForToken(w, r, http.StatusUnauthorized, "Nobody has this token. It may have been replaced: ask whoever runs this server.")
		return
	}
	if old := c.session(r, false); old != nil {
		c.sessions.end(old)
	}
	_, value := c.sessions.begin(digest)
	c.log.Info("logged in", zap.String("caller", caller.Name), zap.String("address", address))
	http.SetCookie(w, cookieOf(r, value))
	http.Redirect(w, r, local(r.PostFormValue("next")), http.StatusSeeOther)
}

func (c *console) logout(w http.ResponseWriter, r *http.Request) {
	if s := c.session(r, false); s != nil {
		if !s.matches(r.PostFormValue("csrf")) {
			c.foreign(w, r)
			return
		}
		c.sessions.end(s)
	}
	http.SetCookie(w, cookieOf(r, ""))
	w.Header().Set("Clear-Site-Data", `"cache", "storage"`)
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}

// local is a path of this console, so that no link leads from the log-in to elsewhere. What
// is no such path leads to the overview.
func local(to string) string {
	u, err := url.Parse(to)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || !strings.HasPrefix(u.Path, "/") ||
		strings.HasPrefix(to, "//") || strings.HasPrefix(u.Path, "//") || strings.ContainsAny(to, "\\\r\n\t") || strings.HasPrefix(u.Path, "/login") {
		return "/"
	}
	return u.RequestURI()
}
