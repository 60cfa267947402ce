package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/internal/units"
)

func newStreamApply() *cobra.Command {
	var f controlFlags
	var p planning
	var d deedFlags
	var yes bool
	cmd := &cobra.Command{
		Use:   "apply --config FILE STREAMS",
		Short: "Make the streams as a file says",
		Long: `Make streams over the API, and change those that are other than a file of streams says.
What would be done is shown first, as by "auditstream stream plan", and asked about on a
terminal; elsewhere --yes is needed.

Each stream is changed only if it is still as it was shown: one that somebody else changes
meanwhile is left to him, and told. A stream that is as it should be is not touched. Streams
of a configuration file are changed in that file.

` + streamsFile + `

` + deedExitCodes,
		Example: `  auditstream stream apply --config auditstream.yaml streams.yaml
  auditstream stream apply --config auditstream.yaml --prune --drain --reason "OPS-812" --yes streams.yaml`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			change, err := d.check(cmd, &f)
			if err != nil {
				return err
			}
			if err := p.check(); err != nil {
				return usageError(err)
			}
			if !yes && !interactive(cmd) {
				return usageError(errors.New("without a terminal to ask on, --yes is needed (see first what it does: auditstream stream plan)"))
			}
			streams, err := readStreams(cmd, args[0])
			if err != nil {
				return err
			}
			return f.with(cmd.Context(), func(s admin.Service) error {
				plans, err := p.plan(cmd.Context(), s, streams)
				if err == nil {
					err = plans.print(cmd.OutOrStdout(), outputTable)
				}
				if err != nil || !plans.differ() {
					return err
				}
				if !yes {
					if ok, err := ask(cmd, "Apply this ("+plans.summary()+")?"); err != nil || !ok {
						return errors.Join(err, errors.New("nothing was changed"))
					}
				}
				return p.apply(cmd.Context(), s, streams, plans, change, cmd.OutOrStdout())
			})
		},
	}
	f.add(cmd)
	p.add(cmd)
	d.add(cmd)
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

// apply does what was planned, stream by stream. One that fails does not keep the others from
// being applied.
func (p *planning) apply(ctx context.Context, s admin.Service, streams []declared, plans *planned, change admin.Change, out io.Writer) error {
	fmt.Fprintln(out) //nolint:errcheck // the next line tells
	var errs []error
	note := func(id, what string, now *admin.Stream, err error) {
		if err == nil {
			var force string
			if force, err = forceText(now, change); err == nil {
				_, err = fmt.Fprintf(out, "%s: %s; %s\n", id, what, force)
			}
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: not %s: %w", id, strings.TrimPrefix(what, "is "), err))
		}
	}
	for i, plan := range plans.Streams {
		c := change
		c.If = plan.Version
		switch plan.Action {
		case "create":
			now, err := s.CreateStream(ctx, streams[i].draft, c)
			note(plan.ID, "made", now, err)
		case "update":
			now, err := s.UpdateStream(ctx, plan.ID, streams[i].draft, c)
			note(plan.ID, "changed", now, err)
		}
	}
	for _, d := range plans.Deletions {
		c := change
		c.If = d.Version
		now, err := s.DeleteStream(ctx, d.ID, p.drain, c)
		what := "deleted"
		if p.drain {
			what = "is deleted when drained"
		}
		note(d.ID, what, now, err)
	}
	return errors.Join(errs...)
}

// forceText says how far a change is in force. That it is not, after the time that there was
// to wait, is an error.
func forceText(now *admin.Stream, change admin.Change) (string, error) {
	o := now.Outcome
	switch {
	case o == nil || o.Members == 0:
		return fmt.Sprintf("no process delivers %s streams now, it holds when one starts", now.Kind), nil
	case o.Owned == 1 && o.InForce == 1:
		return "in force in the one partition", nil
	case o.Owned > 0 && o.InForce == o.Owned:
		return fmt.Sprintf("in force in all %d partitions", o.Owned), nil
	case change.Wait == 0:
		return fmt.Sprintf("in force in %d of %s yet", o.InForce, units.Count(o.Owned, "partition", "partitions")), nil
	}
	return "", fmt.Errorf("after %s in force in %d of %s: the processes there are stuck, or older ones that cannot read the change (see their logs)", change.Wait, o.InForce, units.Count(o.Owned, "partition", "partitions"))
}
