//go:build integration

package integration

import (
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/integration/servers"
	"github.com/auditstream/auditstream/producer"
)

// The promise of the whole: whatever happens to the delivering processes, every event
// arrives, in S3 exactly once, and each organization's in order.
func TestCrashesAndAZombieLoseNothing(t *testing.T) {
	const (
		events        = 20_000
		organizations = 50
		kills         = 6
		slice         = events / (kills + 2) // published before each kill, before the zombie, and after it
	)
	r := newRand(t)
	broker := servers.StartKafka(t, 1)
	to := startDestinations(t)
	run := delivery{binary: servers.BuildBinary(t), brokers: broker.Addrs, replication: 1, destinations: to}
	f := newFeed(r, events, organizations)

	p := run.start(t, "a")
	servers.Await(t, time.Minute, "the first process delivers", func() bool { p.Running(t); return p.ready(t) })
	client := newProducer(t, producer.Config{Brokers: broker.Addrs})

	for kill := range kills {
		// Both doubles together take twice the slice: the process has just begun it, or almost
		// done it, and has not seen all of it.
		target := to.arrived() + 1 + r.IntN(2*slice-1)
		rest := f.publishUntil(t, client, slice, func() bool { return to.arrived() >= target })
		servers.Await(t, 2*time.Minute, "the process is in the midst of the slice", func() bool {
			p.Running(t)
			return to.arrived() >= target
		})
		p.Kill(t)
		t.Logf("kill %d after %d arrivals, %d of %d events published", kill+1, to.arrived(), f.published, events)
		p = run.start(t, "a")
		f.publish(t, client, rest)
	}

	zombie := p
	target := to.arrived() + 1 + r.IntN(slice)
	rest := f.publishUntil(t, client, slice, func() bool { return to.arrived() >= target })
	servers.Await(t, 2*time.Minute, "the later zombie delivers", func() bool {
		zombie.Running(t)
		return to.arrived() >= target
	})
	zombie.Stop(t)
	t.Logf("stopped after %d arrivals, %d of %d events published", to.arrived(), f.published, events)
	f.publish(t, client, rest)
	successor := run.start(t, "b")
	admin := newAdmin(t, broker.Addrs)
	servers.Await(t, 2*time.Minute, "the other process has taken over everything", func() bool {
		successor.Running(t)
		return shared(t, admin, "b")
	})
	f.publish(t, client, slice)
	took := to.arrived()
	servers.Await(t, 2*time.Minute, "the other process delivers", func() bool {
		successor.Running(t)
		return to.arrived() > took
	})
	t.Logf("continued after %d arrivals", to.arrived())
	zombie.Continue(t)

	to.awaitAll(t, f)
	zombie.Running(t)
	successor.Running(t)
	zombie.end(t)
	successor.end(t)
	to.judge(t, f)
}

// shared reports whether every consumer group of delivery consists of those instances.
func shared(t *testing.T, admin *kadm.Client, instances ...string) bool {
	t.Helper()
	groups, err := admin.DescribeGroups(t.Context(), "auditstream.splunk", "auditstream.datadog", "auditstream.s3")
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range groups.Sorted() {
		var members []string
		for _, m := range g.Members {
			if m.InstanceID != nil {
				members = append(members, *m.InstanceID)
			}
		}
		slices.Sort(members)
		if g.State != "Stable" || len(g.Members) != len(instances) || !slices.Equal(members, instances) {
			return false
		}
	}
	return true
}

func newAdmin(t *testing.T, brokers []string) *kadm.Client {
	t.Helper()
	client := newClient(t, kgo.SeedBrokers(brokers...), kgo.MetadataMinAge(100*time.Millisecond))
	return kadm.NewClient(client)
}

func newClient(t *testing.T, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append(opts, kgo.DisableClientMetrics())...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}
