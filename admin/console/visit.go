package console

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/a-h/templ"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/admin"
)

// visit is a request of somebody who has logged in.
type visit struct {
	console *console
	w       http.ResponseWriter
	r       *http.Request
	session *session
	caller  admin.Caller
	service admin.Service
}

// visited serves a route, within a bound, to those who have logged in and may use it.
func (c *console) visited(to route, bound time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s := c.session(r, !refresh(r))
		var caller admin.Caller
		if s != nil {
			var known bool
			if caller, known = c.config.Caller(s.digest); !known {
				c.sessions.end(s)
				s = nil
			}
		}
		if s == nil {
			c.toLogin(w, r)
			return
		}
		if r.Method == http.MethodPost {
			bound = deedTime
		}
		ctx, cancel := context.WithTimeout(r.Context(), bound)
		defer cancel()
		v := &visit{console: c, w: w, r: r.WithContext(ctx), session: s, caller: caller}
		service, err := c.config.Service(caller)
		if v.service = service; err == nil {
			err = v.serve(to)
		}
		if err != nil {
			v.fail(err)
		}
	}
}

func (v *visit) serve(to route) error {
	if v.r.Method == http.MethodPost {
		if err := v.r.ParseForm(); err != nil {
			return admin.CodeInvalid.Errorf("the form cannot be read, or is larger than %d KiB: %v", maxForm>>10, err)
		}
		if !v.session.matches(v.r.PostFormValue("csrf")) {
			return admin.CodeForbidden.Errorf("the form is of another session; open the page again and send it from there")
		}
	}
	if !v.caller.Role.Allows(to.needs) {
		return admin.CodeForbidden.Errorf("this takes the role %s; %s has the role %s", to.needs, v.caller.Name, v.caller.Role)
	}
	return to.serve(v)
}

// refresh says whether a page asks for its own changing part again.
func refresh(r *http.Request) bool { return r.Header.Get("HX-Target") == "live" }

// toLogin asks for a token. A page that refreshes itself goes there as a whole.
func (c *console) toLogin(w http.ResponseWriter, r *http.Request) {
	to := "/login"
	if r.Method == http.MethodGet && !refresh(r) && r.URL.Path != "/" {
		to += "?" + url.Values{"next": {r.URL.RequestURI()}}.Encode()
	}
	if r.Header.Get("HX-Request") != "" {
		w.Header().Set("HX-Redirect", to)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// page is what the frame around a page shows.
type page struct {
	Title   string
	Section string // the entry of the navigation that it belongs to
	Live    bool   // it refreshes itself
	URL     string
	Caller  admin.Caller
	CSRF    string
	Notice  *notice
	Version string
	Assets  *assets
}

func (v *visit) page(title, section string) *page {
	return &page{
		Title: title, Section: section, URL: v.r.URL.RequestURI(), Caller: v.caller, CSRF: v.session.csrf,
		Version: v.console.config.Version, Assets: v.console.assets,
	}
}

// may says whether the reader of the page has a role.
func (p *page) may(needed admin.Role) bool { return p.Caller.Role.Allows(needed) }

// show writes a page that stays as it is.
func (v *visit) show(p *page, body templ.Component) error {
	p.Notice = v.session.told()
	return v.write(frame(p, body))
}

// live writes a page that refreshes itself, or only the part of it that changes.
func (v *visit) live(p *page, body templ.Component) error {
	p.Live = true
	if refresh(v.r) {
		return v.write(live(p, body))
	}
	p.Notice = v.session.told()
	return v.write(frame(p, live(p, body)))
}

func (v *visit) write(c templ.Component) error {
	write(v.w, v.r, http.StatusOK, c)
	return nil
}

// write renders a page. A browser that goes away meanwhile is nobody's error.
func write(w http.ResponseWriter, r *http.Request, status int, c templ.Component) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Add("Vary", "HX-Target")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_ = c.Render(r.Context(), w)
	}
}

// done says what became of a deed on the page that it leads to.
func (v *visit) done(to, text string) error {
	v.session.say(&notice{text: text})
	http.Redirect(v.w, v.r, to, http.StatusSeeOther)
	return nil
}

// fail shows an error: what the caller can do something about as it is said, anything else
// as what it is, Kafka that does not answer.
func (v *visit) fail(err error) {
	status, title := http.StatusServiceUnavailable, "Kafka does not answer"
	text := "The page is tried again by itself. What is delivered meanwhile is not affected: delivery runs without the console."
	if known, is := errors.AsType[*admin.Error](err); is {
		text = known.Message
		for _, p := range known.Problems {
			text += "\n" + problemText(p)
		}
		status, title = statusOf(known.Code)
	} else {
		v.console.log.Warn("page", zap.String("path", v.r.URL.Path), zap.Error(err))
		text = err.Error() + ". " + text
	}
	v.console.problem(v.w, v.r, v.page(title, ""), status, title, text)
}

// statusOf is the answer's status, and the title of the page that explains it.
func statusOf(c admin.Code) (int, string) {
	switch c {
	case admin.CodeInvalid:
		return http.StatusUnprocessableEntity, "That is not valid"
	case admin.CodeNotFound:
		return http.StatusNotFound, "Not found"
	case admin.CodeExists:
		return http.StatusConflict, "It exists already"
	case admin.CodeChanged:
		return http.StatusPreconditionFailed, "Somebody changed it meanwhile"
	case admin.CodeForbidden, admin.CodeUnauthenticated:
		return http.StatusForbidden, "Not allowed"
	case admin.CodeFileOwned:
		return http.StatusConflict, "A file owns it"
	case admin.CodeConflict, admin.CodeNotInForce, admin.CodeNothing, admin.CodeExpired:
		return http.StatusConflict, "It cannot be done now"
	case admin.CodeMalformed, admin.CodeNoMethod, admin.CodeTooLarge, admin.CodeMediaType, admin.CodeNoCondition:
		return http.StatusBadRequest, "That cannot be read"
	case admin.CodeTooMany, admin.CodeBusy:
		return http.StatusTooManyRequests, "Too many requests"
	case admin.CodeInternal:
		return http.StatusInternalServerError, "A mistake of auditstream"
	case admin.CodeUnavailable:
	}
	return http.StatusServiceUnavailable, "Kafka does not answer"
}

// problem writes a page about what went wrong. A page that refreshes itself keeps what it
// shows: its script says that the answer failed.
func (c *console) problem(w http.ResponseWriter, r *http.Request, p *page, status int, title, text string) {
	if refresh(r) {
		http.Error(w, title, status)
		return
	}
	if p == nil {
		p = &page{Title: title, Assets: c.assets, Version: c.config.Version}
	}
	write(w, r, status, frame(p, problemPage(status, title, cmp.Or(text, title))))
}

// nowhere answers for paths that are no page.
func (v *visit) nowhere() error {
	return admin.CodeNotFound.Errorf("there is no page at %s", v.r.URL.Path)
}
