package app

import (
	"context"

	"github.com/auditstream/auditstream/admin"
)

var _ admin.Identifier = (*Control)(nil)

// Identities implements admin.Identifier. It reads the streams topic alone.
func (c *Control) Identities(ctx context.Context) ([]admin.Identity, error) {
	specs, err := c.operator.Streams(ctx)
	if err != nil {
		return nil, told(err)
	}
	out := make([]admin.Identity, 0, len(specs))
	for _, s := range specs {
		out = append(out, admin.Identity{ID: s.ID, UID: s.UID, Version: VersionOf(s), OrganizationID: s.OrganizationID})
	}
	return out, nil
}
