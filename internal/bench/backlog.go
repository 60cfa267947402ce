package bench

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// BacklogResult is how lanes that are far behind catch up: their records are read a second
// time, beside the live reader, which stands at the end already.
type BacklogResult struct {
	Events               int     `json:"events"` // in the topic, in one partition
	Lanes                int     `json:"lanes"`
	Recovered            int64   `json:"recovered"`
	Wanted               int64   `json:"wanted"`
	Seconds              float64 `json:"seconds"` // from the start of the process to the last answer of the endpoint
	EventsPerSecond      float64 `json:"events_per_second"`
	CPUSecondsPerMillion float64 `json:"cpu_seconds_per_million"`
	PeakRSSBytes         int64   `json:"peak_rss_bytes"`
}

// idleAction is one that no event has: a stream of it delivers nothing.
const idleAction = "bench.never"

// Backlog writes the events to one partition, has delivery read it to its end for a stream
// that wants none of them, and then measures how streams that are new and begin at the
// beginning get all of it, one run for each number of lanes. One lane is a stream of
// everything; several are one a stream and organization.
func Backlog(ctx context.Context, c Config, lanes []int, done func(BacklogResult) error) error {
	c.Partitions, c.Streams = 1, 1
	return within(ctx, c, func(r *runner, admin *kadm.Client) error {
		counts, err := r.write(ctx)
		if err != nil {
			return err
		}
		r.Streams = slices.Max(lanes) // so many addresses
		endpoint, err := r.startCollector(ctx)
		if err != nil {
			return err
		}
		defer endpoint.end()
		if err := r.readIdly(ctx, admin, endpoint.url); err != nil {
			return err
		}
		for _, n := range lanes {
			r.Streams, r.fanout = n, NewFanout(n, r.Organizations)
			r.wanted = r.fanout.Deliveries(counts)
			began := time.Now()
			m, err := r.measure(ctx, fmt.Sprintf("backlog of %d lanes", n), endpoint, r.startDelivery)
			if err != nil {
				return err
			}
			result := BacklogResult{
				Events: r.Events, Lanes: n, Recovered: m.counts.Events, Wanted: r.wanted,
				EventsPerSecond: m.perSecond(), CPUSecondsPerMillion: m.cpuPerMillion(), PeakRSSBytes: m.peakRSS,
			}
			if !m.counts.Last.IsZero() {
				result.Seconds = m.counts.Last.Sub(began).Seconds()
			}
			if err := done(result); err != nil {
				return err
			}
		}
		return nil
	})
}

// readIdly runs delivery until its group has committed the end of the topic.
func (r *runner) readIdly(ctx context.Context, admin *kadm.Client, url string) error {
	r.idle = true
	defer func() { r.idle = false }()
	c, err := r.startDelivery(ctx, url)
	if err != nil {
		return err
	}
	defer c.end()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	end := time.NewTimer(r.Duration)
	defer end.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-c.gone:
			return c.failure()
		case <-end.C:
			return fmt.Errorf("delivery has not read the topic to its end within %v", r.Duration)
		case <-tick.C:
		}
		committed, err := admin.FetchOffsetsForTopics(ctx, "auditstream."+r.prefix+".splunk", r.topics.Events())
		if err != nil {
			continue // the group is just being made
		}
		at, ok := committed.Lookup(r.topics.Events(), 0)
		if ok {
			r.progress("reading past the backlog", at.At, int64(r.Events))
		}
		if ok && at.At >= int64(r.Events) {
			return nil
		}
	}
}
