package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/internal/units"
)

// EnsureTopics creates the topics that are missing and checks those that exist. It never
// alters a topic. The error joins every problem found; each is a *TopicProblem, or says
// why Kafka would not answer. Several processes may do this at once: a topic that another
// one has just made is checked like any other.
//
// When it returns nil, all topics are known to the broker that answered last.
func EnsureTopics(ctx context.Context, adm *kadm.Client, topics Topics, log *zap.Logger) error {
	if err := topics.Validate(); err != nil {
		return err
	}
	topics = topics.withDefaults()
	md, err := describe(ctx, adm, topics)
	if err != nil {
		return err
	}
	var missing []topicSpec
	for _, spec := range topics.specs() {
		if !exists(md, spec.name) {
			missing = append(missing, spec)
		}
	}
	if len(missing) > 0 {
		if err := create(ctx, adm, topics, missing, md, log); err != nil {
			return err
		}
		if md, err = awaitTopics(ctx, adm, topics); err != nil {
			return err
		}
	}
	return check(ctx, adm, topics, md, log)
}

// TooFewBrokers says that topics cannot have as many replicas as they are to have. It may pass:
// a cluster that is just starting has few brokers at first, and one may be restarted.
type TooFewBrokers struct {
	Topics               []string // that are missing
	Replication, Brokers int
	Refusal              error // Kafka's, which has fewer brokers at work than it names; nil: it names too few
}

func (e *TooFewBrokers) Error() string {
	if e.Refusal != nil {
		return fmt.Sprintf("cannot create %s with %d replicas: %v; set topics.replication to less, or start more brokers",
			strings.Join(e.Topics, ", "), e.Replication, e.Refusal)
	}
	return fmt.Sprintf("cannot create %s with %d replicas: the cluster has %s; set topics.replication to %d or less, or start more brokers",
		strings.Join(e.Topics, ", "), e.Replication, units.Count(e.Brokers, "broker", "brokers"), e.Brokers)
}

func (e *TooFewBrokers) Unwrap() error { return e.Refusal }

func describe(ctx context.Context, adm *kadm.Client, topics Topics) (kadm.Metadata, error) {
	md, err := adm.Metadata(ctx, topics.Names()...)
	if err != nil {
		return md, fmt.Errorf("ask Kafka for its topics: %w", err)
	}
	if len(md.Brokers) == 0 {
		return md, fmt.Errorf("ask Kafka for its topics: %w", ErrNoBroker)
	}
	for _, t := range md.Topics {
		// Only "there is no such topic" is an answer; "not authorized to describe" would
		// otherwise look like a topic to be created.
		if t.Err != nil && !errors.Is(t.Err, kerr.UnknownTopicOrPartition) && !errors.Is(t.Err, kerr.LeaderNotAvailable) {
			return md, fmt.Errorf("ask Kafka for topic %s: %w", t.Topic, t.Err)
		}
	}
	return md, nil
}

func exists(md kadm.Metadata, topic string) bool {
	t, ok := md.Topics[topic]
	return ok && !errors.Is(t.Err, kerr.UnknownTopicOrPartition)
}

func create(ctx context.Context, adm *kadm.Client, topics Topics, missing []topicSpec, md kadm.Metadata, log *zap.Logger) error {
	if n := len(md.Brokers); int(topics.Replication) > n {
		names := make([]string, len(missing))
		for i, spec := range missing {
			names[i] = spec.name
		}
		return &TooFewBrokers{Topics: names, Replication: int(topics.Replication), Brokers: n}
	}
	var errs []error
	few := &TooFewBrokers{Replication: int(topics.Replication), Brokers: len(md.Brokers)}
	for _, spec := range missing {
		settings := make(map[string]*string, len(spec.settings))
		for k, v := range spec.settings {
			settings[k] = &v
		}
		resp, err := adm.CreateTopic(ctx, spec.partitions, topics.Replication, settings, spec.name)
		switch {
		case err == nil:
			log.Info("created topic", zap.String("topic", spec.name), zap.Int32("partitions", spec.partitions),
				zap.Int16("replication", topics.Replication), zap.Any("settings", spec.settings))
		case errors.Is(err, kerr.TopicAlreadyExists):
			// Another process was faster.
		default:
			refused := errors.Is(err, kerr.InvalidReplicationFactor)
			if resp.ErrMessage != "" {
				err = fmt.Errorf("%w: %s", err, resp.ErrMessage)
			}
			if refused { // a broker has gone since we counted them, or is named and not at work
				few.Topics, few.Refusal = append(few.Topics, spec.name), err
				continue
			}
			errs = append(errs, fmt.Errorf("create topic %s: %w; to create it yourself: %s",
				spec.name, err, createCommand(md, spec, topics.Replication)))
		}
	}
	if len(few.Topics) > 0 {
		errs = append(errs, few)
	}
	return errors.Join(errs...)
}

// awaitPause is how often we ask whether a topic is known that was just created.
const awaitPause = 300 * time.Millisecond

// awaitTopics returns when every topic is known and each of its partitions has a leader: a
// broker that did not take part in a topic's creation learns of it a moment later.
func awaitTopics(ctx context.Context, adm *kadm.Client, topics Topics) (kadm.Metadata, error) {
	for {
		md, err := describe(ctx, adm, topics)
		if err != nil {
			return md, err
		}
		waitFor := ""
		for _, name := range topics.Names() {
			if t := md.Topics[name]; t.Err != nil || !hasLeaders(t) {
				waitFor = name
			}
		}
		if waitFor == "" {
			return md, nil
		}
		timer := time.NewTimer(awaitPause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return md, fmt.Errorf("wait for new topic %s to get its leaders: %w", waitFor, context.Cause(ctx))
		}
	}
}

func hasLeaders(t kadm.TopicDetail) bool {
	for _, p := range t.Partitions {
		if p.Leader < 0 {
			return false
		}
	}
	return len(t.Partitions) > 0
}

// bootstrap is the address that the commands in messages use.
func bootstrap(md kadm.Metadata) string {
	b := md.Brokers[0]
	return net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))
}

func createCommand(md kadm.Metadata, spec topicSpec, replication int16) string {
	var b strings.Builder
	fmt.Fprintf(&b, "kafka-topics.sh --bootstrap-server %s --create --topic %s --partitions %d --replication-factor %d",
		bootstrap(md), spec.name, spec.partitions, replication)
	for _, k := range slices.Sorted(maps.Keys(spec.settings)) {
		fmt.Fprintf(&b, " --config %s=%s", k, spec.settings[k])
	}
	return b.String()
}
