package app

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Everything is delivery, the API and, where anybody could bring events, the gateway in one process, on one
// cluster.
type Everything struct {
	Delivery
}

// Run runs all of them until ctx ends, or one of them cannot go on.
func (e Everything) Run(ctx context.Context) (err error) {
	opts, done, err := connect(e.Config, e.Log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	return e.run(ctx, opts)
}

func (e Everything) run(ctx context.Context, opts []kgo.Opt) error {
	parts := []func(context.Context, *vitals) error{
		e.part(opts),
		Administration{Config: e.Config, Version: e.Version, Log: e.Log}.part(opts),
	}
	if e.Config.Gateway.TakesEvents() {
		parts = append(parts, Gateway{Config: e.Config, Version: e.Version, Log: e.Log}.part(opts))
	}
	return watched(ctx, e.Config, e.Version, e.Log, parts...)
}
