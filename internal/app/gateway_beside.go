package app

import (
	"context"
	"net/http"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/consumer/export"
	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/internal/checkpoints"
	"github.com/auditstream/auditstream/internal/openapi"
	"github.com/auditstream/auditstream/internal/organization"
	"github.com/auditstream/auditstream/producer/gateway"
	"github.com/auditstream/auditstream/schema"
)

// beside is what the gateway does beside taking events.
type beside struct {
	schemas    *schemaDesk
	exports    *exporter
	retentions *retentions
	keys       *checkpoints.Publisher
	close      func()
}

// beside connects what it needs. It does not wait for Kafka.
func (g Gateway) beside(opts []kgo.Opt, publisher gateway.Publisher, schemas *gatewaySchemas, log *zap.Logger) (*beside, error) {
	topics := g.Config.Topics.Kafka()
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, err
	}
	exports, err := export.Connect(opts, topics.Exports())
	if err != nil {
		client.Close()
		return nil, err
	}
	organizations, err := organization.Connect(opts, topics.Organizations())
	if err != nil {
		client.Close()
		exports.Close()
		return nil, err
	}
	tell := func(ctx context.Context, e *schema.Event) error { return publisher.Publish(ctx, e) }
	counting := &export.Source{Client: client, Topic: topics.Events(), Valid: g.validator(), Patience: exportPatience}
	reading := *counting
	reading.Patience = 0
	inForce := func(ctx context.Context) error { return schemas.read(ctx, client, topics.Schemas()) }
	return &beside{
		schemas:    newSchemaDesk(schemas.base, &Schemas{opts: opts, client: client, topic: topics.Schemas()}, inForce, log),
		exports:    newExporter(exporterConfig{exports: exports, organizations: organizations, counting: counting, reading: &reading, tell: tell, log: log.Named("exports")}),
		retentions: &retentions{topic: organizations, client: client, events: topics.Events(), tell: tell, log: log},
		keys:       &checkpoints.Publisher{Client: client, Topics: topics, Log: log},
		close: func() {
			organizations.Close()
			exports.Close()
			client.Close()
		},
	}, nil
}

// publicKeys is the route that serves the public keys of checkpoints, for whoever verifies.
func publicKeys(keys *checkpoints.Publisher) gateway.Extra {
	text := openapi.Object{"type": "string"}
	instant := openapi.Object{"type": "string", "format": "date-time"}
	return gateway.Extra{
		Method: http.MethodGet, Path: integrity.WellKnown, Handler: keys,
		About: "The public keys that checkpoints of feeds are signed with",
		More:  "statements are signed notes by which keys have replaced each other. Who verifies goes by them, from a key that he trusts from elsewhere.",
		Answer: openapi.Object{"type": "object", "required": []string{"keys", "statements"}, "additionalProperties": false, "properties": openapi.Object{
			"keys": openapi.Object{"type": "array", "items": openapi.Object{
				"type": "object", "required": []string{"key"}, "additionalProperties": false, "properties": openapi.Object{"key": text, "from": instant, "until": instant},
			}},
			"statements": openapi.Object{"type": "array", "items": text},
		}},
		Refused: []int{http.StatusServiceUnavailable},
	}
}
