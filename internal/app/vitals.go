package app

import (
	"context"
	"errors"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/internal/kafka"
)

// vitals are what a process shows of itself to those who watch over it: metrics, traces, and
// whether it is ready. The parts that run in one process share them, and the address at which
// they are served.
type vitals struct {
	registry *prometheus.Registry
	clients  *kafka.Metrics
	traces   trace.TracerProvider // nil: no traces
	tracer   trace.Tracer         // likewise; that of delivery and jobs

	mu    sync.Mutex
	parts []func() error // why a part is not ready, each; guarded by mu
}

// watched runs the parts of a process until ctx ends or one of them cannot go on, and serves
// what they show of themselves on observe.listen meanwhile.
func watched(ctx context.Context, cfg *config.Config, version string, log *zap.Logger, parts ...func(context.Context, *vitals) error) error {
	traces, exported, err := Traces(ctx, version, log)
	if err != nil {
		return err
	}
	defer exported()
	v, err := newVitals(version)
	if err != nil {
		return err
	}
	v.traces, v.tracer = traces, Tracer(traces)
	work, ctx := errgroup.WithContext(ctx)
	if cfg.Observe.Listen != "" {
		server, err := observe(ctx, cfg.Observe, v, log)
		if err != nil {
			return err
		}
		work.Go(server)
	}
	for _, part := range parts {
		work.Go(func() error { return unlessStopped(ctx, part(ctx, v)) })
	}
	if err := work.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func newVitals(version string) (*vitals, error) {
	registry := newRegistry(version)
	clients, err := kafka.NewMetrics(registry)
	if err != nil {
		return nil, err
	}
	return &vitals{registry: registry, clients: clients}, nil
}

// counted are a client's options with which the process's metrics count it.
func (v *vitals) counted(opts []kgo.Opt) []kgo.Opt {
	return append(append([]kgo.Opt{}, opts...), v.clients.Option())
}

// part has the process wait, before it says that it is ready, for a part to be.
func (v *vitals) part(ready func() error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.parts = append(v.parts, ready)
}

// ready says why the process is not ready; nil when all of its parts are.
func (v *vitals) ready() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.parts) == 0 {
		return errors.New("starting")
	}
	for _, ready := range v.parts {
		if err := ready(); err != nil {
			return err
		}
	}
	return nil
}
