package admin

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"path"
	"runtime/debug"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/internal/httpserver"
	"github.com/auditstream/auditstream/internal/login"
)

// Config is what a server needs.
type Config struct {
	Service    Service
	Identifier Identifier
	Tokens     Authenticator
	Ready      func() error                                       // why /readyz is to say no; nil: never
	Console    http.Handler                                       // for whatever is neither the API nor health; nil: nothing is there
	Metrics    *Metrics                                           // nil: nobody counts
	Keys       func(context.Context) (integrity.Published, error) // the public keys of checkpoints; nil: there are none
	Log        *zap.Logger
}

// server serves the API.
type server struct {
	cfg      Config
	mux      *http.ServeMux
	failures login.Failures
	slots    map[weight]chan struct{}
}

const (
	headerRequest = "Request-Id"
	apiPrefix     = "/v1/"
)

// NewServer serves the API under /v1/, /healthz and /readyz, and the console everywhere else.
// Every answer of the API is JSON, every error a problem document (RFC 9457). What is slow to
// be sent or to be read is given up; the listener's server has to bound the reading of
// headers.
func NewServer(c Config) http.Handler {
	s := &server{cfg: c, mux: http.NewServeMux(), slots: map[weight]chan struct{}{}}
	for w, n := range slotsOf() {
		s.slots[w] = make(chan struct{}, n)
	}
	for _, r := range s.routes() {
		s.mux.HandleFunc(r.method+" "+r.path, s.serve(r))
	}
	return s.observed(http.HandlerFunc(s.top))
}

// top tells the API, health and the console apart. It is no mux, which would forward a path
// that is not in its shortest form, whoever asks for it.
func (s *server) top(w http.ResponseWriter, r *http.Request) {
	switch {
	case routed(r):
		s.dispatch(w, r)
	case r.URL.Path == "/healthz" && reads(r):
		plainText(w, http.StatusOK, "ok")
	case r.URL.Path == "/readyz" && reads(r):
		s.readyz(w)
	case s.cfg.Console != nil:
		s.cfg.Console.ServeHTTP(w, r)
	default:
		writeProblem(w, CodeNotFound.Errorf("there is nothing here: the API is under %s, its description at %sopenapi.json", apiPrefix, apiPrefix))
	}
}

// routed says whether the request is for a route, and not for health or the console.
func routed(r *http.Request) bool {
	return strings.HasPrefix(r.URL.Path, apiPrefix) || r.URL.Path == integrity.WellKnown
}

func reads(r *http.Request) bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }

func plainText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = fmt.Fprintln(w, text)
}

// readyz says whether requests can be served. Nobody has to log in for it, so it says no
// more: why not stands in the log.
func (s *server) readyz(w http.ResponseWriter) {
	if s.cfg.Ready != nil {
		if err := s.cfg.Ready(); err != nil {
			s.cfg.Log.Debug("not ready", zap.Error(err))
			plainText(w, http.StatusServiceUnavailable, "not ready")
			return
		}
	}
	plainText(w, http.StatusOK, "ready")
}

// NotReady answers while there is nothing to serve from yet.
func NotReady(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/healthz":
		plainText(w, http.StatusOK, "ok")
	case "/readyz":
		plainText(w, http.StatusServiceUnavailable, "not ready")
	default:
		writeProblem(w, CodeUnavailable.Errorf("auditstream waits for Kafka"))
	}
}

// dispatch finds the route. A path that is not in its shortest form has none: to forward a
// request, token and all, to where it may have meant would help nobody.
func (s *server) dispatch(w http.ResponseWriter, r *http.Request) {
	if clean := path.Clean(r.URL.Path); clean != r.URL.Path {
		writeProblem(w, CodeNotFound.Errorf("there is nothing at this path; is %q meant?", printablePath(clean)))
		return
	}
	found, allow := httpserver.Route(s.mux, r)
	switch {
	case found:
		s.mux.ServeHTTP(w, r)
	case allow == "":
		writeProblem(w, CodeNotFound.Errorf("there is nothing at this path; the API is described at %sopenapi.json", apiPrefix))
	case r.Method == http.MethodOptions:
		w.Header().Set("Allow", allow+", OPTIONS")
		w.WriteHeader(http.StatusNoContent)
	default:
		w.Header().Set("Allow", allow+", OPTIONS")
		writeProblem(w, CodeNoMethod.Errorf("here are allowed: %s, OPTIONS", allow))
	}
}

