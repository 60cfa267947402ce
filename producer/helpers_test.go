package producer_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/auditstream/auditstream/internal/closedport"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"github.com/auditstream/auditstream/internal/kafka/dial"
	"github.com/auditstream/auditstream/producer"
	"github.com/auditstream/auditstream/schema"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const partitions = 6

// startKafka runs a broker with the topic of events.
func startKafka(t *testing.T, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	k, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.SeedTopics(partitions, "audit.events")}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k
}

// remakeTopic deletes the topic of events and makes it anew.
func remakeTopic(t *testing.T, k *kfake.Cluster) {
	t.Helper()
	admin := kadm.NewClient(kafkaClient(t, k))
	if _, err := admin.DeleteTopic(t.Context(), "audit.events"); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.CreateTopic(t.Context(), partitions, 1, nil, "audit.events"); err != nil {
		t.Fatal(err)
	}
}

func newProducer(t *testing.T, c producer.Config) *producer.Client {
	t.Helper()
	p, err := producer.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // what is left then is of no interest
		_ = p.Close(ctx)
	})
	return p
}

// to is the configuration of a producer for k.
func to(k *kfake.Cluster) producer.Config { return producer.Config{Brokers: k.ListenAddrs()} }

func orgID(n int) string { return fmt.Sprintf("org_%026d", n) }

func event(n int) *schema.Event {
	return &schema.Event{
		OrganizationID: orgID(n),
		Action:         "user.signed_in",
		OccurredAt:     "2026-11-22T10:00:00Z",
		Actor:          schema.Actor{ID: "user_1", Type: "user"},
		Targets:        []schema.Target{},
	}
}

// numbered is event n of one organization, known by its metadata.
func numbered(n int) *schema.Event {
	e := event(1)
	e.ID = fmt.Sprintf("audit_event_%026d", n)
	return e
}

func kafkaClient(t *testing.T, k *kfake.Cluster, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append(dial.Options(dial.Config{Brokers: k.ListenAddrs()}), opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// records reads the topic as far as it goes.
func records(t *testing.T, k *kfake.Cluster) []*kgo.Record {
	t.Helper()
	ends, err := kadm.NewClient(kafkaClient(t, k)).ListEndOffsets(t.Context(), "audit.events")
	if err != nil {
		t.Fatal(err)
	}
	left := 0
	ends.Each(func(o kadm.ListedOffset) { left += int(o.Offset) })
	reader := kafkaClient(t, k, kgo.ConsumeTopics("audit.events"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	var got []*kgo.Record
	for len(got) < left {
		fetches := reader.PollFetches(t.Context())
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		got = append(got, fetches.Records()...)
	}
	reader.Close()
	return got
}

// ids are the ids of the events in the topic, partition by partition.
func ids(t *testing.T, k *kfake.Cluster) []string {
	t.Helper()
	var got []string
	for _, r := range records(t, k) {
		e, err := schema.Decode(r.Value)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e.ID)
	}
	return got
}

// hold makes the broker keep every produce request until release is called; held tells of
// each one.
func hold(t *testing.T, k *kfake.Cluster) (held <-chan struct{}, release func()) {
	t.Helper()
	seen := make(chan struct{}, 100)
	ctx, cancel := context.WithCancel(t.Context())
	k.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		k.KeepControl()
		select {
		case seen <- struct{}{}:
		default:
		}
		k.SleepControl(func() { <-ctx.Done() })
		return nil, nil, false
	})
	return seen, cancel
}

// ignore makes the broker swallow every produce request without an answer.
func ignore(k *kfake.Cluster) {
	k.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		k.KeepControl()
		return nil, nil, true
	})
}

// count tells how many requests of a kind the broker saw.
func count(k *kfake.Cluster, key kmsg.Key) *kfake.FaultHandle {
	return k.Fault(kfake.Fault{Keys: []kmsg.Key{key}, Observe: true, Count: -1})
}

// failures are the failed events of a Publish.
func failures(t *testing.T, err error) []producer.EventError {
	t.Helper()
	p, ok := errors.AsType[*producer.PublishError](err)
	if !ok {
		t.Fatalf("got %v, want a *PublishError", err)
	}
	return p.Failed
}

// closedPort is an address that nothing listens on.
func closedPort(t *testing.T) (host string, port int) {
	t.Helper()
	port = closedport.Find(t)
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), port
}

// quick is the shortest time-out that there is.
const quick = time.Second

// connects has a producer with a short time-out connect, and learn of the topic. On a busy
// machine that may take more than one event's time.
func connects(t *testing.T, p *producer.Client) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; {
		err := p.Publish(t.Context(), event(1))
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}
