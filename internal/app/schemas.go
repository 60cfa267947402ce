package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/auditstream/auditstream/schema/catalogue"
	"github.com/auditstream/auditstream/schema/registry"
)

// Schemas is the topic of registered action schemas. It makes no topic.
type Schemas struct {
	opts   []kgo.Opt
	client *kgo.Client
	topic  string
}

// OpenSchemas connects to the cluster of a configuration, whose brokers must be set.
func OpenSchemas(cfg *config.Config, log *zap.Logger) (*Schemas, error) {
	opts, err := cfg.Kafka.Options(sampled(log))
	if err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, err
	}
	return &Schemas{opts, client, cfg.Topics.Kafka().Schemas()}, nil
}

// Close disconnects.
func (s *Schemas) Close() { s.client.Close() }

// Read returns every registered version. Of each action the last record counts.
func (s *Schemas) Read(ctx context.Context) ([]*catalogue.Action, error) {
	registered, err := s.read(ctx)
	if err != nil {
		return nil, err
	}
	var all []*catalogue.Action
	for _, r := range registered {
		all = append(all, r.versions...)
	}
	return all, nil
}

// registered is the record of an action.
type registered struct {
	versions []*catalogue.Action
	when     map[int]registry.Registration // by version
}

// decodeRegistered reads a record. A version of which it does not say when it was registered is
// as old as the record.
func decodeRegistered(r *kgo.Record) (registered, error) {
	versions, err := registry.DecodeRecord(string(r.Key), r.Value)
	if err != nil {
		return registered{}, err
	}
	out := registered{versions, map[int]registry.Registration{}}
	for _, h := range r.Headers {
		if h.Key != registry.HeaderRegistrations {
			continue
		}
		list, err := registry.DecodeRegistrations(h.Value)
		if err != nil {
			return registered{}, fmt.Errorf("schemas of action %q: %w", r.Key, err)
		}
		for _, reg := range list {
			out.when[reg.Version] = reg
		}
	}
	for _, v := range versions {
		if _, ok := out.when[v.Version]; !ok {
			out.when[v.Version] = registry.Registration{Version: v.Version, At: r.Timestamp.UTC()}
		}
	}
	return out, nil
}

// read reads the last record of each action.
func (s *Schemas) read(ctx context.Context) (map[string]registered, error) {
	if err := s.client.Ping(ctx); err != nil {
		return nil, fmt.Errorf("cannot reach Kafka: %s", kafka.Reason(err))
	}
	all := map[string]registered{}
	var bad error
	_, err := (&kafka.Reader{Client: s.client}).ReadToEnd(ctx, s.topic, 0, func(r *kgo.Record) {
		decoded, err := decodeRegistered(r)
		bad = errors.Join(bad, err)
		all[string(r.Key)] = decoded
	})
	if err = errors.Join(err, bad); err != nil {
		return nil, fmt.Errorf("read %s: %w", s.topic, err)
	}
	return all, nil
}

// Register registers actions over base, all of them or none, and says what became of
// each; by stays on record as who did. Writers are serialised by a transactional id: whoever begins fences the others,
// then reads what there is, so that two versions never get the same number.
func (s *Schemas) Register(ctx context.Context, base *catalogue.Catalogue, actions []*catalogue.Action, allowBreaking bool, by string) (_ []registry.Registered, err error) {
	writer, err := kgo.NewClient(append(slices.Clone(s.opts), kgo.TransactionalID(s.topic), kgo.RequiredAcks(kgo.AllISRAcks()))...)
	if err != nil {
		return nil, err
	}
	defer writer.Close()
	stop := context.AfterFunc(ctx, writer.Close) // a record under way cannot be given up otherwise
	defer stop()
	if _, _, err := writer.ProducerID(ctx); err != nil { // fences whoever wrote before
		return nil, fmt.Errorf("write to %s: %s", s.topic, kafka.Reason(err))
	}
	all, err := s.read(ctx)
	if err != nil {
		return nil, err
	}
	var had []*catalogue.Action
	for _, r := range all {
		had = append(had, r.versions...)
	}
	now, err := registry.Merge(base, had)
	if err != nil {
		return nil, err
	}
	known, err := registry.New(registry.Config{}, now)
	if err != nil {
		return nil, err
	}
	done := make([]registry.Registered, len(actions))
	changed := map[string]registered{}
	for i, a := range actions {
		if done[i], err = known.Register(a, allowBreaking); err != nil {
			return nil, err
		}
		if done[i].Made {
			r := all[a.Name]
			r.add(known.Action(a.Name, done[i].Version), by)
			all[a.Name], changed[a.Name] = r, r
		}
	}
	if len(changed) == 0 {
		return done, nil
	}
	var records []*kgo.Record
	for name, r := range changed {
		record, err := r.record(s.topic, name)
		if err != nil {
			return nil, err
		}
		records = append(records, record)
	}
	if err := writer.BeginTransaction(); err != nil {
		return nil, err
	}
	if err := writer.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return nil, errors.Join(fmt.Errorf("write to %s: %w", s.topic, err), writer.EndTransaction(ctx, kgo.TryAbort))
	}
	if err := writer.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return nil, fmt.Errorf("write to %s: %w; try again", s.topic, err)
	}
	return done, nil
}

// add adds a version that is registered now.
func (r *registered) add(a *catalogue.Action, by string) {
	r.versions = append(slices.Clone(r.versions), a)
	if r.when == nil {
		r.when = map[int]registry.Registration{}
	}
	r.when[a.Version] = registry.Registration{Version: a.Version, At: time.Now().UTC(), By: by}
}

// record is the action's: it holds every version that was registered.
func (r *registered) record(topic, name string) (*kgo.Record, error) {
	slices.SortFunc(r.versions, func(a, b *catalogue.Action) int { return a.Version - b.Version })
	value, err := registry.EncodeRecord(r.versions)
	if err != nil {
		return nil, err
	}
	var list []registry.Registration
	for _, v := range r.versions {
		list = append(list, r.when[v.Version])
	}
	when, err := registry.EncodeRegistrations(list)
	if err != nil {
		return nil, err
	}
	return &kgo.Record{
		Topic: topic, Key: []byte(name), Value: value, Headers: []kgo.RecordHeader{{Key: registry.HeaderRegistrations, Value: when}},
	}, nil
}
