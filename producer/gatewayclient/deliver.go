package gatewayclient

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/auditstream/auditstream/producer"
	"github.com/auditstream/auditstream/schema"
)

// RefusedError says that the gateway refused an event, and will refuse it again: for its
// content, or for the key.
type RefusedError struct {
	Status     int               // HTTP's
	Code       string            // the gateway's, as in forbidden; empty: not known
	Message    string            // the gateway's
	Violations schema.Violations // what is wrong with the event, where that is it; errors.As finds them
}

func (e *RefusedError) Error() string {
	text := fmt.Sprintf("refused by the gateway (%d): %s", e.Status, e.Message)
	if len(e.Violations) > 0 {
		text += ": " + e.Violations.Error()
	}
	return text
}

// Unwrap gives the violations.
func (e *RefusedError) Unwrap() error { return e.Violations.Err() }

// maxAnswer bounds what is read of an answer, in bytes: a batch's has up to ten details for
// each event.
const maxAnswer = 4 << 20

// deliver sends a batch once, and gives those events their outcome that have one: accepted,
// refused, or their time is up. What is left, in its order, is to be sent again, after the
// pause that the gateway asks for.
func (c *Client) deliver(batch []*entry) (left []*entry, asked time.Duration) {
	if batch = c.expire(batch); len(batch) == 0 {
		return nil, 0
	}
	// The first one's time ends first. A connection that hangs leaves time for another one.
	soonest := time.Now().Add(max(c.conf.DeliveryTimeout/2, time.Second))
	if batch[0].deadline.Before(soonest) {
		soonest = batch[0].deadline
	}
	ctx, cancel := context.WithDeadline(c.stop, soonest)
	defer cancel()
	outcomes, asked := c.attempt(ctx, batch)
	for i, e := range batch {
		err := outcomes[i]
		refused, final := errors.AsType[*RefusedError](err)
		switch {
		case err == nil:
			c.finish(e, nil)
		case final && e.mayBeThere:
			c.finish(e, producer.MarkUncertain(refused))
		case final:
			c.finish(e, refused)
		default:
			e.mayBeThere = e.mayBeThere || producer.Uncertain(err)
			if e.last == nil || ctx.Err() == nil {
				e.last = err // the end of our own time says nothing
			}
			left = append(left, e)
		}
	}
	return left, asked
}

// expire gives up on events whose time is up, and on all when Close does.
func (c *Client) expire(batch []*entry) (left []*entry) {
	now := time.Now()
	for _, e := range batch {
		var err error
		switch {
		case c.stop.Err() != nil:
			err = producer.ErrClosed
		case !now.Before(e.deadline):
			err = fmt.Errorf("%w: no success within %s", producer.ErrUnavailable, c.conf.DeliveryTimeout)
		default:
			left = append(left, e)
			continue
		}
		if e.last != nil {
			err = fmt.Errorf("%w: %w", err, e.last)
		}
		if e.mayBeThere && !producer.Uncertain(err) {
			err = producer.MarkUncertain(err)
		}
		c.finish(e, err)
	}
	return left
}

