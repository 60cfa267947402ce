// Package https delivers to any URL that takes events in a request: a webhook, a collector, a
// service of one's own.
//
// Delivery is at least once: after an answer that never came the receiver may have the
// events, and gets the same batch again under the same webhook-id. A receiver that
// remembers ids, of batches or of events, can so take each event once. What a status means
// is settled between the two of them: a 2xx that is no page of HTML is a delivery.
package https

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/internal/proof"
	"github.com/auditstream/auditstream/sinks/transport"
)

// Headers that say whose events a request carries.
const (
	headerStream = "Auditstream-Stream"
	headerReplay = "Auditstream-Replay" // the job, where the events are sent another time
)

// Headers that say where a request's events stand in their feed.
const (
	headerFeed   = "Auditstream-Feed"
	headerOrigin = "Auditstream-Origin"
	headerFirst  = "Auditstream-First"
	headerLast   = "Auditstream-Last"
	headerBefore = "Auditstream-Chain-Before"
	headerAfter  = "Auditstream-Chain-After"

	// Of what a job sends: which events these were at first.
	headerOriginalFeed = "Auditstream-Original-Feed"
	headerOriginal     = "Auditstream-Original"

	headerKind     = "Auditstream-Kind"      // of a request without events
	headerOwnProof = "Auditstream-Signature" // signs those above
)

// placeHeaders are those above that say where events stand, in the order in which they are
// signed.
func placeHeaders() []string {
	return []string{headerFeed, headerOrigin, headerFirst, headerLast, headerBefore, headerAfter}
}

// kindCheckpoint is the kind of a request with a checkpoint.
const kindCheckpoint = "checkpoint"

// Kind is the kind of destination that is written https in the configuration.
func Kind() sinks.Kind {
	return sinks.Kind{
		Name:     "https",
		Defaults: defaults,
		Open: func(settings sinks.Settings, o sinks.Options) (sinks.Sink, error) {
			s, ok := settings.(*Settings)
			if !ok {
				return nil, fmt.Errorf("https: settings are a %T", settings)
			}
			return open(s, o)
		},
	}
}

// Sink delivers to one URL.
type Sink struct {
	settings *Settings
	client   *transport.Client
	signer   *signer // nil: requests are not signed
	replay   string
}

func open(s *Settings, o sinks.Options) (*Sink, error) {
	header := http.Header{"Content-Type": {"application/x-ndjson"}}
	if s.Body == Array {
		header.Set("Content-Type", "application/json")
	}
	for name, value := range s.Headers {
		header.Set(name, value)
	}
	var secrets []transport.SecretHeader
	for name, ref := range s.SecretHeaders {
		secrets = append(secrets, transport.SecretHeader{Name: name, Value: ref})
	}
	client, err := transport.New(transport.Config{
		Service:       "the receiver",
		URL:           s.URL,
		Header:        header,
		SecretHeaders: secrets,
		SpacedSecrets: true, // people write "Bearer TOKEN"
		Settings:      s.Settings,
		Options:       o,
	})
	if err != nil {
		return nil, err
	}
	return &Sink{settings: s, client: client, signer: newSigner(s.SigningSecrets), replay: o.Replay}, nil
}

// Frame implements sinks.Sink: it passes the event's bytes on, as a line or as an element.
func (s *Sink) Frame(dst []byte, e *sinks.Event) ([]byte, error) {
	if s.settings.Body == Array {
		return append(append(dst, ','), e.Value...), nil
	}
	return append(append(dst, e.Value...), '\n'), nil
}

