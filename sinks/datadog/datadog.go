// Package datadog delivers to Datadog's logs intake, version 2.
//
// Delivery is at least once: after an answer that never came Datadog may have the
// entries, and stores them a second time, each with the same id inside. Datadog answers
// before it stores. Of entries whose time it would not take the time stands in an attribute
// of its own, original_timestamp, and their number is counted.
package datadog

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/transport"
)

const path = "/api/v2/logs"

// Kind is the kind of destination that is written datadog in the configuration.
func Kind() sinks.Kind {
	return sinks.Kind{
		Name:     "datadog",
		Defaults: defaults,
		Open: func(settings sinks.Settings, o sinks.Options) (sinks.Sink, error) {
			s, ok := settings.(*Settings)
			if !ok {
				return nil, fmt.Errorf("datadog: settings are a %T", settings)
			}
			return open(s, o)
		},
	}
}

// Sink delivers to one intake.
type Sink struct {
	framer
	client  *transport.Client
	options sinks.Options
}

func open(s *Settings, o sinks.Options) (*Sink, error) {
	base, err := s.base()
	if err != nil {
		return nil, &sinks.FieldError{Field: "url", Message: err.Error()}
	}
	client, err := transport.New(transport.Config{
		Service: "the Datadog logs intake",
		URL:     base + path,

		Credential:       s.APIKey,
		CredentialHeader: "DD-API-KEY",

		Settings: s.Settings,
		Options:  o,
	})
	if err != nil {
		return nil, err
	}
	return &Sink{framer: newFramer(s.replayed(o.Replay)), client: client, options: o}, nil
}

// Deliver implements sinks.Sink: it posts the frames as one array.
func (s *Sink) Deliver(ctx context.Context, b *sinks.Batch) (sinks.Receipt, error) {
	parts, outdated := body(b, time.Now())
	a, err := s.client.Post(ctx, parts...)
	if err != nil {
		return sinks.Receipt{}, err
	}
	if refusal := judge(a); refusal != nil {
		if refusal.Class == sinks.Misconfigured {
			s.client.ForgetCredential()
		}
		return sinks.Receipt{}, refusal
	}
	s.options.Noted("outdated", outdated)
	return sinks.Receipt{Settled: len(b.Events)}, nil
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

// judge is what an answer means: nil if all entries were taken. The intake takes a
// request whole or not at all, and never names an entry.
func judge(a *transport.Answer) *sinks.Error {
	object := !a.Over && isObject(a.Body)
	empty := len(bytes.TrimSpace(a.Body)) == 0
	switch {
	case a.Status == http.StatusAccepted && (object || empty && !a.HTML):
		return nil
	case a.OK() && (object || empty):
		// To send it again and again would store it again and again, should it be stored.
		return a.Refusal(sinks.Misconfigured,
			"the answer is HTTP %d, that of the Datadog logs intake would be 202: is the url that of an intake?", a.Status)
	case a.Status == http.StatusBadRequest && object:
		return a.Refusal(sinks.Rejected, "Datadog refuses the request as malformed")
	case a.Status == http.StatusUnauthorized, a.Status == http.StatusForbidden:
		return a.Refusal(sinks.Misconfigured, "Datadog refuses the API key: is it one of this site?")
	}
	return a.Unknown()
}

func isObject(body []byte) bool {
	var object map[string]json.RawMessage
	return json.Unmarshal(body, &object) == nil && object != nil
}
