// Package scs delivers to the Ingest service of Splunk Cloud Services, over its REST API.
//
// Delivery is at least once: after an answer that never came the service may have the events,
// and gets them again, each with the same id.
//
// The service is a legacy one: Splunk Cloud Platform itself is reached by package splunk.
package scs

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/internal/proof"
	"github.com/auditstream/auditstream/sinks/transport"
)

const service = "Splunk Cloud Services"

// Kind is the kind of destination that is written scs in the configuration.
func Kind() sinks.Kind {
	return sinks.Kind{
		Name:     "scs",
		Defaults: defaults,
		Open: func(settings sinks.Settings, o sinks.Options) (sinks.Sink, error) {
			s, ok := settings.(*Settings)
			if !ok {
				return nil, fmt.Errorf("scs: settings are a %T", settings)
			}
			return open(s, o)
		},
	}
}

// Sink delivers to one tenant.
type Sink struct {
	framer
	client *transport.Client
	login  *login
}

func open(s *Settings, o sinks.Options) (*Sink, error) {
	base, err := transport.BaseURL(s.URL)
	if err != nil {
		return nil, &sinks.FieldError{Field: "url", Message: err.Error()}
	}
	client, err := transport.New(transport.Config{
		Service:  service,
		URL:      base + "/" + s.Tenant + "/ingest/v1beta2/events",
		Settings: s.Settings,
		Options:  o,
	})
	if err != nil {
		return nil, err
	}
	login, err := newLogin(s, o)
	if err != nil {
		client.Close()
		return nil, err
	}
	return &Sink{framer: newFramer(s, o.Replay), client: client, login: login}, nil
}

// Deliver implements sinks.Sink: it posts the frames as one array.
func (s *Sink) Deliver(ctx context.Context, b *sinks.Batch) (sinks.Receipt, error) {
	if err := s.post(ctx, b.Body[len(","):]); err != nil {
		return sinks.Receipt{}, err
	}
	return sinks.Receipt{Settled: len(b.Events)}, nil
}

// Checkpoint implements sinks.Witness.
func (s *Sink) Checkpoint(ctx context.Context, _ sinks.Lane, signed []byte) error {
	c, err := proof.Read(signed)
	if err != nil {
		return err
	}
	// The id is the same for the same checkpoint.
	event := fmt.Appendf(nil, `{"id":"%s.%d.%d","timestamp":%d%s,"attributes":{"%s":"%s"},"body":`,
		c.Feed, c.Size, c.Time.Unix(), c.Time.UnixMilli(), s.witness, proof.FieldFeed, c.Feed)
	return s.post(ctx, append(append(event, c.JSON...), '}'))
}

// checkpointType is the source type of checkpoints: a search for events does not find them
// among these.
const checkpointType = "auditstream:checkpoint"

// post makes one request with events, which commas separate.
func (s *Sink) post(ctx context.Context, events []byte) error {
	parts := [][]byte{[]byte("["), events, []byte("]")}
	if transport.Previewing(ctx) {
		_, err := s.client.Do(ctx, transport.Request{Header: http.Header{"Authorization": {"Bearer " + transport.Concealed}}, Parts: parts})
		return err
	}
	token, err := s.login.token(ctx)
	if err != nil {
		return err
	}
	a, err := s.client.Do(ctx, transport.Request{
		Header:  http.Header{"Authorization": {"Bearer " + token.access}},
		Parts:   parts,
		Secrets: []string{token.access},
	})
	if err != nil {
		return err
	}
	refusal := judge(a)
	if refusal == nil {
		token.served.Store(true)
		return nil
	}
	if a.Status == http.StatusUnauthorized {
		// A token that served before may have been revoked: the next attempt brings a new one, and
		// only a new one that is refused too is a matter for people.
		s.login.forget(token)
		if token.served.Load() {
			refusal = a.Refusal(sinks.Unavailable, "the access token is not valid any more, a new one is asked for")
		}
	} else if refusal.Class == sinks.Misconfigured {
		s.login.forget(token)
	}
	if refusal.Class == sinks.Misconfigured {
		s.client.ForgetCredential()
		s.login.client.ForgetCredential()
	}
	return refusal
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
	s.login.client.Close()
	return nil
}

// answer is what the service answers, errors included.
type answer struct {
	Code    *string `json:"code"`
	Message *string `json:"message"`
}

// judge is what an answer means: nil if all events were taken. The service takes a request
// whole or not at all.
func judge(a *transport.Answer) *sinks.Error {
	var read answer
	known := !a.Over && json.Unmarshal(a.Body, &read) == nil && (read.Code != nil || read.Message != nil)
	switch {
	case a.Status == http.StatusOK && known:
		return nil
	case !known:
		return a.Unknown()
	}
	switch a.Status {
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		return a.Refusal(sinks.Rejected, "%s refuses the events as malformed", service)
	case http.StatusUnauthorized:
		return a.Refusal(sinks.Misconfigured, "%s refuses the access token: is the client one of this tenant?", service)
	case http.StatusForbidden:
		return a.Refusal(sinks.Misconfigured, "the client may not send events to the tenant: give it a role with ingest.events.create")
	case http.StatusNotFound:
		return a.Refusal(sinks.Misconfigured, "there is no such tenant: is it written as in the address of its console?")
	}
	return a.Unknown()
}