// attempt sends events once and returns the outcome of each. A *RefusedError is final; any
// other error is worth another attempt, after the pause that the gateway asks for.
func (c *Client) attempt(ctx context.Context, batch []*entry) (outcomes []error, asked time.Duration) {
	all := func(err error) []error {
		outcomes := make([]error, len(batch))
		for i := range outcomes {
			outcomes[i] = err
		}
		return outcomes
	}
	key, err := c.conf.Key(ctx)
	if err != nil {
		return all(fmt.Errorf("the gateway's key: %w", err)), 0
	}
	req, err := c.request(ctx, batch)
	if err != nil {
		return all(err), 0
	}
	req.Header.Set("Authorization", "Bearer "+key)
	resp, err := c.conf.HTTP.Do(req)
	if err != nil {
		if dial, ok := errors.AsType[*net.OpError](err); !ok || dial.Op != "dial" { // nothing was sent then
			err = producer.MarkUncertain(err)
		}
		return all(err), 0
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	asked = pauseOf(resp.Header)
	switch {
	case len(batch) > 1 && (resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusMultiStatus):
		return results(text, len(batch), err), asked
	case resp.StatusCode == http.StatusOK:
		return all(nil), 0
	}
	return all(judge(resp.StatusCode, text)), asked
}

// request is that for one event, or for several.
func (c *Client) request(ctx context.Context, batch []*entry) (*http.Request, error) {
	first := batch[0]
	if len(batch) == 1 {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.single, bytes.NewReader(append(first.body(nil), '}')))
		if err != nil {
			return nil, err
		}
		maps.Copy(req.Header, http.Header(first.trace))
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Idempotency-Key", first.id)
		return req, nil
	}
	var body []byte
	sameTrace := true
	for _, e := range batch {
		body = e.body(body)
		body = append(body, `,"idempotency_key":`...)
		body = append(body, quoted(e.id)...)
		body = append(body, "}\n"...)
		sameTrace = sameTrace && e.trace.Get("traceparent") == first.trace.Get("traceparent")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.batch, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if sameTrace { // a request has one; a wrong one would be worse than none
		maps.Copy(req.Header, http.Header(first.trace))
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	return req, nil
}

// body appends an event as the gateway takes it, without the bracket at its end.
func (e *entry) body(b []byte) []byte {
	b = append(b, `{"organization_id":`...)
	b = append(b, quoted(e.organization)...)
	b = append(b, `,"event":`...)
	return append(b, e.event...)
}

// quoted is text as JSON.
func quoted(text string) []byte {
	b, _ := json.Marshal(text) // never fails for a string
	return b
}

// pauseOf is what an answer asks for, an hour at most.
func pauseOf(h http.Header) time.Duration {
	seconds, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || seconds <= 0 {
		return 0
	}
	return time.Duration(min(seconds, 3600)) * time.Second
}

// said is the gateway's error, in the parts that count here.
type said struct {
	Message string
	Code    string
	Errors  []struct {
		Code, Message, Pointer string
		InstancePath           *string
	}
}

// results are the outcomes of a batch of n. Items without a result were not looked at; where
// the answer is broken off, nobody knows.
func results(text []byte, n int, readErr error) []error {
	outcomes := make([]error, n)
	var answer struct {
		Results []struct {
			Status int
			Error  said
		}
		Error *said
	}
	err := errors.Join(readErr, json.Unmarshal(text, &answer))
	if err == nil && len(answer.Results) > n {
		err = fmt.Errorf("%d results for %d events", len(answer.Results), n)
	}
	if err != nil {
		for i := range outcomes {
			outcomes[i] = producer.MarkUncertain(fmt.Errorf("the gateway's answer cannot be read: %w", err))
		}
		return outcomes
	}
	for i := range outcomes {
		switch {
		case i >= len(answer.Results) && answer.Error != nil:
			outcomes[i] = fmt.Errorf("the gateway has not read so far: %s", answer.Error.Message)
		case i >= len(answer.Results):
			outcomes[i] = producer.MarkUncertain(errors.New("the gateway does not say what became of the event"))
		case answer.Results[i].Status != http.StatusOK:
			outcomes[i] = answer.Results[i].Error.as(answer.Results[i].Status)
		}
	}
	return outcomes
}

// judge says what an answer means that is no success.
func judge(status int, text []byte) error {
	var s said
	if json.Unmarshal(text, &s) != nil {
		s = said{} // of a proxy, or broken off
	}
	return s.as(status)
}

// as is the gateway's error as one of ours.
func (s said) as(status int) error {
	if s.Message == "" {
		s.Message = http.StatusText(status)
	}
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return fmt.Errorf("the gateway answers %d: %s", status, s.Message)
	}
	if status < http.StatusInternalServerError {
		refused := &RefusedError{Status: status, Code: s.Code, Message: s.Message}
		for _, d := range s.Errors {
			pointer := d.Pointer
			if d.InstancePath != nil {
				pointer = *d.InstancePath // within the event, as elsewhere
			}
			refused.Violations = append(refused.Violations, schema.Violation{Pointer: pointer, Code: d.Code, Message: d.Message})
		}
		return refused
	}
	err := fmt.Errorf("the gateway answers %d: %s", status, s.Message)
	switch s.Code {
	case "busy", "unavailable", "not_tried": // what it has sent away it has not taken
		return err
	}
	// Whatever else stands between it and Kafka, or between us and it, may have failed behind that.
	return producer.MarkUncertain(err)
}
