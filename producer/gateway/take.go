package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/auditstream/auditstream/producer"
	"github.com/auditstream/auditstream/schema"
)

// admit decides whether an item may be published. An item that it lets through has a claim.
func (r *request) admit(ctx context.Context, it *item) *Error {
	e := it.event
	if err := r.permit(e); err != nil {
		return err
	}
	if err := r.rate(e.OrganizationID, 1); err != nil {
		return err
	}
	var err *Error
	if it.encoded, err = r.server.check(e); err != nil {
		return err
	}
	return r.server.claim(ctx, it)
}

// permit says whether the key is for such an event. An organization that is not the key's is
// not found, as with WorkOS, where a key knows those of its environment.
func (r *request) permit(e *schema.Event) *Error {
	if !r.server.organizations.MatchString(e.OrganizationID) || !r.caller.Knows(e.OrganizationID) {
		return noOrganization(e.OrganizationID)
	}
	if !r.caller.May(e.OrganizationID, e.Action) {
		return Errorf(http.StatusForbidden, CodeForbidden, "The API key does not allow this action.")
	}
	return nil
}

func (r *request) rate(organization string, events int) *Error {
	if r.server.cfg.Rates == nil {
		return nil
	}
	wait := r.server.cfg.Rates.Take(r.caller, organization, events)
	if wait <= 0 {
		return nil
	}
	return &Error{Status: http.StatusTooManyRequests, Code: CodeRate, Message: "Too many requests.", RetryAfter: wait}
}

// check is everything that an event has to be. Its content is the canonical form, without an id
// unless it brings its own.
func (s *server) check(e *schema.Event) (*schema.Encoded, *Error) {
	content, found := s.cfg.Validator.Encoded(e)
	if found == nil && s.cfg.Registry != nil {
		found = s.cfg.Registry.Validate(e).Violations
	}
	if found == nil {
		return content, nil
	}
	var details []Detail
	for _, v := range found {
		if v.Code == schema.CodeTooLarge {
			err := Errorf(http.StatusRequestEntityTooLarge, CodeTooLarge, "The event is too large.")
			err.Errors, err.Remedy = []Detail{instance(v, "")}, "Shorten its metadata."
			return nil, err
		}
		details = append(details, instance(v, ""))
	}
	return nil, invalidEvent(details)
}

// claim claims an item's key and content, and gives the event the id that they make. One that
// brings its id keeps it; the id is part of the content then.
func (s *server) claim(ctx context.Context, it *item) *Error {
	claim, err := s.cfg.Once.Claim(ctx, it.event.OrganizationID, it.key, it.encoded.Value())
	switch {
	case errors.Is(err, ErrConflict):
		e := Errorf(http.StatusConflict, CodeConflict, "The idempotency key was used with another event.")
		e.Remedy = "Use a key for one event only, and repeat an event as it was."
		return e
	case errors.Is(err, ErrBusy):
		return unavailable(CodeBusy, "The same event is being published by another request.", err)
	case err != nil:
		return unavailable(CodeUnavailable, "Whether the event was published before cannot be found out.", fmt.Errorf("claim: %w", err))
	}
	it.claim = claim
	if it.repeated = claim.Done(); it.encoded.ID() != "" {
		return nil
	}
	if it.repeated {
		it.event.ID = claim.ID()
	} else if found := it.encoded.SetID(claim.ID()); len(found) > 0 {
		return publishError(found)
	}
	return nil
}

// publish publishes the items that were let through and not published before, in their order,
// and says of each what became of it. That a caller has gone does not stop it: the event may
// be on its way already, and what became of it is counted.
func (r *request) publish(items ...*item) {
	var events []*schema.Encoded
	var sent []*item
	for _, it := range items {
		defer it.settle() // also if something panics: nobody could claim the same any more
		if it.err == nil && !it.repeated {
			events, sent = append(events, it.encoded), append(sent, it)
		}
	}
	if len(events) > 0 {
		err := producer.PublishEncoded(context.WithoutCancel(r.Context()), r.server.cfg.Publisher, events...)
		failed, listed := errors.AsType[*producer.PublishError](err)
		switch {
		case listed:
			for _, f := range failed.Failed {
				sent[f.Index].err = publishError(f.Err)
			}
		case err != nil:
			for _, it := range sent {
				it.err = publishError(err)
			}
		}
		for _, it := range sent {
			it.published = it.err == nil
		}
	}
	r.server.counts.settled(items, r.Context().Err() != nil)
	r.w.events += len(items)
}

// publishError is why Kafka has not taken an event.
func publishError(err error) *Error {
	if found, ok := errors.AsType[schema.Violations](err); ok {
		var details []Detail
		for _, v := range found {
			details = append(details, instance(v, ""))
		}
		return invalidEvent(details)
	}
	if _, ok := errors.AsType[*producer.TooLargeError](err); ok {
		e := Errorf(http.StatusRequestEntityTooLarge, CodeTooLarge, "The event is larger than the topic of events allows.")
		e.Remedy, e.Cause = "Shorten its metadata.", err
		return e
	}
	if producer.Uncertain(err) {
		e := unavailable(CodeUncertain, "Kafka has not answered in time: it may have taken the event all the same.", err)
		e.Remedy = "Repeat the request as it was, with the same Idempotency-Key if it had one: the event then has the same id, by which receivers know it again."
		return e
	}
	e := unavailable(CodeUnavailable, "Kafka does not take events at the moment: the event was not published.", err)
	e.Remedy = "Repeat the request later, with growing pauses."
	return e
}
