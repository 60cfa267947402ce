package app

import (
	"context"

	"github.com/auditstream/auditstream/admin"
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
func (c *Control) TestDraft(context.Context, admin.Draft, admin.Change, func(sinks.Step)) (string, error) {
	return "", unserved("testing streams that are not made yet")
}

// test sends one marked event to a stream's destination, and publishes that it was tested.
func (c *Control) test(ctx context.Context, s consumer.Spec, change admin.Change, step func(sinks.Step)) (string, error) {
	event, err := StreamTest{Config: c.config, Spec: s, Version: c.version}.Run(ctx, step)
	c.tellTested(ctx, s, change, err)
	return event, err
}
