package spool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/producer"
	"github.com/auditstream/auditstream/schema"
)

// Defaults of Config.
const (
	DefaultMax   = 1 << 30
	DefaultAfter = 2 * time.Second
	leastMax     = 1 << 20
)

// Producer publishes to Kafka; *producer.Client does.
type Producer interface {
	Publish(ctx context.Context, events ...*schema.Event) error
	PublishAsync(ctx context.Context, event *schema.Event, done func(error))
}

// Config says where the spool is and how large it may be. Dir and Kafka are required.
type Config struct {
	Dir   string        // made if need be; of one process
	Max   int64         // bytes on disk; default DefaultMax, at least a MiB
	After time.Duration // how long Kafka has for an event before it goes to disk; default DefaultAfter

	Kafka     Producer
	Validator schema.Validator // that of Kafka: an event that is not valid is refused, not kept

	Metrics prometheus.Registerer // nil: none
	Log     *zap.Logger           // nil: no log
}

// Spool publishes events, to Kafka or, while that is away, to disk. It may be used by many
// goroutines at once.
type Spool struct {
	conf  Config
	queue *queue
	log   *zap.Logger

	counts *metrics
	away   atomic.Bool // Kafka has not taken a sender's event in time, and none since: nobody else's waits for it

	taken atomic.Uint64 // times that Kafka took something, from a sender or the disk
	vain  atomic.Uint64 // one more than taken was at the last drain of which Kafka took nothing; 0: there was none
}

// Open opens the spool of a directory, with what is left in it. It does not need Kafka.
func Open(c Config) (*Spool, error) {
	c.Max, c.After = cmp.Or(c.Max, DefaultMax), cmp.Or(c.After, DefaultAfter)
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	switch {
	case c.Dir == "":
		return nil, errors.New("spool.Config.Dir: required")
	case c.Kafka == nil:
		return nil, errors.New("spool.Config.Kafka: required")
	case c.Max < leastMax:
		return nil, fmt.Errorf("spool.Config.Max: %d is less than %d", c.Max, leastMax)
	case c.After < 0:
		return nil, fmt.Errorf("spool.Config.After: %s is negative", c.After)
	}
	s := &Spool{conf: c, log: c.Log.Named("spool")}
	var err error
	if s.counts, err = newMetrics(c.Metrics); err != nil {
		return nil, fmt.Errorf("spool.Config.Metrics: %w", err)
	}
	if s.queue, err = openQueue(c.Dir, c.Max, s.log, s.counts); err != nil {
		return nil, err
	}
	if c.Metrics != nil {
		if err := c.Metrics.Register(newLooker(s)); err != nil {
			return nil, errors.Join(fmt.Errorf("spool.Config.Metrics: %w", err), s.queue.close())
		}
	}
	return s, nil
}

// Close notes what has left, and frees the directory; what waits is there again at the next
// start. Run has to be over, and nobody publish.
func (s *Spool) Close() error { return s.queue.close() }

// Ready is nil while events can be taken also without Kafka.
func (s *Spool) Ready() error {
	q := s.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.health.err(); err != nil {
		return err
	}
	if q.full {
		return fmt.Errorf("%w: %d of %d bytes are taken", ErrFull, q.bytes, q.most)
	}
	return nil
}

// Publish returns when each event is in Kafka, on disk, or refused: nil when all were
// accepted, else a *producer.PublishError. It sets the ID of events without one.
//
// Events go to disk that Kafka has not taken within Config.After, whether it may have them all
// the same or not, and while it is away or anything of their organization waits on the disk.
func (s *Spool) Publish(ctx context.Context, events ...*schema.Event) error {
	drafts := make([]draft, len(events))
	for i, e := range events {
		drafts[i].event = e
	}
	return s.publish(ctx, drafts)
}

// PublishEncoded is Publish for events that were encoded before.
func (s *Spool) PublishEncoded(ctx context.Context, events ...*schema.Encoded) error {
	drafts := make([]draft, len(events))
	for i, e := range events {
		drafts[i] = draft{e.Event(), e}
	}
	return s.publish(ctx, drafts)
}

// draft is an event that somebody publishes.
type draft struct {
	event   *schema.Event
	encoded *schema.Encoded // nil: it was not encoded before
}

// identify gives an event without an id one: the same, whichever way it takes, or both.
func (d *draft) identify() error {
	switch {
	case d.event == nil:
		return errors.New("the event is nil")
	case d.encoded != nil && d.encoded.ID() == "":
		return d.encoded.SetID(schema.NewID(time.Now())).Err()
	case d.encoded == nil && d.event.ID == "":
		d.event.ID = schema.NewID(time.Now())
	}
	return nil
}

func (d *draft) organization() string {
	if d.encoded != nil {
		return d.encoded.OrganizationID()
	}
	return d.event.OrganizationID
}

func (s *Spool) publish(ctx context.Context, events []draft) error {
	errs := make([]error, len(events))
	var straight []draft
	var places []int // of those that go straight
	keep, kept := make([]bool, len(events)), false
	for i := range events {
		e := &events[i]
		if errs[i] = e.identify(); errs[i] != nil {
			continue
		}
		if s.straight(e.organization()) {
			straight, places = append(straight, *e), append(places, i)
		} else {
			keep[i], kept = true, true
		}
	}
	if len(straight) > 0 {
		for i, err := range s.try(ctx, straight) {
			errs[places[i]] = err
			if err != nil && s.spools(ctx, err) {
				keep[places[i]], kept = true, true
			}
		}
	}
	if kept {
		s.keep(events, keep, tracedOf(ctx), errs)
	}
	failed := &producer.PublishError{Total: len(events)}
	for i, err := range errs {
		if err != nil {
			id := ""
			if events[i].event != nil {
				id = events[i].event.ID
			}
			failed.Failed = append(failed.Failed, producer.EventError{Index: i, ID: id, Err: err})
		}
	}
	if len(failed.Failed) > 0 {
		return failed
	}
	return nil
}

