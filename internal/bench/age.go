package bench

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// AgeResult is how old events are when their destination has acknowledged them, at a rate
// that delivery can easily hold: from when they were handed to the Kafka client, which
// waits for no others, to the arrival of their request at the endpoint.
type AgeResult struct {
	Rate      int     `json:"rate"`      // events a second that were wanted
	Published float64 `json:"published"` // events a second that were
	Streams   int     `json:"streams"`
	Linger    string  `json:"linger"` // of the streams
	Events    int64   `json:"events"` // that were measured
	P50Millis int     `json:"p50_ms"`
	P99Millis int     `json:"p99_ms"`
}

const (
	// warmUp is how long events flow before they are measured.
	warmUp = 5 * time.Second
	// ageStep is the time between two bursts of events.
	ageStep = 5 * time.Millisecond
)

// Age publishes events at a rate for a time, beside delivery, and measures their ages.
func Age(ctx context.Context, c Config, rate int, measured time.Duration) (result AgeResult, err error) {
	err = within(ctx, c, func(r *runner, _ *kadm.Client) error {
		r.ages = true
		endpoint, err := r.startCollector(ctx)
		if err != nil {
			return err
		}
		defer endpoint.end()
		delivery, err := r.startDelivery(ctx, endpoint.url)
		if err != nil {
			return err
		}
		defer delivery.end()
		if _, err := r.publish(ctx, delivery, rate, warmUp); err != nil {
			return err
		}
		if err := endpoint.reset(ctx); err != nil {
			return err
		}
		n, err := r.publish(ctx, delivery, rate, measured)
		if err != nil {
			return err
		}
		counts, err := endpoint.counts(ctx)
		if err != nil {
			return err
		}
		linger := time.Second
		if r.Linger > 0 {
			linger = r.Linger
		}
		result = AgeResult{
			Rate: rate, Published: float64(n) / measured.Seconds(), Streams: r.Streams, Linger: linger.String(),
			Events: counts.Aged, P50Millis: counts.AgeP50, P99Millis: counts.AgeP99,
		}
		return nil
	})
	return result, err
}

// publish writes events at a rate for a time and returns how many.
func (r *runner) publish(ctx context.Context, delivery *child, rate int, d time.Duration) (int, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	g := NewGenerator(GeneratorConfig{Seed: uint64(time.Now().UnixNano()), Organizations: r.Organizations, Start: time.Now()})
	tick := time.NewTicker(ageStep)
	defer tick.Stop()
	headers := eventHeaders()
	sending := context.WithoutCancel(ctx) // a record that is taken back takes others with it
	began := time.Now()
	n := 0
	for time.Since(began) < d {
		select {
		case <-ctx.Done():
			return n, context.Cause(ctx)
		case <-delivery.gone:
			return n, delivery.failure()
		case <-tick.C:
		}
		for want := int(time.Since(began).Seconds() * float64(rate)); n < want; n++ {
			g.at = time.Now().UTC()
			value, organization := g.Event(nil)
			r.client.Produce(sending, &kgo.Record{
				Topic: r.topics.Events(), Key: []byte(g.organizations[organization]), Value: value, Headers: headers,
			}, func(_ *kgo.Record, err error) {
				if err != nil {
					cancel(fmt.Errorf("publish: %w", err))
				}
			})
		}
	}
	return n, r.client.Flush(ctx)
}

// maxAge is where ages are no longer told apart.
const maxAge = time.Minute

// ages counts events by their age in milliseconds.
type ages struct {
	counts [maxAge / time.Millisecond]atomic.Int64
}

// add takes the beginning of an envelope, and does without it when it is cut before its
// time, as a few in a thousand are.
func (a *ages) add(envelope []byte, now time.Time) {
	const key = `{"time":`
	rest, ok := bytes.CutPrefix(envelope, []byte(key))
	i := bytes.IndexByte(rest[:min(len(rest), 20)], ',')
	if !ok || i < 0 {
		return
	}
	seconds, err := strconv.ParseFloat(string(rest[:i]), 64)
	if err != nil {
		return
	}
	age := now.UnixMilli() - int64(math.Round(seconds*1000))
	a.counts[max(0, min(age, int64(len(a.counts))-1))].Add(1)
}

func (a *ages) reset() {
	for i := range a.counts {
		a.counts[i].Store(0)
	}
}

// quantiles are the ages in milliseconds that those shares of the events do not exceed.
func (a *ages) quantiles(shares ...float64) (events int64, out []int) {
	var counts [len(a.counts)]int64
	for i := range a.counts {
		counts[i] = a.counts[i].Load()
		events += counts[i]
	}
	for _, share := range shares {
		limit, sum, at := int64(math.Ceil(share*float64(events))), int64(0), 0
		for i, n := range counts {
			if sum += n; sum >= limit {
				at = i
				break
			}
		}
		out = append(out, at)
	}
	return events, out
}
