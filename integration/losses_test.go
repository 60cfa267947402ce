//go:build integration

package integration

import (
	"fmt"
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/auditstream/auditstream/integration/servers"
	"github.com/auditstream/auditstream/producer"
	"github.com/auditstream/auditstream/sinks/sinktest/faults"
)

// What other programs were measured to lose or to repeat with acknowledgements on, each
// test under the name of the case.

// Others drop the whole batch, or never get past it.
func TestOneEventAnswered400Among20000IsOneDeadLetter(t *testing.T) {
	const events = 20_000
	r := newRand(t)
	broker := servers.StartKafka(t, 1)
	to := startRefusingDestinations(t)
	f := newFeed(r, events, 50)
	f.poison(r, inSplunk, 1)  // named by its number
	f.poison(r, inDatadog, 1) // not named: only halving finds it
	p := delivery{binary: servers.BuildBinary(t), brokers: broker.Addrs, replication: 1, destinations: to, batch: 1000}.start(t, "a")
	servers.Await(t, time.Minute, "delivery runs", func() bool { p.Running(t); return p.ready(t) })
	f.publish(t, newProducer(t, producer.Config{Brokers: broker.Addrs}), events)

	to.awaitAll(t, f)
	servers.Await(t, time.Minute, "both letters are written", func() bool { return len(readLetters(t, broker.Addrs, defaultPrefix)) >= 2 })
	p.end(t)
	for destination, v := range to.judge(t, f) {
		if v.unique != events-1 || v.duplicates > 0 {
			t.Errorf("%s has %d events and %d repeats, want %d and none", destination, v.unique, v.duplicates, events-1)
		}
	}
	if copies := f.judgeLetters(t, broker.Addrs); copies > 0 {
		t.Errorf("%d letters were written twice without a crash", copies)
	}
}

// Others take the refusal of a token for a refusal of the events.
func TestTokenRefusedFor5SecondsAmid10000LosesNothing(t *testing.T) {
	const events = 10_000
	broker := servers.StartKafka(t, 1)
	for _, refusal := range []struct {
		status        int
		splunk, other string
	}{
		{http.StatusUnauthorized, `{"text":"Invalid authorization","code":3}`, `{"errors":[{"status":"401","title":"Unauthorized"}]}`},
		{http.StatusForbidden, `{"text":"Invalid token","code":4}`, `{"errors":[{"status":"403","title":"Forbidden"}]}`},
	} {
		t.Run(strconv.Itoa(refusal.status), func(t *testing.T) {
			prefix := fmt.Sprintf("status%d", refusal.status)
			to := startDestinations(t)
			f := newFeed(newRand(t), events, 50)
			p := delivery{binary: servers.BuildBinary(t), brokers: broker.Addrs, replication: 1, destinations: to, prefix: prefix}.start(t, "a")
			servers.Await(t, time.Minute, "delivery runs", func() bool { p.Running(t); return p.ready(t) })
			client := newProducer(t, producer.Config{Brokers: broker.Addrs, Topic: prefix + ".events"})

			f.publish(t, client, events/2)
			servers.Await(t, time.Minute, "delivery is in midstream", func() bool { return to.arrived() > events/4 })
			var refused atomic.Int64
			until := time.Now().Add(5 * time.Second)
			refuse := func(body string) faults.Hook {
				return func(*http.Request) *faults.Answer {
					if time.Now().After(until) {
						return nil
					}
					refused.Add(1)
					return &faults.Answer{Status: refusal.status, Body: []byte(body)}
				}
			}
			to.splunk.Program(refuse(refusal.splunk))
			to.datadog.Program(refuse(refusal.other))
			f.publish(t, client, events/2)

			to.awaitAll(t, f)
			p.end(t)
			if refused.Load() == 0 {
				t.Error("nothing was refused, so nothing was tested")
			}
			for destination, v := range to.judge(t, f) {
				if v.duplicates > 0 {
					t.Errorf("%s has %d events twice", destination, v.duplicates)
				}
			}
			if letters := readLetters(t, broker.Addrs, prefix); len(letters) > 0 {
				t.Errorf("%d dead letters for a refused token", len(letters))
			}
		})
	}
}

// Others repeat a third of everything. How much is repeated is what a commit may be behind:
// as an operator would who minds repeats, the streams keep their requests small.
func TestTwoKillsAmid200000RepeatAtMost2Percent(t *testing.T) {
	const (
		events = 200_000
		most   = events * 2 / 100
	)
	r := newRand(t)
	broker := servers.StartKafka(t, 1)
	makeTopics(t, broker.Addrs)
	to := startDestinations(t)
	run := delivery{binary: servers.BuildBinary(t), brokers: broker.Addrs, replication: 1, destinations: to, batch: 100}
	f := newFeed(r, events, 50)
	f.publish(t, newProducer(t, producer.Config{Brokers: broker.Addrs}), events)

	p := run.start(t, "a")
	for kill := range 2 {
		target := (2*kill + 1) * events / 2 // arrivals at both doubles: a quarter, and three
		target += r.IntN(events / 4)
		servers.Await(t, 3*time.Minute, "the process is in midstream", func() bool {
			p.Running(t)
			return to.arrived() >= target
		})
		p.Kill(t)
		t.Logf("kill %d after %d arrivals", kill+1, to.arrived())
		p = run.start(t, "a")
	}
	to.awaitAll(t, f)
	p.end(t)
	for destination, v := range to.judge(t, f) {
		t.Logf("%s: %.2f %% repeated", destination, 100*float64(v.duplicates)/events)
		if v.duplicates > most {
			t.Errorf("%s has %d repeats, want at most %d", destination, v.duplicates, most)
		}
	}
}
