package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"runtime"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/consumer"
)

// readiness says whether delivery delivers, or could: Kafka answers, all groups are joined,
// and the partitions that they were given are open.
type readiness struct {
	kafka   pulse
	mu      sync.Mutex
	why     string            // delivery has not begun; guarded by mu
	started bool              // guarded by mu
	groups  []*consumer.Group // guarded by mu
}

// waiting notes what delivery waits for before it can begin.
func (r *readiness) waiting(why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.why = why
}

// begun notes that delivery has begun, with groups or without.
func (r *readiness) begun() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.started = true
}

// again notes that delivery begins anew, and why.
func (r *readiness) again(why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.why, r.started, r.groups = why, false, nil
}

func (r *readiness) watch(g *consumer.Group) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.groups = append(r.groups, g)
}

func (r *readiness) ready() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.started {
		return errors.New(cmp.Or(r.why, "waiting for Kafka"))
	}
	if err := r.kafka.gone(); err != nil {
		return err
	}
	for _, g := range r.groups {
		if err := g.Ready(); err != nil {
			return err
		}
	}
	return nil
}

// newRegistry makes a registry with what every process has.
func newRegistry(version string) *prometheus.Registry {
	registry := prometheus.NewRegistry()
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: "auditstream", Name: "build_info", Help: "Always 1; the labels say which binary runs.",
		ConstLabels: prometheus.Labels{"version": version, "go_version": runtime.Version()},
	})
	build.Set(1)
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), build)
	return registry
}

// profiles serves Go's profiles of the process under /debug/pprof/.
func profiles(mux *http.ServeMux) {
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", http.NotFound) // it may name files with secrets, and no profile needs it
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
}

// observe serves /healthz (the process runs), /readyz (all of its parts are ready), /metrics
// and perhaps profiles. The returned function serves until ctx ends.
func observe(ctx context.Context, cfg config.Observe, v *vitals, log *zap.Logger) (func() error, error) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := v.ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = fmt.Fprintln(w, "ready")
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(v.registry, promhttp.HandlerOpts{Registry: v.registry}))
	if cfg.ServesProfiles() {
		profiles(mux)
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("observe.listen: %w; give this process another address, with --observe if others run from the same file, or \"\" for none", err)
	}
	server := &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          zap.NewStdLog(log.Named("observe")),
	}
	log.Info("observe", zap.String("url", "http://"+l.Addr().String()))
	return func() error {
		stop := context.AfterFunc(ctx, func() {
			ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			_ = server.Shutdown(ending)
		})
		defer stop()
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("observe: %w", err)
		}
		return nil
	}, nil
}
