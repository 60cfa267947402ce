package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/auditstream/auditstream/internal/seal"
	"github.com/auditstream/auditstream/schema"
	"github.com/auditstream/auditstream/schema/catalogue"
	"github.com/auditstream/auditstream/sinks"
)

// crew is a process's groups, one a kind of destination, and what they share. It follows
// the streams topic: whatever is changed there is in force as soon as it is read.
type crew struct {
	d        Delivery
	opts     []kgo.Opt
	ids      consumer.IDs
	topics   kafka.Topics
	state    *readiness
	budget   *consumer.Budget
	metrics  *consumer.Metrics
	tracer   trace.Tracer // nil: no traces
	inFlight *consumer.Slots
	reading  *consumer.Reading
	actions  *knownActions
	voucher  *voucher // nil: feeds have no checkpoints
	egress   *guard
	groups   map[string]*consumer.Group // by kind; owned by run, then by follow
	draining atomic.Bool                // some stream ends when it is drained
	bad      prometheus.Gauge           // streams whose last record has no effect
	badSaid  string                     // which, once; owned by run, then by follow
}

// newCrew makes a crew that nobody serves in yet.
func newCrew(d Delivery, opts []kgo.Opt, registry prometheus.Registerer, state *readiness) (*crew, error) {
	budget := consumer.NewBudget(int64(d.Config.Delivery.Memory), d.Config.Delivery.CatchUpShare)
	inFlight := consumer.NewSlots(consumer.SlotsConfig{
		Max: d.Config.Delivery.InFlight, MaxSlow: d.Config.Delivery.InFlightSlow, CatchUp: d.Config.Delivery.CatchUpShare,
	})
	metrics, err := consumer.NewMetrics(registry, consumer.MetricsConfig{
		MaxStreams: d.Config.Observe.MaxStreams, Budget: budget, InFlight: inFlight,
	})
	if err != nil {
		return nil, err
	}
	bad := prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: "auditstream", Name: "streams_bad_records",
		Help: "Streams whose last record in the streams topic has no effect: it cannot be read, or is not signed by one of us. They go on as they were before it.",
	})
	if err := registry.Register(bad); err != nil {
		return nil, err
	}
	actions, err := newKnownActions()
	if err != nil {
		return nil, err
	}
	return &crew{
		d: d, actions: actions, opts: opts, topics: d.Config.Topics.Kafka(), state: state,
		budget: budget, metrics: metrics, reading: consumer.NewReading(d.Config.Delivery.CatchUpShare),
		inFlight: inFlight, egress: newGuard(d.Config), bad: bad,
	}, nil
}

// run delivers until ctx ends. It fails when a group cannot begin, and with errEventsRemade
// when everything has to begin anew.
func (c *crew) run(ctx context.Context, ids consumer.IDs, specs consumer.Specs) error {
	c.ids, c.groups = ids, map[string]*consumer.Group{}
	specs.TopicID = ids.Streams
	running, ctx := errgroup.WithContext(ctx)
	client, err := kgo.NewClient(c.opts...)
	if err != nil {
		return err
	}
	defer client.Close()
	// The first events that are delivered go by what was registered before.
	first, cancel := context.WithTimeout(ctx, actionsFirst)
	if err := c.actions.read(first, client, c.topics.Schemas()); err != nil {
		c.d.Log.Warn("registered schemas cannot be read yet, formats go by those of the binary", zap.Error(err))
	}
	cancel()
	if err := c.begin(ctx, running, specs); err != nil {
		return err
	}
	if len(c.groups) == 0 {
		what := "stream"
		if len(c.d.Kinds) > 0 {
			what += " of kind " + strings.Join(c.d.Kinds, " or ")
		}
		c.d.Log.Warn("there is no " + what + " to deliver: list some under streams: in the configuration")
	}
	c.state.begun()
	running.Go(func() error { return c.feel(ctx) })
	running.Go(func() error { return c.actions.follow(ctx, client, c.topics.Schemas(), c.d.Log) })
	running.Go(func() error { return c.follow(ctx, running, specs) })
	running.Go(func() error { return c.finishDrains(ctx) })
	running.Go(func() error {
		c.voucher.keep(ctx, c.opts, c.topics)
		return nil
	})
	return running.Wait()
}

// begin starts a group for each kind that has streams and none yet.
func (c *crew) begin(ctx context.Context, running *errgroup.Group, specs consumer.Specs) error {
	c.draining.Store(slices.ContainsFunc(specs.Streams, isDraining))
	c.tellBad(specs.Bad)
	var fresh []*consumer.Group
	for _, name := range kindsOf(specs, c.d.Kinds) {
		if c.groups[name] != nil {
			continue
		}
		g, err := c.open(name, specs)
		if err != nil {
			return err
		}
		c.groups[name] = g
		fresh = append(fresh, g)
	}
	if c.d.Config.Kafka.Embedded == nil { // an embedded broker shares the process, and its memory is not foreseen
		aimAt(memoryTarget(int64(c.d.Config.Delivery.Memory), len(c.groups), len(specs.Streams)))
	}
	for _, g := range fresh {
		c.state.watch(g)
		running.Go(func() error { return g.Run(ctx) })
	}
	return nil
}

