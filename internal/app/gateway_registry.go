package app

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/auditstream/auditstream/producer/gateway"
	"github.com/auditstream/auditstream/schema/catalogue"
	"github.com/auditstream/auditstream/schema/registry"
)

// schemaDesk registers schemas that come over the gateway, and says which there are. It
// implements gateway.Schemas.
type schemaDesk struct {
	base  *catalogue.Catalogue // what is known without a cluster
	topic *Schemas
	// inForce takes over what was just registered, so that this process goes by it at once; the
	// others do within seconds.
	inForce func(context.Context) error
	log     *zap.Logger

	writing sync.Mutex // of two writers in one process each would fence the other

	reading  sync.Mutex // held while the topic is read on
	follower *kafka.Follower
	all      map[string]registered // guarded by reading; by action
	bad      map[string]error      // guarded by reading; by action: of records that cannot be read
}

// newSchemaDesk makes a desk for the topic, whose closing closes the desk.
func newSchemaDesk(base *catalogue.Catalogue, topic *Schemas, inForce func(context.Context) error, log *zap.Logger) *schemaDesk {
	return &schemaDesk{base: base, topic: topic, inForce: inForce, log: log, follower: &kafka.Follower{Client: topic.client, Topic: topic.topic}}
}

// Known implements gateway.Schemas.
func (d *schemaDesk) Known(ctx context.Context) ([]gateway.KnownSchema, error) {
	d.reading.Lock()
	defer d.reading.Unlock()
	err := d.follower.Read(ctx, func() { d.all, d.bad = map[string]registered{}, map[string]error{} }, func(r *kgo.Record) {
		key := string(r.Key)
		delete(d.bad, key)
		decoded, err := decodeRegistered(r)
		if err != nil {
			d.bad[key] = err // what was read before stays in force
			return
		}
		d.all[key] = decoded
	})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", d.topic.topic, err)
	}
	for _, err := range d.bad {
		d.log.Warn("a record of schemas cannot be read, what was before it stays in force", zap.Error(err))
	}
	var known []gateway.KnownSchema
	for _, a := range d.base.Actions() {
		if _, over := d.all[a.Name].when[a.Version]; !over {
			known = append(known, gateway.KnownSchema{Action: a})
		}
	}
	for _, r := range d.all {
		for _, v := range r.versions {
			known = append(known, gateway.KnownSchema{Action: v, Created: r.when[v.Version].At})
		}
	}
	return known, nil
}

const (
	registerTries = 5
	// registerTimeout bounds a registration: no caller has to wait for it longer.
	registerTimeout = 20 * time.Second
)

// Register implements gateway.Schemas.
func (d *schemaDesk) Register(ctx context.Context, by string, a *catalogue.Action, allowBreaking bool) (gateway.KnownSchema, registry.Registered, error) {
	ctx, cancel := context.WithTimeout(ctx, registerTimeout)
	defer cancel()
	d.writing.Lock()
	defer d.writing.Unlock()
	known, err := d.Known(ctx)
	if err != nil {
		return gateway.KnownSchema{}, registry.Registered{}, err
	}
	inherit(a, known)
	done, err := d.register(ctx, a, allowBreaking, by)
	if err != nil {
		return gateway.KnownSchema{}, registry.Registered{}, err
	}
	if done.Made {
		level := d.log.Info
		if registry.Breaking(done.Changes) {
			level = d.log.Warn
		}
		level("a schema was registered", zap.String("action", a.Name), zap.Int("version", done.Version), zap.String("key", by), zap.Stringers("changes", done.Changes))
		if err := d.inForce(ctx); err != nil {
			d.log.Warn("the schema is in force at this process a moment later", zap.Error(err))
		}
	}
	if known, err = d.Known(ctx); err != nil {
		return gateway.KnownSchema{}, done, err
	}
	for _, k := range known {
		if k.Name == a.Name && k.Version == done.Version {
			return k, done, nil
		}
	}
	return gateway.KnownSchema{}, done, fmt.Errorf("version %d of action %q is not on record", done.Version, a.Name)
}

// register tries again when another process registers at the same moment.
func (d *schemaDesk) register(ctx context.Context, a *catalogue.Action, allowBreaking bool, by string) (registry.Registered, error) {
	for try := 1; ; try++ {
		done, err := d.topic.Register(ctx, d.base, []*catalogue.Action{a}, allowBreaking, by)
		switch {
		case err == nil:
			return done[0], nil
		case errors.Is(err, kerr.MessageTooLarge):
			e := gateway.Errorf(http.StatusUnprocessableEntity, gateway.CodeValidation, "The action has so many versions, or so large ones, that they do not fit into one record.")
			e.Remedy, e.Cause = "Begin an action of another name.", err
			return registry.Registered{}, e
		case !fenced(err) || try == registerTries:
			return registry.Registered{}, err
		}
		again := time.NewTimer(fencedPause + rand.N(2*fencedPause))
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return registry.Registered{}, context.Cause(ctx)
		}
	}
}

// inherit gives an action what WorkOS's form of a schema does not say, and what formats and
// people go by: that of its latest version.
func inherit(a *catalogue.Action, known []gateway.KnownSchema) {
	a.Family, _, _ = strings.Cut(a.Name, ".")
	var latest *catalogue.Action
	for _, k := range known {
		if k.Name == a.Name && (latest == nil || k.Version > latest.Version) {
			latest = k.Action
		}
	}
	if latest == nil {
		return
	}
	a.Family, a.Title, a.Description = latest.Family, latest.Title, latest.Description
	a.Severity, a.Outcome, a.OutcomeFrom = latest.Severity, latest.Outcome, latest.OutcomeFrom
	a.OCSF, a.ECS, a.CEF = latest.OCSF, latest.ECS, latest.CEF
}
