//go:build integration

package integration

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/auditstream/auditstream/integration/servers"
	"github.com/auditstream/auditstream/producer"
	"github.com/auditstream/auditstream/sinks/sinktest/faults"
)

func TestAfterAnOrderlyEndNothingIsRepeated(t *testing.T) {
	const events, organizations, ends = 20_000, 50, 4
	r := newRand(t)
	broker := servers.StartKafka(t, 1)
	makeTopics(t, broker.Addrs)
	to := startDestinations(t)
	run := delivery{binary: servers.BuildBinary(t), brokers: broker.Addrs, replication: 1, destinations: to}
	f := newFeed(r, events, organizations)
	client := newProducer(t, producer.Config{Brokers: broker.Addrs})
	f.publish(t, client, events)

	for range ends {
		p := run.start(t, "a")
		target := to.arrived() + 1 + r.IntN(2*events/(ends+1))
		servers.Await(t, time.Minute, "the process is in midstream", func() bool {
			p.Running(t)
			return to.arrived() >= target
		})
		p.end(t)
		t.Logf("ended after %d arrivals", to.arrived())
	}
	p := run.start(t, "a")
	to.awaitAll(t, f)
	p.end(t)
	for destination, v := range to.judge(t, f) {
		if v.duplicates > 0 {
			t.Errorf("%s has %d events twice, want none: every end was an orderly one", destination, v.duplicates)
		}
	}
}

func TestADestinationThatHangsDoesNotHoldUpTheEnd(t *testing.T) {
	const (
		events = 5000
		// The time that requests get to end (delivery.drain_timeout, 5 s by default), that of
		// the last commit, and some for a loaded machine.
		bound = 30 * time.Second
	)
	broker := servers.StartKafka(t, 1)
	makeTopics(t, broker.Addrs)
	to := startDestinations(t)
	run := delivery{binary: servers.BuildBinary(t), brokers: broker.Addrs, replication: 1, destinations: to}
	f := newFeed(newRand(t), events, 50)
	f.publish(t, newProducer(t, producer.Config{Brokers: broker.Addrs}), events)
	var hanging, calls atomic.Int64
	to.splunk.Program(func(*http.Request) *faults.Answer {
		if calls.Add(1) <= 10 {
			return nil
		}
		hanging.Add(1)
		return &faults.Answer{Hang: true}
	})

	p := run.start(t, "a")
	servers.Await(t, time.Minute, "Splunk hangs while Datadog takes", func() bool {
		p.Running(t)
		return hanging.Load() > 0 && to.datadog.Len() > 0
	})
	began := time.Now()
	p.Terminate(t, bound)
	t.Logf("ended %s after SIGTERM", time.Since(began).Round(10*time.Millisecond))
	to.splunk.Program(nil)

	p = run.start(t, "a")
	to.awaitAll(t, f)
	p.end(t)
	for destination, v := range to.judge(t, f) {
		if v.duplicates > 0 {
			t.Errorf("%s has %d events twice, want none: what hung was not taken", destination, v.duplicates)
		}
	}
}
