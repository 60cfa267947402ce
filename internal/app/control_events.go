package app

import (
	"context"

	"github.com/auditstream/auditstream/admin"
)

// Tail implements admin.EventService.
func (c *Control) Tail(context.Context, admin.TailQuery, func(admin.TailEvent) error) error {
	return unserved("following events")
}

// Explain implements admin.EventService.
func (c *Control) Explain(ctx context.Context, q admin.ExplainQuery) (*admin.Explanation, error) {
	out, err := c.operator.Explain(ctx, q)
	return out, told(err)
}
