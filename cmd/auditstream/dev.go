package main

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/internal/app"
)

func newDev() *cobra.Command {
	d := app.Dev{}
	level := "warn"
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run everything in one process, to look at it",
		Long: `Run everything in one process, to look at it: an embedded Kafka, the gateway that takes
events in, delivery, and three destinations on loopback (a Splunk HTTP Event Collector, a
Datadog logs intake, an S3 endpoint) that behave as the real ones do. It publishes a sample feed, shows how many
events each stream has delivered, and prints where to look. A second start finds what was
there. Ctrl-C stops it.

DIR/splunk/settings.yaml says what the hosted Splunk is like, also while it runs: switch its
token off, or make its requests small, and watch what auditstream does. docs/operating.md
goes through that.

Exit codes: 0 it was stopped, or with --once everything has arrived; 1 it could not begin, or
with --once not everything has arrived within --timeout; 2 wrong arguments.`,
		Example: `  auditstream dev
  auditstream dev --once --dir /tmp/dev`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if d.Timeout <= 0 {
				return usageError(fmt.Errorf("--timeout %s is no time to wait", d.Timeout))
			}
			log, err := newLogger(config.Log{Level: level, Format: "console"}, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			d.Out, d.Log, d.Version = cmd.OutOrStdout(), log, versionString()
			d.Terminal = term.IsTerminal(int(os.Stdout.Fd())) && os.Getenv("TERM") != "dumb"
			return d.Run(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&d.Dir, "dir", "data/dev", "`DIR` that keeps everything")
	cmd.Flags().BoolVar(&d.Once, "once", false, "end as soon as the sample feed has arrived in all destinations")
	cmd.Flags().DurationVar(&d.Timeout, "timeout", time.Minute, "with --once: give up after this")
	cmd.Flags().StringVar(&level, "log-level", level, "debug, info, warn or error")
	return cmd
}
