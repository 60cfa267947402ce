package app

import (
	"context"
	"errors"
	"fmt"
	"slices"

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
	if err := s.client.Ping(ctx); err != nil {
		return nil, fmt.Errorf("cannot reach Kafka: %s", kafka.Reason(err))
	}
	versions := map[string][]*catalogue.Action{}
	var bad error
	_, err := (&kafka.Reader{Client: s.client}).ReadToEnd(ctx, s.topic, 0, func(r *kgo.Record) {
		decoded, err := registry.DecodeRecord(string(r.Key), r.Value)
		bad = errors.Join(bad, err)
		versions[string(r.Key)] = decoded
	})
	if err = errors.Join(err, bad); err != nil {
		return nil, fmt.Errorf("read %s: %w", s.topic, err)
	}
	var all []*catalogue.Action
	for _, v := range versions {
		all = append(all, v...)
	}
	return all, nil
}

// Register registers actions over base, all of them or none, and says what became of
// each. Writers are serialised by a transactional id: whoever begins fences the others,
// then reads what there is, so that two versions never get the same number.
func (s *Schemas) Register(ctx context.Context, base *catalogue.Catalogue, actions []*catalogue.Action, allowBreaking bool) (_ []registry.Registered, err error) {
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
	had, err := s.Read(ctx)
	if err != nil {
		return nil, err
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
	changed := map[string]bool{}
	for i, a := range actions {
		if done[i], err = known.Register(a, allowBreaking); err != nil {
			return nil, err
		}
		if done[i].Made {
			changed[a.Name] = true
			had = append(had, known.Action(a.Name, done[i].Version))
		}
	}
	if len(changed) == 0 {
		return done, nil
	}
	records, err := s.records(had, changed)
	if err != nil {
		return nil, err
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

// records are those of the changed actions: each holds every version that was registered.
func (s *Schemas) records(had []*catalogue.Action, changed map[string]bool) ([]*kgo.Record, error) {
	var records []*kgo.Record
	for name := range changed {
		var versions []*catalogue.Action
		for _, a := range had {
			if a.Name == name {
				versions = append(versions, a)
			}
		}
		slices.SortFunc(versions, func(a, b *catalogue.Action) int { return a.Version - b.Version })
		value, err := registry.EncodeRecord(versions)
		if err != nil {
			return nil, err
		}
		records = append(records, &kgo.Record{Topic: s.topic, Key: []byte(name), Value: value})
	}
	return records, nil
}
