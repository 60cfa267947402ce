package outbox

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/schema"
)

// Defaults of RelayConfig.
const (
	DefaultPollInterval = time.Second
	DefaultWorkers      = 2
	DefaultBatchEvents  = 1000
	DefaultBatchBytes   = 4 << 20
	DefaultDrainTimeout = 10 * time.Second
)

// Publisher publishes events and returns when each is acknowledged or has failed, in the
// order of the call and with a *producer.PublishError, as *producer.Client does.
type Publisher interface {
	Publish(ctx context.Context, events ...*schema.Event) error
}

// RelayConfig says how events get from the table to Kafka. DB and Publisher are required.
type RelayConfig struct {
	DB        *sql.DB   // of it Workers connections are in use, one more now and then, and Listen's
	Publisher Publisher // a *producer.Client

	// Listen calls wake when the channel is notified, and when notifications before that may
	// have been missed, until ctx ends or its connection breaks; the relay then calls it again.
	// Package pgxlisten has one for pgx; nil: the relay only polls.
	Listen func(ctx context.Context, channel string, wake func()) error

	PollInterval time.Duration // between two looks at the table when nothing wakes the relay; default DefaultPollInterval
	Workers      int           // transactions at a time; default DefaultWorkers
	BatchEvents  int           // events of one transaction, at most; default DefaultBatchEvents, at least 64
	BatchBytes   int64         // likewise, their size; one event may be larger; default DefaultBatchBytes

	// Keep is how long events stay in the table after their acknowledgement; 0: they are
	// deleted at once.
	Keep time.Duration

	// DrainTimeout is how long the batches under way may take when Run's context ends; default
	// DefaultDrainTimeout. What is not acknowledged by then is published again by the next relay.
	DrainTimeout time.Duration

	Logger *zap.Logger // nil: no log

	// Metrics is where the figures of the outbox are registered, by table. nil: none.
	Metrics prometheus.Registerer
}

// Relay hands the events of an outbox to Kafka.
type Relay struct {
	box    *Outbox
	conf   RelayConfig
	counts *metrics // nil: none
	wake   chan struct{}

	// primed is whether the last batch went through as a whole. Otherwise the next one has
	// one event of each lane: when the first events of a batch fail and those behind them do
	// not, an organization's events would overtake each other.
	primed atomic.Bool

	mu   sync.Mutex
	held map[int64]hold // guarded by mu; lanes whose last event failed
	next int64          // guarded by mu; the lane that the next claim begins with
}

// hold is a lane's pause after a failure.
type hold struct {
	until time.Time
	wait  time.Duration
}

// Pauses after failures, of a lane and of a worker; each is longer than the one before, up
// to the longest, and cut at random by up to a half.
const (
	firstPause   = 500 * time.Millisecond
	longestPause = 10 * time.Second
)

// statementTimeout bounds each exchange with the database, so that a connection which is
// dead, without anybody having said so, holds no worker for ever.
const statementTimeout = 30 * time.Second

// NewRelay makes a relay. It needs neither the database nor Kafka to be up.
func (o *Outbox) NewRelay(c RelayConfig) (*Relay, error) {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("outbox.RelayConfig."+format, args...))
	}
	if c.DB == nil {
		bad("DB: required")
	}
	if c.Publisher == nil {
		bad("Publisher: required")
	}
	c.PollInterval = cmp.Or(c.PollInterval, DefaultPollInterval)
	c.Workers = cmp.Or(c.Workers, DefaultWorkers)
	c.BatchEvents = cmp.Or(c.BatchEvents, DefaultBatchEvents)
	c.BatchBytes = cmp.Or(c.BatchBytes, DefaultBatchBytes)
	c.DrainTimeout = cmp.Or(c.DrainTimeout, DefaultDrainTimeout)
	if c.Logger == nil {
		c.Logger = zap.NewNop()
	}
	if c.PollInterval < time.Millisecond {
		bad("PollInterval: %s is less than a millisecond", c.PollInterval)
	}
	if c.Workers < 1 || c.Workers > lanes {
		bad("Workers: %d is not between 1 and %d", c.Workers, lanes)
	}
	if c.BatchEvents < lanes {
		bad("BatchEvents: %d is less than %d", c.BatchEvents, lanes)
	}
	if c.BatchBytes < 1 {
		bad("BatchBytes: %d is less than 1", c.BatchBytes)
	}
	if c.Keep < 0 {
		bad("Keep: %s is negative", c.Keep)
	}
	if c.DrainTimeout < 0 {
		bad("DrainTimeout: %s is negative", c.DrainTimeout)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	counts, err := newMetrics(c.Metrics, o.conf.Table)
	if err != nil {
		return nil, fmt.Errorf("outbox.RelayConfig.Metrics: %w", err)
	}
	return &Relay{
		box: o, conf: c, counts: counts,
		wake: make(chan struct{}, c.Workers), held: map[int64]hold{}, next: rand.Int64N(lanes),
	}, nil
}

