package app

import (
	"context"

	"github.com/auditstream/auditstream/admin"
)

// Tail implements admin.EventService.
func (c *Control) Tail(ctx context.Context, q admin.TailQuery, each func(admin.TailEvent) error) error {
	return told(c.operator.Tail(ctx, q, each))
}

// Explain implements admin.EventService.
func (c *Control) Explain(ctx context.Context, q admin.ExplainQuery) (*admin.Explanation, error) {
	out, err := c.operator.Explain(ctx, q)
	return out, told(err)
}
