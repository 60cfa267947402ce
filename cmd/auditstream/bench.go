package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
	"golang.org/x/term"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/internal/bench"
	"github.com/auditstream/auditstream/internal/kafka"
)

func newBench() *cobra.Command {
	c := bench.Config{Events: 1_000_000, Partitions: 6, Organizations: 200, Streams: 1, Duration: 5 * time.Minute}
	compression, chains, output, pairs := "gzip", "off", "table", 3
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure delivery against the least that it could cost",
		Long: `Measure delivery against the least that it could cost.

Synthetic events of about 600 bytes are written to a topic and delivered
to a Splunk collector of the benchmark's own, first by the floor, the smallest program
that gets the same bytes there, then by "auditstream serve deliver". Each is a process of
its own; Kafka and the collector are others, so that their CPU is not counted. What
counts is the CPU time per million events, and its ratio to the floor's.

With --streams above 1 each stream wants the events of one organization, from the one
with the most events on, and has an address of its own; the floor posts as many batches.

--integrity both measures delivery by turns with events that are neither numbered nor
chained and with events that are; what a chain takes is the median of the differences.

Exit codes: 0 it was measured, 1 it could not be, 2 wrong arguments.`,
		Example: `  auditstream bench
  auditstream bench --brokers 127.0.0.1:9092 --streams 100 -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if c.Gzip, err = isGzip(compression); err != nil {
				return usageError(err)
			}
			if !slices.Contains([]string{"off", "on", "both"}, chains) {
				return usageError(fmt.Errorf("--integrity %q is unknown; there are: off, on, both", chains))
			}
			c.Integrity = chains == "on"
			if output != "table" && output != "json" {
				return usageError(fmt.Errorf("--output %q is unknown; there are: table, json", output))
			}
			if pairs < 1 {
				return usageError(fmt.Errorf("--pairs must be at least 1, not %d", pairs))
			}
			if err := c.Validate(); err != nil {
				return usageError(err)
			}
			if c.Program, err = os.Executable(); err != nil {
				return err
			}
			if c.Log, err = newLogger(config.Log{Level: "warn", Format: "console"}, cmd.ErrOrStderr()); err != nil {
				return err
			}
			c.Progress = progressOn(cmd.ErrOrStderr())
			var result interface{ WriteTable(w io.Writer) error }
			if chains == "both" {
				result, err = bench.RunChained(cmd.Context(), c, pairs)
			} else {
				result, err = bench.Run(cmd.Context(), c)
			}
			if err != nil {
				return err
			}
			if output == "json" {
				e := json.NewEncoder(cmd.OutOrStdout())
				e.SetIndent("", "  ")
				return e.Encode(result)
			}
			return result.WriteTable(cmd.OutOrStdout())
		},
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&c.Brokers, "brokers", nil, "`HOST:PORT` of some brokers (default: an embedded one)")
	flags.IntVar(&c.Events, "events", c.Events, "how many events to deliver")
	flags.IntVar(&c.Partitions, "partitions", c.Partitions, "of the topic")
	flags.IntVar(&c.Organizations, "organizations", c.Organizations, "how many organizations they are of, unequally")
	flags.IntVar(&c.Streams, "streams", c.Streams, "how many streams to deliver: 1 for one of all organizations")
	flags.IntVar(&c.Destinations, "destinations", 0, "how many addresses the streams go to (default: one for each)")
	flags.StringVar(&compression, "compression", compression, "of requests: gzip or none")
	flags.StringVar(&chains, "integrity", chains, "whether events are numbered and chained: off, on or both, by turns")
	flags.IntVar(&pairs, "pairs", pairs, "of --integrity both: how many measurements of each")
	flags.DurationVar(&c.Duration, "duration", c.Duration, "longest time for each of the two measurements")
	flags.StringVar(&c.Profile, "cpu-profile", "", "write what delivery costs to `FILE`, for go tool pprof")
	flags.StringVarP(&output, "output", "o", output, "table or json")
	cmd.AddCommand(newBenchSuite(), newBenchFloor(), newBenchHEC(), newBenchIngest(), newBenchProduce())
	return cmd
}

func isGzip(compression string) (bool, error) {
	switch compression {
	case "gzip":
		return true, nil
	case "none":
		return false, nil
	}
	return false, fmt.Errorf("--compression %q is unknown; there are: gzip, none", compression)
}

// progressOn shows a bar a phase, on a terminal only.
func progressOn(out io.Writer) func(phase string, done, total int64) {
	file, ok := out.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return nil
	}
	var bar *progressbar.ProgressBar
	current := ""
	return func(phase string, done, total int64) {
		if phase != current {
			current = phase
			bar = progressbar.NewOptions64(total,
				progressbar.OptionSetWriter(out),
				progressbar.OptionSetDescription(phase),
				progressbar.OptionThrottle(100*time.Millisecond),
				progressbar.OptionClearOnFinish(),
				progressbar.OptionFullWidth(),
			)
		}
		_ = bar.Set64(done) // what cannot be shown is not shown
	}
}

// newBenchFloor is the process that bench measures first.
func newBenchFloor() *cobra.Command {
	var (
		brokers                []string
		topic, group, url      string
		compression            string
		deliveries             int64
		organizations, streams int
		destinations           int
		batchBytes             int
	)
	cmd := &cobra.Command{
		Use:    "floor",
		Short:  "Deliver what bench has written, at the least cost",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			gzip, err := isGzip(compression)
			if err != nil {
				return usageError(err)
			}
			connect, err := kafka.Config{Brokers: brokers}.Options(zap.NewNop())
			if err != nil {
				return usageError(err)
			}
			client, err := kgo.NewClient(append(connect, bench.FloorOptions(topic, group)...)...)
			if err != nil {
				return err
			}
			defer client.Close()
			return bench.Floor(cmd.Context(), bench.FloorConfig{
				Client: client, URL: url, Token: bench.Token, Gzip: gzip, BatchBytes: batchBytes, Linger: time.Second,
				Deliveries: deliveries, Fanout: bench.NewFanout(streams, organizations), Destinations: destinations, Timeout: time.Minute,
			})
		},
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&brokers, "brokers", nil, "")
	flags.StringVar(&topic, "topic", "", "")
	flags.StringVar(&group, "group", "", "")
	flags.StringVar(&url, "url", "", "")
	flags.StringVar(&compression, "compression", "", "")
	flags.Int64Var(&deliveries, "deliveries", 0, "")
	flags.IntVar(&organizations, "organizations", 1, "")
	flags.IntVar(&streams, "streams", 1, "")
	flags.IntVar(&destinations, "destinations", 1, "")
	flags.IntVar(&batchBytes, "batch-bytes", 0, "")
	return cmd
}

// newBenchHEC is the process that everything is delivered to. It says its address on
// standard output and ends with its standard input.
func newBenchHEC() *cobra.Command {
	destinations, ages := 1, false
	cmd := &cobra.Command{
		Use:    "hec",
		Short:  "Take what bench delivers, and count it",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			listener, err := bench.ListenDestinations(cmd.Context(), destinations)
			if err != nil {
				return err
			}
			endpoint := bench.NewEndpoint(bench.Token)
			if ages {
				endpoint.MeasureAges()
			}
			server := &http.Server{Handler: endpoint, ReadHeaderTimeout: 10 * time.Second}
			ctx, cancel := context.WithCancel(cmd.Context())
			defer cancel()
			go func() {
				// Nothing is ever written there: this waits for its end.
				_, _ = io.Copy(io.Discard, cmd.InOrStdin())
				cancel()
			}()
			stop := context.AfterFunc(ctx, func() { _ = server.Close() })
			defer stop()
			if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s\n", bench.FirstDestination(listener)); err != nil {
				return err
			}
			if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		},
	}
	cmd.Flags().IntVar(&destinations, "destinations", destinations, "")
	cmd.Flags().BoolVar(&ages, "ages", ages, "")
	return cmd
}
