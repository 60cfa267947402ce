package gateway

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"path"
	"regexp"
	"runtime/debug"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"

	"github.com/auditstream/auditstream/internal/httpserver"
	"github.com/auditstream/auditstream/internal/login"
)

// server serves the gateway.
type server struct {
	cfg    Config
	mux    *http.ServeMux
	slots  chan struct{}
	memory *semaphore.Weighted
	counts *metrics
	tracer trace.Tracer
	unzstd *zstd.Decoder

	organizations *regexp.Regexp // that an organization_id matches
}

// headerRequest names a request, in the answer and in the log.
const headerRequest = "X-Request-Id"

// instrumentation is what the spans of this package say they come from.
const instrumentation = "github.com/auditstream/auditstream/producer/gateway"

// NewServer serves the routes, /healthz and /readyz. Every answer of a route is JSON. What is
// slow to be sent or to be read is given up; the listener's server has to bound the reading of
// headers.
func NewServer(c Config) (http.Handler, error) {
	if c.Requests == 0 {
		c.Requests = DefaultRequests
	}
	if c.Memory == 0 {
		c.Memory = DefaultMemory
	}
	if c.Once == nil {
		c.Once = derived{}
	}
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	if c.Traces == nil {
		c.Traces = noop.NewTracerProvider()
	}
	s := &server{
		cfg: c, mux: http.NewServeMux(), slots: make(chan struct{}, c.Requests),
		memory: semaphore.NewWeighted(c.Memory), tracer: c.Traces.Tracer(instrumentation),
	}
	s.organizations = c.Validator.OrganizationPattern
	if s.organizations == nil {
		s.organizations = regexp.MustCompile(`^org_[A-Z0-9]{26}$`) // the schema's
	}
	var err error
	if s.unzstd, err = newUnzstd(); err != nil {
		return nil, err
	}
	if s.counts, err = newMetrics(c.Metrics); err != nil {
		return nil, fmt.Errorf("gateway.Config.Metrics: %w", err)
	}
	for _, r := range s.routes() {
		s.mux.HandleFunc(r.method+" "+r.path, s.serve(r))
	}
	return s.observed(http.HandlerFunc(s.top)), nil
}

// route is one operation.
type route struct {
	method, path string
	open         bool // nobody needs a key
	handle       func(*request) error
}

// request is a request under way.
type request struct {
	*http.Request
	w      *answer
	caller Caller
	server *server
	taken  int64 // of the memory; given back when the request ends
}

// answer is an answer under way, and what the log says of it.
type answer struct {
	httpserver.Answer
	route  string
	caller string
	events int
	err    *Error
}

// top tells routes and health apart.
func (s *server) top(w http.ResponseWriter, r *http.Request) {
	switch reads := r.Method == http.MethodGet || r.Method == http.MethodHead; {
	case r.URL.Path == "/healthz" && reads:
		plainText(w, http.StatusOK, "ok")
	case r.URL.Path == "/readyz" && reads:
		s.readyz(w)
	default:
		s.dispatch(w, r)
	}
}

func plainText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = fmt.Fprintln(w, text)
}

// readyz says whether Kafka takes events. Nobody needs a key for it, so it says no more: why
// not stands in the log.
func (s *server) readyz(w http.ResponseWriter) {
	for _, ask := range []func() error{s.cfg.Begun, s.cfg.Ready} {
		if ask == nil {
			continue
		}
		if err := ask(); err != nil {
			s.cfg.Log.Debug("not ready", zap.Error(err))
			plainText(w, http.StatusServiceUnavailable, "not ready")
			return
		}
	}
	plainText(w, http.StatusOK, "ready")
}

