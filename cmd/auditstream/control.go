package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/admin/client"
	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/internal/app"
	"github.com/auditstream/auditstream/internal/secret"
)

// controlFlags are those of commands that ask the control plane: on Kafka directly, or a
// server of the API. What they do is the same code on an [admin.Service] either way.
type controlFlags struct {
	clusterFlags
	server    string
	tokenFile string
	handOver  bool        // jobs are made for the processes that serve the API
	log       *zap.Logger // for what a control plane on Kafka has to say; nil: it says nothing
	traced    bool        // what the command sends itself is traced, if the environment says so
}

// What the environment says in place of flags.
const (
	envServer = "AUDITSTREAM_SERVER"
	envToken  = "AUDITSTREAM_TOKEN"
)

func (f *controlFlags) add(cmd *cobra.Command) {
	f.clusterFlags.add(cmd)
	delete(cmd.Flags().Lookup("config").Annotations, cobra.BashCompOneRequiredFlag) // a server needs none
	cmd.Flags().StringVar(&f.server, "server", os.Getenv(envServer), "`URL` of a server of the API, to be asked in place of Kafka ($"+envServer+")")
	cmd.Flags().StringVar(&f.tokenFile, "token-file", "", "`FILE` with the token for --server (default: what $"+envToken+" holds)")
}

// asksServer says whether a server is asked. A configuration that is given counts more than a
// server that the environment names.
func (f *controlFlags) asksServer() bool {
	return f.server != "" && (f.config == "" || f.server != os.Getenv(envServer))
}

// asks is how a command line says whom to ask, to be shown in another one.
func (f *controlFlags) asks() string {
	switch {
	case !f.asksServer():
		return " --config " + f.config
	case f.server != os.Getenv(envServer):
		return " --server " + f.server
	}
	return ""
}

// signs refuses a name for the record where the server puts down whose token it is.
func (f *controlFlags) signs(cmd *cobra.Command, flag string) error {
	if f.asksServer() && cmd.Flags().Changed(flag) {
		return fmt.Errorf("--%s goes with --config: a server puts on record whose token it is", flag)
	}
	return nil
}

// with connects and hands the control plane to do.
func (f *controlFlags) with(ctx context.Context, do func(admin.Service) error) error {
	switch {
	case f.asksServer() && f.config != "":
		return usageError(errors.New("--server and --config exclude each other: the server knows its Kafka"))
	case f.asksServer() && len(f.brokers) > 0:
		return usageError(errors.New("--server and --brokers exclude each other: the server knows its Kafka"))
	case f.asksServer():
		return f.remote(do)
	case f.config == "":
		return usageError(errors.New("say whom to ask: --config FILE asks its Kafka, --server URL a server of the API"))
	}
	log := f.log
	if log == nil {
		log = zap.NewNop()
	}
	return f.operate(ctx, log, func(c *config.Config, o *app.Operator) error {
		config := app.ControlConfig{Operator: o, Config: c, Version: versionString(), Log: log, Local: !f.handOver}
		if f.traced {
			traces, exported, err := app.Traces(ctx, versionString(), log)
			if err != nil {
				return err
			}
			defer exported()
			config.Tracer = app.Tracer(traces)
		}
		control := app.NewControl(config)
		defer control.Close()
		return do(control)
	})
}

// remote hands the server's control plane to do.
func (f *controlFlags) remote(do func(admin.Service) error) error {
	ref := secret.Ref{File: f.tokenFile}
	if f.tokenFile == "" {
		ref = secret.Ref{Env: envToken}
	}
	c, err := client.New(client.Config{URL: f.server, Token: ref.Resolve, UserAgent: "auditstream/" + versionString()})
	if err != nil {
		return usageError(err)
	}
	defer c.Close()
	return do(c)
}
