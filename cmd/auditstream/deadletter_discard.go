package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/auditstream/auditstream/consumer/deadletter"
)

func newDeadletterDiscard() *cobra.Command {
	var f deadletterFlags
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
			if err := errors.Join(worthKeeping("--reason", reason), worthKeeping("--by", by)); err != nil {
				return usageError(err)
			}
			return f.with(cmd.Context(), by, func(t *deadletter.Topic) error {
				return discard(cmd.Context(), t, at, reason, cmd.OutOrStdout())
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

func discard(ctx context.Context, t *deadletter.Topic, at []deadletter.Position, reason string, out io.Writer) error {
	letters, err := lookUp(ctx, t, at)
	if err != nil {
		return err
	}
	standings, err := t.Standings(ctx, letters...)
	if err != nil {
		return err
	}
	var open []*deadletter.Letter
	var done []string
	var errs []error
	for _, l := range letters {
		switch s := standings[l.ID]; s.State {
		case deadletter.Open:
			open = append(open, l)
		case deadletter.Discarded:
			done = append(done, fmt.Sprintf("%s was discarded before", l.Position))
		case deadletter.Redriven:
			m := s.Marks[len(s.Marks)-1]
			errs = append(errs, fmt.Errorf("%s was redriven %s by %s", l.Position, m.At.Format("2006-01-02 15:04:05Z07:00"), printable(m.By)))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("nothing was discarded: %w", err)
	}
	if err := t.Mark(ctx, deadletter.Discarded, reason, open...); err != nil {
		return err
	}
	for _, l := range open {
		done = append(done, fmt.Sprintf("%s discarded", l.Position))
	}
	_, err = fmt.Fprintln(out, strings.Join(done, "\n"))
	return err
}

// lookUp reads the letters, each once however many positions it has, and keeps of them
// what a mark needs. The error names every position without one.
func lookUp(ctx context.Context, t *deadletter.Topic, at []deadletter.Position) ([]*deadletter.Letter, error) {
	var letters []*deadletter.Letter
	known := map[string]bool{}
	err := t.Letters(ctx, at, func(l *deadletter.Letter) {
		if !known[l.ID] {
			known[l.ID] = true
			letters = append(letters, &deadletter.Letter{Position: l.Position, ID: l.ID, Key: bytes.Clone(l.Key)})
		}
	})
	if err != nil {
		return nil, fmt.Errorf("nothing was discarded: %w", err)
	}
	return letters, nil
}
