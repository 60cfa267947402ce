package producer

import (
	"context"
	"time"

	"github.com/auditstream/auditstream/schema"
)

// EncodedPublisher publishes events that were encoded before, as a Client does: who had to
// check an event for himself, or needs its bytes, then spares it to be encoded another time.
type EncodedPublisher interface {
	PublishEncoded(ctx context.Context, events ...*schema.Encoded) error
}

// Publisher publishes events, as a Client does.
type Publisher interface {
	Publish(ctx context.Context, events ...*schema.Event) error
}

// PublishEncoded has p publish events that were encoded before, and encode them again only if
// it takes nothing else.
func PublishEncoded(ctx context.Context, p Publisher, events ...*schema.Encoded) error {
	if p, ok := p.(EncodedPublisher); ok {
		return p.PublishEncoded(ctx, events...)
	}
	plain := make([]*schema.Event, len(events))
	for i, e := range events {
		plain[i] = e.Event()
	}
	return p.Publish(ctx, plain...)
}

// PublishEncoded is Publish for events that a Validator has encoded. What it publishes is just
// these bytes; if they were validated in another way than the Client's own, they are
// validated again.
func (c *Client) PublishEncoded(ctx context.Context, events ...*schema.Encoded) error {
	drafts := make([]draft, len(events))
	for i, e := range events {
		drafts[i] = draft{e.Event(), e}
	}
	return c.publish(ctx, drafts)
}

// encoded is encode for an event that was encoded before. What the event that it was made of
// has become since is not looked at.
func (c *Client) encoded(e *schema.Encoded) (organization string, value []byte, err error) {
	if e.OrganizationID() == "" {
		return "", nil, noOrganization()
	}
	if e.ID() == "" {
		if err := e.SetID(schema.NewID(time.Now())).Err(); err != nil {
			return "", nil, err
		}
	}
	value, violations := e.For(&c.conf.Validator)
	if err := violations.Err(); err != nil {
		return "", nil, err
	}
	if c.conf.Check != nil {
		event, err := schema.Decode(value)
		if err != nil {
			return "", nil, err
		}
		if err := c.conf.Check(event).Err(); err != nil {
			return "", nil, err
		}
	}
	return e.OrganizationID(), value, nil
}
