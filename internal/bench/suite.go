package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Suite is everything that docs/benchmarks.md shows.
type Suite struct {
	Config  Config   // how to run; what to run is the suite's
	Scale   float64  // of the numbers of events: 1 for ten million in the backlog, two in the ratios, one elsewhere
	Repeats int      // of the ratios
	Only    []string // of Sections; empty: all
}

// Sections are the names of the parts of a suite, in their order.
func Sections() []string {
	return []string{"ratio", "parts", "streams", "partitions", "cores", "age", "backlog", "ingest", "chains"}
}

// Validate says what is wrong with s.
func (s Suite) Validate() error {
	var errs []error
	if !(s.Scale > 0 && s.Scale <= 10) {
		errs = append(errs, fmt.Errorf("--scale must be above 0 and at most 10, not %v", s.Scale))
	}
	if s.Repeats < 1 {
		errs = append(errs, fmt.Errorf("--repeats must be at least 1, not %d", s.Repeats))
	}
	for _, name := range s.Only {
		if !slices.Contains(Sections(), name) {
			errs = append(errs, fmt.Errorf("--only %q is unknown; there are: %v", name, Sections()))
		}
	}
	return errors.Join(errs...)
}

const (
	suiteEvents     = 1_000_000
	suiteRatio      = 2_000_000 // so many that the start of the process, which counts, decides little
	suiteBacklog    = 10_000_000
	suitePartitions = 6
	suiteTenants    = 200
	ageMeasured     = 20 * time.Second
	suiteSingle     = 100_000 // events that callers bring one by one
	suiteBatches    = 300_000
	suiteBatch      = 500 // events in a batch
	suitePairs      = 5   // of measurements with and without chains, at least
)

