package app

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sync/errgroup"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/internal/httpserver"
	"github.com/auditstream/auditstream/producer"
	"github.com/auditstream/auditstream/producer/gateway"
	"github.com/auditstream/auditstream/producer/spool"
	"github.com/auditstream/auditstream/schema"
)

// Gateway is a process's taking of events over HTTP.
type Gateway struct {
	Config  *config.Config
	Version string
	Log     *zap.Logger
}

// Times and bounds of the server.
const (
	gatewayHeaders = 5 * time.Second  // for the headers of a request
	gatewayBody    = 30 * time.Second // for the body of a request, unless its route says otherwise
	gatewayIdle    = 2 * time.Minute
	gatewayHead    = 16 << 10 // bytes of headers
	gatewayStreams = 128      // requests at once of one connection, over HTTP/2
)

// Run takes events until ctx ends. It listens at once, and is ready when Kafka takes events.
func (g Gateway) Run(ctx context.Context) (err error) {
	opts, done, err := connect(g.Config, g.Log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	return g.run(ctx, opts)
}

func (g Gateway) run(ctx context.Context, opts []kgo.Opt) error {
	return watched(ctx, g.Config, g.Version, g.Log, g.part(opts))
}

// part is the gateway as a part of a process.
func (g Gateway) part(opts []kgo.Opt) func(context.Context, *vitals) error {
	return func(ctx context.Context, v *vitals) error { return g.serve(ctx, opts, v) }
}

func (g Gateway) serve(ctx context.Context, opts []kgo.Opt, v *vitals) (err error) {
	log := g.Log.Named("gateway")
	state := &gatewayState{early: g.withoutKafka()}
	v.part(state.ready)
	opts = v.counted(opts)
	keys, err := g.keys(ctx, v.registry, log)
	if err != nil {
		return err
	}
	schemas, err := newGatewaySchemas(g.Config.Events)
	if err != nil {
		return err
	}
	traces := v.traces
	if traces == nil {
		traces = noop.NewTracerProvider() // the trace of a caller goes on in the record all the same
	}
	client, err := g.producer(opts, traces, v.registry, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.closeProducer(ctx, client)) }()
	var publisher gateway.Publisher = client
	disk, err := g.opened(client, v.registry, log)
	if err != nil {
		return err
	}
	if disk != nil {
		defer func() { err = errors.Join(err, disk.Close()) }()
		publisher = disk
	}
	once, err := g.accepted(opts, v.registry, log)
	if err != nil {
		return err
	}
	defer once.end(ctx, log)
	state.watch(once, disk)
	from, err := newWorkOS(ctx, workosConfig{
		cfg: g.Config, opts: opts, publisher: publisher, once: once, check: schemas.check(), begun: state.begun, metrics: v.registry, log: log,
	})
	if err != nil {
		return err
	}
	defer from.close()
	beside, err := g.beside(opts, client, schemas, log)
	if err != nil {
		return err
	}
	defer beside.close()
	handler, err := gateway.NewServer(gateway.Config{
		Extra:     append(from.routes(), publicKeys(beside.keys)),
		Publisher: publisher, Keys: keys, Once: once, Rates: g.rates(), Validator: g.validator(), Registry: schemas.registry,
		Schemas: beside.schemas, Exports: beside.exports, Retentions: beside.retentions, URL: g.Config.Gateway.URL,
		Begun: state.begun, Ready: state.ready,
		Requests: g.Config.Gateway.Requests, Memory: int64(g.Config.Gateway.Memory),
		Metrics: v.registry, Traces: traces, Log: sampledRequests(log),
	})
	if err != nil {
		return err
	}
	figures, err := connectionFigures(v.registry)
	if err != nil {
		return err
	}
	server, err := httpserver.Open(ctx, httpserver.Config{
		Address: g.Config.Gateway.Listen, TLS: serverTLS(g.Config.Gateway.TLS), Handler: handler, Log: log, Figures: figures,
		Bounds: httpserver.Bounds{
			Connections: g.Config.Gateway.Connections, Headers: gatewayHeaders, Head: gatewayHead, Idle: gatewayIdle, Body: gatewayBody,
			Shutdown: g.Config.Gateway.DrainTimeout.Std(), Streams: gatewayStreams,
		},
	})
	if err != nil {
		return fmt.Errorf("gateway.%w", err)
	}
	log.Info("events are taken in", zap.String("url", server.URL()))
	work, working := errgroup.WithContext(ctx)
	defer context.AfterFunc(working, state.stop)()
	work.Go(func() error {
		if err := server.Serve(working); err != nil {
			return fmt.Errorf("gateway: %w", err)
		}
		return nil
	})
	work.Go(func() error {
		keys.Watch(working)
		return nil
	})
	work.Go(func() error { return once.Run(working) })
	if disk != nil {
		work.Go(func() error { return disk.Run(working) })
	}
	work.Go(func() error { return g.follow(working, opts, schemas, state, from, log) })
	work.Go(func() error { return beside.exports.Run(working) })
	if err := work.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func (g Gateway) validator() schema.Validator {
	return schema.Validator{OrganizationPattern: g.Config.Events.OrganizationPattern}
}

// producer is the client that publishes, on the cluster that opts connect to.
func (g Gateway) producer(opts []kgo.Opt, traces trace.TracerProvider, figures prometheus.Registerer, log *zap.Logger) (*producer.Client, error) {
	probe, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, err
	}
	brokers, _ := probe.OptValue(kgo.SeedBrokers).([]string) // of an embedded Kafka they stand nowhere else
	probe.Close()
	c := producer.Config{
		Brokers: brokers, Topic: g.Config.Topics.Kafka().Events(), ClientID: g.Config.Kafka.ClientID,
		Validator: g.validator(), DeliveryTimeout: g.Config.Gateway.Timeout.Std(),
		Logger: sampled(log.Named("producer")), Metrics: figures, Traces: traces,
	}
	if c.TLS, err = g.Config.Kafka.TLS.Client(); err != nil {
		return nil, err
	}
	if s := g.Config.Kafka.SASL; s != nil {
		c.SASL = &producer.SASL{Mechanism: s.Mechanism, Username: s.Username, Password: s.Password.Resolve}
	}
	return producer.New(c)
}

