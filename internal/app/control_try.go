package app

import (
	"context"

	"github.com/auditstream/auditstream/admin"
)

// Try implements admin.StreamService. No secret of the draft is used: where a mask would hash
// with its key, another one is taken.
func (c *Control) Try(ctx context.Context, d admin.Draft, event []byte) (*admin.Trial, error) {
	draft, err := c.draft(d)
	if err != nil {
		return nil, err
	}
	return StreamTrial{Config: c.config, Spec: newSpec(*draft, ownerAPI), Settings: draft.Settings, Version: c.version}.Run(ctx, event)
}

// TryStream implements admin.StreamService.
func (c *Control) TryStream(ctx context.Context, id string, event []byte) (*admin.Trial, error) {
	s, err := c.operator.Spec(ctx, id)
	if err != nil {
		return nil, told(err)
	}
	return StreamTrial{Config: c.config, Spec: s, Keys: c.local, Version: c.version}.Run(ctx, event)
}
