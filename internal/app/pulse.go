package app

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/internal/kafka"
)

// pulse is whether Kafka answers, as far as readiness is concerned: a leader that moves,
// or a broker that restarts, makes nobody unready. One answer is enough to be ready again.
type pulse struct {
	mu    sync.Mutex
	since time.Time // when the first failure in a row was noticed; zero: it answers; guarded by mu
	why   string    // guarded by mu
}

const (
	pulseEvery   = 2 * time.Second
	pulseTimeout = 5 * time.Second  // after which an answer does not count
	pulseGone    = 10 * time.Second // of failures make Kafka gone
)

// note takes the outcome of one question down.
func (p *pulse) note(err error, began time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		p.since = time.Time{}
		return
	}
	if p.since.IsZero() {
		p.since = began
	}
	p.why = kafka.Reason(err)
	if _, refused := errors.AsType[*kerr.Error](err); refused {
		p.why = err.Error() // it says which topic
	}
}

// gone says why Kafka is gone, and for how long; nil when it is there.
func (p *pulse) gone() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.since.IsZero() || time.Since(p.since) < pulseGone {
		return nil
	}
	return fmt.Errorf("waiting for Kafka for %s: %s", time.Since(p.since).Round(time.Second), p.why)
}

// feel asks Kafka for its events topic again and again until ctx ends.
func (c *crew) feel(ctx context.Context) error {
	client, err := kgo.NewClient(c.opts...)
	if err != nil {
		return err
	}
	defer client.Close()
	return feel(ctx, client, c.topics.Events(), &c.state.kafka, served)
}

// feel asks Kafka for a topic again and again until ctx ends; ask says what is wrong with it.
func feel(ctx context.Context, client *kgo.Client, topic string, health *pulse, ask func(context.Context, *kadm.Client, string) error) error {
	tick := time.NewTicker(pulseEvery)
	defer tick.Stop()
	for {
		began := time.Now()
		asking, cancel := context.WithTimeout(ctx, pulseTimeout)
		err := ask(asking, kadm.NewClient(client), topic)
		cancel()
		if ctx.Err() == nil {
			health.note(err, began)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// served says why a topic cannot be read: Kafka does not answer, has no such topic, or
// none of its partitions has a leader.
func served(ctx context.Context, admin *kadm.Client, topic string) error {
	_, err := led(ctx, admin, topic)
	return err
}

// led are the partitions of a topic that have a leader, of which there is one at least.
func led(ctx context.Context, admin *kadm.Client, topic string) ([]kadm.PartitionDetail, error) {
	md, err := admin.Metadata(ctx, topic)
	if err != nil {
		return nil, err
	}
	t := md.Topics[topic]
	if t.Err != nil {
		return nil, fmt.Errorf("topic %s: %w", topic, t.Err)
	}
	var led []kadm.PartitionDetail
	for _, p := range t.Partitions {
		if p.Leader >= 0 {
			led = append(led, p)
		}
	}
	if led == nil {
		return nil, fmt.Errorf("topic %s: %w", topic, kerr.LeaderNotAvailable)
	}
	return led, nil
}

// writable says why a topic does not take what all in-sync replicas have to acknowledge. As
// with leaders, one partition that does is enough: who sends events elsewhere gets none of them
// into another one.
type writable struct {
	least int       // in-sync replicas that a write needs (min.insync.replicas); 0: not known; owned by whoever asks
	asked time.Time // when that was found out; owned likewise
}

// leastFor is how long min.insync.replicas is gone by before it is asked for again.
const leastFor = time.Minute

func (w *writable) ask(ctx context.Context, admin *kadm.Client, topic string) error {
	led, err := led(ctx, admin, topic)
	if err != nil {
		return err
	}
	if w.asked.IsZero() || time.Since(w.asked) > leastFor {
		// Kafka need not let us see it: then leaders alone count, and its log is not filled with
		// refusals.
		w.asked = time.Now()
		if n, err := strconv.Atoi(topicSetting(ctx, admin, topic, "min.insync.replicas")); err == nil {
			w.least = n
		}
	}
	most := 0
	for _, p := range led {
		most = max(most, len(p.ISR))
	}
	if most < w.least {
		return fmt.Errorf("topic %s: no partition has more than %d in-sync replicas, and min.insync.replicas is %d: %w", topic, most, w.least, kerr.NotEnoughReplicas)
	}
	return nil
}

// topicSetting is a setting of a topic as it is in force; empty: Kafka does not tell.
func topicSetting(ctx context.Context, admin *kadm.Client, topic, name string) string {
	described, err := admin.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return ""
	}
	found, err := described.On(topic, nil)
	if err != nil || found.Err != nil {
		return ""
	}
	for _, c := range found.Configs {
		if c.Key == name && c.Value != nil {
			return *c.Value
		}
	}
	return ""
}
