package main

import (
	"fmt"
	"net"

	"github.com/spf13/cobra"

	"github.com/auditstream/auditstream/config"
)

// observeFlag is where a process serves its metrics, in place of what the file says: of
// several that run from one file on one machine each needs an address of its own.
type observeFlag struct{ listen string }

const observeName = "observe"

func (f *observeFlag) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.listen, observeName, "", "serve metrics, health and profiles on `HOST:PORT` instead of observe.listen; \"\": nowhere")
}

func (f *observeFlag) apply(cmd *cobra.Command, cfg *config.Config) error {
	if !cmd.Flags().Changed(observeName) {
		return nil
	}
	if f.listen != "" {
		if _, port, err := net.SplitHostPort(f.listen); err != nil || port == "" {
			return usageError(fmt.Errorf("--%s: %q is not HOST:PORT, as in 127.0.0.1:8083", observeName, f.listen))
		}
	}
	cfg.Observe.Listen = f.listen
	return nil
}
