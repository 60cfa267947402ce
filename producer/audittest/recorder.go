package audittest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/auditstream/auditstream/producer"
	"github.com/auditstream/auditstream/schema"
)

// Patience is how long Await waits. It is generous: it bounds a test that hangs, and makes
// none fail on a busy machine.
const Patience = time.Minute

// Recorder takes events in the place of a *producer.Client and keeps them. It checks them
// as the client does, so that a test notices an event that would be refused. The zero value
// is ready for use, by many goroutines at once; its fields are set before.
type Recorder struct {
	// Validator and Check are as in producer.Config.
	Validator schema.Validator
	Check     func(*schema.Event) schema.Violations

	// Fail, unless nil, is asked about each event that is valid; its error is what publishing
	// that event fails with, producer.ErrUnavailable for example. Calls follow one another.
	Fail func(*schema.Event) error

	mu      sync.Mutex
	events  []*schema.Event // guarded by mu
	closed  bool            // guarded by mu
	changed chan struct{}   // guarded by mu; closed and replaced when events grows; nil: nobody waits
}

// Publish keeps events as *producer.Client publishes them: those that are valid, in the
// order of the call, with an ID. Its error is nil or a *producer.PublishError.
func (r *Recorder) Publish(ctx context.Context, events ...*schema.Event) error {
	failed := &producer.PublishError{Total: len(events)}
	for i, event := range events {
		if err := r.take(ctx, event); err != nil {
			one := producer.EventError{Index: i, Err: err}
			if event != nil {
				one.ID = event.ID
			}
			failed.Failed = append(failed.Failed, one)
		}
	}
	if len(failed.Failed) > 0 {
		return failed
	}
	return nil
}

// PublishAsync is Publish of one event; done, unless nil, has been called when it returns.
func (r *Recorder) PublishAsync(ctx context.Context, event *schema.Event, done func(error)) {
	err := r.take(ctx, event)
	if done != nil {
		done(err)
	}
}

// Flush has nothing to wait for.
func (r *Recorder) Flush(context.Context) error { return nil }

// Close refuses events from now on, with producer.ErrClosed. What was kept stays.
func (r *Recorder) Close(context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	return nil
}

// take keeps a copy of event: the caller may change it afterwards.
func (r *Recorder) take(ctx context.Context, event *schema.Event) error {
	if event == nil {
		return errors.New("the event is nil")
	}
	if event.ID == "" {
		event.ID = schema.NewID(time.Now())
	}
	if event.OrganizationID == "" {
		return schema.Violations{{Pointer: "/organization_id", Code: schema.CodeRequired, Message: "required"}}
	}
	value, violations := r.Validator.Encode(nil, event)
	if err := violations.Err(); err != nil {
		return err
	}
	if r.Check != nil {
		if err := r.Check(event).Err(); err != nil {
			return err
		}
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	kept, err := schema.Decode(value)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return producer.ErrClosed
	}
	if r.Fail != nil {
		if err := r.Fail(kept); err != nil {
			return err
		}
	}
	r.events = append(r.events, kept)
	if r.changed != nil {
		close(r.changed)
		r.changed = nil
	}
	return nil
}

// Events are the events that were published so far, in their order, as a reader of Kafka
// would see them: numbers in metadata are of type json.Number.
func (r *Recorder) Events() []*schema.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.events)
}

// Reset forgets the events that were published so far.
func (r *Recorder) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = nil
}

// Published fails the test unless exactly events with these actions were published, in this
// order, and returns them. Without actions: unless none was.
func (r *Recorder) Published(tb testing.TB, actions ...string) []*schema.Event {
	tb.Helper()
	events := r.Events()
	got := make([]string, 0, len(events))
	for _, e := range events {
		got = append(got, e.Action)
	}
	if diff := cmp.Diff(append([]string{}, actions...), got); diff != "" {
		tb.Fatalf("actions of the events that were published (-want +got):\n%s", diff)
	}
	return events
}

// Await returns the first n events as soon as there are as many, for code that publishes in
// goroutines of its own. It fails the test if that takes longer than Patience.
func (r *Recorder) Await(tb testing.TB, n int) []*schema.Event {
	tb.Helper()
	late := time.NewTimer(Patience)
	defer late.Stop()
	for {
		r.mu.Lock()
		events := slices.Clone(r.events)
		if r.changed == nil {
			r.changed = make(chan struct{})
		}
		changed := r.changed
		r.mu.Unlock()
		if len(events) >= n {
			return events[:n]
		}
		select {
		case <-changed:
		case <-late.C:
			tb.Fatalf("%d events were published within %s, want %d", len(events), Patience, n)
		}
	}
}

// OfAction are those of events with this action.
func OfAction(events []*schema.Event, action string) []*schema.Event {
	return filter(events, func(e *schema.Event) bool { return e.Action == action })
}

// OfOrganization are those of events that belong to this organization.
func OfOrganization(events []*schema.Event, organizationID string) []*schema.Event {
	return filter(events, func(e *schema.Event) bool { return e.OrganizationID == organizationID })
}

func filter(events []*schema.Event, keep func(*schema.Event) bool) []*schema.Event {
	var kept []*schema.Event
	for _, e := range events {
		if keep(e) {
			kept = append(kept, e)
		}
	}
	return kept
}
