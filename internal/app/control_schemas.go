package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/schema/catalogue"
	"github.com/auditstream/auditstream/schema/registry"
)

// known are the schemas of the binary and those that are registered in the cluster, with the
// binary's alone.
func (c *Control) known(ctx context.Context) (all, base *catalogue.Catalogue, err error) {
	if base, err = catalogue.Embedded(); err != nil {
		return nil, nil, err
	}
	topic := &Schemas{opts: c.operator.opts, client: c.operator.client, topic: c.operator.topics.Schemas()}
	registered, err := topic.Read(ctx)
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return base, base, nil // nothing was ever registered
	}
	if err != nil {
		return nil, nil, told(err)
	}
	all, err = registry.Merge(base, registered)
	return all, base, err
}

// Schemas implements admin.Service.
func (c *Control) Schemas(ctx context.Context) ([]admin.Schema, error) {
	all, base, err := c.known(ctx)
	if err != nil {
		return nil, err
	}
	out := []admin.Schema{}
	for _, a := range all.Actions() {
		if n := len(out); n > 0 && out[n-1].Action == a.Name {
			out = out[:n-1] // of each the newest
		}
		out = append(out, schemaOf(a, base))
	}
	return out, nil
}

func schemaOf(a *catalogue.Action, base *catalogue.Catalogue) admin.Schema {
	return admin.Schema{
		Action: a.Name, Version: a.Version, Family: a.Family, Title: a.Title, Builtin: base.Action(a.Name, a.Version) != nil,
	}
}

// Schema implements admin.Service.
func (c *Control) Schema(ctx context.Context, action string, version int) (*admin.Schema, error) {
	all, base, err := c.known(ctx)
	if err != nil {
		return nil, err
	}
	a := all.Action(action, version)
	if a == nil {
		what := fmt.Sprintf("action %q", action)
		if version != 0 && all.Action(action, 0) != nil {
			what += fmt.Sprintf(", version %d", version)
		}
		return nil, admin.CodeNotFound.Errorf("%s is not known", what)
	}
	out := schemaOf(a, base)
	for _, other := range all.Actions() {
		if other.Name == action {
			out.Versions = append(out.Versions, other.Version)
		}
	}
	if out.Schema, err = json.Marshal(a); err != nil {
		return nil, err
	}
	example, err := catalogue.Example(a)
	if err != nil {
		return nil, err
	}
	out.Example, err = json.Marshal(example)
	return &out, err
}
