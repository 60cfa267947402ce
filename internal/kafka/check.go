package kafka

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/twmb/franz-go/pkg/kadm"
	"go.uber.org/zap"
)

// TopicProblem is a setting of an existing topic with which events would be lost,
// reordered or refused.
type TopicProblem struct {
	Topic   string
	Setting string // name of the topic's setting, or partitions
	Found   string
	Want    string
	Why     string // what would go wrong
	Fix     string // the command that mends it
}

func (p *TopicProblem) Error() string {
	return fmt.Sprintf("topic %s has %s=%s, wanted %s: %s; to mend it: %s", p.Topic, p.Setting, p.Found, p.Want, p.Why, p.Fix)
}

// checker gathers the problems of all topics.
type checker struct {
	topics   Topics
	md       kadm.Metadata
	settings map[string]map[string]string // by topic, by name; nil where they may not be read
	log      *zap.Logger
	errs     []error
	warnings []*TopicProblem
}

// warn notes a setting with which delivery works, and something may be lost that need not
// be. It is logged, as nobody is stopped by it.
func (c *checker) warn(p *TopicProblem) {
	c.warnings = append(c.warnings, p)
	c.log.Warn(p.Why, zap.String("topic", p.Topic), zap.String("setting", p.Setting), zap.String("found", p.Found), zap.String("wanted", p.Want))
}

func check(ctx context.Context, adm *kadm.Client, topics Topics, md kadm.Metadata, log *zap.Logger) error {
	c, err := examine(ctx, adm, topics, md, log)
	if err != nil {
		return err
	}
	return errors.Join(c.errs...)
}

func examine(ctx context.Context, adm *kadm.Client, topics Topics, md kadm.Metadata, log *zap.Logger) (*checker, error) {
	c := &checker{topics: topics, md: md, log: log, settings: map[string]map[string]string{}}
	described, err := adm.DescribeTopicConfigs(ctx, topics.Names()...)
	if err != nil {
		return nil, fmt.Errorf("ask Kafka for the settings of its topics: %w", err)
	}
	for _, r := range described {
		if r.Err != nil {
			return nil, fmt.Errorf("ask Kafka for the settings of topic %s: %w", r.Name, r.Err)
		}
		values := map[string]string{}
		for _, conf := range r.Configs {
			values[conf.Key] = conf.MaybeValue()
		}
		c.settings[r.Name] = values
	}
	c.checkSettings()
	c.checkSizes()
	c.checkPartitions()
	return c, nil
}

func (c *checker) checkSettings() {
	for _, spec := range c.topics.specs() {
		if want, found := spec.settings[cleanupPolicy], c.setting(spec.name, cleanupPolicy); found != want {
			why := "records would be deleted although they are the only copy of the latest state"
			if want == "delete" {
				why = "compaction would delete records that have the same key"
			}
			c.settingProblem(spec.name, cleanupPolicy, found, want, want, why)
		}
		if want, ok := spec.settings[timestampType]; ok {
			if found := c.setting(spec.name, timestampType); found != want {
				c.settingProblem(spec.name, timestampType, found, want, want,
					"a client's clock could hold up retention and move the start of a stream")
			}
		}
		if want, ok := spec.settings[retentionMs]; ok {
			c.checkRetention(spec.name, want)
		}
		if want, found := number(spec.settings[minInSyncReplica]), number(c.setting(spec.name, minInSyncReplica)); found < want {
			c.warn(&TopicProblem{
				Topic: spec.name, Setting: minInSyncReplica, Found: strconv.FormatInt(found, 10), Want: fmt.Sprintf("%d or more", want),
				Why: "topic acknowledges records with fewer in-sync replicas than configured: the loss of a broker could lose events",
				Fix: c.configure(spec.name, minInSyncReplica, strconv.FormatInt(want, 10)),
			})
		}
	}
}

func (c *checker) checkRetention(topic, want string) {
	// -1 is without end.
	found := c.setting(topic, retentionMs)
	switch ends := number(found) >= 0; {
	case ends && number(want) < 0:
		c.settingProblem(topic, retentionMs, found, want, want, "records would expire that are to be kept for ever")
	case ends && number(found) < number(want):
		c.settingProblem(topic, retentionMs, found, want+" or more", want,
			"records would expire earlier than configured, perhaps undelivered")
	}
	if found := c.setting(topic, retentionBytes); number(found) >= 0 {
		c.warn(&TopicProblem{
			Topic: topic, Setting: retentionBytes, Found: found, Want: "-1",
			Why: "topic also has a limit in bytes: a burst could expire records earlier than configured",
			Fix: c.configure(topic, retentionBytes, "-1"),
		})
	}
}

