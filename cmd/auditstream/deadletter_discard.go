package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/consumer/deadletter"
)

func newDeadletterDiscard() *cobra.Command {
	var f controlFlags
	var reason, by string
	cmd := &cobra.Command{
		Use:   "discard --config FILE --reason TEXT PARTITION:OFFSET…",
		Short: "Decide that dead letters are not to be delivered",
		Long: `Decide that dead letters are not to be delivered.

Each letter gets a mark with the reason, the time and who decided; nothing is deleted. All
letters are looked up before the first is marked: if one is not there, or was redriven,
none is. A letter that was discarded before stays as it is.

Exit codes: 0 all are discarded, 1 they are not, or not all, 2 wrong arguments.`,
		Example: `  auditstream deadletter discard --config auditstream.yaml --reason "load test, see OPS-812" 3:41 3:42
  auditstream deadletter list --config auditstream.yaml --stream load-test -o json | jq -r .position |
    xargs auditstream deadletter discard --config auditstream.yaml --reason "load test"`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: f.completeLetters,
		RunE: func(cmd *cobra.Command, args []string) error {
			at, err := positions(args)
			if err != nil {
				return usageError(err)
			}
			if err := errors.Join(worthKeeping("--reason", reason), worthKeeping("--by", by), f.signs(cmd, "by")); err != nil {
				return usageError(err)
			}
			return f.with(cmd.Context(), func(s admin.Service) error {
				done, err := s.DiscardDeadLetters(cmd.Context(), at, admin.Change{By: by, Reason: reason})
				if err != nil {
					return err
				}
				return printDiscarded(cmd.OutOrStdout(), done)
			})
		},
	}
	f.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&reason, "reason", "", "why, in words: `TEXT` that stays with the letter")
	flags.StringVar(&by, "by", whoami(), "`WHO` decided")
	_ = cmd.MarkFlagRequired("reason")
	return cmd
}

// worthKeeping refuses what a mark would not hold, or would hold for nothing.
func worthKeeping(flag, text string) error {
	if strings.TrimSpace(text) == "" {
		return fmt.Errorf("%s is empty: whoever looks at the letter later has to know", flag)
	}
	if len(text) > deadletter.MaxReason {
		return fmt.Errorf("%s has %d bytes; at most %d are kept", flag, len(text), deadletter.MaxReason)
	}
	return nil
}

func printDiscarded(out io.Writer, done *admin.Discarded) error {
	var lines []string
	for _, at := range done.Before {
		lines = append(lines, fmt.Sprintf("%s was discarded before", at))
	}
	for _, at := range done.Discarded {
		lines = append(lines, fmt.Sprintf("%s discarded", at))
	}
	_, err := fmt.Fprintln(out, strings.Join(lines, "\n"))
	return err
}
