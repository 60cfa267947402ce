//go:build integration

package integration

import (
	"testing"
	"time"

	"github.com/auditstream/auditstream/integration/servers"
	"github.com/auditstream/auditstream/producer"
)

// formerVersion is the last commit whose records of streams and of progress an upgrade has to
// take over: the one before streams got filters, seals and counts.
const formerVersion = "d0e478bd00afcc60061f59cdae4b5c4bb031d72d"

// Processes are upgraded one after the other while events come all the time. In the midst of
// it a new one is killed, so that the former version inherits what it does not know: it may
// leave that alone, but must skip nothing, and neither may whoever comes after it.
func TestARollingUpgradeLosesNothing(t *testing.T) {
	former, current := servers.BuildFormer(t, formerVersion), servers.BuildBinary(t)
	broker := servers.StartKafka(t, 1)
	to := startDestinations(t)
	run := delivery{binary: former, brokers: broker.Addrs, replication: 1, destinations: to}
	f := newFeed(newRand(t), 200_000, 50)
	admin := newAdmin(t, broker.Addrs)
	const limit = 3 * time.Minute

	a, b := run.start(t, "a"), run.start(t, "b")
	servers.Await(t, limit, "both processes share the work", func() bool {
		a.Running(t)
		b.Running(t)
		return a.ready(t) && b.ready(t) && shared(t, admin, "a", "b")
	})
	client := newProducer(t, producer.Config{Brokers: broker.Addrs})
	stop := f.publishSteadily(t.Context(), client, 400)
	goesOn := func(what string) {
		t.Helper()
		had := to.arrived()
		servers.Await(t, limit, what, func() bool { return to.arrived() > had+1000 })
	}
	goesOn("the former version delivers")

	run.binary = current
	a.end(t)
	a = run.start(t, "a")
	servers.Await(t, limit, "old and new share the work", func() bool {
		a.Running(t)
		b.Running(t)
		return a.ready(t) && shared(t, admin, "a", "b")
	})
	goesOn("old and new deliver")
	a.Kill(t)
	servers.Await(t, limit, "the former version has everything", func() bool { b.Running(t); return shared(t, admin, "b") })
	a = run.start(t, "a")
	servers.Await(t, limit, "old and new share the work again", func() bool {
		a.Running(t)
		return a.ready(t) && shared(t, admin, "a", "b")
	})
	b.end(t)
	b = run.start(t, "b")
	goesOn("the new version delivers")
	if err := stop(); err != nil {
		t.Fatal(err)
	}

	to.awaitAll(t, f)
	a.end(t)
	b.end(t)
	for name, v := range to.judge(t, f) {
		t.Logf("%s: %d of %d events twice", name, v.duplicates, f.published)
	}
}