func (c *crew) open(name string, specs consumer.Specs) (*consumer.Group, error) {
	kind, ok := kindNamed(name)
	if !ok {
		return nil, fmt.Errorf("streams of kind %q: written by a newer version of auditstream", name)
	}
	cfg := c.d.Config.Delivery
	instance, err := instanceID(cfg.InstanceID, os.Hostname)
	if err != nil {
		return nil, err
	}
	g := streamConfig(c.d.Config, c.d.Version, c.d.keys, c.actions.Action, c.egress)
	g.Kafka, g.IDs, g.ID, g.InstanceID = c.opts, c.ids, groupID(c.topics.Prefix, name), instance
	g.Topics = consumer.Topics{Events: c.topics.Events(), Progress: c.topics.Progress(), DeadLetters: c.topics.DeadLetters()}
	g.Kind, g.Specs = kind, specs
	g.SessionTimeout, g.RetentionGuard = cfg.SessionTimeout.Std(), cfg.RetentionGuard
	g.Budget, g.InFlight, g.Reading, g.Metrics, g.Log = c.budget, c.inFlight, c.reading, c.metrics, c.d.Log.Named("delivery")
	g.Tracer, g.Checkpoints = c.tracer, c.voucher.checkpoints(c.topics)
	return consumer.New(g)
}

// tellBad says which records have no effect.
func (c *crew) tellBad(bad []consumer.BadSpec) {
	c.bad.Set(float64(len(bad)))
	if said := badSpecs(bad); said != c.badSaid {
		if c.badSaid = said; said != "" {
			c.d.Log.Error("records of streams have no effect, what was before them stays in force", zap.String("streams", said))
		}
	}
}

// streamConfig is how events are sent to a stream's destination, live or by a job.
func streamConfig(cfg *config.Config, version string, keys *seal.Ring, lookup func(name string, version int) *catalogue.Action, egress *guard) consumer.Config {
	d := cfg.Delivery
	return consumer.Config{
		Sink:           sinks.Options{Version: version, Egress: egress},
		Bind:           binder(keys),
		Validator:      schema.Validator{OrganizationPattern: cfg.Events.OrganizationPattern},
		Format:         func(name string) (*consumer.Format, error) { return FormatNamed(name, lookup) },
		CommitInterval: d.CommitInterval.Std(),
		DrainTimeout:   d.DrainTimeout.Std(),
		Retry:          consumer.Retry{Min: d.Retry.Min.Std(), Max: d.Retry.Max.Std(), Probe: d.Probe.Std()},
		StreamInFlight: d.InFlightPerStream,
		Rejections:     d.Rejections,
	}
}

// followPause is the wait before the streams topic is read again after a failure.
const followPause = time.Second

// follow reads the streams topic on and has every group learn what changes. What it cannot
// read, or a group cannot take over, leaves the former streams in force; it says so and
// tries again.
func (c *crew) follow(ctx context.Context, running *errgroup.Group, specs consumer.Specs) error {
	client, err := kgo.NewClient(c.opts...)
	if err != nil {
		return err
	}
	defer client.Close()
	watch := topicWatch{c: c, admin: kadm.NewClient(client)}
	var learnt error // why the last specs were not taken over whole
	said := ""       // each reason once, however often it is tried
	for ctx.Err() == nil {
		if err := watch.look(ctx); err != nil {
			return err
		}
		next, err := c.readOn(ctx, client, specs)
		switch {
		case err != nil:
			if ctx.Err() == nil {
				c.d.Log.Warn("changes of streams cannot be read, the former ones stay in force", zap.Error(err))
			}
		case next.Offset == specs.Offset && next.TopicID == specs.TopicID && learnt == nil:
			continue // the read has waited for news
		default:
			specs = next
			learnt = c.learn(ctx, running, specs)
			if learnt == nil || ctx.Err() != nil {
				said = ""
				continue
			}
			if said != learnt.Error() {
				said = learnt.Error()
				c.d.Log.Error("a change of streams is not in force", zap.Error(learnt))
			}
		}
		again := time.NewTimer(followPause)
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
		}
	}
	return context.Cause(ctx)
}

func (c *crew) learn(ctx context.Context, running *errgroup.Group, specs consumer.Specs) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(c.groups)) {
		errs = append(errs, c.groups[name].Learn(ctx, specs))
	}
	return errors.Join(append(errs, c.begin(ctx, running, specs))...)
}

// readOn reads what was written to the streams topic since specs. A topic that was cut off
// is read whole, one that was made anew is given its streams back.
func (c *crew) readOn(ctx context.Context, client *kgo.Client, specs consumer.Specs) (consumer.Specs, error) {
	reader := &kafka.Reader{Client: client, IDs: map[string]string{c.topics.Streams(): c.ids.Streams}}
	span, err := reader.Read(ctx, c.topics.Streams(), 0, specs.Offset, 1<<20)
	switch {
	case errors.Is(err, kafka.ErrRemade):
		return c.restore(ctx, client, specs)
	case errors.Is(err, kerr.OffsetOutOfRange):
		next, err := readSpecs(ctx, reader, c.topics, c.d.keys)
		next.TopicID = c.ids.Streams
		return next, err
	case err != nil:
		return specs, err
	}
	log := newSpecLog(c.d.keys, specs)
	for _, r := range span.Records {
		log.add(r)
	}
	return log.specs(span.Next, c.ids.Streams), nil
}
