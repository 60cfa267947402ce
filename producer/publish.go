package producer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/auditstream/auditstream/schema"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Publish sends events and returns when each of them is acknowledged by all in-sync
// replicas, has failed, or is given up on. It returns nil when all were accepted, else a
// *PublishError that names those that were not.
//
// It sets the ID of events without one. Events of one organization are in Kafka in the
// order of the call. An event that is not sent in time, or times out, takes those behind it of
// its organization along, so that none overtakes it. Two kinds of failure do not: an event that
// is itself at fault ([schema.Violations], [TooLargeError]) is left out, and what Kafka refuses
// otherwise ("refused by Kafka": it does so when rights change, or the topic is made anew, while
// events are on their way) may be passed by events that went to it in a later request; when it
// is published again, it stands behind them. When ctx ends it returns at once; what was handed over by then is
// still being sent for the rest of Config.DeliveryTimeout, so the error of such an event
// is Uncertain.
func (c *Client) Publish(ctx context.Context, events ...*schema.Event) error {
	drafts := make([]draft, len(events))
	for i, event := range events {
		drafts[i].event = event
	}
	return c.publish(ctx, drafts)
}

// draft is an event on its way to become a record.
type draft struct {
	event   *schema.Event
	encoded *schema.Encoded // nil: it is to be checked and encoded
}

func (c *Client) publish(ctx context.Context, drafts []draft) error {
	if len(drafts) == 0 {
		return nil
	}
	call := c.newCall(len(drafts))
	for i, d := range drafts {
		c.send(ctx, call, d, func(err error) { call.finish(i, err) })
	}
	errs := call.wait(ctx)
	failed := &PublishError{Total: len(drafts)}
	for i, err := range errs {
		if err != nil {
			failed.Failed = append(failed.Failed, EventError{i, idOf(drafts[i].event), err})
		}
	}
	if len(failed.Failed) > 0 {
		return failed
	}
	return nil
}

// PublishAsync hands event over and returns without waiting for the acknowledgement. done,
// unless nil, is called exactly once: with nil when all in-sync replicas have the event,
// else with the reason; within Config.DeliveryTimeout, or a third more where Kafka's hosts
// take connections but do not answer. It may be called before PublishAsync returns, and
// from any goroutine. The callbacks of other events wait for it: it must return soon, and
// must not call the client.
//
// PublishAsync blocks while the buffer is full and, for the first event, until Kafka has
// said how large an event may be; ctx ends that wait. Otherwise ctx is not looked at.
// Events of one organization that are handed over one after another are in Kafka in that
// order.
func (c *Client) PublishAsync(ctx context.Context, event *schema.Event, done func(error)) {
	if done == nil {
		done = func(error) {}
	}
	call := c.newCall(1)
	c.send(ctx, call, draft{event: event}, func(err error) {
		done(err)
		call.finish(0, err)
	})
}

// call is one Publish or PublishAsync.
type call struct {
	client *Client

	// deadline is that of the events once handed over. The caller's context, which bounds
	// what is done before that, has no part in it: the library fails all events of a partition when the first one's context ends, and
	// these may be another caller's.
	deadline context.Context
	release  context.CancelFunc // of deadline

	done chan struct{} // closed when no event is left

	// stuck has the organizations of which an event was not sent, though it might be another
	// time, and why. Owned by whoever hands the events over.
	stuck map[string]error

	mu   sync.Mutex
	errs []error // guarded by mu; errPending until the event is finished
	left int     // guarded by mu
}

var errPending = errors.New("pending")

func (c *Client) newCall(n int) *call {
	deadline, release := context.WithTimeout(context.Background(), c.conf.DeliveryTimeout)
	k := &call{
		client: c, deadline: deadline, release: release,
		done: make(chan struct{}), errs: make([]error, n), left: n,
	}
	for i := range k.errs {
		k.errs[i] = errPending
	}
	return k
}

// handover is a context that ends with the caller's, with the deadline and with Close.
func (k *call) handover(caller context.Context) (context.Context, func()) {
	at, _ := k.deadline.Deadline()
	ctx, cancel := context.WithDeadline(caller, at)
	unhook := context.AfterFunc(k.client.stop, cancel)
	return ctx, func() { unhook(); cancel() }
}

// notHandedOver is why handover's context ended: Close, the caller, or else the time-out,
// for which late is returned.
func (k *call) notHandedOver(caller context.Context, late error) error {
	switch {
	case k.client.stop.Err() != nil:
		return ErrClosed
	case caller.Err() != nil:
		err := fmt.Errorf("not sent: %w", context.Cause(caller))
		if why := k.client.conns.lastFailure(); why != nil {
			err = fmt.Errorf("%w: %w", err, why)
		}
		return err
	}
	return late
}

// finish notes the outcome of event i.
func (k *call) finish(i int, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.errs[i] = err
	if k.left--; k.left == 0 {
		k.release()
		close(k.done)
	}
}