// Deliver implements sinks.Sink.
func (s *Sink) Deliver(ctx context.Context, b *sinks.Batch) (sinks.Receipt, error) {
	r := transport.Request{
		Method: s.settings.Method,
		Header: http.Header{headerStream: {b.Lane.Stream}},
		Parts:  [][]byte{b.Body},
	}
	if s.settings.Body == Array {
		r.Parts = [][]byte{[]byte("["), b.Body[len(","):], []byte("]")}
	}
	r.Header.Set(headerID, batchID(b, s.replay))
	if c := b.Chain; c != nil {
		r.Header.Set(headerFeed, integrity.FeedID(c.Origin))
		r.Header.Set(headerOrigin, c.Origin)
		r.Header.Set(headerFirst, strconv.FormatInt(c.Before.Size+1, 10))
		r.Header.Set(headerLast, strconv.FormatInt(c.After().Size, 10))
		r.Header.Set(headerBefore, c.Before.Hash.String())
		r.Header.Set(headerAfter, c.After().Hash.String())
		if c.OriginalFeed != "" {
			r.Header.Set(headerOriginalFeed, c.OriginalFeed)
			r.Header.Set(headerOriginal, proof.Originals(c))
		}
	}
	if err := s.send(ctx, r); err != nil {
		return sinks.Receipt{}, err
	}
	return sinks.Receipt{Settled: len(b.Events)}, nil
}

// Checkpoint implements sinks.Witness: a checkpoint is a request of its own, whose body has
// the form of one with events.
func (s *Sink) Checkpoint(ctx context.Context, lane sinks.Lane, signed []byte) error {
	c, err := proof.Read(signed)
	if err != nil {
		return err
	}
	r := transport.Request{
		Method: s.settings.Method,
		Header: http.Header{headerStream: {lane.Stream}, headerKind: {kindCheckpoint}, headerFeed: {c.Feed}, headerOrigin: {c.Origin}},
		Parts:  [][]byte{c.JSON, []byte("\n")},
	}
	if s.settings.Body == Array {
		r.Parts = [][]byte{[]byte("["), c.JSON, []byte("]")}
	}
	r.Header.Set(headerID, checkpointID(signed))
	return s.send(ctx, r)
}

// send signs r, if requests are to be signed, and sends it.
func (s *Sink) send(ctx context.Context, r transport.Request) error {
	if s.replay != "" {
		r.Header.Set(headerReplay, s.replay)
	}
	if s.signer != nil && transport.Previewing(ctx) {
		r.Header.Set(headerTimestamp, transport.Concealed)
		r.Header.Set(headerSignature, transport.Concealed)
		if r.Header.Get(headerFeed) != "" {
			r.Header.Set(headerOwnProof, transport.Concealed)
		}
	} else if s.signer != nil {
		keys, err := s.signer.read(ctx)
		if err != nil {
			return err
		}
		r.Sign = keys.sign
	}
	a, err := s.client.Do(ctx, r)
	if err != nil {
		return err
	}
	if refusal := s.judge(a); refusal != nil {
		if refusal.Class == sinks.Misconfigured {
			s.client.ForgetCredential()
			s.signer.forget()
		}
		return refusal
	}
	return nil
}

// judge is what an answer means: nil if the receiver has taken the batch.
func (s *Sink) judge(a *transport.Answer) *sinks.Error {
	switch {
	case a.OK() && !a.HTML:
		return nil
	case slices.Contains(s.settings.RejectedStatuses, a.Status) && !a.HTML:
		return a.Refusal(sinks.Rejected, "the receiver refuses the events")
	case a.Status == http.StatusRequestEntityTooLarge:
		return a.Unknown()
	case a.Status == http.StatusBadRequest:
		return a.Refusal(sinks.Misconfigured,
			"the receiver refuses the request: is it signed as the receiver expects, is body right? If this is its answer to bad events, list 400 in rejected_statuses")
	case a.Status == http.StatusGone:
		return a.Refusal(sinks.Misconfigured, "the receiver is gone for good: remove the stream, or give it another url")
	}
	return a.Unknown()
}

// Test implements sinks.Tester: it delivers b.
func (s *Sink) Test(ctx context.Context, b *sinks.Batch, report func(sinks.Step)) error {
	return transport.Probe(ctx, report, func(ctx context.Context) error {
		_, err := s.Deliver(ctx, b)
		return err
	})
}

// Preview implements sinks.Previewer.
func (s *Sink) Preview(ctx context.Context, b *sinks.Batch) (*sinks.Preview, error) {
	return transport.Preview(ctx, func(ctx context.Context) error {
		_, err := s.Deliver(ctx, b)
		return err
	})
}

// Close implements sinks.Sink.
func (s *Sink) Close() error {
	s.client.Close()
	return nil
}