// straight says whether an event of an organization goes to Kafka without the detour. When
// the disk holds nothing there is nobody who would find out that Kafka is back, so it is
// asked.
func (s *Spool) straight(organization string) bool {
	of, all := s.queue.holds(organization)
	return of == 0 && (all == 0 || !s.away.Load())
}

// try publishes events to Kafka, and returns the outcome of each.
func (s *Spool) try(ctx context.Context, events []draft) []error {
	patience, cancel := context.WithTimeout(ctx, s.conf.After)
	defer cancel()
	errs := make([]error, len(events))
	err := s.straightOn(patience, events)
	if failed, ok := errors.AsType[*producer.PublishError](err); ok {
		for _, f := range failed.Failed {
			errs[f.Index] = f.Err
		}
	} else if err != nil {
		for i := range errs {
			errs[i] = err
		}
	}
	if slices.Contains(errs, nil) {
		s.took()
	}
	return errs
}

// took notes that Kafka has taken something.
func (s *Spool) took() {
	again := s.vain.Load() == s.taken.Add(1)
	if s.away.Swap(false) || again {
		s.log.Info("Kafka takes events again")
	}
}

// silent says whether Kafka takes nothing: of senders, or, where all that they send goes behind
// what waits already, of the disk. The latter is no reason to keep everybody else's events from
// Kafka: a partition without a leader looks the same while nothing comes for the others.
func (s *Spool) silent() bool { return s.away.Load() || s.vain.Load() == s.taken.Load()+1 }

// straightOn publishes the events of one call to Kafka: all of them were encoded before, or none.
func (s *Spool) straightOn(ctx context.Context, events []draft) error {
	if events[0].encoded == nil {
		plain := make([]*schema.Event, len(events))
		for i, e := range events {
			plain[i] = e.event
		}
		return s.conf.Kafka.Publish(ctx, plain...)
	}
	encoded := make([]*schema.Encoded, len(events))
	for i, e := range events {
		encoded[i] = e.encoded
	}
	return producer.PublishEncoded(ctx, s.conf.Kafka, encoded...)
}

// spools says whether an event that Kafka did not take goes to disk. One that it would
// never take is its sender's to mend, and of a caller who has gone nobody knows whether he
// still wants it.
func (s *Spool) spools(ctx context.Context, err error) bool {
	return !refusedForEver(err) && !errors.Is(err, producer.ErrClosed) && ctx.Err() == nil
}

// refusedForEver says whether the event is what Kafka does not take.
func refusedForEver(err error) bool {
	_, invalid := errors.AsType[schema.Violations](err)
	_, large := errors.AsType[*producer.TooLargeError](err)
	return invalid || large || errors.Is(err, errUnreadable)
}

// errUnreadable: what stands on the disk is no event, although its check sum is right.
var errUnreadable = errors.New("the event cannot be read")

// keep writes events to disk, those of one call in its order and with its trace, and notes the
// outcome of each. Only those that were tried and not taken say that Kafka is away: the others
// go behind what waits of their organization, while Kafka may take everybody else's.
func (s *Spool) keep(events []draft, which []bool, in traced, errs []error) {
	var batch []queued
	var places []int
	var missed error // why Kafka has not taken one of them; nil: none was tried
	now := time.Now()
	for i := range events {
		if !which[i] {
			continue
		}
		value, err := s.encode(&events[i])
		if err != nil {
			errs[i] = err
			continue
		}
		batch = append(batch, queued{at: now, organization: events[i].organization(), traced: in, value: value})
		places = append(places, i)
		if missed == nil {
			missed = errs[i]
		}
	}
	if len(batch) == 0 {
		return
	}
	err := s.queue.append(batch)
	if err != nil {
		s.counts.count(outcomeFailed, len(batch))
	} else {
		s.counts.count(outcomeSpooled, len(batch))
		if missed != nil && !s.away.Swap(true) {
			s.log.Warn("Kafka does not take events in time: they go to disk", zap.Error(missed))
		}
	}
	for _, i := range places {
		if err != nil && errs[i] != nil {
			errs[i] = fmt.Errorf("%w; %w", err, errs[i]) // Kafka may have it
		} else {
			errs[i] = err
		}
	}
}

// encode is the event's canonical form, or why there is none.
func (s *Spool) encode(d *draft) ([]byte, error) {
	switch organization := d.organization(); {
	case organization == "":
		return nil, schema.Violations{{Pointer: "/organization_id", Code: schema.CodeRequired, Message: "required"}}
	case len(organization) > 1<<16-1:
		return nil, schema.Violations{{Pointer: "/organization_id", Code: schema.CodeTooLarge, Message: "too long"}}
	}
	var value []byte
	var violations schema.Violations
	if d.encoded != nil {
		value, violations = d.encoded.For(&s.conf.Validator)
	} else {
		value, violations = s.conf.Validator.Encode(nil, d.event)
	}
	return value, violations.Err()
}
