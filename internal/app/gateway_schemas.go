package app

import (
	"context"
	"fmt"
	"os"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/schema"
	"github.com/auditstream/auditstream/schema/catalogue"
	"github.com/auditstream/auditstream/schema/registry"
)

// gatewaySchemas are what events are checked by, if the configuration says so.
type gatewaySchemas struct {
	base     *catalogue.Catalogue // what is known without a cluster
	registry *registry.Registry   // nil: envelopes only
	known    *knownActions        // nil likewise
}

func newGatewaySchemas(e config.Events) (*gatewaySchemas, error) {
	known, err := newKnownActions()
	if err != nil {
		return nil, err
	}
	if e.Schemas != "" {
		own, err := catalogue.Read(os.DirFS(e.Schemas))
		if err == nil {
			known.base, err = registry.Merge(known.base, own.Actions())
		}
		if err != nil {
			return nil, fmt.Errorf("events.schemas: %s: %w", e.Schemas, err)
		}
		known.now.Store(known.base)
	}
	if e.Check != config.CheckSchema {
		return &gatewaySchemas{base: known.base}, nil
	}
	r, err := registry.New(registry.Config{
		Validator: schema.Validator{OrganizationPattern: e.OrganizationPattern},
		Unknown:   registry.Policy(e.Unknown),
		Limits:    &registry.Limits{Keys: e.MetadataMembers, Key: e.MetadataName, Text: e.MetadataText, Nested: e.MetadataNested},
	}, known.base)
	if err != nil {
		return nil, err
	}
	known.changed = r.Replace
	return &gatewaySchemas{known.base, r, known}, nil
}

func (s *gatewaySchemas) read(ctx context.Context, client *kgo.Client, topic string) error {
	if s.known == nil {
		return nil
	}
	return s.known.read(ctx, client, topic)
}

func (s *gatewaySchemas) follow(ctx context.Context, client *kgo.Client, topic string, log *zap.Logger) error {
	if s.known == nil {
		return nil
	}
	return s.known.follow(ctx, client, topic, log)
}

// check says what is wrong with an event beside its envelope; nil: nothing is looked at.
func (s *gatewaySchemas) check() func(*schema.Event) schema.Violations {
	if s.registry == nil {
		return nil
	}
	return func(e *schema.Event) schema.Violations { return s.registry.Validate(e).Violations }
}
