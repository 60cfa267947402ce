package producer

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Why an event was not accepted, beside [schema.Violations] and [TooLargeError]; to be
// asked for with errors.Is.
var (
	// ErrUnavailable: Kafka could not be reached, or did not acknowledge the event within
	// Config.DeliveryTimeout.
	ErrUnavailable = errors.New("publishing to Kafka failed")
	// ErrBufferFull: the event was not sent, because Config.MaxBufferedBytes of earlier
	// events were waiting for Kafka all the time.
	ErrBufferFull = errors.New("not sent: the buffer is full of events that wait for Kafka")
	// ErrUnknownTopic: the event was not sent, because the topic does not exist.
	ErrUnknownTopic = errors.New("the topic does not exist")
	// ErrClosed: the client was closed before Kafka acknowledged the event.
	ErrClosed = errors.New("the producer is closed")
)

// errUncertain marks an error after which the event may be in Kafka all the same.
var errUncertain = errors.New("it may be in Kafka all the same")

// Uncertain says whether the event that err is about may be in Kafka although publishing
// it failed: it was, or may have been, under way when the client gave up. Without it the
// event is certainly not there, unless an earlier publishing of it was uncertain.
func Uncertain(err error) bool { return errors.Is(err, errUncertain) }

func uncertain(err error) error { return fmt.Errorf("%w; %w", err, errUncertain) }

// MarkUncertain makes err one of which Uncertain is true, for publishers that are not a
// Client.
func MarkUncertain(err error) error { return uncertain(err) }

// TooLargeError says that an event does not fit into the topic. Nothing was sent.
type TooLargeError struct {
	Size  int // bytes of the record with its overhead, uncompressed; 0 where only the broker knows
	Limit int // max.message.bytes of the topic
	Topic string
}

func (e *TooLargeError) Error() string {
	if e.Size == 0 {
		return fmt.Sprintf("the event is larger than topic %s allows (max.message.bytes=%d)", e.Topic, e.Limit)
	}
	return fmt.Sprintf("the event takes %d bytes in Kafka, topic %s allows %d (max.message.bytes); shorten its metadata", e.Size, e.Topic, e.Limit)
}

// EventError says why one event was not accepted.
type EventError struct {
	Index int    // of the event in the call
	ID    string // of the event
	Err   error
}

func (e *EventError) Error() string { return fmt.Sprintf("event %d (%s): %v", e.Index, e.ID, e.Err) }

func (e *EventError) Unwrap() error { return e.Err }

// PublishError lists the events of a call that were not accepted; the others were.
type PublishError struct {
	Failed []EventError // in the order of the call; at least one
	Total  int          // events of the call
}

// shownFailures bounds the message of a PublishError.
const shownFailures = 3

func (e *PublishError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d of %d events were not accepted", len(e.Failed), e.Total)
	for i := range e.Failed[:min(len(e.Failed), shownFailures)] {
		b.WriteString("; ")
		b.WriteString(e.Failed[i].Error())
	}
	if len(e.Failed) > shownFailures {
		fmt.Fprintf(&b, "; and %d more", len(e.Failed)-shownFailures)
	}
	return b.String()
}

// Unwrap gives errors.Is and errors.As the reason of each event.
func (e *PublishError) Unwrap() []error {
	errs := make([]error, len(e.Failed))
	for i := range e.Failed {
		errs[i] = &e.Failed[i]
	}
	return errs
}

// explain makes of the library's error for a record one of ours.
func (c *Client) explain(err error) error {
	refusal, isRefusal := errors.AsType[*kerr.Error](err)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, kerr.UnknownTopicID):
		c.forgetTopic()
		return c.unknownTopic()
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		return c.unknownTopic()
	case errors.Is(err, kerr.MessageTooLarge), errors.Is(err, kerr.RecordListTooLarge):
		return &TooLargeError{Limit: int(c.limit.bytes()), Topic: c.conf.Topic}
	case errors.Is(err, kerr.UnknownServerError):
		// A broker whose disk is full says this too, of a record that it has written and could
		// not index.
		return uncertain(fmt.Errorf("%w: %w: the broker's log says why", ErrUnavailable, err))
	case isRefusal && !refusal.Retriable:
		return fmt.Errorf("refused by Kafka: %w", err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, kgo.ErrRecordTimeout):
		return uncertain(c.timeout())
	case errors.Is(err, kgo.ErrClientClosed), errors.Is(err, context.Canceled):
		return uncertain(ErrClosed)
	}
	return uncertain(fmt.Errorf("%w: %w", ErrUnavailable, err))
}

// timeout is an ErrUnavailable for want of an answer; it says why, where that is known.
func (c *Client) timeout() error {
	err := fmt.Errorf("%w: no answer within %s", ErrUnavailable, c.conf.DeliveryTimeout)
	if why := c.conns.lastFailure(); why != nil {
		err = fmt.Errorf("%w: %w", err, why)
	}
	return err
}

func (c *Client) unknownTopic() error {
	return fmt.Errorf("%w: %s; auditstream makes it when it starts, or make it with kafka-topics.sh", ErrUnknownTopic, c.conf.Topic)
}
