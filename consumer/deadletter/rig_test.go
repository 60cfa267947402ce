package deadletter

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/internal/kafka"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	orgA = "org_AAAAAAAAAAAAAAAAAAAAAAAAAA"
	orgB = "org_BBBBBBBBBBBBBBBBBBBBBBBBBB"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// rig is a broker with a topic of dead letters of two partitions, and a writer that puts
// records where a test wants them.
type rig struct {
	t      *testing.T
	name   string
	writer *kgo.Client
	topic  *Topic
}

func newRig(t *testing.T) *rig {
	t.Helper()
	broker, err := kafka.StartEmbedded(kafka.EmbeddedConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := broker.Close(); err != nil {
			t.Error(err)
		}
	})
	opts, err := kafka.Config{Brokers: []string{broker.Addr()}}.Options(zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	writer, err := kgo.NewClient(append(opts, kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(writer.Close)
	topics := kafka.Topics{Partitions: 2, Replication: 1}
	if err := kafka.EnsureTopics(t.Context(), kadm.NewClient(writer), topics, zap.NewNop()); err != nil {
		t.Fatal(err)
	}
	topic, err := Connect(Config{Kafka: opts, Topic: topics.DeadLetters(), By: "ops@desk"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(topic.Close)
	return &rig{t: t, name: topics.DeadLetters(), writer: writer, topic: topic}
}

// put writes records in their order.
func (r *rig) put(records ...*kgo.Record) {
	r.t.Helper()
	for _, rec := range records {
		rec.Topic = r.name
	}
	if err := r.writer.ProduceSync(r.t.Context(), records...).FirstErr(); err != nil {
		r.t.Fatal(err)
	}
}

// letter is a letter as delivery writes it: n is the offset of the event, in a partition
// of the events topic of the same number. It is written n seconds after noon.
func letter(partition int32, n int, stream, organization string) *kgo.Record {
	r := &kgo.Record{Partition: partition, Value: fmt.Appendf(nil, `{"action":"user.login","id":"event_%d"}`, n), Timestamp: noon.Add(time.Duration(n) * time.Second)}
	if organization != "" {
		r.Key = []byte(organization)
	}
	class, streams, uid := "rejected", fmt.Sprintf(`[{"id":%q,"uid":"str_%s","epoch":1,"revision":1}]`, stream, stream), "str_"+stream
	if stream == "" {
		class, streams, uid = "invalid", "[]", "_invalid"
	}
	for _, h := range [][2]string{
		{"version", "1"},
		{"id", fmt.Sprintf("T.%d.%d.%s.%s", partition, n, uid, class)},
		{"class", class},
		{"reason", fmt.Sprintf("refused %d", n)},
		{"streams", streams},
		{"kind", "splunk"},
		{"attempts", "1"},
		{"first_failure", "2026-11-22T11:59:58Z"},
		{"last_failure", "2026-11-22T11:59:59Z"},
		{"topic", "audit.events"},
		{"topic_id", "T"},
		{"partition", fmt.Sprint(partition)},
		{"offset", fmt.Sprint(n)},
		{"timestamp", "1795343400123"},
	} {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: letterPrefix + h[0], Value: []byte(h[1])})
	}
	r.Headers = append(r.Headers, kgo.RecordHeader{Key: "version", Value: []byte("1")})
	return r
}

// with sets a header, or adds it.
func with(r *kgo.Record, name, value string) *kgo.Record {
	for i := range r.Headers {
		if r.Headers[i].Key == name {
			r.Headers[i].Value = []byte(value)
			return r
		}
	}
	r.Headers = append(r.Headers, kgo.RecordHeader{Key: name, Value: []byte(value)})
	return r
}

// markAt marks the letter at a position, through what operators use.
func (r *rig) markAt(state State, positions ...string) {
	r.t.Helper()
	var letters []*Letter
	for _, p := range positions {
		letters = append(letters, r.at(p))
	}
	if err := r.topic.Mark(r.t.Context(), state, "because of "+string(state), letters...); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) at(position string) *Letter {
	r.t.Helper()
	p, err := ParsePosition(position)
	if err != nil {
		r.t.Fatal(err)
	}
	l, err := r.topic.Letter(r.t.Context(), p)
	if err != nil {
		r.t.Fatal(err)
	}
	return l
}

// goldenLetter is the letter that package consumer pins as its format.
func goldenLetter(tb testing.TB) *kgo.Record {
	tb.Helper()
	text, err := os.ReadFile("../testdata/letter-1.golden")
	if err != nil {
		tb.Fatal(err)
	}
	r := &kgo.Record{Partition: 4, Offset: 7, Timestamp: noon}
	for line := range bytes.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSuffix(string(line), "\n"), ": ")
		switch name {
		case "topic":
		case "key":
			r.Key = []byte(value)
		case "value":
			r.Value = []byte(value)
		default:
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: name, Value: []byte(value)})
		}
	}
	return r
}