// dispatch finds the route. A path that is not in its shortest form has none: to forward a
// request, key and all, to where it may have meant would help nobody.
func (s *server) dispatch(w http.ResponseWriter, r *http.Request) {
	a := answerOf(w)
	found, allow := false, ""
	if path.Clean(r.URL.Path) == r.URL.Path {
		found, allow = httpserver.Route(s.mux, r)
	}
	switch {
	case found:
		s.mux.ServeHTTP(w, r)
	case allow == "":
		a.fail(Errorf(http.StatusNotFound, CodeNotFound, "There is nothing at this path."))
	case r.Method == http.MethodOptions:
		w.Header().Set("Allow", allow+", OPTIONS")
		w.WriteHeader(http.StatusNoContent)
	default:
		w.Header().Set("Allow", allow+", OPTIONS")
		a.fail(Errorf(http.StatusMethodNotAllowed, CodeNoMethod, "Here are allowed: %s, OPTIONS.", allow))
	}
}

func answerOf(w http.ResponseWriter) *answer { return w.(*answer) }

// fail answers with an error.
func (a *answer) fail(e *Error) {
	a.err = e
	writeError(a, e)
}

// serve is a route as a handler: it takes a slot, asks whose the request is, and answers errors.
func (s *server) serve(rt route) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		a := answerOf(w)
		a.route = rt.path
		select {
		case s.slots <- struct{}{}:
			defer func() { <-s.slots }()
		default:
			a.fail(busy("Too many requests are being served."))
			return
		}
		req := &request{w: a, server: s}
		defer req.release()
		ctx := propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
		ctx, span := s.tracer.Start(ctx, rt.method+" "+rt.path, trace.WithSpanKind(trace.SpanKindServer))
		defer span.End()
		req.Request = r.WithContext(ctx)
		if !rt.open {
			caller, err := s.cfg.Keys.Authenticate(r)
			if err != nil {
				a.fail(errorOf(err))
				return
			}
			a.caller, req.caller = caller.Name, caller
		}
		if err := rt.handle(req); err != nil {
			if a.Status != 0 {
				a.err = errorOf(err) // too late to be said
				return
			}
			a.fail(errorOf(err))
		}
	}
}

// begun says that no event can be taken yet.
func (s *server) begun() error {
	if s.cfg.Begun == nil {
		return nil
	}
	if err := s.cfg.Begun(); err != nil {
		return unavailable(CodeUnavailable, "auditstream waits for Kafka.", err)
	}
	return nil
}

// observed gives each request an id, headers that hold for all answers, figures, and a line in
// the log, without the query: nobody knows what callers put there.
func (s *server) observed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := &answer{Answer: httpserver.NewAnswer(w)}
		h := w.Header()
		h.Set(headerRequest, "req_"+rand.Text())
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Referrer-Policy", "no-referrer")
		began := time.Now()
		s.counts.begins()
		defer func() {
			if p := recover(); p != nil {
				s.cfg.Log.Error("a request has failed by a mistake of auditstream", zap.String("request", h.Get(headerRequest)),
					zap.String("panic", fmt.Sprint(p)), zap.ByteString("stack", debug.Stack()))
				if a.Status == 0 {
					a.fail(errorOf(nil))
				}
			}
			took := time.Since(began)
			s.counts.ends(a, took)
			s.logged(r, a, took)
		}()
		next.ServeHTTP(a, r)
	})
}

// logged is a request's line in the log. What succeeds is a line for who looks closely: there
// may be thousands a second.
func (s *server) logged(r *http.Request, a *answer, took time.Duration) {
	log := s.cfg.Log.Info
	switch {
	case a.Status >= http.StatusInternalServerError && a.route != "":
		log = s.cfg.Log.Warn
	case a.Status < http.StatusBadRequest || a.route == "" && strings.HasSuffix(r.URL.Path, "z"):
		log = s.cfg.Log.Debug
	}
	fields := []zap.Field{
		zap.String("request", a.Header().Get(headerRequest)), zap.String("method", r.Method), zap.String("route", a.route),
		zap.Int("status", a.Status), zap.String("key", a.caller), zap.String("from", login.Host(r)),
		zap.Int("events", a.events), zap.Int64("bytes", a.Bytes), zap.Duration("took", took),
	}
	if a.err != nil {
		fields = append(fields, zap.String("code", a.err.Code))
		if a.err.Cause != nil {
			fields = append(fields, zap.Error(a.err.Cause))
		}
	}
	log("request", fields...)
}