func printablePath(p string) string { return strings.ToValidUTF8(p[:min(len(p), 200)], "\uFFFD") }

// weight says how much a request may take up.
type weight int

// Weights of requests.
const (
	light     weight = iota // answered from little reading
	heavy                   // reads the log, or waits
	following               // lasts as long as the caller likes
)

// slotsOf says how many requests of each weight are served at once.
func slotsOf() map[weight]int { return map[weight]int{light: 64, heavy: 16, following: 32} }

// lasts is how long a request of a weight may take; 0: as long as the caller likes.
func (w weight) lasts() time.Duration {
	switch w {
	case light:
		return time.Minute
	case heavy:
		return 10 * time.Minute
	case following:
	}
	return 0
}

// route is one operation.
type route struct {
	method, path string
	weight       weight
	open         bool // nobody has to log in
	handle       func(*request) error
}

// request is a request under way.
type request struct {
	*http.Request
	w       *answer
	caller  Caller
	service Service // as the caller has it
	server  *server
}

// serve is a route as a handler: it logs in, waits for nobody, and answers errors.
func (s *server) serve(rt route) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		a := w.(*answer)
		a.route = rt.path
		req := &request{w: a, server: s}
		if !rt.open {
			caller, err := s.authenticate(r)
			if err != nil {
				writeProblem(w, err)
				return
			}
			a.caller = caller.Name
			req.caller, req.service = caller, Confine(s.cfg.Service, s.cfg.Identifier, caller)
		}
		select {
		case s.slots[rt.weight] <- struct{}{}:
			defer func() { <-s.slots[rt.weight] }()
		default:
			writeProblem(w, CodeBusy.Errorf("too many such requests are being served: try again in a moment"))
			return
		}
		ctx := r.Context()
		if lasts := rt.weight.lasts(); lasts > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeoutCause(ctx, lasts, fmt.Errorf("it took longer than %s", lasts))
			defer cancel()
		}
		req.Request = r.WithContext(ctx)
		err := rt.handle(req)
		if err == nil || a.Status != 0 {
			if err != nil {
				a.err = err // too late to be said
			}
			return
		}
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			err = CodeUnavailable.Errorf("it was given up: %v", context.Cause(ctx))
		}
		a.err = err
		writeProblem(w, err)
	}
}

// observed gives each request an id, headers that hold for all answers, and a line in the
// log, without the query: nobody knows what callers put there.
func (s *server) observed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := &answer{Answer: httpserver.NewAnswer(w)}
		h := w.Header()
		if !routed(r) && s.cfg.Console != nil && r.URL.Path != "/healthz" && r.URL.Path != "/readyz" {
			next.ServeHTTP(w, r) // the console has its own ways
			return
		}
		h.Set(headerRequest, "req_"+rand.Text())
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Referrer-Policy", "no-referrer")
		began, counted := time.Now(), func(string, int) {}
		if strings.HasPrefix(r.URL.Path, apiPrefix) {
			counted = s.cfg.Metrics.Begin(DoorAPI, r.Method)
		}
		defer func() {
			if p := recover(); p != nil {
				s.cfg.Log.Error("a request has failed by a mistake of auditstream", zap.String("request", h.Get(headerRequest)),
					zap.String("panic", fmt.Sprint(p)), zap.ByteString("stack", debug.Stack()))
				if a.Status == 0 {
					writeProblem(a, CodeInternal.Errorf("the log says more, under the id of this request"))
				}
			}
			counted(a.route, a.Status)
			s.logged(r, a, time.Since(began))
		}()
		next.ServeHTTP(a, r)
	})
}

// logged is a request's line in the log.
func (s *server) logged(r *http.Request, a *answer, took time.Duration) {
	if a.route == "" && a.Status < http.StatusBadRequest {
		return // health, asked for every few seconds
	}
	fields := []zap.Field{
		zap.String("request", a.Header().Get(headerRequest)), zap.String("method", r.Method), zap.String("route", a.route),
		zap.Int("status", a.Status), zap.String("caller", a.caller), zap.String("from", login.Host(r)),
		zap.Int64("bytes", a.Bytes), zap.Duration("took", took),
	}
	if a.err != nil {
		fields = append(fields, zap.Error(a.err))
	}
	s.cfg.Log.Info("request", fields...)
}
