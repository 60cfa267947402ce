package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/internal/app"
	"github.com/auditstream/auditstream/sinks/all"
)

func newServe() *cobra.Command {
	serve := &cobra.Command{
		Use:   "serve",
		Short: "Run a part of auditstream until it is told to stop",
	}
	serve.AddCommand(newServeDeliver())
	return serve
}

func newServeDeliver() *cobra.Command {
	var file, profile string
	var kinds []string
	cmd := &cobra.Command{
		Use:   "deliver --config FILE",
		Short: "Deliver the streams to their destinations",
		Long: `Deliver the streams to their destinations.

It waits for Kafka, makes or checks the topics, applies the streams of the file, and
delivers until SIGINT or SIGTERM; then it finishes or abandons what is under way, saves
its progress and leaves its consumer groups. Run as many as you like: the processes share
the partitions. With --kinds, each kind of destination can be run, and scaled, apart.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, kind := range kinds {
				if !slices.Contains(app.Kinds(), kind) {
					return usageError(fmt.Errorf("--kinds: %q is unknown; there are: %s", kind, strings.Join(app.Kinds(), ", ")))
				}
			}
			cfg, err := config.Load(file, all.Kinds())
			if err != nil {
				return usageError(err)
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
	cmd.Flags().StringVar(&profile, "cpu-profile", "", "")
	_ = cmd.Flags().MarkHidden("cpu-profile")
	_ = cmd.MarkFlagRequired("config")
	return cmd
}
