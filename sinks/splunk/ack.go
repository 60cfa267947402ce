package splunk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/transport"
)

// acknowledged is a Sink whose events count when Splunk's indexers have written them. Each
// lane has a channel of its own.
type acknowledged struct {
	*Sink

	ackURL string
	every  time.Duration // between two questions of a test
	accept bool          // a token without acknowledgement is good enough

	checkpoints *channel

	// Whether the token acknowledges is asked before the first event is sent, and after
	// anything that may have changed it: what is sent to one that does not would be there,
	// and be sent again and again.
	checked  atomic.Bool
	disabled atomic.Bool // it does not, and is good enough

	mu       sync.Mutex
	channels map[sinks.Lane]*channel // guarded by mu; as many as there are partitions
}

func (s *acknowledged) channel(lane sinks.Lane) *channel {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.channels[lane]
	if c == nil {
		c = newChannel()
		s.channels[lane] = c
	}
	return c
}

// Preview implements sinks.Previewer.
func (s *acknowledged) Preview(ctx context.Context, b *sinks.Batch) (*sinks.Preview, error) {
	return transport.Preview(ctx, func(ctx context.Context) error {
		_, err := s.Deliver(ctx, b)
		return err
	})
}

// Deliver implements sinks.Sink: what Splunk takes in is confirmed later.
func (s *acknowledged) Deliver(ctx context.Context, b *sinks.Batch) (sinks.Receipt, error) {
	if transport.Previewing(ctx) { // no channel is made for it
		_, err := s.client.Do(ctx, transport.Request{Header: http.Header{"X-Splunk-Request-Channel": {"a random one of the lane's"}}, Parts: [][]byte{b.Body}})
		return sinks.Receipt{}, err
	}
	c := s.channel(b.Lane)
	if !s.checked.Load() {
		if err := s.check(ctx); err != nil {
			return sinks.Receipt{}, err
		}
	}
	header, id := c.header()
	a, err := s.client.Do(ctx, transport.Request{Header: header, Parts: [][]byte{b.Body}})
	if err != nil {
		return sinks.Receipt{}, err
	}
	c.heed(a.Header)
	receipt, ack, err := s.receive(a, b)
	if err != nil && sinks.ClassOf(err) == sinks.Misconfigured {
		s.checked.Store(false)
	}
	switch {
	case receipt.Settled == 0:
	case ack != nil:
		receipt.Pending = c.number(id, *ack)
		s.disabled.Store(false)
	case s.accept && (err == nil || s.disabled.Load()):
		s.fallBack()
	case err != nil: // a head was taken in, and nobody will say what became of it
		receipt.Settled = 0
	default:
		s.checked.Store(false)
		return sinks.Receipt{}, a.Refusal(sinks.Misconfigured, "%s", disabledWords)
	}
	return receipt, err
}

const disabledWords = "Splunk took the events but does not acknowledge them: enable indexer acknowledgement for the token, or set acknowledge_disabled: accept"

// check asks whether the token acknowledges, over a channel that nothing is sent over: an
// answer about one in use might say true of an event, for the only time.
func (s *acknowledged) check(ctx context.Context) error {
	c := newChannel()
	header, _ := c.header()
	_, err := s.ask(ctx, c, header, []int64{0})
	_, off := errors.AsType[*disabledError](err)
	switch {
	case off && s.accept:
		s.fallBack()
	case err != nil:
		return err
	}
	s.checked.Store(true)
	return nil
}

// fallBack takes Splunk's receipt for a delivery from now on, until it acknowledges.
func (s *acknowledged) fallBack() {
	if !s.disabled.Swap(true) {
		s.log.Warn("the token does not acknowledge: events count as delivered when Splunk has received them, before they are written")
	}
}