// closeProducer waits for what is under way, as long as requests may.
func (g Gateway) closeProducer(ctx context.Context, client *producer.Client) error {
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), g.Config.Gateway.DrainTimeout.Std())
	defer cancel()
	return client.Close(ending)
}

// sampledRequests bounds the lines about requests: of equal ones a hundred a second, then every
// hundredth.
func sampledRequests(log *zap.Logger) *zap.Logger {
	return log.WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(core, time.Second, 100, 100)
	}))
}

// gatewayState says whether events can be taken.
type gatewayState struct {
	early    bool // events are taken before Kafka has answered
	kafka    pulse
	prepared atomic.Bool // the topics are there, and registered schemas are known
	stopping atomic.Bool

	mu       sync.Mutex
	accepted *accepted    // nil until it is there; guarded by mu
	spool    *spool.Spool // nil: there is none; guarded by mu
}

// watch has what is remembered, and the spool if there is one, say whether they are ready.
func (s *gatewayState) watch(once accepted, disk *spool.Spool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accepted, s.spool = &once, disk
}

func (s *gatewayState) begun() error {
	if !s.early && !s.prepared.Load() {
		return errors.New("waiting for Kafka")
	}
	return nil
}

func (s *gatewayState) ready() error {
	if s.stopping.Load() {
		return errors.New("stopping")
	}
	if err := s.begun(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.accepted == nil {
		return errors.New("starting")
	}
	if err := s.accepted.Ready(); err != nil {
		return err
	}
	gone := s.kafka.gone()
	if s.spool != nil && (gone != nil || !s.prepared.Load()) {
		return s.spool.Ready() // what Kafka does not take goes there
	}
	return gone
}

func (s *gatewayState) stop() { s.stopping.Store(true) }

// follow makes the topics, then watches Kafka and takes over what schemas are registered.
func (g Gateway) follow(ctx context.Context, opts []kgo.Opt, schemas *gatewaySchemas, state *gatewayState, from *workosIn, log *zap.Logger) error {
	topics := g.Config.Topics.Kafka()
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return err
	}
	defer client.Close()
	for wait := beginFirst; ; wait = min(2*wait, beginMost) {
		_, err := prepare(ctx, opts, topics, log, nil)
		if err == nil {
			err = schemas.read(ctx, client, topics.Schemas())
		}
		if err == nil || ctx.Err() != nil {
			break
		}
		if !passes(err) {
			return err
		}
		log.Warn("Kafka does not let the gateway begin yet", zap.Error(err), zap.Duration("next_try_in", wait))
		again := time.NewTimer(wait)
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	state.prepared.Store(true)
	work, ctx := errgroup.WithContext(ctx)
	work.Go(func() error { return feel(ctx, client, topics.Events(), &state.kafka, (&writable{}).ask) })
	work.Go(func() error { return schemas.follow(ctx, client, topics.Schemas(), log) })
	work.Go(func() error { return from.run(ctx) })
	return work.Wait()
}
