package idempotency

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/schema"
)

// Why there is no claim; to be asked for with errors.Is.
var (
	// ErrConflict: the key was used for an event with other content.
	ErrConflict = errors.New("the idempotency key was used for an event with other content: give each event a key of its own")
	// ErrBusy: the same request is under way, and its outcome was not known in time. It may be
	// made again.
	ErrBusy = errors.New("the same request is under way")
)

// Defaults of Config.
const (
	DefaultTopic  = "audit.idempotency"
	DefaultMemory = 128 << 20
	DefaultLoad   = 30 * time.Second
)

// Config says what is remembered where. Its zero value remembers in this process only.
type Config struct {
	// Kafka are the options of the clients for the topic of notes; empty: there is none, and
	// nothing is remembered beyond this process.
	Kafka []kgo.Opt
	Topic string // default DefaultTopic

	// Memory bounds what is remembered, in bytes; default DefaultMemory, enough for 2.5 million
	// requests. See [Capacity].
	Memory int64
	// Load bounds how long Ready waits for the notes of the last 24 hours; default DefaultLoad.
	Load time.Duration

	Metrics prometheus.Registerer // nil: none
	Log     *zap.Logger           // nil: no log
}

// Capacity is how many requests are remembered in so many bytes.
func Capacity(memory int64) int64 { return entriesFor(cmp.Or(memory, DefaultMemory)) }

// Once remembers what was accepted. It may be used by many goroutines at once.
type Once struct {
	conf   Config
	table  *table
	counts *metrics
	notes  *writer // nil without a topic

	loaded chan struct{} // closed when the notes that were there at the start are read
	load   sync.Once
	late   time.Time // when Ready ceases to wait for that
}

// New makes a Once. It does not need Kafka to be up.
func New(c Config) (*Once, error) {
	c.Topic = cmp.Or(c.Topic, DefaultTopic)
	c.Memory = cmp.Or(c.Memory, DefaultMemory)
	c.Load = cmp.Or(c.Load, DefaultLoad)
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	if c.Memory < 0 || c.Load < 0 {
		return nil, fmt.Errorf("idempotency.Config: Memory %d and Load %s must not be negative", c.Memory, c.Load)
	}
	o := &Once{conf: c, table: newTable(c.Memory), loaded: make(chan struct{}), late: time.Now().Add(c.Load)}
	var err error
	if o.counts, err = newMetrics(c.Metrics, o.table); err != nil {
		return nil, fmt.Errorf("idempotency.Config.Metrics: %w", err)
	}
	if len(c.Kafka) == 0 {
		o.load.Do(func() { close(o.loaded) })
		return o, nil
	}
	if o.notes, err = newWriter(c, o.counts); err != nil {
		return nil, err
	}
	return o, nil
}

// Run reads the topic of notes until ctx ends; without a topic it only waits.
func (o *Once) Run(ctx context.Context) error {
	if o.notes == nil {
		<-ctx.Done()
		return nil
	}
	return follower{o}.run(ctx)
}

// Ready is nil when the notes that were in the topic at the start are read, or Config.Load
// is over: then it is better to accept events, with a repeat now and then that receivers
// recognise, than to accept none.
func (o *Once) Ready() error {
	select {
	case <-o.loaded:
		return nil
	default:
	}
	if left := time.Until(o.late); left > 0 {
		return fmt.Errorf("reading what was accepted in the last %s, for %s more at most", Horizon, left.Round(time.Second))
	}
	return nil
}

// Close writes the notes that are left, until ctx ends, and disconnects. Run has to be over.
func (o *Once) Close(ctx context.Context) error {
	if o.notes == nil {
		return nil
	}
	return o.notes.close(ctx)
}

// Claim says whether this was accepted before, and if not, has the caller see to it. key is
// the idempotency key, "" if there is none; content is the event's canonical form without
// an id. While somebody else sees to the same, it waits for the outcome until ctx ends; the
// error is ErrBusy then.
//
// Whoever gets a claim that is not Done calls Accepted or Failed, sooner or later: until
// then everybody else waits. Who claims several things waits for none of them while holding
// others (see TryClaim), or two of them may wait for each other.
func (o *Once) Claim(ctx context.Context, organization, key string, content []byte) (*Claim, error) {
	for {
		claim, other, err := o.try(organization, key, content)
		if other == nil {
			return claim, err
		}
		o.counts.waits()
		select {
		case <-other.over:
		case <-ctx.Done():
			o.counts.claimed(outcomeBusy)
			return nil, fmt.Errorf("%w: %w", ErrBusy, context.Cause(ctx))
		}
	}
}

// TryClaim is Claim without the wait: the error is ErrBusy at once.
func (o *Once) TryClaim(organization, key string, content []byte) (*Claim, error) {
	claim, other, err := o.try(organization, key, content)
	if other != nil {
		o.counts.claimed(outcomeBusy)
		return nil, ErrBusy
	}
	return claim, err
}

// try returns a claim, or the one that has to be waited for.
func (o *Once) try(organization, key string, content []byte) (claim, other *Claim, err error) {
	known, of := fingerprints(organization, key, content)
	now := time.Now()
	s := o.table.shard(known)
	s.mu.Lock()
	defer s.mu.Unlock()
	if other := s.pending[known]; other != nil {
		return nil, other, nil
	}
	if before, ok := s.lookup(known, now); ok {
		if before != of {
			o.counts.claimed(outcomeConflict)
			return nil, nil, ErrConflict
		}
		o.counts.claimed(outcomeRepeated)
		return &Claim{id: schema.DeriveID(organization, key, content), done: true}, nil, nil
	}
	o.counts.claimed(outcomeNew)
	claim = &Claim{
		once: o, id: schema.DeriveID(organization, key, content), organization: organization,
		known: known, content: of, over: make(chan struct{}),
	}
	s.pending[known] = claim
	return claim, nil, nil
}

// Claim is one request that somebody sees to.
type Claim struct {
	once           *Once // nil when done
	id             string
	organization   string
	known, content fingerprint
	done           bool

	settled sync.Once
	over    chan struct{} // closed when the outcome is known
}

// ID is the event's id: the same for the same organization, key and content.
func (c *Claim) ID() string { return c.id }

// Done says that the event was accepted before: there is nothing to publish.
func (c *Claim) Done() bool { return c.done }

// Accepted says that the event is safe: Kafka has acknowledged it, or the spool has synced it.
// Only the first of Accepted and Failed counts.
func (c *Claim) Accepted() { c.settle(true) }

// Failed says that the event was not accepted, or that nobody knows. The next one to claim
// it publishes it again, under the same id.
func (c *Claim) Failed() { c.settle(false) }

func (c *Claim) settle(accepted bool) {
	if c.done {
		return
	}
	c.settled.Do(func() {
		now := time.Now()
		s := c.once.table.shard(c.known)
		s.mu.Lock()
		if accepted {
			s.insert(c.known, c.content, now, now)
		}
		delete(s.pending, c.known)
		s.mu.Unlock()
		close(c.over)
		if accepted && c.once.notes != nil {
			c.once.notes.write(c.organization, note{known: c.known, content: c.content, at: now})
		}
	})
}

// learn takes over what a note says.
func (o *Once) learn(n note, now time.Time) {
	s := o.table.shard(n.known)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.insert(n.known, n.content, n.at, now)
}
