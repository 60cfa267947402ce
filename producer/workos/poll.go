package workos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
)

// Cursor is how far the Events API was read.
type Cursor struct {
	// After is the id of an Event: it and what is older is settled. Empty: nothing is yet, and
	// reading begins at Time.
	After string
	// Time is when that Event was created.
	Time time.Time
}

// Cursors keeps the cursor.
type Cursors interface {
	// Load is what was saved last; the zero Cursor if nothing was.
	Load(ctx context.Context) (Cursor, error)
	// Save returns when the cursor would outlive this process.
	Save(ctx context.Context, c Cursor) error
}

// Defaults of PollConfig.
const (
	DefaultInterval = 10 * time.Second
	DefaultOverlap  = time.Minute
	DefaultBackfill = Horizon
	DefaultProbe    = time.Minute
)

// PollConfig says what is polled, and how. Key, Events, Cursors and Intake are required.
type PollConfig struct {
	URL string // default DefaultURL
	// Key reads the API key; it is asked for before each request, and neither kept nor logged.
	Key    func(context.Context) (string, error)
	Events []string // the types that are asked for

	// Backfill is how far back reading begins when there is no cursor; at most Horizon.
	Backfill time.Duration
	// Interval is how often the API is asked while there is nothing new; default
	// DefaultInterval.
	Interval time.Duration
	// Overlap is how long an Event may take to appear in the API: what is younger is read again
	// and again, and published when it is new. 0 is DefaultOverlap.
	Overlap time.Duration
	// Probe is how often an API key or a request that was refused is tried; default DefaultProbe.
	Probe time.Duration
	// RetryMin and RetryMax bound the pause after a failure; default 1s and 5m.
	RetryMin, RetryMax time.Duration

	Cursors Cursors
	Intake  *Intake
	Client  *http.Client // default: one that follows no redirect, which would show the key to others

	Log     *zap.Logger           // nil: no log
	Metrics prometheus.Registerer // nil: none
}

// Poller reads the Events API. The cursor is saved only when everything up to it is
// acknowledged; so a crash, and a cursor that is lost, repeat Events, with the same ids, and
// none is passed over. Events that appear late, behind younger ones, are found for as long as
// Overlap says.
type Poller struct {
	cfg  PollConfig
	api  *eventsAPI
	view *pollMetrics

	// Of the goroutine that runs Run.
	cursor Cursor
	seen   map[string]time.Time // Events behind the cursor that are settled, and when they were created
}

// maxSeen bounds the memory of Events behind the cursor: ids of some 40 bytes. With more in
// an overlap the cursor follows more closely.
const maxSeen = 200_000

