package app

import (
	"context"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/sinks"
)

// TestStream implements admin.StreamService.
func (c *Control) TestStream(context.Context, string, admin.Change, func(sinks.Step)) (string, error) {
	return "", unserved("testing streams")
}

// TestDraft implements admin.StreamService.
func (c *Control) TestDraft(context.Context, admin.Draft, admin.Change, func(sinks.Step)) (string, error) {
	return "", unserved("testing streams")
}
