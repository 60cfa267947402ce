package app

import (
	"context"

	"github.com/auditstream/auditstream/admin"
)

// CreateStream implements admin.StreamService.
func (c *Control) CreateStream(context.Context, admin.Draft, admin.Change) (*admin.Stream, error) {
	return nil, unserved("making streams")
}

// UpdateStream implements admin.StreamService.
func (c *Control) UpdateStream(context.Context, string, admin.Draft, admin.Change) (*admin.Stream, error) {
	return nil, unserved("changing streams")
}

// PlanStream implements admin.StreamService.
func (c *Control) PlanStream(context.Context, admin.Draft) (*admin.Plan, error) {
	return nil, unserved("planning streams")
}
