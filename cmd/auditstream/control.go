package main

import (
	"context"

	"go.uber.org/zap"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/internal/app"
)

// controlFlags are those of commands that ask the control plane.
type controlFlags struct{ streamFlags }

// with connects and hands the control plane to do.
func (f *controlFlags) with(ctx context.Context, do func(admin.Service) error) error {
	c, err := f.load()
	if err != nil {
		return err
	}
	return f.streamFlags.with(ctx, func(o *app.Operator) error {
		return do(app.NewControl(app.ControlConfig{Operator: o, Config: c, Version: versionString(), Log: zap.NewNop()}))
	})
}
