package app

import (
	"context"
	"errors"
	"fmt"
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
	return feel(ctx, client, c.topics.Events(), &c.state.kafka)
}

// feel asks Kafka for a topic again and again until ctx ends.
func feel(ctx context.Context, client *kgo.Client, topic string, health *pulse) error {
	tick := time.NewTicker(pulseEvery)
	defer tick.Stop()
	for {
		began := time.Now()
		if err := served(ctx, kadm.NewClient(client), topic); ctx.Err() == nil {
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
	ctx, cancel := context.WithTimeout(ctx, pulseTimeout)
	defer cancel()
	md, err := admin.Metadata(ctx, topic)
	if err != nil {
		return err
	}
	t := md.Topics[topic]
	if t.Err != nil {
		return fmt.Errorf("topic %s: %w", topic, t.Err)
	}
	for _, p := range t.Partitions {
		if p.Leader >= 0 {
			return nil
		}
	}
	return fmt.Errorf("topic %s: %w", topic, kerr.LeaderNotAvailable)
}
