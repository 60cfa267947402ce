//go:build integration

package integration

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/integration/servers"
	"github.com/auditstream/auditstream/producer"
)

// standing is what "stream list -o json" says of a stream.
type standing struct {
	ID     string          `json:"id"`
	State  string          `json:"state"`
	Lag    int64           `json:"lag"`
	Kind   string          `json:"lag_kind"`
	Age    *float64        `json:"lag_seconds"`
	Totals consumer.Totals `json:"totals"`
	Rates  consumer.Rates  `json:"rates"`
	Advice string          `json:"advice"`
}

// standings asks where all streams stand, and judges what must hold of every answer.
func (d desk) standings(t *testing.T, published int) map[string]standing {
	t.Helper()
	all := map[string]standing{}
	for line := range strings.Lines(d.stream(t, "list", "-o", "json")) {
		if !strings.HasPrefix(line, "{") {
			continue // a note
		}
		var s standing
		if err := json.Unmarshal([]byte(line), &s); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		n := s.Totals
		if n.Matched != n.Delivered+n.Filtered+n.DeadLettered+n.Lost+n.Pending {
			t.Errorf("%s: the counts do not add up: %+v", s.ID, n)
		}
		if n.Matched > int64(published) || n.Delivered > int64(published) || s.Lag < n.Pending {
			t.Errorf("%s: of %d published: lag %d, %+v", s.ID, published, s.Lag, n)
		}
		all[s.ID] = s
	}
	return all
}

// What status says is right while processes come and go: one is killed with a stream held,
// the other takes over, and in the end every event is accounted for, once.
func TestStatusIsTrueAcrossACrash(t *testing.T) {
	const organizations, rate = 50, 300
	broker := servers.StartKafka(t, 1)
	to := startDestinations(t)
	run := delivery{binary: servers.BuildBinary(t), brokers: broker.Addrs, replication: 1, destinations: to}
	operator := newDesk(t, run)
	f := newFeed(newRand(t), 200_000, organizations)
	client := newProducer(t, producer.Config{Brokers: broker.Addrs})
	admin := newAdmin(t, broker.Addrs)
	a, b := run.start(t, "a"), run.start(t, "b")
	const limit = 3 * time.Minute
	servers.Await(t, limit, "both processes share the work", func() bool {
		a.Running(t)
		b.Running(t)
		return a.ready(t) && b.ready(t) && shared(t, admin, "a", "b")
	})
	f.publish(t, client, 1000)
	to.awaitAll(t, f)
	operator.stream(t, "pause", "--wait", "2m", "all-splunk")
	held := f.published
	stop := f.publishSteadily(t.Context(), client, rate)
	servers.Await(t, limit, "events behind the pause", func() bool { return to.datadog.Len() > held+1000 })
	a.Kill(t)
	servers.Await(t, limit, "the other takes over", func() bool { b.Running(t); return shared(t, admin, "b") })
	others := to.datadog.Len()
	servers.Await(t, limit, "it delivers", func() bool { return to.datadog.Len() > others+500 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	waiting := int64(f.published - held)
	servers.Await(t, limit, "every event that waits is counted", func() bool {
		s := operator.standings(t, f.published)["all-splunk"]
		return s.State == consumer.StatusPaused && s.Totals.Pending == waiting && s.Lag == waiting && s.Kind == consumer.LagExact && s.Age != nil && *s.Age > 0
	})
	b.Kill(t)
	if s := operator.standings(t, f.published)["all-splunk"]; s.Totals.Pending != waiting || s.Lag != waiting {
		t.Errorf("with nobody alive %d wait, lag %d; want %d", s.Totals.Pending, s.Lag, waiting)
	}
	b = run.start(t, "b")
	operator.stream(t, "resume", "--wait", "2m", "all-splunk")
	to.awaitAll(t, f)
	want := consumer.Totals{Matched: int64(f.published), Delivered: int64(f.published)}
	servers.Await(t, limit, "every event is accounted for", func() bool {
		for _, s := range operator.standings(t, f.published) {
			s.Totals.Retried, want.Retried = 0, 0
			if s.State != consumer.StateActive || s.Lag != 0 || s.Totals != want || s.Age == nil || *s.Age != 0 {
				return false
			}
		}
		return true
	})
	if s := operator.standings(t, f.published)["all-splunk"]; s.Rates.Delivered.Hour <= 0 || s.Rates.Delivered.Five <= 0 {
		t.Errorf("rates after a busy minute: %+v", s.Rates)
	}

	// A transaction that stays open keeps what follows from all, and that is told.
	tx := newClient(t, kgo.SeedBrokers(broker.Addrs...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.TransactionalID("hangs"), kgo.TransactionTimeout(5*time.Minute))
	if err := tx.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := tx.ProduceSync(t.Context(), &kgo.Record{Topic: "audit.events", Partition: 2, Value: []byte("{}")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	servers.Await(t, limit, "the open transaction is told of", func() bool {
		return strings.Contains(operator.stream(t, "list"), `note: partition 2 cannot be read beyond offset `)
	})
	if said := operator.stream(t, "list"); !strings.Contains(said, `the open transaction "hangs" of 2`) {
		t.Errorf("it is not said whose transaction it is: %s", said)
	}
	if err := tx.EndTransaction(t.Context(), kgo.TryAbort); err != nil {
		t.Fatal(err)
	}
	servers.Await(t, limit, "the end of it", func() bool { return !strings.Contains(operator.stream(t, "list"), "note:") })
	b.end(t)
}
