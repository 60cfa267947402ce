package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/auditstream/auditstream/internal/kafka"
)

// Chained is the same work measured by turns: with events that are neither numbered nor
// chained, and with events that are.
type Chained struct {
	Without Result        `json:"without"`          // the one in the middle, by CPU
	With    Result        `json:"with"`             // likewise
	Micros  float64       `json:"micros_per_event"` // of CPU that a chain takes, an event: median of the pairs
	Ratio   float64       `json:"ratio"`            // of CPU, with to without: likewise
	Pairs   []ChainedPair `json:"pairs"`            // in the order in which they were measured
}

// ChainedPair are two measurements, one right after the other.
type ChainedPair struct {
	Without float64 `json:"without"` // CPU seconds per million events
	With    float64 `json:"with"`
}

// RunChained measures c pairs times with and without chains, all of them on the events of one
// topic and beside one measurement of the floor. Of two pairs the second begins with chains,
// so that a machine that becomes slower or faster favours neither.
func RunChained(ctx context.Context, c Config, pairs int) (result Chained, err error) {
	if pairs < 1 {
		return result, fmt.Errorf("--pairs must be at least 1, not %d", pairs)
	}
	err = within(ctx, c, func(r *runner, admin *kadm.Client) error {
		result, err = r.chained(ctx, admin, pairs)
		return err
	})
	return result, err
}

func (r *runner) chained(ctx context.Context, admin *kadm.Client, pairs int) (Chained, error) {
	counts, err := r.write(ctx)
	if err != nil {
		return Chained{}, err
	}
	r.wanted = r.fanout.Deliveries(counts)
	endpoint, err := r.startCollector(ctx)
	if err != nil {
		return Chained{}, err
	}
	defer endpoint.end()
	floor, err := r.measure(ctx, "floor", endpoint, r.startFloor)
	if err != nil {
		return Chained{}, err
	}
	results := map[bool][]Result{}
	for i := range 2 * pairs {
		r.Integrity = i%4 == 1 || i%4 == 2
		if i > 0 {
			if err := r.forget(ctx, admin); err != nil {
				return Chained{}, err
			}
		}
		m, err := r.measure(ctx, fmt.Sprintf("delivery %d of %d", i+1, 2*pairs), endpoint, r.startDelivery)
		if err != nil {
			return Chained{}, err
		}
		results[r.Integrity] = append(results[r.Integrity], newResult(r.Config, r.wanted, floor, m))
	}
	return newChained(results[false], results[true]), nil
}

// forget removes all that is known of a delivery, the events excepted, so that the next process
// begins as the one before did. A member that was ended may take a while to be gone, and a
// topic that was removed to be gone everywhere.
func (r *runner) forget(ctx context.Context, admin *kadm.Client) error {
	ctx, cancel := context.WithTimeout(ctx, r.Duration)
	defer cancel()
	if err := until(ctx, func() error { return r.removeGroup(ctx, admin) }); err != nil {
		return fmt.Errorf("remove the group's commits: %w", err)
	}
	names := slices.DeleteFunc(r.topics.Names(), func(name string) bool { return name == r.topics.Events() })
	if _, err := admin.DeleteTopics(ctx, names...); err != nil {
		return fmt.Errorf("remove what is known of the delivery before: %w", err)
	}
	err := until(ctx, func() error {
		topics, err := admin.ListTopics(ctx, names...)
		if err != nil {
			return err
		}
		for _, t := range topics {
			if !errors.Is(t.Err, kerr.UnknownTopicOrPartition) {
				return fmt.Errorf("the topic %s is still there", t.Topic)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("remove what is known of the delivery before: %w", err)
	}
	return until(ctx, func() error { return kafka.EnsureTopics(ctx, admin, r.topics, r.Log) })
}

func (r *runner) removeGroup(ctx context.Context, admin *kadm.Client) error {
	answers, err := admin.DeleteGroups(ctx, "auditstream."+r.prefix+".splunk")
	if err == nil {
		err = answers.Error()
	}
	if errors.Is(err, kerr.GroupIDNotFound) {
		return nil
	}
	return err
}

// until repeats f until it succeeds, or ctx ends: then with f's last error.
func until(ctx context.Context, f func() error) error {
	for {
		err := f()
		if err == nil {
			return nil
		}
		again := time.NewTimer(100 * time.Millisecond)
		select {
		case <-again.C:
		case <-ctx.Done():
			return err
		}
	}
}

// newChained puts pairs together.
func newChained(without, with []Result) Chained {
	out := Chained{Without: middle(without), With: middle(with)}
	var micros, ratios []float64
	for i := range without {
		a, b := without[i].CPUSecondsPerMillion, with[i].CPUSecondsPerMillion
		out.Pairs = append(out.Pairs, ChainedPair{Without: a, With: b})
		micros = append(micros, b-a)
		if a > 0 {
			ratios = append(ratios, b/a)
		}
	}
	out.Micros, out.Ratio = medianOf(micros), medianOf(ratios)
	return out
}

// middle is the one of results that has used neither more nor less than half of the others.
func middle(results []Result) Result {
	return slices.SortedFunc(slices.Values(results), func(a, b Result) int {
		return cmp.Compare(a.CPUSecondsPerMillion, b.CPUSecondsPerMillion)
	})[(len(results)-1)/2]
}

// micros are the differences of the pairs, as text.
func (c Chained) micros() string {
	var out []string
	for _, p := range c.Pairs {
		out = append(out, fmt.Sprintf("%.2f", p.With-p.Without))
	}
	return strings.Join(out, ", ")
}

// WriteTable writes it for people.
func (c Chained) WriteTable(w io.Writer) error {
	for _, r := range []Result{c.Without, c.With} {
		if err := r.WriteTable(w); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(w); err != nil {
			return err
		}
	}
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, row := range [][2]string{
		{"a chain takes, µs of CPU an event", fmt.Sprintf("%.2f (each pair: %s)", c.Micros, c.micros())},
		{"CPU with chains, to that without", fmt.Sprintf("%.2f", c.Ratio)},
	} {
		fmt.Fprintf(t, "%s\t%s\n", row[0], row[1]) //nolint:errcheck // Flush says
	}
	return t.Flush()
}
