package app

import (
	"context"

	"github.com/auditstream/auditstream/admin"
)

// Schemas implements admin.Service.
func (c *Control) Schemas(context.Context) ([]admin.Schema, error) {
	return nil, unserved("listing schemas")
}

// Schema implements admin.Service.
func (c *Control) Schema(context.Context, string, int) (*admin.Schema, error) {
	return nil, unserved("showing schemas")
}

// Topics implements admin.Service.
func (c *Control) Topics(context.Context) (*admin.Topics, error) {
	return nil, unserved("showing topics")
}
