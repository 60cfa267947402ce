package export

import (
	"bytes"
	"encoding/csv"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/auditstream/auditstream/producer"
	"github.com/auditstream/auditstream/schema"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a Kafka with the topics.
type rig struct {
	t      *testing.T
	opts   []kgo.Opt
	client *kgo.Client
	topics kafka.Topics
	source *Source
	made   int
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
	r := &rig{t: t, topics: kafka.Topics{Partitions: 3, Replication: 1}}
	if r.opts, err = (kafka.Config{Brokers: []string{broker.Addr()}}).Options(zap.NewNop()); err != nil {
		t.Fatal(err)
	}
	r.client = newClient(t, r.opts)
	if err := kafka.EnsureTopics(t.Context(), kadm.NewClient(r.client), r.topics, zap.NewNop()); err != nil {
		t.Fatal(err)
	}
	r.source = &Source{Client: r.client, Topic: r.topics.Events(), Patience: time.Millisecond}
	return r
}

func newClient(t *testing.T, opts []kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append(slices.Clone(opts), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// event is one of an organization, a second after the one before it.
func (r *rig) event(organization, action string) *schema.Event {
	r.made++
	return &schema.Event{
		OrganizationID: organization, Action: action, OccurredAt: at.Add(time.Duration(r.made) * time.Second).Format(time.RFC3339),
		Actor: schema.Actor{ID: "user_" + strconv.Itoa(r.made%2), Type: "user", Name: "Ada"}, Targets: []schema.Target{{ID: "t", Type: "team"}},
	}
}

// publish puts events into a partition.
func (r *rig) publish(partition int32, events ...*schema.Event) {
	r.t.Helper()
	var records []*kgo.Record
	for _, e := range events {
		rec, err := producer.Record(r.topics.Events(), e, schema.Validator{})
		if err != nil {
			r.t.Fatal(err)
		}
		rec.Partition = partition
		records = append(records, rec)
	}
	r.produce(records...)
}

func (r *rig) produce(records ...*kgo.Record) {
	r.t.Helper()
	if err := r.client.ProduceSync(r.t.Context(), records...).FirstErr(); err != nil {
		r.t.Fatal(err)
	}
}

// export is a pending one of everything that acme has done.
func (r *rig) export() Export {
	r.t.Helper()
	e := Export{
		ID: NewID(), OrganizationID: acme, By: "test", Query: Query{RangeStart: at, RangeEnd: at.Add(24 * time.Hour)}, Format: Format,
		State: Pending, Made: time.Now().UTC(), Updated: time.Now().UTC(),
	}
	if err := r.source.Plan(r.t.Context(), &e); err != nil {
		r.t.Fatal(err)
	}
	return e
}

func (r *rig) count(e Export) Export {
	r.t.Helper()
	done, err := r.source.Count(r.t.Context(), e, func(Export) error { return nil })
	if err != nil {
		r.t.Fatal(err)
	}
	return done
}

func (r *rig) file(e Export, from int64) []byte {
	r.t.Helper()
	var out bytes.Buffer
	if err := r.source.Write(r.t.Context(), &e, &out, from); err != nil {
		r.t.Fatal(err)
	}
	return out.Bytes()
}

// large gives an export of some MiB, with marks.
func (r *rig) large() Export {
	r.t.Helper()
	for range 60 {
		var events []*schema.Event
		for range 4 {
			e := r.event(acme, "a.b")
			e.Metadata = map[string]any{"text": strings.Repeat(strconv.Itoa(r.made)+" ", 10000)}
			events = append(events, e)
		}
		r.publish(int32(r.made/4%3), events...)
	}
	return r.count(r.export())
}

// ids are those of the file's events.
func ids(t *testing.T, file []byte) []string {
	t.Helper()
	rows, err := csv.NewReader(bytes.NewReader(file)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	out := []string{}
	for _, row := range rows[1:] {
		out = append(out, row[0])
	}
	return out
}
