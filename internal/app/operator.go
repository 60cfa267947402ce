package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/auditstream/auditstream/internal/seal"
	"github.com/auditstream/auditstream/schema"
)

// Operator looks at streams, and changes what operators may change, from outside of the
// processes that deliver: it talks to Kafka alone. It makes no topic.
type Operator struct {
	opts     []kgo.Opt
	client   *kgo.Client
	reader   *kafka.Reader
	topics   kafka.Topics
	keys     *seal.Ring
	signing  config.Integrity // keys of checkpoints; read when they are used
	ids      consumer.IDs
	valid    schema.Validator
	tell     *announcer
	progress consumer.Following // what surveys have read of the progress
	streams  specsRead
	log      *zap.Logger
}

// Operate connects to the cluster of a configuration, whose brokers must be set. It tries
// once.
func Operate(ctx context.Context, cfg *config.Config, log *zap.Logger) (*Operator, error) {
	opts, err := cfg.Kafka.Options(sampled(log))
	if err != nil {
		return nil, err
	}
	keys, err := seal.Load(ctx, cfg.Sealing.Keys)
	if err != nil {
		return nil, err
	}
	o, err := operate(ctx, opts, cfg, keys, log)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", strings.Join(cfg.Kafka.Brokers, ", "), err)
	}
	return o, nil
}

func operate(ctx context.Context, opts []kgo.Opt, cfg *config.Config, keys *seal.Ring, log *zap.Logger) (*Operator, error) {
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, err
	}
	o := &Operator{opts: opts, client: client, reader: &kafka.Reader{Client: client}, topics: cfg.Topics.Kafka(), keys: keys, signing: cfg.Integrity, log: log}
	o.valid.OrganizationPattern = cfg.Events.OrganizationPattern
	o.tell = &announcer{topic: o.topics.Events(), organization: cfg.Admin.Organization, valid: o.valid, log: log}
	if err := o.look(ctx); err != nil {
		client.Close()
		return nil, err
	}
	return o, nil
}

// Close disconnects.
func (o *Operator) Close() { o.client.Close() }

func (o *Operator) look(ctx context.Context) error {
	if err := o.client.Ping(ctx); err != nil {
		return fmt.Errorf("cannot reach Kafka: %s", kafka.Reason(err))
	}
	admin := kadm.NewClient(o.client)
	cluster, err := kafka.ClusterID(ctx, admin)
	if err != nil {
		return err
	}
	ids, err := kafka.TopicIDs(ctx, admin, o.topics.Events(), o.topics.Progress(), o.topics.Streams())
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return fmt.Errorf("%w: delivery makes the topics when it first starts", err)
	}
	if err != nil {
		return err
	}
	o.ids = consumer.IDs{Cluster: cluster, Events: ids[o.topics.Events()], Progress: ids[o.topics.Progress()], Streams: ids[o.topics.Streams()]}
	return nil
}

// Streams are the streams that are not deleted, in the order of their ids.
func (o *Operator) Streams(ctx context.Context) ([]consumer.Spec, error) {
	specs, err := o.readOn(ctx)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(specs.Streams, func(s consumer.Spec) bool { return s.State == consumer.SpecDeleted }), nil
}

// Records are the streams that are not deleted, and the records that have no effect.
func (o *Operator) Records(ctx context.Context) ([]consumer.Spec, []consumer.BadSpec, error) {
	specs, err := readSpecs(ctx, o.reader, o.topics, o.keys)
	if err != nil {
		return nil, nil, err
	}
	return slices.DeleteFunc(specs.Streams, func(s consumer.Spec) bool { return s.State == consumer.SpecDeleted }), specs.Bad, nil
}

// List says where all streams stand, the worst first.
func (o *Operator) List(ctx context.Context) ([]consumer.Status, error) {
	specs, err := o.readOn(ctx)
	if err != nil {
		return nil, err
	}
	list, err := o.survey().Of(ctx, specs, func(consumer.Spec) bool { return true })
	slices.SortStableFunc(list, consumer.Status.Compare)
	return list, err
}

// Get says where one stream stands. A *[NoStreamError] says that there is none.
func (o *Operator) Get(ctx context.Context, id string) (consumer.Status, error) {
	specs, err := o.readOn(ctx)
	if err != nil {
		return consumer.Status{}, err
	}
	if _, err := findStream(specs, id); err != nil && !is[*HeldError](err) {
		return consumer.Status{}, err
	}
	list, err := o.survey().Of(ctx, specs, func(s consumer.Spec) bool { return s.ID == id })
	if err != nil {
		return consumer.Status{}, err
	}
	return list[0], nil
}

func (o *Operator) survey() consumer.Survey {
	return consumer.Survey{
		Client: o.client, IDs: o.ids,
		Topics: consumer.Topics{Events: o.topics.Events(), Progress: o.topics.Progress(), DeadLetters: o.topics.DeadLetters()},
		Group:  func(kind string) string { return groupID(o.topics.Prefix, kind) }, Validator: o.valid, Follow: &o.progress,
	}
}

// NoStreamError says that no stream has an id.
type NoStreamError struct {
	ID   string
	Near string // an id that may have been meant; empty: none is like it
}

func (e *NoStreamError) Error() string {
	text := fmt.Sprintf("there is no stream %q", e.ID)
	if e.Near != "" {
		text += fmt.Sprintf("; did you mean %q?", e.Near)
	}
	return text
}

// streamNamed is the stream with an id, if it is not deleted.
func streamNamed(have []consumer.Spec, id string) (consumer.Spec, error) {
	var ids []string
	for _, s := range have {
		if s.State == consumer.SpecDeleted {
			continue
		}
		if s.ID == id {
			return s, nil
		}
		ids = append(ids, s.ID)
	}
	return consumer.Spec{}, &NoStreamError{ID: id, Near: config.Closest(id, ids)}
}

// HeldError says that a stream cannot be changed here: its record has no effect, and none
// before it is known, or somebody else may know better.
type HeldError struct{ ID, Why string }

func (e *HeldError) Error() string {
	return fmt.Sprintf("stream %q cannot be changed as long as its record has no effect here: %s", e.ID, e.Why)
}

// findStream is the stream with an id, if it is not deleted and its spec is known.
func findStream(have consumer.Specs, id string) (consumer.Spec, error) {
	for _, b := range have.Bad {
		if b.ID == id && (b.Held || b.Alien) {
			return consumer.Spec{}, &HeldError{ID: id, Why: b.Why}
		}
	}
	return streamNamed(have.Streams, id)
}

// heldNamed is the stream with an id whose spec nobody knows, nil if that is none.
func heldNamed(have consumer.Specs, id string) *consumer.BadSpec {
	i := slices.IndexFunc(have.Bad, func(b consumer.BadSpec) bool { return b.Held && b.ID == id })
	if i < 0 {
		return nil
	}
	return &have.Bad[i]
}
