package kafka_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"
)

func TestTopicsValidate(t *testing.T) {
	tests := []struct {
		name   string
		topics kafka.Topics
		want   []string
	}{
		{"zero values are the defaults", kafka.Topics{}, nil},
		{"characters that Kafka refuses", kafka.Topics{Prefix: "au dit"}, []string{"prefix: "}},
		{"too long", kafka.Topics{Prefix: strings.Repeat("x", 236)}, []string{"prefix: "}},
		{"longest", kafka.Topics{Prefix: strings.Repeat("x", 235)}, nil},
		{"every violation at once", kafka.Topics{
			Prefix: "/", Partitions: -1, Replication: -1, Retention: time.Second, DeadLetterRetention: -1,
		}, []string{"prefix: ", "partitions: ", "replication: ", "retention: ", "dead_letter_retention: "}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := lines(tt.topics.Validate())
			if len(got) != len(tt.want) {
				t.Fatalf("got %q, want %q", got, tt.want)
			}
			for i := range got {
				if !strings.HasPrefix(got[i], tt.want[i]) {
					t.Errorf("got %q, want %q", got[i], tt.want[i])
				}
			}
		})
	}
}

func TestTopicNames(t *testing.T) {
	if diff := cmp.Diff([]string{"audit.events", "audit.progress", "audit.streams", "audit.dead_letters", "audit.schemas", "audit.jobs", "audit.idempotency", "audit.exports", "audit.organizations", "audit.checkpoints"}, kafka.Topics{}.Names()); diff != "" {
		t.Errorf("default prefix (-want +got)\n%s", diff)
	}
	if got := (kafka.Topics{Prefix: "eu.audit"}).Events(); got != "eu.audit.events" {
		t.Errorf("got %s", got)
	}
}

// created is what the design asks of a topic.
type created struct {
	Partitions int
	Settings   map[string]string
}

