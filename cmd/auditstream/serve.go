package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/internal/app"
	"github.com/auditstream/auditstream/sinks/all"
)

func newServe() *cobra.Command {
	serve := &cobra.Command{
		Use:   "serve",
		Short: "Run a part of auditstream until it is told to stop",
	}
	serve.AddCommand(newServeAdmin(), newServeAll(), newServeDeliver(), newServeGateway())
	return serve
}

func newServeDeliver() *cobra.Command {
	var file, profile string
	var kinds []string
	var at observeFlag
	cmd := &cobra.Command{
		Use:   "deliver --config FILE",
		Short: "Deliver the streams to their destinations",
		Long: `Deliver the streams to their destinations.

It waits for Kafka, makes or checks the topics, applies the streams of the file, and
delivers until SIGINT or SIGTERM; then it finishes or abandons what is under way, saves
its progress and leaves its consumer groups. Run as many as you like: the processes share
the partitions. With --kinds, each kind of destination can be run, and scaled, apart.

Exit codes: 0 it was told to stop, 1 it could not begin or go on, 2 wrong arguments or
configuration.`,
		Example: `  auditstream serve deliver --config auditstream.yaml
  auditstream serve deliver --config auditstream.yaml --kinds s3`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkKinds(kinds); err != nil {
				return err
			}
			cfg, err := config.Load(file, all.Kinds())
			if err != nil {
				return usageError(err)
			}
			if err := at.apply(cmd, cfg); err != nil {
				return err
			}
			log, err := newLogger(cfg.Log, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			d := app.Delivery{Config: cfg, Kinds: kinds, Version: versionString(), Log: log}
			return profiled(profile, func() error { return d.Run(cmd.Context()) })
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "configuration `FILE`; see: auditstream validate --reference")
	cmd.Flags().StringSliceVar(&kinds, "kinds", nil, "deliver only these `KINDS` of destination (default: all)")
	at.add(cmd)
	cmd.Flags().StringVar(&profile, "cpu-profile", "", "")
	_ = cmd.Flags().MarkHidden("cpu-profile")
	_ = cmd.MarkFlagRequired("config")
	return cmd
}

// checkKinds refuses what is no kind of destination.
func checkKinds(kinds []string) error {
	for _, kind := range kinds {
		if !slices.Contains(app.Kinds(), kind) {
			return usageError(fmt.Errorf("--kinds: %q is unknown; there are: %s", kind, strings.Join(app.Kinds(), ", ")))
		}
	}
	return nil
}

// served reads the configuration of a process that serves the API, and makes its logger.
func served(cmd *cobra.Command, file string, at *observeFlag) (*config.Config, *zap.Logger, error) {
	cfg, err := config.Load(file, all.Kinds())
	if err != nil {
		return nil, nil, usageError(err)
	}
	if len(cfg.Admin.Tokens) == 0 {
		return nil, nil, usageError(fmt.Errorf("%s lists no token under admin.tokens: nobody could ask anything (auditstream validate --reference says how)", file))
	}
	if err := at.apply(cmd, cfg); err != nil {
		return nil, nil, err
	}
	log, err := newLogger(cfg.Log, cmd.ErrOrStderr())
	return cfg, log, err
}

func newServeAdmin() *cobra.Command {
	var file string
	var at observeFlag
	cmd := &cobra.Command{
		Use:   "admin --config FILE",
		Short: "Serve the API and the console",
		Long: `Serve the API, by which streams are managed, and the console, at admin.listen.

It talks to Kafka alone: it sees and changes the same whichever process delivers. Run as many
as you like; one of them runs the replays and redrives that were started through the API, and
another one goes on with them when it ends. SIGINT or SIGTERM ends it: what is being answered
may finish for five seconds.

/healthz says that it runs, /readyz that Kafka answers. Nobody has to log in for these; for
everything else a token of admin.tokens is needed. See docs/api.md. Metrics, health and
profiles of the process are served on observe.listen; where delivery runs from the same file
on the same machine, give this process another address with --observe.

Exit codes: 0 it was told to stop, 1 it could not begin, 2 wrong arguments or configuration.`,
		Example: `  AUDITSTREAM_OPS_TOKEN=$(openssl rand -hex 32) auditstream serve admin --config auditstream.yaml`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, log, err := served(cmd, file, &at)
			if err != nil {
				return err
			}
			return app.Administration{Config: cfg, Version: versionString(), Log: log}.Run(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "configuration `FILE`; see: auditstream validate --reference")
	at.add(cmd)
	_ = cmd.MarkFlagRequired("config")
	return cmd
}

func newServeGateway() *cobra.Command {
	var file, profile string
	var at observeFlag
	cmd := &cobra.Command{
		Use:   "gateway --config FILE",
		Short: "Take events in over HTTP",
		Long: `Take events in over HTTP, at gateway.listen: the API of WorkOS Audit Logs, so that a client
of theirs works when its base URL is changed.

An event is answered with success when Kafka has it on all in-sync replicas. It listens at
once, also while Kafka is away: it answers 503 then. Run as many as you like. SIGINT or
SIGTERM ends it: what is being answered may finish within gateway.drain_timeout.

/healthz says that it runs, /readyz that Kafka takes events. Nobody needs a key for these; for
everything else one of gateway.keys is needed. See docs/gateway.md.

Exit codes: 0 it was told to stop, 1 it could not begin or go on, 2 wrong arguments or
configuration.`,
		Example: `  AUDITSTREAM_BILLING_KEY=sk_$(openssl rand -hex 32) auditstream serve gateway --config auditstream.yaml`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(file, all.Kinds())
			if err != nil {
				return usageError(err)
			}
			if !cfg.Gateway.TakesEvents() {
				return usageError(fmt.Errorf("%s lists no key under gateway.keys, and no source under gateway.workos: nobody could send anything (auditstream validate --reference says how)", file))
			}
			if err := at.apply(cmd, cfg); err != nil {
				return err
			}
			log, err := newLogger(cfg.Log, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			g := app.Gateway{Config: cfg, Version: versionString(), Log: log}
			return profiled(profile, func() error { return g.Run(cmd.Context()) })
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "configuration `FILE`; see: auditstream validate --reference")
	cmd.Flags().StringVar(&profile, "cpu-profile", "", "")
	_ = cmd.Flags().MarkHidden("cpu-profile") // for auditstream bench
	at.add(cmd)
	_ = cmd.MarkFlagRequired("config")
	return cmd
}

func newServeAll() *cobra.Command {
	var file string
	var kinds []string
	var at observeFlag
	cmd := &cobra.Command{
		Use:   "all --config FILE",
		Short: "Deliver, serve the API and the console, and take events in, in one process",
		Long: `Deliver the streams to their destinations, serve the API and the console and, if the file
lists keys under gateway.keys, take events in over HTTP: what "auditstream serve deliver",
"auditstream serve admin" and "auditstream serve gateway" do, in one process. It ends when one
of them cannot go on.

Exit codes: 0 it was told to stop, 1 it could not begin or go on, 2 wrong arguments or
configuration.`,
		Example: `  auditstream serve all --config auditstream.yaml`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkKinds(kinds); err != nil {
				return err
			}
			cfg, log, err := served(cmd, file, &at)
			if err != nil {
				return err
			}
			d := app.Delivery{Config: cfg, Kinds: kinds, Version: versionString(), Log: log}
			return app.Everything{Delivery: d}.Run(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "configuration `FILE`; see: auditstream validate --reference")
	cmd.Flags().StringSliceVar(&kinds, "kinds", nil, "deliver only these `KINDS` of destination (default: all)")
	at.add(cmd)
	_ = cmd.MarkFlagRequired("config")
	return cmd
}
