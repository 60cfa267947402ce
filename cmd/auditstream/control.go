package main

import (
	"cmp"
	"context"
	"errors"
	"os"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/admin/client"
	"github.com/auditstream/auditstream/internal/app"
	"github.com/auditstream/auditstream/internal/secret"
)

// controlFlags are those of commands that ask the control plane: on Kafka directly, or a
// server of the API.
type controlFlags struct {
	streamFlags
	server    string
	tokenFile string
}

// What the environment says in place of flags.
const (
	envServer = "AUDITSTREAM_SERVER"
	envToken  = "AUDITSTREAM_TOKEN"
)

func (f *controlFlags) add(cmd *cobra.Command) {
	f.streamFlags.add(cmd)
	delete(cmd.Flags().Lookup("config").Annotations, cobra.BashCompOneRequiredFlag) // a server needs none
	cmd.Flags().StringVar(&f.server, "server", os.Getenv(envServer), "`URL` of a server of the API, to be asked in place of Kafka ($"+envServer+")")
	cmd.Flags().StringVar(&f.tokenFile, "token-file", "", "`FILE` with the token for --server (default: what $"+envToken+" holds)")
}

// with connects and hands the control plane to do. A configuration that is given counts more
// than a server that the environment names.
func (f *controlFlags) with(ctx context.Context, do func(admin.Service) error) error {
	switch {
	case f.server != "" && (f.config == "" || f.server != os.Getenv(envServer)):
		if f.config != "" {
			return usageError(errors.New("--server and --config exclude each other: the server knows its Kafka"))
		}
		return f.remote(do)
	case f.config == "":
		return usageError(errors.New("say whom to ask: --config FILE asks its Kafka, --server URL a server of the API"))
	}
	c, err := f.load()
	if err != nil {
		return err
	}
	return f.streamFlags.with(ctx, func(o *app.Operator) error {
		control := app.NewControl(app.ControlConfig{Operator: o, Config: c, Version: versionString(), Log: zap.NewNop()})
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

// complete offers the ids of streams for the first argument.
func (f *controlFlags) complete(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 || cmp.Or(f.config, f.server) == "" {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTimeout)
	defer cancel()
	f.timeout = min(f.timeout, time.Second)
	var ids []cobra.Completion
	err := f.with(ctx, func(s admin.Service) error {
		streams, err := s.Streams(ctx)
		for _, st := range streams {
			ids = append(ids, cobra.CompletionWithDesc(st.ID, st.Kind+", "+st.State))
		}
		return err
	})
	if err != nil {
		cobra.CompDebugln(err.Error(), false)
	}
	return ids, cobra.ShellCompDirectiveNoFileComp
}

// completeFlag offers them for a flag.
func (f *controlFlags) completeFlag(cmd *cobra.Command, _ []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return f.complete(cmd, nil, toComplete)
}
