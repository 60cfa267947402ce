package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/internal/app"
	"github.com/auditstream/auditstream/internal/checkpoints"
)

func newIntegrity() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "integrity",
		Short: "Manage the keys that sign checkpoints of feeds",
		Long: `Manage the keys that sign checkpoints of feeds. The configuration names them under
integrity; see docs/integrity.md.

To replace a key, make a new one, put it under integrity.key and the one that signs now under
integrity.old_key, run "auditstream integrity rotate", and start every process that delivers
with this configuration. Both keys sign until the end that rotate has set; then old_key can go.`,
	}
	cmd.AddCommand(newIntegrityKeygen(), newIntegrityRotate(), newIntegrityKeys())
	return cmd
}

func newIntegrityKeygen() *cobra.Command {
	var name, out string
	cmd := &cobra.Command{
		Use:   "keygen --name NAME --out FILE",
		Short: "Make a key",
		Long: `Make a key, write it to a file that only its owner can read, and print its public key, which
is for those who verify feeds. A file that is there already is never overwritten. Whoever has
the key can sign checkpoints; NAME is in every one of them, and says whose they are.

Exit codes: 0 there it is; 1 it could not be written; 2 wrong arguments.`,
		Example: `  auditstream integrity keygen --name audit.example.com --out /etc/auditstream/integrity-2026`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			secret, public, err := integrity.GenerateKey(name)
			if err != nil {
				return usageError(err)
			}
			if err := writeKey(out, secret); err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), public)
			return err
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "whose key it is: `NAME` as in audit.example.com")
	cmd.Flags().StringVar(&out, "out", "", "`FILE` to write the key to")
	_ = cmd.MarkFlagRequired("name")
	_ = cmd.MarkFlagRequired("out")
	return cmd
}

// writeKey makes the file, for its owner alone, and never touches one that is there.
func writeKey(path, secret string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%s is there already, and a key that is lost cannot be made again: choose another file", path)
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString(secret + "\n")
	return errors.Join(err, f.Sync(), f.Close())
}

func newIntegrityRotate() *cobra.Command {
	var f clusterFlags
	var overlap time.Duration
	cmd := &cobra.Command{
		Use:   "rotate --config FILE",
		Short: "Have a new key take over from the one that signs now",
		Long: `Have integrity.key take over from integrity.old_key: write a statement about it, which both
keys sign, to the topic of checkpoints. Whoever trusts the old key trusts the new one from
now on, and the old one until the overlap has passed; what it signs later nobody believes,
whoever has it then.

The statement is written once. A key that was replaced never comes back.

Exit codes: 0 it is written, or was before; 1 it is not; 2 wrong arguments.`,
		Example: `  auditstream integrity rotate --config auditstream.yaml --overlap 168h`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if overlap < 0 {
				return usageError(fmt.Errorf("--overlap %s is negative", overlap))
			}
			return f.operate(cmd.Context(), zap.NewNop(), func(c *config.Config, o *app.Operator) error {
				st, err := o.RotateIntegrity(cmd.Context(), overlap)
				switch {
				case errors.Is(err, checkpoints.ErrNoKey):
					return usageError(err)
				case errors.Is(err, checkpoints.ErrRotated):
					_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s took over from %s at %s, which signs until %s\n", st.New, st.Old, shortTime(st.Time), shortTime(st.Until))
					return err
				case err != nil:
					return err
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s takes over from %s, which signs until %s: start every process that delivers with this configuration by then\n", st.New, st.Old, shortTime(st.Until))
				return err
			})
		},
	}
	f.add(cmd)
	cmd.Flags().DurationVar(&overlap, "overlap", 7*24*time.Hour, "how long the old key signs too")
	return cmd
}

func shortTime(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func newIntegrityKeys() *cobra.Command {
	var f clusterFlags
	output := outputTable
	cmd := &cobra.Command{
		Use:   "keys --config FILE",
		Short: "Print the public keys, and when each was in force",
		Long: `Print the public keys that sign, or have signed, checkpoints, and when each was in force, as
the topic of checkpoints has it. -o json is what /.well-known/auditstream/keys serves, with
the signed statements by which keys have replaced each other: those who verify need them.

Exit codes: 0 there they are; 1 Kafka does not answer; 2 wrong arguments.`,
		Example: `  auditstream integrity keys --config auditstream.yaml -o json > keys.json`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			return f.operate(cmd.Context(), zap.NewNop(), func(_ *config.Config, o *app.Operator) error {
				known, err := o.IntegrityKeys(cmd.Context())
				if err != nil {
					return err
				}
				return printIntegrityKeys(cmd.OutOrStdout(), known, output)
			})
		},
	}
	f.add(cmd)
	addOutput(cmd, &output)
	return cmd
}

func printIntegrityKeys(out io.Writer, known integrity.Published, output string) error {
	switch output {
	case outputJSON:
		return printJSON(out, known)
	case outputYAML:
		return printYAML(out, known)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "KEY\tFROM\tUNTIL") //nolint:errcheck // Flush tells
	for _, k := range known.Keys {
		from, until := "the beginning", "-"
		if k.From != nil {
			from = shortTime(*k.From)
		}
		if k.Until != nil {
			until = shortTime(*k.Until)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", k.Key, from, until) //nolint:errcheck // as above
	}
	return w.Flush()
}