// grace is how long we wait beyond the deadline for the library to notice it: it then
// knows better than we do what became of each event.
const grace = 500 * time.Millisecond

// wait returns the outcome of each event.
func (k *call) wait(ctx context.Context) []error {
	at, _ := k.deadline.Deadline()
	late := time.NewTimer(time.Until(at) + grace)
	defer late.Stop()
	var pending error
	select {
	case <-k.done:
	case <-ctx.Done():
		pending = uncertain(context.Cause(ctx))
	case <-late.C:
		pending = uncertain(k.client.timeout())
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	errs := make([]error, len(k.errs))
	for i, err := range k.errs {
		if err == errPending { //nolint:errorlint // a mark, never wrapped
			err = pending
		}
		errs[i] = err
	}
	return errs
}

// send hands one event over; finish is called exactly once, now or later.
func (c *Client) send(ctx context.Context, k *call, d draft, finish func(error)) {
	ctx, finish = c.traced(ctx, d.event, c.counts.counted(finish))
	record, err := c.prepare(ctx, k, d)
	if err != nil {
		k.stick(d, err)
		finish(err)
		return
	}
	if err := k.stuck[string(record.Key)]; err != nil {
		finish(fmt.Errorf("not sent, as an event before it of the same organization was not: %w", err))
		return
	}
	size := memorySize(record, c.conf.MaxBufferedBytes)
	if err := c.reserve(ctx, k, size); err != nil {
		k.stick(d, err)
		finish(err)
		return
	}
	c.counts.holds(size)
	// Close waits for the gate: no event is handed to a library that was closed meanwhile.
	c.gate.RLock()
	defer c.gate.RUnlock()
	if c.closed {
		c.counts.holds(-size)
		c.memory.Release(size)
		finish(ErrClosed)
		return
	}
	//nolint:contextcheck // not the caller's context: see call.deadline
	c.kafka.Produce(k.deadline, record, func(_ *kgo.Record, err error) {
		c.counts.holds(-size)
		finish(c.explain(err))
		c.memory.Release(size)
	})
}

// stick keeps the events of an organization back behind one that was not sent for a reason that
// may pass. Those behind it would overtake it where the buffer has room for them.
func (k *call) stick(d draft, why error) {
	_, invalid := errors.AsType[schema.Violations](why)
	_, large := errors.AsType[*TooLargeError](why)
	if d.event == nil || invalid || large {
		return
	}
	if k.stuck == nil {
		k.stuck = map[string]error{}
	}
	if of := d.event.OrganizationID; k.stuck[of] == nil {
		k.stuck[of] = why
	}
}

// prepare makes a draft's record, or says why there can be none.
func (c *Client) prepare(ctx context.Context, k *call, d draft) (*kgo.Record, error) {
	organization, value, err := c.encode(d)
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil || c.stop.Err() != nil {
		return nil, k.notHandedOver(ctx, nil)
	}
	if err := c.awaitLimit(ctx, k); err != nil {
		return nil, err
	}
	record := newRecord(c.conf.Topic, organization, value)
	c.carry(ctx, record)
	if size, limit := wireSize(record), int(c.limit.bytes()); size > limit {
		return nil, &TooLargeError{Size: size, Limit: limit, Topic: c.conf.Topic}
	}
	return record, nil
}

// encode is the canonical form of a draft, and whose event it is, or why it cannot be published.
func (c *Client) encode(d draft) (organization string, value []byte, err error) {
	event := d.event
	if event == nil {
		return "", nil, errors.New("the event is nil")
	}
	if d.encoded != nil {
		return c.encoded(d.encoded)
	}
	if event.ID == "" {
		event.ID = schema.NewID(time.Now())
	}
	if event.OrganizationID == "" {
		return "", nil, noOrganization()
	}
	value, violations := c.conf.Validator.Encode(nil, event)
	if err := violations.Err(); err != nil {
		return "", nil, err
	}
	if c.conf.Check != nil {
		if err := c.conf.Check(event).Err(); err != nil {
			return "", nil, err
		}
	}
	return event.OrganizationID, value, nil
}

// noOrganization: it is the key of the record, so required even where a Validator does not ask
// for it.
func noOrganization() error {
	return schema.Violations{{Pointer: "/organization_id", Code: schema.CodeRequired, Message: "required"}}
}

// reserve takes size bytes of the buffer, waiting for them if need be.
func (c *Client) reserve(ctx context.Context, k *call, size int64) error {
	if c.memory.TryAcquire(size) {
		return nil
	}
	wait, cancel := k.handover(ctx)
	defer cancel()
	if c.memory.Acquire(wait, size) != nil {
		return k.notHandedOver(ctx, fmt.Errorf("%w: none was acknowledged within %s", ErrBufferFull, c.conf.DeliveryTimeout))
	}
	return nil
}

func idOf(event *schema.Event) string {
	if event == nil {
		return ""
	}
	return event.ID
}
