package app

import (
	"context"
	"errors"
	"net"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/auditstream/auditstream/internal/seal"
	"github.com/auditstream/auditstream/sinks/all"
)

// Delivery is a process's delivery of streams.
type Delivery struct {
	Config  *config.Config
	Kinds   []string // to deliver, each one of [Kinds]; empty: all
	Version string
	Log     *zap.Logger

	keys *seal.Ring // of the configuration; loaded by Run
}

// Kinds are the names of all kinds of destination, sorted.
func Kinds() []string {
	var names []string
	for _, k := range all.Kinds() {
		names = append(names, k.Name)
	}
	slices.Sort(names)
	return names
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
	return watched(ctx, d.Config, d.Version, d.Log, d.part(opts))
}

// part is delivery as a part of a process.
func (d Delivery) part(opts []kgo.Opt) func(context.Context, *vitals) error {
	return func(ctx context.Context, v *vitals) error { return d.serve(ctx, opts, v) }
}

// unlessStopped is what a part ended with; nil if it was told to stop and complains that it
// was cut off by that, as it may be while it starts.
func unlessStopped(ctx context.Context, err error) error {
	if ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.Cause(ctx))) {
		return nil
	}
	return err
}

func (d Delivery) serve(ctx context.Context, opts []kgo.Opt, v *vitals) (failed error) {
	state := &readiness{}
	v.part(state.ready)
	keys, err := seal.Load(ctx, d.Config.Sealing.Keys)
	if err != nil {
		return err
	}
	d.keys = keys
	opts = v.counted(opts)
	c, err := newCrew(d, opts, v.registry, state)
	if err != nil {
		return err
	}
	if c.voucher, err = newVoucher(ctx, d.Config, d.Version, c.egress, d.Log.Named("integrity")); err != nil {
		return err
	}
	defer func() { failed = errors.Join(failed, c.voucher.close()) }()
	c.tracer = v.tracer
	for {
		ids, specs, err := d.begin(ctx, opts, state)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		}
		if err := c.run(ctx, ids, specs); !errors.Is(err, errEventsRemade) {
			return err
		}
		state.again(errEventsRemade.Error())
	}
}

// Pauses before delivery tries again to begin.
const (
	beginFirst = 500 * time.Millisecond
	beginMost  = 15 * time.Second
)

// begin waits until Kafka has let it prepare everything. A cluster that has just started,
// or goes away meanwhile, fails requests that succeed a moment later.
func (d Delivery) begin(ctx context.Context, opts []kgo.Opt, state *readiness) (consumer.IDs, consumer.Specs, error) {
	topics := d.Config.Topics.Kafka()
	for wait := beginFirst; ; wait = min(2*wait, beginMost) {
		ids, err := prepare(ctx, opts, topics, d.Log, state.waiting)
		var specs consumer.Specs
		if err == nil {
			d.tellDropped(ctx, opts)
			specs, err = applyStreams(ctx, opts, topics, d.keys, d.Config.Streams, d.Log)
		}
		if err == nil || !passes(err) || ctx.Err() != nil {
			return ids, specs, err
		}
		state.waiting("waiting for Kafka: " + err.Error())
		d.Log.Warn("Kafka does not let delivery begin yet", zap.Error(err), zap.Duration("next_try_in", wait))
		again := time.NewTimer(wait)
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return ids, specs, context.Cause(ctx)
		}
	}
}

// passes says whether an error of Kafka may be gone at the next try.
func passes(err error) bool {
	if _, ok := errors.AsType[*kafka.TopicProblem](err); ok {
		return false
	}
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return true
	}
	return errors.Is(err, kafka.ErrNoBroker) || errors.Is(err, context.DeadlineExceeded) || kerr.IsRetriable(err) || kgo.IsRetryableBrokerErr(err)
}

// GroupID is groupID for who looks at groups from outside.
func GroupID(prefix, kind string) string { return groupID(prefix, kind) }

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
