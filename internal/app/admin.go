package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/admin/console"
	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/internal/checkpoints"
	"github.com/auditstream/auditstream/internal/httpserver"
	"github.com/auditstream/auditstream/internal/seal"
)

// Administration is a process's serving of the API.
type Administration struct {
	Config  *config.Config
	Version string
	Log     *zap.Logger

	keys  *seal.Ring // of the configuration; loaded by Run
	shown *apiVitals // made by Run
}

// apiVitals are what the API shows of itself, whatever generation serves.
type apiVitals struct {
	requests *admin.Metrics
	jobs     *jobMetrics
	tracer   trace.Tracer // nil: no traces
}

func newAPIVitals(v *vitals) (*apiVitals, error) {
	requests, err := admin.NewMetrics(v.registry)
	if err != nil {
		return nil, err
	}
	jobs, err := newJobMetrics(v.registry)
	return &apiVitals{requests: requests, jobs: jobs, tracer: v.tracer}, err
}

// Run serves until ctx ends. It listens at once, and is ready when Kafka answers.
func (a Administration) Run(ctx context.Context) (err error) {
	opts, done, err := connect(a.Config, a.Log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	return a.run(ctx, opts)
}

// Times of the server.
const (
	adminHeaders  = 5 * time.Second  // for the headers of a request
	adminBody     = 30 * time.Second // for the body of a request
	adminIdle     = 2 * time.Minute
	adminShutdown = 5 * time.Second // for requests under way
	adminHead     = 16 << 10        // bytes of headers

	adminConnections = 1024 // a browser has six, a client of ours one
)

func (a Administration) run(ctx context.Context, opts []kgo.Opt) error {
	return watched(ctx, a.Config, a.Version, a.Log, a.part(opts))
}

// part is the API and the console as a part of a process.
func (a Administration) part(opts []kgo.Opt) func(context.Context, *vitals) error {
	return func(ctx context.Context, v *vitals) error { return a.serve(ctx, opts, v) }
}

func (a Administration) serve(ctx context.Context, opts []kgo.Opt, v *vitals) error {
	log := a.Log.Named("admin")
	keys, err := seal.Load(ctx, a.Config.Sealing.Keys)
	if err != nil {
		return err
	}
	a.keys = keys
	tokens, err := admin.NewTokens(ctx, a.tokens(), log)
	if err != nil {
		return fmt.Errorf("admin.tokens: %w", err)
	}
	if a.shown, err = newAPIVitals(v); err != nil {
		return err
	}
	now := &serving{}
	v.part(now.ready)
	opts = v.counted(opts)
	if now.console, err = console.New(console.Config{
		Service: now.confined, Caller: tokens.CallerOf, Version: a.Version, Log: a.Log.Named("console"), Metrics: a.shown.requests,
	}); err != nil {
		return err
	}
	server, err := httpserver.Open(ctx, httpserver.Config{
		Address: a.Config.Admin.Listen, TLS: serverTLS(a.Config.Admin.TLS), Handler: now, Log: log,
		Bounds: httpserver.Bounds{Connections: adminConnections, Headers: adminHeaders, Head: adminHead, Body: adminBody, Idle: adminIdle, Shutdown: adminShutdown},
		// A request that follows events lasts for as long as its caller likes: it is told here
		// that the process ends.
		Endless: true,
	})
	if err != nil {
		return fmt.Errorf("admin.%w", err)
	}
	log.Info("the API is served", zap.String("url", server.URL()))
	work, ctx := errgroup.WithContext(ctx)
	work.Go(func() error {
		if err := server.Serve(ctx); err != nil {
			return fmt.Errorf("admin: %w", err)
		}
		return nil
	})
	work.Go(func() error {
		tokens.Watch(ctx)
		return nil
	})
	work.Go(func() error { return a.control(ctx, opts, tokens, now, log) })
	if err := work.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// tokens are those of the configuration.
func (a Administration) tokens() []admin.Token {
	var out []admin.Token
	for _, t := range a.Config.Admin.Tokens {
		out = append(out, admin.Token{
			Caller: admin.Caller{Name: t.Name, Role: admin.Role(t.Role), Organizations: t.Organizations},
			Read:   t.Token.Resolve,
		})
	}
	return out
}

// serverTLS is the configuration's, for a server.
func serverTLS(t *config.ServerTLS) *httpserver.TLS {
	if t == nil {
		return nil
	}
	return &httpserver.TLS{CertFile: t.CertFile, KeyFile: t.KeyFile, ClientCAFile: t.ClientCAFile, ClientOptional: t.ClientOptional}
}

// control serves from what Kafka says, and begins anew with every topic that was made anew.
func (a Administration) control(ctx context.Context, opts []kgo.Opt, tokens *admin.Tokens, now *serving, log *zap.Logger) error {
	for ctx.Err() == nil {
		if _, err := prepare(ctx, opts, a.Config.Topics.Kafka(), log, nil); err != nil {
			if ctx.Err() != nil || !passes(err) {
				return err
			}
			log.Warn("Kafka does not let the API begin yet", zap.Error(err), zap.Duration("next_try_in", beginFirst))
			select {
			case <-time.After(beginFirst):
			case <-ctx.Done():
			}
			continue
		}
		if err := a.generate(ctx, opts, tokens, now, log); err != nil && ctx.Err() == nil {
			log.Warn("the API begins anew", zap.Error(err))
		}
	}
	return nil
}

// errTopicsRemade ends a generation.
var errTopicsRemade = errors.New("a topic was made anew")

// generate serves for as long as the topics are what they were.
func (a Administration) generate(ctx context.Context, opts []kgo.Opt, tokens *admin.Tokens, now *serving, log *zap.Logger) error {
	o, err := operate(ctx, opts, a.Config, a.keys, log)
	if err != nil {
		return err
	}
	defer o.Close()
	control := NewControl(ControlConfig{Operator: o, Config: a.Config, Version: a.Version, Log: log, Tracer: a.shown.tracer, jobs: a.shown.jobs})
	defer control.Close()
	health := &pulse{}
	work, ctx := errgroup.WithContext(ctx)
	work.Go(func() error { return control.RunJobs(ctx) })
	work.Go(func() error { return control.KeepHistory(ctx) })
	work.Go(func() error { return o.watchTopics(ctx, health) })
	now.serve(&generation{control: control, ready: health.gone, api: admin.NewServer(admin.Config{
		Service: control, Identifier: control, Tokens: tokens, Log: log, Ready: health.gone, Console: now.console, Metrics: a.shown.requests,
		Keys: (&checkpoints.Publisher{Client: o.client, Topics: o.topics, Log: log}).Published,
	})})
	defer now.serve(nil)
	return work.Wait()
}

// watchTopics returns when a topic was made anew: the ids that an operator knows are wrong
// then. It notes whether Kafka answers.
func (o *Operator) watchTopics(ctx context.Context, health *pulse) error {
	tick := time.NewTicker(topicsEvery)
	defer tick.Stop()
	known := o.ids
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		began := time.Now()
		looking, cancel := context.WithTimeout(ctx, topicsEvery)
		fresh := &Operator{client: o.client, topics: o.topics}
		err := fresh.look(looking)
		cancel()
		health.note(err, began)
		if err == nil && fresh.ids != known {
			return errTopicsRemade
		}
	}
}

// serving is what is served of the present generation, and a console that outlasts it: its
// sessions go on when a topic was made anew.
type serving struct {
	console http.Handler
	now     atomic.Pointer[generation]
}

// generation is what serves for as long as the topics are what they were.
type generation struct {
	control *Control
	ready   func() error // why not
	api     http.Handler
}

func (s *serving) serve(g *generation) { s.now.Store(g) }

// ready says why the API is not; nil when it is.
func (s *serving) ready() error {
	if g := s.now.Load(); g != nil {
		return g.ready()
	}
	return errors.New("the API waits for Kafka")
}

// confined is the control plane as a caller may use it.
func (s *serving) confined(c admin.Caller) (admin.Service, error) {
	g := s.now.Load()
	if g == nil {
		return nil, admin.CodeUnavailable.Errorf("auditstream waits for Kafka")
	}
	return admin.Confine(g.control, g.control, c), nil
}

// ServeHTTP answers also while there is no generation.
func (s *serving) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch g := s.now.Load(); {
	case g != nil:
		g.api.ServeHTTP(w, r)
	case strings.HasPrefix(r.URL.Path, "/v1/"), r.URL.Path == "/healthz", r.URL.Path == "/readyz":
		admin.NotReady(w, r)
	default:
		s.console.ServeHTTP(w, r)
	}
}
