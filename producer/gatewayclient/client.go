package gatewayclient

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/propagation"
	"golang.org/x/sync/semaphore"

	"github.com/auditstream/auditstream/producer"
	"github.com/auditstream/auditstream/schema"
)

// Client publishes events through the gateway. It may be used by many goroutines at once;
// one a process is enough.
type Client struct {
	conf   Config
	single string              // URL of the route for one event
	batch  string              // and of that for several
	memory *semaphore.Weighted // bytes of events that are not answered

	stop    context.Context // ends when Close has given up waiting
	stopNow context.CancelFunc
	running sync.WaitGroup // the lanes' goroutines

	mu      sync.Mutex
	lanes   []lane          // guarded by mu
	closed  bool            // guarded by mu
	pending int             // guarded by mu; events that have no outcome yet
	idle    []chan struct{} // guarded by mu; of those who wait until pending is 0

	close  sync.Once
	result error // of Close
}

// Bounds of a batch, of which the gateway publishes each in one piece.
const (
	maxBatch      = 256
	maxBatchBytes = 1 << 20 // an event may be larger
)

// Pauses between attempts: each twice the one before, up to the longest, half of it at
// random; or what the gateway asks for.
const (
	firstPause   = 100 * time.Millisecond
	longestPause = 5 * time.Second
)

// lane is what waits for one request at a time: the events of some organizations.
type lane struct {
	waiting []*entry
	busy    bool // a goroutine sends
}

// entry is an event on its way.
type entry struct {
	id, organization string
	event            []byte // canonical
	trace            propagation.HeaderCarrier
	deadline         time.Time
	size             int64
	done             func(error)

	last       error // of the attempts so far; owned by the lane's goroutine, as mayBeThere
	mayBeThere bool  // one of them may have been taken
}

// New makes a client. It does not need the gateway to be up.
func New(c Config) (*Client, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	single := strings.TrimSuffix(c.URL, "/") + "/audit_logs/events"
	client := &Client{
		conf: c, single: single, batch: single + "/batch",
		memory: semaphore.NewWeighted(c.MaxBufferedBytes), lanes: make([]lane, c.Requests),
	}
	client.stop, client.stopNow = context.WithCancel(context.Background())
	return client, nil
}

// Publish sends events and returns when each of them is accepted, has failed, or is given up
// on. It returns nil when all were accepted, else a *producer.PublishError that names those
// that were not.
//
// It sets the ID of events without one. When ctx ends it returns at once; what was handed
// over by then is still being sent for the rest of Config.DeliveryTimeout, so that the error
// of such an event is uncertain.
func (c *Client) Publish(ctx context.Context, events ...*schema.Event) error {
	outcomes := make([]chan error, len(events))
	for i, event := range events {
		outcomes[i] = make(chan error, 1)
		c.PublishAsync(ctx, event, func(err error) { outcomes[i] <- err })
	}
	failed := &producer.PublishError{Total: len(events)}
	for i, outcome := range outcomes {
		if err := await(ctx, outcome); err != nil {
			one := producer.EventError{Index: i, Err: err}
			if events[i] != nil {
				one.ID = events[i].ID
			}
			failed.Failed = append(failed.Failed, one)
		}
	}
	if len(failed.Failed) > 0 {
		return failed
	}
	return nil
}

// await prefers an outcome to the end of ctx.
func await(ctx context.Context, outcome <-chan error) error {
	select {
	case err := <-outcome:
		return err
	default:
	}
	select {
	case err := <-outcome:
		return err
	case <-ctx.Done():
		return producer.MarkUncertain(context.Cause(ctx))
	}
}

// PublishAsync hands event over and returns without waiting for the answer. done, unless
// nil, is called exactly once, with nil when the event is accepted, else with the reason. It
// may be called before PublishAsync returns, and from any goroutine; the events behind it
// wait for it, and it must not call the client.
//
// PublishAsync blocks while the buffer is full; ctx ends that wait. Otherwise ctx is not
// looked at, but for its trace, which goes on at the gateway.
func (c *Client) PublishAsync(ctx context.Context, event *schema.Event, done func(error)) {
	if done == nil {
		done = func(error) {}
	}
	e, err := c.entry(ctx, event, done)
	if err == nil {
		err = c.reserve(ctx, e)
	}
	if err == nil && !c.enqueue(e) { //nolint:contextcheck // it is sent also when the caller has given up
		c.memory.Release(e.size)
		err = producer.ErrClosed
	}
	if err != nil {
		done(err)
	}
}

