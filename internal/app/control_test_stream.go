package app

import (
	"context"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/sinks"
)

// TestStream implements admin.StreamService.
func (c *Control) TestStream(ctx context.Context, id string, change admin.Change, step func(sinks.Step)) (string, error) {
	s, err := c.operator.Spec(ctx, id)
	if err != nil {
		return "", told(err)
	}
	return c.test(ctx, s, change, step)
}

// TestDraft implements admin.StreamService.
func (c *Control) TestDraft(ctx context.Context, d admin.Draft, change admin.Change, step func(sinks.Step)) (string, error) {
	draft, err := c.draft(d)
	if err != nil {
		return "", err
	}
	have, err := readSpecs(ctx, c.operator.reader, c.operator.topics, c.operator.keys)
	if err != nil {
		return "", told(err)
	}
	s, err := c.drafted(have, draft)
	if err != nil {
		return "", err
	}
	return c.test(ctx, s, change, step)
}

// drafted is the stream that a draft would make, or make of one that there is.
func (c *Control) drafted(have consumer.Specs, draft *config.Stream) (consumer.Spec, error) {
	for _, s := range have.Streams {
		if s.ID == draft.ID && s.State != consumer.SpecDeleted && s.Owner == ownerAPI {
			next, _, _, err := c.revised(s, draft)
			return next, err
		}
	}
	made, _, err := c.made(draft)
	return made, err
}

// test sends one marked event to a stream's destination, and publishes that it was tested.
func (c *Control) test(ctx context.Context, s consumer.Spec, change admin.Change, step func(sinks.Step)) (string, error) {
	event, err := StreamTest{Config: c.config, Spec: s, Version: c.version}.Run(ctx, step)
	c.tellTested(ctx, s, change, err)
	return event, err
}
