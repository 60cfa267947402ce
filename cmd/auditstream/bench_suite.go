package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/internal/bench"
)

// newBenchSuite makes the figures of docs/benchmarks.md.
func newBenchSuite() *cobra.Command {
	s := bench.Suite{Config: bench.Config{Duration: 5 * time.Minute}, Scale: 1, Repeats: 3}
	dir, page := "docs/benchmarks", "docs/benchmarks.md"
	cmd := &cobra.Command{
		Use:    "suite",
		Hidden: true, // of use in a checkout of the repository only: make bench
		Short:  "Measure everything that docs/benchmarks.md shows, and write it there",
		Long: `Measure everything that docs/benchmarks.md shows, and write it there.

What is measured is written after each measurement, so that what was done stays done.
With --only, the other figures stay as they are. It needs a machine with nothing else to
do, some 5 GB of disk for Kafka, and about a quarter of an hour.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := s.Validate(); err != nil {
				return usageError(err)
			}
			var err error
			if s.Config.Program, err = os.Executable(); err != nil {
				return err
			}
			if s.Config.Log, err = newLogger(config.Log{Level: "warn", Format: "console"}, cmd.ErrOrStderr()); err != nil {
				return err
			}
			s.Config.Progress = progressOn(cmd.ErrOrStderr())
			report, err := bench.ReadReport(dir)
			if err != nil {
				return err
			}
			began := time.Now()
			return s.Run(cmd.Context(), report, func() error {
				fmt.Fprintf(cmd.ErrOrStderr(), "%v: another measurement is in %s\n", time.Since(began).Round(time.Second), page) //nolint:errcheck // what cannot be said is not said
				return report.Write(dir, page)
			})
		},
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&s.Config.Brokers, "brokers", nil, "`HOST:PORT` of some brokers (default: an embedded one)")
	flags.Float64Var(&s.Scale, "scale", s.Scale, "of the numbers of events: 1 for ten million in the backlog, two in the ratios")
	flags.IntVar(&s.Repeats, "repeats", s.Repeats, "of the ratios")
	flags.StringSliceVar(&s.Only, "only", nil, "parts to measure: "+strings.Join(bench.Sections(), ", ")+" (default: all)")
	flags.DurationVar(&s.Config.Duration, "duration", s.Config.Duration, "longest time for each measurement")
	flags.StringVar(&dir, "dir", dir, "where the figures and plots are")
	flags.StringVar(&page, "page", page, "the page with the tables")
	return cmd
}