// checkSizes sees to it that a dead letter, the event's record with more headers, fits.
func (c *checker) checkSizes() {
	events := number(c.setting(c.topics.Events(), maxMessageBytes))
	letters := c.setting(c.topics.DeadLetters(), maxMessageBytes)
	if least := events + letterRoom; number(letters) < least {
		want := strconv.FormatInt(least, 10)
		c.settingProblem(c.topics.DeadLetters(), maxMessageBytes, letters, want+" or more", want,
			"an event as large as "+c.topics.Events()+" allows would not fit with the headers of a dead letter")
	}
}

func (c *checker) checkPartitions() {
	count := func(topic string) int { return len(c.md.Topics[topic].Partitions) }
	events, progress := count(c.topics.Events()), count(c.topics.Progress())
	if want := int(c.topics.Partitions); events < want {
		c.partitionProblem(c.topics.Events(), events, strconv.Itoa(want), want,
			"more are configured; give "+c.topics.Progress()+" its partitions first, and mind that organizations move to other partitions")
	}
	if want := max(events, int(c.topics.Partitions)); progress < want {
		c.partitionProblem(c.topics.Progress(), progress, fmt.Sprintf("%d or more", want), want,
			"progress is kept in the partition of the same number as the events it speaks of")
	}
	if n := count(c.topics.Streams()); n != 1 {
		c.errs = append(c.errs, &TopicProblem{
			Topic: c.topics.Streams(), Setting: "partitions", Found: strconv.Itoa(n), Want: "1",
			Why: "changes of streams have one order only within one partition",
			Fix: fmt.Sprintf("kafka-topics.sh --bootstrap-server %s --delete --topic %s, if it holds nothing yet; it is then made anew",
				bootstrap(c.md), c.topics.Streams()),
		})
	}
	if n := count(c.topics.Checkpoints()); n <= KeysPartition {
		c.partitionProblem(c.topics.Checkpoints(), n, strconv.Itoa(KeysPartition+1)+" or more", KeysPartition+1,
			"statements about keys have a partition of their own beside that of the checkpoints")
	}
	for _, name := range c.topics.Names() {
		for _, p := range c.md.Topics[name].Partitions.Sorted() {
			if n := len(p.Replicas); n < int(c.topics.Replication) {
				c.warn(&TopicProblem{
					Topic: name, Setting: "replicas", Found: strconv.Itoa(n), Want: strconv.Itoa(int(c.topics.Replication)),
					Why: "topic has fewer replicas than configured: the loss of a broker could lose events",
					Fix: "reassign its partitions with kafka-reassign-partitions.sh, or set topics.replication to what it is to be",
				})
				break
			}
		}
	}
}

func (c *checker) setting(topic, name string) string { return c.settings[topic][name] }

// number reads a setting that Kafka defines to be a number; what is none counts as 0 and
// so as too small.
func number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// settingProblem notes a wrong setting; value is what the command sets.
func (c *checker) settingProblem(topic, setting, found, want, value, why string) {
	c.errs = append(c.errs, &TopicProblem{
		Topic: topic, Setting: setting, Found: found, Want: want, Why: why,
		Fix: c.configure(topic, setting, value),
	})
}

// configure is the command that gives a topic a setting.
func (c *checker) configure(topic, setting, value string) string {
	return fmt.Sprintf("kafka-configs.sh --bootstrap-server %s --alter --entity-type topics --entity-name %s --add-config %s=%s",
		bootstrap(c.md), topic, setting, value)
}

func (c *checker) partitionProblem(topic string, found int, want string, n int, why string) {
	c.errs = append(c.errs, &TopicProblem{
		Topic: topic, Setting: "partitions", Found: strconv.Itoa(found), Want: want, Why: why,
		Fix: fmt.Sprintf("kafka-topics.sh --bootstrap-server %s --alter --topic %s --partitions %d", bootstrap(c.md), topic, n),
	})
}