// Run makes the measurements one after the other, puts each into report in place of the
// former, and has it saved.
func (s Suite) Run(ctx context.Context, report *Report, save func() error) error {
	if err := s.Validate(); err != nil {
		return err
	}
	report.Made, report.Machine, report.Scale = time.Now().UTC(), thisMachine(), s.Scale
	steps := map[string]func(context.Context, *Report, func() error) error{
		"ratio": s.ratio, "parts": s.parts, "streams": s.streams, "partitions": s.partitions, "cores": s.cores, "age": s.age, "backlog": s.backlog,
		"ingest": s.ingest, "chains": s.chains,
	}
	for _, name := range Sections() {
		if len(s.Only) > 0 && !slices.Contains(s.Only, name) {
			continue
		}
		if err := steps[name](ctx, report, save); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func (s Suite) events(n int) int { return max(1000, int(float64(n)*s.Scale)) }

// config is that of one measurement.
func (s Suite) config(streams, partitions int, gzip bool) Config {
	c := s.Config
	c.Events, c.Partitions, c.Organizations = s.events(suiteEvents), partitions, max(suiteTenants, streams)
	c.Streams, c.Gzip = streams, gzip
	return c
}

// each measures configurations and appends the results to out.
func (s Suite) each(ctx context.Context, out *[]Result, save func() error, configs ...Config) error {
	*out = nil
	for _, c := range configs {
		r, err := Run(ctx, c)
		if err != nil {
			return err
		}
		*out = append(*out, r)
		if err := save(); err != nil {
			return err
		}
	}
	return nil
}

func (s Suite) ratio(ctx context.Context, report *Report, save func() error) error {
	var configs []Config
	for range s.Repeats {
		for _, streams := range []int{1, suiteTenants} {
			for _, gzip := range []bool{true, false} {
				c := s.config(streams, suitePartitions, gzip)
				c.Events = s.events(suiteRatio)
				configs = append(configs, c)
			}
		}
	}
	return s.each(ctx, &report.Ratio, save, configs...)
}

func (s Suite) streams(ctx context.Context, report *Report, save func() error) error {
	var configs []Config
	for _, n := range []int{1, 10, 100, 1000, 10_000} {
		configs = append(configs, s.config(n, suitePartitions, true))
	}
	return s.each(ctx, &report.Streams, save, configs...)
}

func (s Suite) partitions(ctx context.Context, report *Report, save func() error) error {
	var configs []Config
	for _, n := range []int{6, 12, 30, 60} {
		configs = append(configs, s.config(suiteTenants, n, true))
	}
	return s.each(ctx, &report.Partitions, save, configs...)
}

func (s Suite) cores(ctx context.Context, report *Report, save func() error) error {
	var configs []Config
	for _, n := range []int{1, 2} {
		c := s.config(1, suitePartitions, true)
		c.Cores = n
		configs = append(configs, c)
	}
	return s.each(ctx, &report.Cores, save, configs...)
}

// parts profiles one stream with compression.
func (s Suite) parts(ctx context.Context, report *Report, save func() error) error {
	dir, err := os.MkdirTemp("", "auditstream-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a leftover in the temporary directory
	c := s.config(1, suitePartitions, true)
	c.Profile = filepath.Join(dir, "cpu")
	r, err := Run(ctx, c)
	if err != nil {
		return err
	}
	if report.Parts, err = Parts(c.Profile, r.Delivered); err != nil {
		return err
	}
	return save()
}

// age measures at half of what delivery has reached, and far below.
func (s Suite) age(ctx context.Context, report *Report, save func() error) error {
	half := 50_000
	for _, r := range report.Ratio {
		if r.Streams == 1 && r.Compression == "gzip" {
			half = int(r.EventsPerSecond/2/1000) * 1000
		}
	}
	report.Age = nil
	for _, rate := range []int{half, 1000} {
		for _, linger := range []time.Duration{0, 100 * time.Millisecond} {
			c := s.config(suiteTenants, suitePartitions, true)
			c.Linger = linger
			r, err := Age(ctx, c, max(1, int(float64(rate)*min(1, s.Scale))), ageMeasured)
			if err != nil {
				return err
			}
			report.Age = append(report.Age, r)
			if err := save(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s Suite) backlog(ctx context.Context, report *Report, save func() error) error {
	c := s.config(1, 1, true)
	c.Events, c.Organizations = s.events(suiteBacklog), 100
	report.Backlog = nil
	return Backlog(ctx, c, []int{1, 100}, func(r BacklogResult) error {
		report.Backlog = append(report.Backlog, r)
		return save()
	})
}

// ingests are the ways to bring events to the gateway that the suite measures.
func ingests() []Ingest {
	return []Ingest{
		{PerRequest: 1, Compression: "none", Callers: 1},
		{PerRequest: 1, Compression: "none", Callers: 32},
		{PerRequest: suiteBatch, Compression: "none", Callers: 4},
		{PerRequest: suiteBatch, Compression: "gzip", Callers: 4},
		{PerRequest: suiteBatch, Compression: "zstd", Callers: 4},
	}
}

// ingest measures every way to bring events to the gateway.
func (s Suite) ingest(ctx context.Context, report *Report, save func() error) error {
	report.Ingest = nil
	for range s.Repeats {
		for _, in := range ingests() {
			c := s.config(1, suitePartitions, false)
			c.Events = s.events(suiteBatches)
			switch {
			case in.PerRequest == 1 && in.Callers == 1:
				c.Events = s.events(suiteSingle / 10)
			case in.PerRequest == 1:
				c.Events = s.events(suiteSingle)
			}
			r, err := MeasureIngest(ctx, c, in)
			if err != nil {
				return err
			}
			report.Ingest = append(report.Ingest, r)
			if err := save(); err != nil {
				return err
			}
		}
	}
	return nil
}

// chains measures what numbers and chains cost, without compression, which would be the most of
// it. A single pair says little; there are enough of them for a median.
func (s Suite) chains(ctx context.Context, report *Report, save func() error) error {
	report.Chains = nil
	for _, streams := range []int{1, suiteTenants} {
		c, err := RunChained(ctx, s.config(streams, suitePartitions, false), max(suitePairs, s.Repeats))
		if err != nil {
			return err
		}
		report.Chains = append(report.Chains, c)
		if err := save(); err != nil {
			return err
		}
	}
	return nil
}
