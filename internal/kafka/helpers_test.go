package kafka_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"
	"go.uber.org/zap"
)

func TestMain(m *testing.M) {
	if childMain() {
		return
	}
	goleak.VerifyTestMain(m)
}

// startBroker runs an embedded broker for the test.
func startBroker(t *testing.T, c kafka.EmbeddedConfig) *kafka.Embedded {
	t.Helper()
	b, err := kafka.StartEmbedded(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func newClient(t *testing.T, addr string, more ...kgo.Opt) *kgo.Client {
	t.Helper()
	opts, err := kafka.Config{Brokers: []string{addr}}.Options(zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(append(opts, more...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func newAdmin(t *testing.T, addr string) *kadm.Client {
	t.Helper()
	return kadm.NewClient(newClient(t, addr))
}

// small are topics that the embedded broker can have.
func small() kafka.Topics { return kafka.Topics{Partitions: 3, Replication: 1} }

// lines are the messages of the errors that err joins.
func lines(err error) []string {
	if err == nil {
		return nil
	}
	return strings.Split(err.Error(), "\n")
}

// problems are the *TopicProblems that err joins, and whether it holds nothing else.
func problems(err error) (found []*kafka.TopicProblem, only bool) {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return nil, false
	}
	for _, e := range joined.Unwrap() {
		p, ok := errors.AsType[*kafka.TopicProblem](e)
		if !ok {
			return found, false
		}
		found = append(found, p)
	}
	return found, true
}

// alter changes one setting of a topic.
func alter(t *testing.T, adm *kadm.Client, topic, setting, value string) error {
	t.Helper()
	resp, err := adm.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: setting, Value: &value}}, topic)
	if err != nil {
		return err
	}
	_, err = resp.On(topic, func(r *kadm.AlterConfigsResponse) error { return r.Err })
	return err
}
