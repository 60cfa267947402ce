package app

import (
	"context"

	"github.com/auditstream/auditstream/admin"
)

// Try implements admin.StreamService.
func (c *Control) Try(context.Context, admin.Draft, []byte) (*admin.Trial, error) {
	return nil, unserved("trying events")
}
