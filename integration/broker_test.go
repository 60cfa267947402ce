//go:build integration

package integration

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/auditstream/auditstream/integration/servers"
	"github.com/auditstream/auditstream/producer"
)

func TestRestartAndCrashOfABrokerLoseNothing(t *testing.T) {
	const events, organizations, slice = 6000, 50, 1500
	r := newRand(t)
	cluster := servers.StartKafka(t, 3)
	to := startDestinations(t)
	f := newFeed(r, events, organizations)
	p := delivery{binary: servers.BuildBinary(t), brokers: cluster.Addrs, replication: 3, destinations: to}.start(t, "a")
	servers.Await(t, 2*time.Minute, "delivery runs", func() bool { p.Running(t); return p.ready(t) })
	client := newProducer(t, producer.Config{Brokers: cluster.Addrs})
	amid := func() {
		target := to.arrived() + 1 + r.IntN(slice)
		f.publish(t, client, slice)
		servers.Await(t, 2*time.Minute, "delivery is in the midst of a slice", func() bool {
			p.Running(t)
			return to.arrived() >= target
		})
	}

	first, second := 1+r.IntN(3), 1+r.IntN(3)
	amid()
	t.Logf("restart of node %d", first)
	cluster.RestartNode(t, first)
	amid()
	t.Logf("crash of node %d", second)
	cluster.KillNode(t, second)
	amid() // with two of three brokers
	cluster.StartNode(t, second)
	amid()

	to.awaitAll(t, f)
	p.Running(t)
	p.end(t)
	to.judge(t, f)
}

func TestDeliveryWaitsForKafkaThatIsDownAtItsStart(t *testing.T) {
	cluster := servers.NewKafka(t, servers.KafkaConfig{Brokers: 1})
	to := startDestinations(t)
	p := delivery{binary: servers.BuildBinary(t), brokers: cluster.Addrs, replication: 1, destinations: to}.start(t, "a")
	servers.Await(t, time.Minute, "delivery says what it waits for", func() bool {
		p.Running(t)
		return strings.Contains(p.Log(t), "waiting for Kafka at "+cluster.Addrs[0]+": connection refused")
	})
	if !servers.Answers(t, p.url+"/healthz") {
		t.Error("a process that waits for Kafka is not healthy, so it would be restarted for nothing")
	}
	if p.ready(t) {
		t.Error("a process without Kafka says that it is ready")
	}

	cluster.Start(t)
	servers.Await(t, 2*time.Minute, "delivery runs", func() bool { p.Running(t); return p.ready(t) })
	client := newProducer(t, producer.Config{Brokers: cluster.Addrs})
	f := newFeed(newRand(t), 200, 5)
	f.publish(t, client, 200)
	to.awaitAll(t, f)
	p.end(t)
	to.judge(t, f)
}

func TestKafkaThatGoesAwayFailsPublishingInTimeAndDeliveryResumes(t *testing.T) {
	cluster := servers.StartKafka(t, 1)
	to := startDestinations(t)
	p := delivery{binary: servers.BuildBinary(t), brokers: cluster.Addrs, replication: 1, destinations: to}.start(t, "a")
	servers.Await(t, 2*time.Minute, "delivery runs", func() bool { p.Running(t); return p.ready(t) })
	client := newProducer(t, producer.Config{Brokers: cluster.Addrs})
	impatient := newProducer(t, producer.Config{Brokers: cluster.Addrs, DeliveryTimeout: 3 * time.Second})
	f := newFeed(newRand(t), 600, 5)
	f.publish(t, client, 200)

	cluster.KillNode(t, 1)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	lost := newFeed(newRand(t), 1, 1).events[0]
	lost.ID = "audit_event_LOST0000000000000000000000"
	if err := impatient.Publish(ctx, lost); err == nil {
		t.Error("publishing without Kafka succeeded")
	} else if errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil {
		t.Errorf("publishing without Kafka had no end of its own: %v", err)
	}
	p.Running(t)

	cluster.StartNode(t, 1)
	f.publish(t, client, 400)
	to.awaitAll(t, f)
	p.Running(t)
	p.end(t)
	to.judge(t, f)
}
