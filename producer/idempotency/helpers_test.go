package idempotency

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	acme  = "org_01JAAAAAAAAAAAAAAAAAAAAAAA"
	other = "org_01JBBBBBBBBBBBBBBBBBBBBBBB"
)

// inMemory remembers in this process only.
func inMemory(t *testing.T) *Once {
	t.Helper()
	o, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// claim is a claim that nobody has to wait for.
func claim(t *testing.T, o *Once, organization, key, content string) *Claim {
	t.Helper()
	c, err := o.TryClaim(organization, key, []byte(content))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// known says whether a request is known to be accepted.
func known(t *testing.T, o *Once, organization, key, content string) bool {
	t.Helper()
	c := claim(t, o, organization, key, content)
	c.Failed()
	return c.Done()
}

const partitions = 3

func startKafka(t *testing.T, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	k, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.SeedTopics(partitions, DefaultTopic)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k
}

func admin(t *testing.T, k *kfake.Cluster) *kadm.Client {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(k.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return kadm.NewClient(client)
}

// replica is one process of several on the same Kafka.
type replica struct {
	*Once
	registry *prometheus.Registry
	stop     func() // as a kill would: notes that are not written are gone
	close    func() // as a shutdown does
}

func startReplica(t *testing.T, brokers []string, change ...func(*Config)) replica {
	t.Helper()
	r := replica{registry: prometheus.NewRegistry()}
	c := Config{
		Kafka: []kgo.Opt{
			kgo.SeedBrokers(brokers...), kgo.MetadataMinAge(10 * time.Millisecond), kgo.RetryBackoffFn(func(int) time.Duration { return 10 * time.Millisecond }),
		},
		Metrics: r.registry,
	}
	for _, f := range change {
		f(&c)
	}
	var err error
	if r.Once, err = New(c); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan struct{})
	go func() {
		defer close(ran)
		if err := r.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	ended := false
	end := func(closing context.Context) {
		if !ended {
			ended = true
			cancel()
			<-ran
			_ = r.Close(closing)
		}
	}
	r.stop = func() {
		gone, giveUp := context.WithCancel(context.Background())
		giveUp()
		end(gone)
	}
	r.close = func() {
		patient, giveUp := context.WithTimeout(context.Background(), patience)
		defer giveUp()
		end(patient)
	}
	t.Cleanup(r.stop)
	return r
}

// patience is how long a test waits for what is to happen.
const patience = 2 * time.Minute

// eventually waits for a condition.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	late := time.Now().Add(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		if time.Now().After(late) {
			t.Fatalf("waited in vain: %s", what)
		}
		<-tick.C
	}
}

// loaded waits until a replica has read what was there when it began.
func (r replica) loaded(t *testing.T) replica {
	t.Helper()
	select {
	case <-r.Once.loaded:
	case <-time.After(patience):
		t.Fatal("the notes were not read")
	}
	return r
}

// figure is the value of a metric, of one outcome if that is given.
func (r replica) figure(t *testing.T, name, outcome string) float64 {
	t.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			if outcome == "" || m.GetLabel()[0].GetValue() == outcome {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	t.Fatalf("there is no metric %s %s", name, outcome)
	return 0
}