// entry checks an event.
func (c *Client) entry(ctx context.Context, event *schema.Event, done func(error)) (*entry, error) {
	if event == nil {
		return nil, errors.New("the event is nil")
	}
	if event.ID == "" {
		event.ID = schema.NewID(time.Now())
	}
	if event.OrganizationID == "" {
		return nil, schema.Violations{{Pointer: "/organization_id", Code: schema.CodeRequired, Message: "required"}}
	}
	value, violations := c.conf.Validator.Encode(nil, event)
	if err := violations.Err(); err != nil {
		return nil, err
	}
	if c.conf.Check != nil {
		if err := c.conf.Check(event).Err(); err != nil {
			return nil, err
		}
	}
	trace := propagation.HeaderCarrier(http.Header{})
	propagation.TraceContext{}.Inject(ctx, trace)
	const structures = 512 // a round figure for what is around an event
	return &entry{
		id: event.ID, organization: event.OrganizationID, event: value, trace: trace,
		deadline: time.Now().Add(c.conf.DeliveryTimeout), done: done,
		// What is larger than the whole buffer may pass when it has the buffer for itself.
		size: min(int64(len(value)+structures), c.conf.MaxBufferedBytes),
	}, nil
}

// reserve takes an entry's bytes of the buffer, waiting for them if need be.
func (c *Client) reserve(ctx context.Context, e *entry) error {
	if c.stop.Err() != nil {
		return producer.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("not sent: %w", context.Cause(ctx))
	}
	if c.memory.TryAcquire(e.size) {
		return nil
	}
	wait, cancel := context.WithDeadline(ctx, e.deadline)
	defer cancel()
	defer context.AfterFunc(c.stop, cancel)() //nolint:contextcheck // Close ends the wait as well
	switch err := c.memory.Acquire(wait, e.size); {
	case err == nil:
		return nil
	case c.stop.Err() != nil:
		return producer.ErrClosed
	case ctx.Err() != nil:
		return fmt.Errorf("not sent: %w", context.Cause(ctx))
	}
	return fmt.Errorf("%w: none was answered within %s", producer.ErrBufferFull, c.conf.DeliveryTimeout)
}

// enqueue hands an entry to its lane; false: the client is closed.
func (c *Client) enqueue(e *entry) bool {
	h := fnv.New32a()
	_, _ = h.Write([]byte(e.organization)) // never fails
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	l := &c.lanes[h.Sum32()%uint32(len(c.lanes))]
	l.waiting = append(l.waiting, e)
	c.pending++
	if !l.busy {
		l.busy = true
		c.running.Go(func() { c.run(l) })
	}
	return true
}

// run sends what waits in a lane until nothing does: in batches, one after another. What has
// to be sent again comes first in the next, so that nothing overtakes it.
func (c *Client) run(l *lane) {
	var batch []*entry
	pause := firstPause
	for {
		if batch = c.fill(l, batch); len(batch) == 0 {
			return
		}
		left, asked := c.deliver(batch)
		if len(left) < len(batch) {
			pause = firstPause
		}
		if batch = left; len(batch) > 0 {
			c.rest(max(pause/2+rand.N(pause/2+1), asked), batch[0].deadline)
			pause = min(2*pause, longestPause)
		}
	}
}

// rest waits for d, or until Close gives up or the time of whoever has waited longest is up.
func (c *Client) rest(d time.Duration, until time.Time) {
	timer := time.NewTimer(min(d, time.Until(until)))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.stop.Done():
	}
}

// fill adds to a batch what waits in the lane, and ends the lane when there is nothing.
func (c *Client) fill(l *lane, batch []*entry) []*entry {
	size := 0
	for _, e := range batch {
		size += len(e.event)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, e := range l.waiting {
		if len(batch) == maxBatch || len(batch) > 0 && size+len(e.event) > maxBatchBytes {
			break
		}
		batch, size, n = append(batch, e), size+len(e.event), n+1
	}
	clear(l.waiting[:n]) // or they stay in memory as long as what is behind them
	l.waiting = l.waiting[n:]
	if len(batch) == 0 {
		l.waiting, l.busy = nil, false
	}
	return batch
}

// finish gives an event its outcome.
func (c *Client) finish(e *entry, err error) {
	e.done(err)
	c.memory.Release(e.size)
	c.settled()
}

// settled notes that an event has its outcome.
func (c *Client) settled() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pending--; c.pending == 0 {
		for _, waits := range c.idle {
			close(waits)
		}
		c.idle = nil
	}
}

// Flush returns when every event that was published before is accepted or has failed, or
// with ctx's error when ctx ends before that.
func (c *Client) Flush(ctx context.Context) error {
	c.mu.Lock()
	if c.pending == 0 {
		c.mu.Unlock()
		return nil
	}
	waits := make(chan struct{})
	c.idle = append(c.idle, waits)
	c.mu.Unlock()
	select {
	case <-waits:
		return nil
	case <-ctx.Done():
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Errorf("flush: %d events are not answered yet: %w", c.pending, context.Cause(ctx))
}

// Close refuses new events, waits for those under way as Flush does, then fails the rest
// with producer.ErrClosed. It returns an error if ctx ended before every event was accepted
// or had failed. Every callback has returned when Close returns. Closing again does nothing
// and returns the same.
func (c *Client) Close(ctx context.Context) error {
	c.close.Do(func() {
		c.mu.Lock()
		c.closed = true
		c.mu.Unlock()
		c.result = c.Flush(ctx)
		c.stopNow()
		c.running.Wait()
		c.conf.HTTP.CloseIdleConnections()
	})
	return c.result
}
