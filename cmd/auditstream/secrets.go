package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/internal/app"
	"github.com/auditstream/auditstream/internal/seal"
	"github.com/auditstream/auditstream/internal/units"
)

func newSecrets() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "secrets",
		Short: "Manage the keys that seal secrets and sign streams",
		Long: `Manage the keys that seal the secrets of streams that are made over the API, and sign the
records of all streams. The keys themselves are named in the configuration, under secrets.

A new key is put behind the old one in the configuration of every process, and in front of it
once all have been started again; then "auditstream secrets rotate" writes with the new key what the old one has
written, and the old one can be taken away once "auditstream secrets status" says that
nothing is left of it.`,
	}
	cmd.AddCommand(newSecretsKeygen(), newSecretsRotate(), newSecretsStatus())
	return cmd
}

func newSecretsKeygen() *cobra.Command {
	return &cobra.Command{
		Use:   "keygen",
		Short: "Make a key",
		Long: `Make a key and print it, for a file that only auditstream can read, or for a store of
secrets. Whoever has it can read every secret that was sealed with it, and sign streams.

Exit codes: 0 there it is; 2 wrong arguments.`,
		Example: `  (umask 077; auditstream secrets keygen > /etc/auditstream/seal-2026-11)`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), seal.NewKey())
			return err
		},
	}
}

func newSecretsStatus() *cobra.Command {
	var f clusterFlags
	output := outputTable
	cmd := &cobra.Command{
		Use:   "status --config FILE",
		Short: "Say what each key is used for",
		Long: `Say what each key is used for: how many streams' records it signs, those that are deleted
among them, and how many of their secrets it seals. A key of which nothing is left can be
taken out of the configuration.

Exit codes: 0 everything is sealed and signed with the first key; 1 not everything is, or
Kafka does not answer; 2 wrong arguments.`,
		Example: `  auditstream secrets status --config auditstream.yaml`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			var uses []app.KeyUse
			if err := f.operate(cmd.Context(), zap.NewNop(), func(_ *config.Config, o *app.Operator) error {
				var err error
				uses, err = o.Keys(cmd.Context())
				return err
			}); err != nil {
				return err
			}
			if err := printKeys(cmd.OutOrStdout(), uses, output); err != nil {
				return err
			}
			for _, u := range uses {
				if !u.First && u.Records+u.Secrets > 0 {
					return &exitError{exitFailed, nil}
				}
			}
			return nil
		},
	}
	f.add(cmd)
	addOutput(cmd, &output)
	return cmd
}

func printKeys(out io.Writer, uses []app.KeyUse, output string) error {
	switch output {
	case outputJSON:
		return printJSON(out, map[string]any{"keys": uses})
	case outputYAML:
		return printYAML(out, map[string]any{"keys": uses})
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "KEY\tUSE\tSIGNED STREAMS\tSEALED SECRETS") //nolint:errcheck // Flush tells
	for _, u := range uses {
		name, use := u.Key, "opens and verifies"
		switch {
		case u.Key == "":
			name, use = "none", "not signed"
		case u.First:
			use = "seals and signs"
		case !u.Known:
			use = "not in the configuration"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", name, use, strconv.Itoa(u.Records), strconv.Itoa(u.Secrets)) //nolint:errcheck // as above
	}
	return w.Flush()
}

func newSecretsRotate() *cobra.Command {
	var f clusterFlags
	var adopt bool
	cmd := &cobra.Command{
		Use:   "rotate --config FILE",
		Short: "Seal and sign with the first key what another one did",
		Long: `Seal and sign with the first key of the configuration what was sealed and signed with
another one. No stream changes: delivery goes on as it is. Interrupted, it is called another
time, and does the rest.

With --adopt it signs the records first that nobody signed. That is for the day on which an
installation gets its first key: whoever does it vouches for the streams that are on record.
Without it, such streams are held where they stand.

Exit codes: 0 done; 1 not done, or not all of it; 2 wrong arguments.`,
		Example: `  auditstream secrets rotate --config auditstream.yaml`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.operate(cmd.Context(), zap.NewNop(), func(_ *config.Config, o *app.Operator) error {
				return rotate(cmd.Context(), o, adopt, cmd.OutOrStdout(), cmd.ErrOrStderr())
			})
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&adopt, "adopt", false, "sign what nobody signed, as it is")
	return cmd
}

func rotate(ctx context.Context, o *app.Operator, adopt bool, out, messages io.Writer) error {
	if adopt {
		n, err := o.Adopt(ctx)
		if errors.Is(err, seal.ErrNoKeys) {
			return usageError(err)
		}
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(out, "%s signed that nobody had signed\n", units.Count(n, "stream", "streams")); err != nil {
			return err
		}
	}
	done, err := o.Rotate(ctx, func(r app.Rotated) {
		fmt.Fprintf(messages, "%s so far\n", units.Count(r.Records, "record", "records")) //nolint:errcheck // there is nowhere else to tell
	})
	if errors.Is(err, seal.ErrNoKeys) {
		return usageError(err)
	}
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(out, "%s signed and %s sealed with the first key\n", units.Count(done.Records, "stream", "streams"), units.Count(done.Secrets, "secret", "secrets")); err != nil {
		return err
	}
	if done.Left > 0 {
		return fmt.Errorf("%s no effect, and were left as they are: see auditstream stream list", units.Count(done.Left, "stream's last records have", "streams' last records have"))
	}
	return nil
}
