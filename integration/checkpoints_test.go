//go:build integration

package integration

import (
	"slices"
	"testing"
	"time"

	"github.com/auditstream/auditstream/integration/servers"
	"github.com/auditstream/auditstream/producer"
)

// What checkpoints say is true at the moment at which they can be read, and stays true,
// whoever owned a lane when they were made: processes that are killed, that leave and come
// back, that know nothing of the time that has passed, that cannot reach Kafka, or progress;
// while a broker, a destination or the archive is away; and while one key takes over from
// another. A feed in which nothing happens has them too.
func TestCheckpointsHoldWhateverHappens(t *testing.T) {
	const (
		organizations = 20
		rate          = 50 // events/s
		most          = 10 * time.Minute
	)
	r := newRand(t)
	c := campaignOfDelivery(t, r)
	n := c.sign(t)
	n.archive(t, c)
	c.deliver(t, "a", "b", "c")
	stop := n.watching(t)
	f := newFeed(r, rate*int(most/time.Second), organizations)
	client := newProducer(t, producer.Config{Brokers: c.cluster.Addrs, DeliveryTimeout: 5 * time.Minute})
	published := f.publishSteadily(t.Context(), client, rate)

	for _, name := range []string{
		"SIGKILL of a process", "SIGSTOP of a process", "SIGKILL of a broker", "destination: refuses connections",
		"Kafka: refuses one process", "progress denied by an ACL", "S3: SIGKILL of the server",
	} {
		c.breakOne(t, name)
	}
	second := n.rotate(t, c)
	t.Logf("%s has taken over from %s", second, n.public)
	c.breakOne(t, "SIGSTOP of a process")
	n.vault.store.Kill(t)
	c.breakOne(t, "SIGKILL of a process")
	n.vault.store.Start(t)
	c.breakOne(t, "rebalance storm")
	left := &c.processes[r.IntN(len(c.processes))]
	left.end(t)
	c.breakOne(t, "answers: cut after it was taken")
	left.process = left.start(t)
	c.awaitReady(t)

	if err := published(); err != nil {
		t.Errorf("publishing: %v", err)
	}
	c.to.awaitAll(t, f)
	n.awaitCovered(t, c, f)
	n.awaitCopies(t)
	c.end(t)
	t.Logf("%d events published, %d checkpoints read as soon as they could be", f.published, stop())
	c.to.judge(t, f)
	n.judge(t)
}

// breakOne has one thing happen, and a process that is stopped sleep for longer than its
// session: so it comes back as a zombie.
func (c *campaign) breakOne(t *testing.T, name string) {
	t.Helper()
	i := slices.IndexFunc(c.faults, func(f fault) bool { return f.name == name })
	if i < 0 {
		t.Fatalf("nothing breaks by the name %q", name)
	}
	one := c.faults[i]
	if name == "SIGSTOP of a process" {
		one.least = c.run.session + 2*time.Second
	}
	end, hold := c.strike(t, one)
	c.pause(t, hold)
	end()
	c.pause(t, 2*time.Second)
}

// awaitCopies returns when the last checkpoint of each feed is everywhere. One is made each
// second, whether anything happens or not, so the last of a size is soon there.
func (n *notary) awaitCopies(t *testing.T) {
	t.Helper()
	servers.Await(t, 3*time.Minute, "the last checkpoint of each feed is everywhere", func() bool {
		return len(n.lacking(t, n.inKafka(t), n.copies(t))) == 0
	})
}
