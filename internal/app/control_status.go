package app

import (
	"context"

	"github.com/auditstream/auditstream/admin"
)

// Streams implements admin.StreamService.
func (c *Control) Streams(ctx context.Context) ([]admin.Stream, error) {
	list, err := c.operator.List(ctx)
	if err != nil {
		return nil, told(err)
	}
	out := make([]admin.Stream, 0, len(list))
	for _, st := range list {
		out = append(out, *described(st))
	}
	return out, nil
}

// Stream implements admin.StreamService.
func (c *Control) Stream(ctx context.Context, id string) (*admin.Stream, error) {
	st, err := c.operator.Get(ctx, id)
	if err != nil {
		return nil, told(err)
	}
	return described(st), nil
}

// History implements admin.StreamService.
func (c *Control) History(context.Context, string) (*admin.History, error) {
	return nil, unserved("the history of streams")
}
