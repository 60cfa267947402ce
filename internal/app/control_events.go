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
func (c *Control) Explain(context.Context, admin.ExplainQuery) (*admin.Explanation, error) {
	return nil, unserved("explaining events")
}