// Confirm implements sinks.Confirmer.
func (s *acknowledged) Confirm(ctx context.Context, lane sinks.Lane, tickets []sinks.Ticket) ([]sinks.Standing, error) {
	c := s.channel(lane)
	standings := make([]sinks.Standing, len(tickets))
	for i := range standings {
		standings[i] = sinks.Lost
	}
	header, id := c.header()
	open := numbersOf(id, tickets)
	if len(open) == 0 {
		return standings, nil
	}
	for _, i := range open {
		standings[i] = sinks.Waiting
	}
	acks, err := s.ask(ctx, c, header, slices.Sorted(maps.Keys(open)))
	_, off := errors.AsType[*disabledError](err)
	switch {
	case off && s.accept:
		s.fallBack()
		for _, i := range open {
			standings[i] = sinks.Durable
		}
		return standings, nil
	case err != nil:
		return nil, err
	}
	for number, done := range acks {
		n, err := strconv.ParseInt(number, 10, 64)
		if i, ok := open[n]; ok && err == nil && done {
			standings[i] = sinks.Durable
			c.acknowledged()
		}
	}
	// The answer may have moved the channel: what it has not confirmed is lost then.
	if _, now := c.header(); now != id {
		for _, i := range open {
			if standings[i] == sinks.Waiting {
				standings[i] = sinks.Lost
			}
		}
	}
	return standings, nil
}

// disabledError is an answer which says that the token does not acknowledge.
type disabledError struct{ refusal *sinks.Error }

func (e *disabledError) Error() string { return e.refusal.Error() }

func (e *disabledError) Unwrap() error { return e.refusal }

// ask asks for acknowledgements, by number. A number that the answer says true about is not
// known to Splunk from then on.
func (s *acknowledged) ask(ctx context.Context, c *channel, header http.Header, numbers []int64) (map[string]bool, error) {
	question, err := json.Marshal(map[string][]int64{"acks": numbers})
	if err != nil {
		panic(err) // numbers always encode
	}
	a, err := s.client.Do(ctx, transport.Request{URL: s.ackURL, Header: header, Parts: [][]byte{question}, Plain: true})
	if err != nil {
		return nil, err
	}
	c.heed(a.Header)
	var said struct {
		answer

		Acks map[string]bool `json:"acks"`
	}
	if err := json.Unmarshal(a.Body, &said); err != nil || a.Over {
		return nil, a.Unknown()
	}
	if a.Status == http.StatusOK && said.Acks != nil {
		return said.Acks, nil
	}
	if said.Code == nil || a.OK() {
		return nil, a.Unknown()
	}
	class, words := meaning(a, *said.Code)
	if class == sinks.Rejected { // no event was sent
		class = sinks.Unavailable
	}
	refusal := a.Refusal(class, "Splunk, asked for acknowledgements: %s (code %d)", words, *said.Code)
	if class == sinks.Misconfigured {
		s.checked.Store(false)
		s.client.ForgetCredential()
	}
	if *said.Code == ackDisabled {
		return nil, &disabledError{refusal}
	}
	return nil, refusal
}

// Test implements sinks.Tester: it delivers b, and asks once whether it is written.
func (s *acknowledged) Test(ctx context.Context, b *sinks.Batch, report func(sinks.Step)) error {
	var receipt sinks.Receipt
	err := transport.Probe(ctx, report, func(ctx context.Context) (err error) {
		receipt, err = s.Deliver(ctx, b)
		return err
	})
	if err != nil || receipt.Pending == "" {
		return err
	}
	return s.testAcknowledge(ctx, b.Lane, receipt.Pending, report)
}

// testQuestions is how often a test asks. Splunk may take minutes to write a single event.
const testQuestions = 10

// testAcknowledge is the last step of a test: it asks a few times.
func (s *acknowledged) testAcknowledge(ctx context.Context, lane sinks.Lane, ticket sinks.Ticket, report func(sinks.Step)) error {
	begun := time.Now()
	step := sinks.Step{Name: sinks.StepAcknowledge}
	for n := range testQuestions {
		if n > 0 {
			select {
			case <-time.After(s.every):
			case <-ctx.Done():
			}
		}
		standings, err := s.Confirm(ctx, lane, []sinks.Ticket{ticket})
		if err != nil {
			step.Err = err
			break
		}
		if step.Detail = "the event is written"; standings[0] == sinks.Durable {
			break
		}
		step.Detail = fmt.Sprintf("not acknowledged after %v: Splunk may take some minutes. If it never does, look for a load balancer without sticky sessions",
			time.Since(begun).Round(time.Second))
	}
	step.Took = time.Since(begun)
	report(step)
	return step.Err
}
