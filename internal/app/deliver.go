package app

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/auditstream/auditstream/schema"
	"github.com/auditstream/auditstream/sinks"
)

// Delivery is a process's delivery of streams.
type Delivery struct {
	Config  *config.Config
	Kinds   []string // to deliver; empty: all
	Version string
	Log     *zap.Logger
}

// Run delivers until ctx ends. It waits for Kafka as long as it takes; an error says why
// it could not begin.
func (d Delivery) Run(ctx context.Context) (err error) {
	opts, done, err := connect(d.Config, d.Log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	return d.run(ctx, opts)
}

func (d Delivery) run(ctx context.Context, opts []kgo.Opt) error {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	state := &readiness{}
	work, ctx := errgroup.WithContext(ctx)
	if d.Config.Observe.Listen != "" {
		server, err := observe(ctx, d.Config.Observe.Listen, registry, state, d.Log)
		if err != nil {
			return err
		}
		work.Go(server)
	}
	work.Go(func() error {
		groups, err := d.groups(ctx, opts, registry)
		if err != nil {
			if ctx.Err() != nil {
				return nil // stopped while it waited for Kafka
			}
			return err
		}
		state.watch(groups)
		var running errgroup.Group
		for _, g := range groups {
			running.Go(func() error { return g.Run(ctx) })
		}
		if err := running.Wait(); err != nil {
			return err
		}
		return context.Cause(ctx)
	})
	if err := work.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// groups prepares Kafka, applies the streams and opens one group a kind.
func (d Delivery) groups(ctx context.Context, opts []kgo.Opt, registry prometheus.Registerer) ([]*consumer.Group, error) {
	cfg := d.Config
	topics := cfg.Topics.Kafka()
	ids, err := prepare(ctx, opts, topics, d.Log)
	if err != nil {
		return nil, err
	}
	specs, err := applyStreams(ctx, opts, topics, cfg.Streams, d.Log)
	if err != nil {
		return nil, err
	}
	budget := consumer.NewBudget(int64(cfg.Delivery.Memory))
	metrics, err := consumer.NewMetrics(registry, budget)
	if err != nil {
		return nil, err
	}
	inFlight := semaphore.NewWeighted(int64(cfg.Delivery.InFlight))
	var groups []*consumer.Group
	for _, name := range kindsOf(specs, d.Kinds) {
		kind, ok := kindNamed(name)
		if !ok {
			return nil, fmt.Errorf("streams of kind %q: written by a newer version of auditstream", name)
		}
		g, err := consumer.New(consumer.Config{
			Kafka:          opts,
			Topics:         consumer.Topics{Events: topics.Events(), Progress: topics.Progress(), DeadLetters: topics.DeadLetters()},
			IDs:            ids,
			ID:             groupID(topics.Prefix, name),
			InstanceID:     cfg.Delivery.InstanceID,
			Kind:           kind,
			Sink:           sinks.Options{Version: d.Version},
			Specs:          specs,
			Validator:      schema.Validator{OrganizationPattern: cfg.Events.OrganizationPattern},
			SessionTimeout: cfg.Delivery.SessionTimeout.Std(),
			CommitInterval: cfg.Delivery.CommitInterval.Std(),
			DrainTimeout:   cfg.Delivery.DrainTimeout.Std(),
			Retry: consumer.Retry{
				Min: cfg.Delivery.Retry.Min.Std(), Max: cfg.Delivery.Retry.Max.Std(), Probe: cfg.Delivery.Probe.Std(),
			},
			Budget:   budget,
			InFlight: inFlight,
			Metrics:  metrics,
			Log:      d.Log.Named("delivery"),
		})
		if err != nil {
			return nil, err
		}
		groups = append(groups, g)
	}
	if len(groups) == 0 {
		d.Log.Warn("there is no stream to deliver: list some under streams: in the configuration")
	}
	return groups, nil
}

// groupID names the consumer group of a kind. Two installations that share a cluster have
// different prefixes, and so different groups.
func groupID(prefix, kind string) string {
	if prefix == kafka.DefaultPrefix {
		return "auditstream." + kind
	}
	return "auditstream." + prefix + "." + kind
}

// kindsOf lists the kinds of the streams, those of only if that is given.
func kindsOf(specs consumer.Specs, only []string) []string {
	var kinds []string
	for _, s := range specs.Streams {
		if s.State == consumer.SpecDeleted || slices.Contains(kinds, s.Kind) || len(only) > 0 && !slices.Contains(only, s.Kind) {
			continue
		}
		kinds = append(kinds, s.Kind)
	}
	slices.Sort(kinds)
	return kinds
}