// NewPoller makes a poller. Its figures are registered once, however often it runs.
func NewPoller(c PollConfig) (*Poller, error) {
	set(&c.URL, DefaultURL)
	set(&c.Interval, DefaultInterval)
	set(&c.Overlap, DefaultOverlap)
	set(&c.Probe, DefaultProbe)
	set(&c.RetryMin, time.Second)
	set(&c.RetryMax, 5*time.Minute)
	set(&c.Log, zap.NewNop())
	if c.Client == nil {
		c.Client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	view, err := newPollMetrics(c.Metrics)
	if err != nil {
		return nil, err
	}
	return &Poller{cfg: c, view: view, api: &eventsAPI{client: c.Client, url: c.URL, key: c.Key, events: c.Events, limit: pageLimit}}, nil
}

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Probe asks the Events API once, and says why it cannot be read. It needs URL, Key and Events.
func Probe(ctx context.Context, c PollConfig) error {
	p, err := NewPoller(PollConfig{URL: c.URL, Key: c.Key, Events: c.Events, Client: c.Client})
	if err != nil {
		return err
	}
	defer p.cfg.Client.CloseIdleConnections()
	p.api.limit = 1
	_, err = p.api.list(ctx, "", time.Now().Add(-time.Hour))
	if errors.Is(err, errPageTooLarge) {
		return nil // it can be read
	}
	return err
}

// Run polls until ctx ends. Only one may run at a time anywhere; a second one would repeat
// what the first one publishes.
func (p *Poller) Run(ctx context.Context) {
	p.view.active.Set(1)
	defer p.view.active.Set(0)
	p.cursor, p.seen = Cursor{}, nil
	failures := 0
	for ctx.Err() == nil {
		err := p.round(ctx)
		if ctx.Err() != nil {
			return
		}
		pause := p.cfg.Interval*9/10 + rand.N(p.cfg.Interval/5+1)
		if err != nil {
			failures++
			pause = p.pause(err, failures)
			p.complain(err, failures, pause)
		} else {
			if failures > 0 {
				p.cfg.Log.Info("the Events API of WorkOS is read again", zap.Time("up_to", p.cursor.Time))
			}
			failures = 0
			p.view.state(stateActive)
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// pause is how long to wait after the n-th failure in a row.
func (p *Poller) pause(err error, n int) time.Duration {
	status, answered := errors.AsType[*statusError](err)
	if answered && status.retryAfter > 0 {
		return status.retryAfter + rand.N(p.cfg.RetryMin)
	}
	if stateOf(err) == stateInvalid {
		return p.cfg.Probe*9/10 + rand.N(p.cfg.Probe/5+1)
	}
	most := p.cfg.RetryMin << min(n-1, 30)
	if most <= 0 || most > p.cfg.RetryMax {
		most = p.cfg.RetryMax
	}
	// At least half of it: the API is shared with what else the customer does.
	return most/2 + rand.N(most/2+1)
}

func (p *Poller) complain(err error, n int, pause time.Duration) {
	state := stateOf(err)
	p.view.state(state)
	fields := []zap.Field{zap.Error(err), zap.Int("failures", n), zap.Duration("next_try_in", pause)}
	if state == stateInvalid {
		p.cfg.Log.Error("WorkOS does not let its Events API be read: see gateway.workos.poll; nothing is lost for "+Horizon.String(), fields...)
		return
	}
	p.cfg.Log.Warn("the Events API of WorkOS cannot be read now", fields...)
}

// round reads to the end of what there is.
func (p *Poller) round(ctx context.Context) error {
	if err := p.load(ctx); err != nil {
		return err
	}
	after, start, err := p.begin(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	for {
		got, err := p.ask(ctx, after, start)
		if status, ok := errors.AsType[*statusError](err); ok && status.refused() && after != "" && after == p.cursor.After {
			// The API knows the cursor's Event no more, or no longer takes it for a cursor.
			p.cfg.Log.Warn("WorkOS does not take the cursor: reading begins anew at its time", zap.String("after", after), zap.Time("from", p.cursor.Time), zap.Error(err))
			after, start = "", p.again()
			got, err = p.ask(ctx, after, start)
		}
		if err != nil {
			return err
		}
		if err := p.take(ctx, got); err != nil {
			return err
		}
		if !got.more {
			p.view.caughtUp.SetToCurrentTime()
			return p.rest(ctx, began)
		}
		if got.last == after || len(got.events) == 0 {
			return fmt.Errorf("WorkOS says that there is more after %q, and gives nothing", got.last)
		}
		after = got.last
	}
}

// quiet is how old the cursor of an environment gets in which nothing happens.
const quiet = time.Hour

// rest moves a cursor on that has become old although everything was read: else it would
// point to what the API has forgotten one day, and that would look like a gap.
func (p *Poller) rest(ctx context.Context, began time.Time) error {
	read := began.Add(-p.cfg.Overlap).UTC()
	if read.Sub(p.cursor.Time) < quiet {
		return nil
	}
	return p.move(ctx, Cursor{Time: read})
}

// load finds the cursor, once. Without one it makes a beginning, and saves it: whoever goes
// on after a crash must not begin later.
func (p *Poller) load(ctx context.Context) error {
	if p.seen != nil {
		return nil
	}
	c, err := p.cfg.Cursors.Load(ctx)
	if err != nil {
		return fmt.Errorf("load the cursor: %w", err)
	}
	if c == (Cursor{}) {
		c.Time = time.Now().Add(-min(p.cfg.Backfill, Horizon)).UTC()
		p.cfg.Log.Info("no cursor of the Events API is on record: reading begins in the past", zap.Time("from", c.Time))
		if err := p.save(ctx, c); err != nil {
			return err
		}
	} else {
		p.cfg.Log.Info("the Events API of WorkOS is read on", zap.String("after", c.After), zap.Time("from", c.Time))
	}
	p.cursor, p.seen = c, map[string]time.Time{}
	return nil
}

func (p *Poller) save(ctx context.Context, c Cursor) error {
	if err := p.cfg.Cursors.Save(ctx, c); err != nil {
		return fmt.Errorf("save the cursor: %w", err)
	}
	p.cursor = c
	return nil
}

// horizonMargin keeps a beginning inside of what the API takes while the request is under
// way and clocks differ.
const horizonMargin = 2 * time.Minute

// begin is where a round begins. What the API has forgotten is told, once.
func (p *Poller) begin(ctx context.Context) (after string, start time.Time, err error) {
	horizon := time.Now().Add(-Horizon + horizonMargin)
	if p.cursor.Time.After(horizon) {
		return p.cursor.After, p.cursor.Time, nil
	}
	// A back-fill over the whole horizon begins a little later than now-30d: that is no gap.
	if p.cursor.After != "" || horizon.Sub(p.cursor.Time) > 2*horizonMargin {
		p.view.gaps.Inc()
		p.cfg.Log.Error("Events of WorkOS may be lost: they are older than what its API still gives", zap.Time("from", p.cursor.Time), zap.Time("to", horizon))
	}
	if err := p.save(ctx, Cursor{Time: horizon.UTC()}); err != nil {
		return "", start, err
	}
	return "", p.cursor.Time, nil
}

// again is where reading begins when the API refuses the cursor's Event. Whether a beginning
// itself belongs to the range is not said anywhere: so a little earlier.
func (p *Poller) again() time.Time {
	start := p.cursor.Time.Add(-time.Second)
	if horizon := time.Now().Add(-Horizon + horizonMargin); start.Before(horizon) {
		return horizon
	}
	return start
}

// ask asks for a page, in smaller ones if it is too large.
func (p *Poller) ask(ctx context.Context, after string, start time.Time) (page, error) {
	for {
		got, err := p.api.list(ctx, after, start)
		p.view.asked(err)
		if errors.Is(err, errPageTooLarge) && p.api.limit > 1 {
			p.api.limit /= 2
			continue
		}
		if err == nil {
			p.api.limit = min(2*p.api.limit, pageLimit)
		}
		return got, err
	}
}

// take hands the new Events of a page on, and moves the cursor when they are acknowledged.
func (p *Poller) take(ctx context.Context, got page) error {
	var raws [][]byte
	for _, e := range got.events {
		if _, known := p.seen[e.id]; !known || e.id == "" {
			raws = append(raws, e.raw)
		}
	}
	if len(raws) > 0 {
		if err := p.cfg.Intake.Take(ctx, SourceEvents, raws...); err != nil {
			return err
		}
	}
	now := time.Now()
	c := p.cursor
	for _, e := range got.events {
		if e.id == "" || e.created.IsZero() {
			continue // no cursor: nobody knows when it was
		}
		p.view.newest(e.created)
		p.seen[e.id] = e.created
		// The cursor does not pass what may still appear before it.
		if now.Sub(e.created) >= p.cfg.Overlap || len(p.seen) > maxSeen {
			if !e.created.Before(c.Time) || c.After == "" {
				c = Cursor{After: e.id, Time: e.created.UTC()}
			}
		}
	}
	if c == p.cursor {
		return nil
	}
	return p.move(ctx, c)
}

// move saves the cursor and forgets what lies before it.
func (p *Poller) move(ctx context.Context, c Cursor) error {
	if err := p.save(ctx, c); err != nil {
		return err
	}
	for id, created := range p.seen {
		if created.Before(c.Time) {
			delete(p.seen, id)
		}
	}
	return nil
}
