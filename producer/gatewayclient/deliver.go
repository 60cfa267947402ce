package gatewayclient

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
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

// Pauses between attempts: each twice the one before, up to the longest, half of it at
// random; or what the gateway asks for.
const (
	firstPause   = 100 * time.Millisecond
	longestPause = 5 * time.Second
)

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 256 << 10

// deliver sends an event until it is answered, for good or for ill, or its time is up. Its
// lane waits for it, so nothing overtakes it.
func (c *Client) deliver(e *entry) error {
	ctx, cancel := context.WithDeadline(c.stop, e.deadline)
	defer cancel()
	pause := firstPause
	var last error      // of the attempts so far
	var mayBeThere bool // one of them may have been taken
	for ctx.Err() == nil {
		asked, err := c.attempt(ctx, e)
		if err == nil {
			return nil
		}
		if refused, ok := errors.AsType[*RefusedError](err); ok {
			if mayBeThere {
				return producer.MarkUncertain(refused)
			}
			return refused
		}
		mayBeThere = mayBeThere || producer.Uncertain(err)
		if last == nil || ctx.Err() == nil {
			last = err // the end of our own time says nothing
		}
		wait := max(pause/2+rand.N(pause/2+1), asked)
		pause = min(2*pause, longestPause)
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
	err := fmt.Errorf("%w: no success within %s", producer.ErrUnavailable, c.conf.DeliveryTimeout)
	if c.stop.Err() != nil {
		err = producer.ErrClosed
	}
	if last != nil {
		err = fmt.Errorf("%w: %w", err, last)
	}
	if mayBeThere && !producer.Uncertain(err) {
		err = producer.MarkUncertain(err)
	}
	return err
}

// attempt sends an event once. A *RefusedError is final; any other error is worth another
// attempt, after the pause that the gateway asks for.
func (c *Client) attempt(ctx context.Context, e *entry) (asked time.Duration, err error) {
	key, err := c.conf.Key(ctx)
	if err != nil {
		return 0, fmt.Errorf("the gateway's key: %w", err)
	}
	// A connection that hangs leaves time for another one.
	ctx, cancel := context.WithTimeout(ctx, max(c.conf.DeliveryTimeout/2, time.Second))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.endpoint, bytes.NewReader(e.body()))
	if err != nil {
		return 0, err
	}
	maps.Copy(req.Header, http.Header(e.trace))
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", e.id)
	resp, err := c.conf.HTTP.Do(req)
	if err != nil {
		if dial, ok := errors.AsType[*net.OpError](err); ok && dial.Op == "dial" {
			return 0, err // nothing was sent
		}
		return 0, producer.MarkUncertain(err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	text, readErr := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if resp.StatusCode == http.StatusOK {
		return 0, nil
	}
	return judge(resp, text, readErr)
}

// body is an event as the gateway takes it.
func (e *entry) body() []byte {
	organization, _ := json.Marshal(e.organization) // never fails for a string
	b := make([]byte, 0, len(e.event)+len(organization)+64)
	b = append(b, `{"organization_id":`...)
	b = append(b, organization...)
	b = append(b, `,"event":`...)
	b = append(b, e.event...)
	return append(b, '}')
}

// judge says what an answer means that is no success.
func judge(resp *http.Response, text []byte, readErr error) (asked time.Duration, err error) {
	var said struct {
		Message string
		Code    string
		Errors  []struct {
			Code, Message, Field, Pointer string
			InstancePath                  *string
		}
	}
	if readErr != nil || json.Unmarshal(text, &said) != nil || said.Message == "" {
		said.Message = http.StatusText(resp.StatusCode) // of a proxy, or none of ours
	}
	switch status := resp.StatusCode; {
	case status == http.StatusRequestTimeout, status == http.StatusTooEarly, status == http.StatusTooManyRequests, status >= http.StatusInternalServerError:
		if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds > 0 {
			asked = time.Duration(min(seconds, int(time.Hour/time.Second))) * time.Second
		}
		err := fmt.Errorf("the gateway answers %d: %s", status, said.Message)
		// What it has sent away it has not taken. Whatever else stands between it and Kafka, or
		// between us and it, may have failed behind that.
		if status < http.StatusInternalServerError || said.Code == "busy" || said.Code == "unavailable" {
			return asked, err
		}
		return asked, producer.MarkUncertain(err)
	default:
		refused := &RefusedError{Status: status, Code: said.Code, Message: said.Message}
		for _, d := range said.Errors {
			pointer := d.Pointer
			if d.InstancePath != nil {
				pointer = *d.InstancePath // within the event, as elsewhere
			}
			refused.Violations = append(refused.Violations, schema.Violation{Pointer: pointer, Code: d.Code, Message: d.Message})
		}
		return 0, refused
	}
}