// Run relays until ctx ends; it then waits for the batches under way, for
// RelayConfig.DrainTimeout at most, and returns nil. Failures of the database and of Kafka
// end nothing: they are logged, counted, and tried again. Run may be called once.
func (r *Relay) Run(ctx context.Context) error {
	// Publishing outlives ctx by DrainTimeout.
	publishing, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var running, draining sync.WaitGroup
	draining.Go(func() {
		select {
		case <-ctx.Done():
			r.rest(publishing, r.conf.DrainTimeout, nil)
			stop()
		case <-publishing.Done():
		}
	})
	for range r.conf.Workers {
		running.Go(func() { r.worker(ctx, publishing) })
	}
	if r.conf.Listen != nil {
		running.Go(func() { r.listen(ctx) })
	}
	running.Go(func() { r.keepHouse(ctx) })
	running.Wait()
	stop()
	draining.Wait()
	return nil
}

// worker relays batch after batch.
func (r *Relay) worker(ctx, publishing context.Context) {
	log := r.conf.Logger.With(zap.String("table", r.box.conf.Table))
	var pause time.Duration
	for ctx.Err() == nil {
		found, err := r.batch(ctx, publishing)
		switch {
		case err != nil && ctx.Err() != nil:
			return
		case err != nil:
			pause = longer(pause)
			r.counts.failed()
			log.Warn("the outbox cannot be relayed, trying again", zap.Error(err), zap.Duration("in", pause))
			r.rest(ctx, pause, nil)
		case !found:
			pause = 0
			r.rest(ctx, min(r.conf.PollInterval, r.untilFree()), r.wake)
		default:
			pause = 0
		}
	}
}

// rest waits for d, or until ctx ends or wake has something.
func (r *Relay) rest(ctx context.Context, d time.Duration, wake <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-wake:
	}
}

// listen has the workers look as soon as something is inserted.
func (r *Relay) listen(ctx context.Context) {
	var pause time.Duration
	for ctx.Err() == nil {
		began := time.Now()
		err := r.conf.Listen(ctx, r.box.Channel(), func() {
			for range r.conf.Workers {
				select {
				case r.wake <- struct{}{}:
				default:
				}
			}
		})
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > longestPause {
			pause = 0 // it did work
		}
		pause = longer(pause)
		r.conf.Logger.Warn("not notified of events in the outbox for now, polling",
			zap.String("table", r.box.conf.Table), zap.Error(err), zap.Duration("again_in", pause))
		r.rest(ctx, pause, nil)
	}
}

// longer is the pause behind a pause of d.
func longer(d time.Duration) time.Duration {
	d = min(max(2*d, firstPause), longestPause)
	return d - rand.N(d/2)
}

// busy are the lanes that are not to be claimed now, and where a claim begins.
func (r *Relay) busy() (held []int64, first int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	for lane, h := range r.held {
		if now.Before(h.until) {
			held = append(held, lane)
		}
	}
	return held, r.next
}

// untilFree is how long it takes until a lane that is held may be claimed again.
func (r *Relay) untilFree() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	soonest := longestPause
	for _, h := range r.held {
		if left := time.Until(h.until); left > 0 {
			soonest = min(soonest, left)
		}
	}
	return soonest
}

// settle notes how a batch ended for its lanes.
func (r *Relay) settle(claimed []int64, failed map[int64]bool) {
	r.primed.Store(len(failed) == 0)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next = (claimed[len(claimed)-1] + 1) % lanes
	for _, lane := range claimed {
		if !failed[lane] {
			delete(r.held, lane)
			continue
		}
		wait := longer(r.held[lane].wait)
		r.held[lane] = hold{until: time.Now().Add(wait), wait: wait}
	}
}
