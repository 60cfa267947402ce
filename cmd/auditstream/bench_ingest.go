package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/internal/bench"
	"github.com/auditstream/auditstream/internal/kafka"
)

// newBenchIngest measures the gateway.
func newBenchIngest() *cobra.Command {
	c := bench.Config{Events: 100_000, Partitions: 6, Organizations: 200, Streams: 1, Duration: 5 * time.Minute}
	in := bench.Ingest{PerRequest: 1, Compression: "none", Callers: 32}
	output := "table"
	cmd := &cobra.Command{
		Use:   "ingest",
		Short: "Measure taking events in over HTTP against writing them to Kafka",
		Long: `Measure taking events in over HTTP against writing them to Kafka.

The same events are published first by the smallest program that gets them into Kafka, then
through "auditstream serve gateway", with as many callers and as many events in a call. Each
is a process of its own. What counts is the ratio of the CPU time, which is that of the
gateway without its callers, and of the time that a call takes.

Exit codes: 0 it was measured, 1 it could not be, 2 wrong arguments.`,
		Example: `  auditstream bench ingest
  auditstream bench ingest --brokers 127.0.0.1:9092 --events-per-request 500 --compression zstd --callers 4 -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "table" && output != "json" {
				return usageError(fmt.Errorf("--output %q is unknown; there are: table, json", output))
			}
			if err := c.Validate(); err != nil {
				return usageError(err)
			}
			if err := in.Validate(); err != nil {
				return usageError(err)
			}
			var err error
			if c.Program, err = os.Executable(); err != nil {
				return err
			}
			if c.Log, err = newLogger(config.Log{Level: "warn", Format: "console"}, cmd.ErrOrStderr()); err != nil {
				return err
			}
			r, err := bench.MeasureIngest(cmd.Context(), c, in)
			if err != nil {
				return err
			}
			if output == "json" {
				e := json.NewEncoder(cmd.OutOrStdout())
				e.SetIndent("", "  ")
				return e.Encode(r)
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintf(w, "\tgateway\tbare\tratio\n")                                                                                        //nolint:errcheck // Flush says it
			fmt.Fprintf(w, "events per second\t%.0f\t%.0f\t\n", r.EventsPerSecond, r.FloorEventsPerSecond)                                    //nolint:errcheck // likewise
			fmt.Fprintf(w, "CPU seconds per million\t%.2f\t%.2f\t%.2f\n", r.CPUSecondsPerMillion, r.FloorCPUSecondsPerMillion, r.CPURatio)    //nolint:errcheck // likewise
			fmt.Fprintf(w, "median of a call, ms\t%.2f\t%.2f\t%.2f\n", float64(r.P50Micros)/1000, float64(r.FloorP50Micros)/1000, r.P50Ratio) //nolint:errcheck // likewise
			fmt.Fprintf(w, "99 of 100, ms\t%.2f\t%.2f\t%.2f\n", float64(r.P99Micros)/1000, float64(r.FloorP99Micros)/1000, r.P99Ratio)        //nolint:errcheck // likewise
			fmt.Fprintf(w, "peak memory\t%.1f MiB\t\t\n", float64(r.PeakRSSBytes)/(1<<20))                                                    //nolint:errcheck // likewise
			return w.Flush()
		},
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&c.Brokers, "brokers", nil, "`HOST:PORT` of some brokers (default: an embedded one)")
	flags.IntVar(&c.Events, "events", c.Events, "how many events to bring")
	flags.IntVar(&c.Partitions, "partitions", c.Partitions, "of the topic")
	flags.IntVar(&c.Organizations, "organizations", c.Organizations, "how many organizations they are of, unequally")
	flags.IntVar(&in.PerRequest, "events-per-request", in.PerRequest, "1: each event alone; more: batches")
	flags.StringVar(&in.Compression, "compression", in.Compression, "of requests: none, gzip or zstd")
	flags.IntVar(&in.Callers, "callers", in.Callers, "how many send at once")
	flags.StringVar(&c.Profile, "cpu-profile", "", "write what the gateway costs to `FILE`, for go tool pprof")
	flags.StringVarP(&output, "output", "o", output, "table or json")
	return cmd
}

// newBenchProduce is the process that "bench ingest" measures first. It says on standard output
// what it came to.
func newBenchProduce() *cobra.Command {
	var (
		brokers []string
		c       bench.ProduceConfig
	)
	cmd := &cobra.Command{
		Use:    "produce",
		Short:  "Publish events, at the least cost",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			connect, err := kafka.Config{Brokers: brokers}.Options(zap.NewNop())
			if err != nil {
				return usageError(err)
			}
			if c.Client, err = kgo.NewClient(append(connect, bench.ProduceOptions()...)...); err != nil {
				return fmt.Errorf("connect to %s: %w", strings.Join(brokers, ", "), err)
			}
			defer c.Client.Close()
			result, err := bench.Produce(cmd.Context(), c)
			if err != nil {
				return err
			}
			return json.NewEncoder(cmd.OutOrStdout()).Encode(result)
		},
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&brokers, "brokers", nil, "")
	flags.StringVar(&c.Topic, "topic", "", "")
	flags.IntVar(&c.Events, "events", 0, "")
	flags.IntVar(&c.Organizations, "organizations", 1, "")
	flags.IntVar(&c.Ingest.PerRequest, "per-request", 1, "")
	flags.IntVar(&c.Ingest.Callers, "callers", 1, "")
	return cmd
}