func TestEnsureTopicsCreatesWhatIsMissing(t *testing.T) {
	adm := newAdmin(t, startBroker(t, kafka.EmbeddedConfig{}).Addr())
	topics := small()
	topics.Retention = 48 * time.Hour
	if err := kafka.EnsureTopics(t.Context(), adm, topics, zap.NewNop()); err != nil {
		t.Fatal(err)
	}
	want := map[string]created{
		"audit.events": {3, map[string]string{
			"cleanup.policy": "delete", "retention.ms": "172800000", "message.timestamp.type": "LogAppendTime",
			"min.insync.replicas": "1", "max.message.bytes": "1048588",
		}},
		"audit.progress": {3, map[string]string{"cleanup.policy": "compact", "min.insync.replicas": "1"}},
		"audit.streams": {1, map[string]string{
			"cleanup.policy": "compact", "message.timestamp.type": "LogAppendTime", "min.insync.replicas": "1",
		}},
		"audit.dead_letters": {3, map[string]string{
			"cleanup.policy": "delete", "retention.ms": "2592000000", "min.insync.replicas": "1", "max.message.bytes": "2097176",
		}},
		"audit.schemas": {1, map[string]string{"cleanup.policy": "compact", "min.insync.replicas": "1"}},
		"audit.jobs":    {1, map[string]string{"cleanup.policy": "compact", "min.insync.replicas": "1"}},
		"audit.idempotency": {3, map[string]string{
			"cleanup.policy": "delete", "retention.ms": "86400000", "segment.ms": "3600000", "message.timestamp.type": "LogAppendTime",
			"min.insync.replicas": "1",
		}},
		"audit.exports":       {1, map[string]string{"cleanup.policy": "compact", "min.insync.replicas": "1"}},
		"audit.organizations": {1, map[string]string{"cleanup.policy": "compact", "min.insync.replicas": "1"}},
		"audit.checkpoints": {2, map[string]string{
			"cleanup.policy": "delete", "retention.ms": "-1", "message.timestamp.type": "LogAppendTime", "min.insync.replicas": "1",
		}},
	}
	if diff := cmp.Diff(want, settingsOf(t, adm, want)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if err := kafka.EnsureTopics(t.Context(), adm, topics, zap.NewNop()); err != nil {
		t.Errorf("the second time: %v", err)
	}
}

// settingsOf reads back the settings that want names.
func settingsOf(t *testing.T, adm *kadm.Client, want map[string]created) map[string]created {
	t.Helper()
	got := map[string]created{}
	for name := range want {
		configs, err := adm.DescribeTopicConfigs(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		md, err := adm.Metadata(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		c := created{len(md.Topics[name].Partitions), map[string]string{}}
		for _, conf := range configs[0].Configs {
			if _, ok := want[name].Settings[conf.Key]; ok {
				c.Settings[conf.Key] = conf.MaybeValue()
			}
		}
		got[name] = c
	}
	return got
}

func TestEnsureTopicsAtOnceFromSeveralProcesses(t *testing.T) {
	addr := startBroker(t, kafka.EmbeddedConfig{}).Addr()
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		adm := newAdmin(t, addr)
		wg.Go(func() { errs[i] = kafka.EnsureTopics(t.Context(), adm, small(), zap.NewNop()) })
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			t.Errorf("process %d: %v", i, err)
		}
	}
}

func TestEnsureTopicsWithMoreReplicasThanBrokers(t *testing.T) {
	adm := newAdmin(t, startBroker(t, kafka.EmbeddedConfig{}).Addr())
	err := kafka.EnsureTopics(t.Context(), adm, kafka.Topics{Replication: 3}, zap.NewNop())
	const want = "cannot create audit.events, audit.progress, audit.streams, audit.dead_letters, audit.schemas, audit.jobs, audit.idempotency, audit.exports, audit.organizations, audit.checkpoints with 3 replicas: " +
		"the cluster has 1 broker; set topics.replication to 1 or less, or start more brokers"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// A broker that goes while topics are made is one too few for the rest of them, which the cluster
// says only when it is asked to make them. The next try makes what is missing.
func TestEnsureTopicsWhileABrokerIsAway(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	var asked atomic.Int32
	cluster.ControlKey(int16(kmsg.CreateTopics), func(r kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		if n := int(asked.Add(1)); n == 1 || n > len(small().Names()) {
			return nil, nil, false
		}
		resp := r.ResponseKind().(*kmsg.CreateTopicsResponse)
		refused := kmsg.NewCreateTopicsResponseTopic()
		refused.Topic, refused.ErrorCode = r.(*kmsg.CreateTopicsRequest).Topics[0].Topic, kerr.InvalidReplicationFactor.Code
		refused.ErrorMessage = new("only 2 broker(s) are registered")
		resp.Topics = append(resp.Topics, refused)
		return resp, nil, true
	})
	adm := newAdmin(t, cluster.ListenAddrs()[0])
	err = kafka.EnsureTopics(t.Context(), adm, small(), zap.NewNop())
	few, ok := errors.AsType[*kafka.TooFewBrokers](err)
	if !ok {
		t.Fatalf("got %v, want a *TooFewBrokers, which passes", err)
	}
	if got, want := len(few.Topics), len(small().Names())-1; got != want {
		t.Errorf("%d topics are missing, want all but the first: %d", got, want)
	}
	if !errors.Is(err, kerr.InvalidReplicationFactor) || !strings.Contains(err.Error(), "only 2 broker(s) are registered; set topics.replication to less, or start more brokers") {
		t.Errorf("got %v, want Kafka's reason and what to do", err)
	}
	if err := kafka.EnsureTopics(t.Context(), adm, small(), zap.NewNop()); err != nil {
		t.Errorf("with all brokers: %v", err)
	}
}

func TestEnsureTopicsFindsWhatIsWrong(t *testing.T) {
	type found struct{ Topic, Setting, Found, Want string }
	tests := []struct {
		name     string
		topic    string
		settings map[string]string
		n        int32 // partitions, 0: as configured
		want     []found
		fix      string // with %s for the address
	}{
		{
			name: "events are compacted", topic: "audit.events",
			settings: map[string]string{"cleanup.policy": "compact"},
			want:     []found{{"audit.events", "cleanup.policy", "compact", "delete"}},
			fix:      "kafka-configs.sh --bootstrap-server %s --alter --entity-type topics --entity-name audit.events --add-config cleanup.policy=delete",
		},
		{
			name: "events carry the client's time", topic: "audit.events",
			settings: map[string]string{"message.timestamp.type": "CreateTime"},
			want:     []found{{"audit.events", "message.timestamp.type", "CreateTime", "LogAppendTime"}},
			fix:      "kafka-configs.sh --bootstrap-server %s --alter --entity-type topics --entity-name audit.events --add-config message.timestamp.type=LogAppendTime",
		},
		{
			name: "events expire early", topic: "audit.events",
			settings: map[string]string{"retention.ms": "3600000"},
			want:     []found{{"audit.events", "retention.ms", "3600000", "604800000 or more"}},
			fix:      "kafka-configs.sh --bootstrap-server %s --alter --entity-type topics --entity-name audit.events --add-config retention.ms=604800000",
		},
		{name: "events never expire", topic: "audit.events", settings: map[string]string{"retention.ms": "-1"}},
		{name: "events are kept longer", topic: "audit.events", settings: map[string]string{"retention.ms": "604800001"}},
		{
			name: "progress is deleted", topic: "audit.progress",
			settings: map[string]string{"cleanup.policy": "delete"},
			want:     []found{{"audit.progress", "cleanup.policy", "delete", "compact"}},
			fix:      "kafka-configs.sh --bootstrap-server %s --alter --entity-type topics --entity-name audit.progress --add-config cleanup.policy=compact",
		},
		{
			name: "progress has too few partitions", topic: "audit.progress", n: 2,
			want: []found{{"audit.progress", "partitions", "2", "3 or more"}},
			fix:  "kafka-topics.sh --bootstrap-server %s --alter --topic audit.progress --partitions 3",
		},
		{name: "progress has more partitions", topic: "audit.progress", n: 5},
		{
			name: "events outgrew progress", topic: "audit.events", n: 4,
			want: []found{{"audit.progress", "partitions", "3", "4 or more"}},
			fix:  "kafka-topics.sh --bootstrap-server %s --alter --topic audit.progress --partitions 4",
		},
		{
			name: "events have too few partitions", topic: "audit.events", n: 1,
			want: []found{{"audit.events", "partitions", "1", "3"}},
			fix:  "kafka-topics.sh --bootstrap-server %s --alter --topic audit.events --partitions 3",
		},
		{
			name: "streams have several partitions", topic: "audit.streams", n: 2,
			want: []found{{"audit.streams", "partitions", "2", "1"}},
			fix:  "kafka-topics.sh --bootstrap-server %s --delete --topic audit.streams, if it holds nothing yet; it is then made anew",
		},
		{
			name: "a dead letter would not fit", topic: "audit.dead_letters",
			settings: map[string]string{"max.message.bytes": "1048588"},
			want:     []found{{"audit.dead_letters", "max.message.bytes", "1048588", "1114124 or more"}},
			fix:      "kafka-configs.sh --bootstrap-server %s --alter --entity-type topics --entity-name audit.dead_letters --add-config max.message.bytes=1114124",
		},
		{
			name: "several at once", topic: "audit.events", n: 1,
			settings: map[string]string{"cleanup.policy": "compact,delete", "message.timestamp.type": "CreateTime", "retention.ms": "1"},
			want: []found{
				{"audit.events", "cleanup.policy", "compact,delete", "delete"},
				{"audit.events", "message.timestamp.type", "CreateTime", "LogAppendTime"},
				{"audit.events", "retention.ms", "1", "604800000 or more"},
				{"audit.events", "partitions", "1", "3"},
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := startBroker(t, kafka.EmbeddedConfig{})
			adm := newAdmin(t, b.Addr())
			// As configured but for what the case changes; the other topics are made first.
			good := map[string]string{}
			if tt.topic == "audit.events" {
				good["message.timestamp.type"] = "LogAppendTime"
			}
			if tt.topic == "audit.progress" || tt.topic == "audit.streams" {
				good["cleanup.policy"] = "compact"
			}
			if tt.topic == "audit.streams" {
				good["message.timestamp.type"] = "LogAppendTime"
			}
			if tt.topic == "audit.dead_letters" {
				good["retention.ms"] = "2592000000"
			}
			settings := map[string]*string{}
			for k, v := range good {
				settings[k] = &v
			}
			for k, v := range tt.settings {
				settings[k] = &v
			}
			n := tt.n
			if n == 0 {
				n = 3
			}
			if _, err := adm.CreateTopic(t.Context(), n, 1, settings, tt.topic); err != nil {
				t.Fatal(err)
			}
			err := kafka.EnsureTopics(t.Context(), adm, small(), zap.NewNop())
			if len(tt.want) == 0 {
				if err != nil {
					t.Errorf("got %v, want no problem", err)
				}
				return
			}
			ps, only := problems(err)
			if !only {
				t.Fatalf("got %v, want problems only", err)
			}
			var got []found
			for _, p := range ps {
				got = append(got, found{p.Topic, p.Setting, p.Found, p.Want})
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if tt.fix != "" {
				if want := fmt.Sprintf(tt.fix, b.Addr()); ps[0].Fix != want {
					t.Errorf("fix\n got %s\nwant %s", ps[0].Fix, want)
				}
			}
		})
	}
}

func TestIDs(t *testing.T) {
	addr := startBroker(t, kafka.EmbeddedConfig{}).Addr()
	adm := newAdmin(t, addr)
	if err := kafka.EnsureTopics(t.Context(), adm, small(), zap.NewNop()); err != nil {
		t.Fatal(err)
	}
	ids, err := kafka.TopicIDs(t.Context(), adm, "audit.events", "audit.progress")
	if err != nil {
		t.Fatal(err)
	}
	if a, b := ids["audit.events"], ids["audit.progress"]; len(a) != 22 || len(b) != 22 || a == b {
		t.Errorf("got %v, want two ids of 22 characters", ids)
	}
	if _, err := kafka.TopicIDs(t.Context(), adm, "audit.events", "nowhere"); err == nil || !strings.Contains(err.Error(), "topic nowhere") {
		t.Errorf("a topic that is missing: got %v", err)
	}

	// Made again, it is another topic.
	if _, err := adm.DeleteTopic(t.Context(), "audit.events"); err != nil {
		t.Fatal(err)
	}
	if err := kafka.EnsureTopics(t.Context(), newAdmin(t, addr), small(), zap.NewNop()); err != nil {
		t.Fatal(err)
	}
	again, err := kafka.TopicIDs(t.Context(), newAdmin(t, addr), "audit.events")
	if err != nil {
		t.Fatal(err)
	}
	if again["audit.events"] == ids["audit.events"] {
		t.Error("a topic made again has the id of the former one")
	}
	if id, err := kafka.ClusterID(t.Context(), adm); err != nil || len(id) != 22 {
		t.Errorf("cluster id: got %q, %v", id, err)
	}
}
