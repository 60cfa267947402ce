package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/auditstream/auditstream/admin"
)

func newStreamDelete() *cobra.Command {
	var f controlFlags
	var d deedFlags
	var drain, drop, yes bool
	cmd := &cobra.Command{
		Use:   "delete --config FILE STREAM (--drain | --drop)",
		Short: "End a stream, with or without what waits",
		Long: `End a stream.

  --drain  what was published before is still delivered, then the stream is deleted; until
           then "auditstream stream list" shows it as draining
  --drop   it is deleted at once; what it has not delivered never will be

A stream that a configuration file lists stays deleted when delivery starts again with that
file, which is logged. Take it out of the file; listed again after a start without it, it is
made anew, as another stream with another cursor. (A stream that is taken out of the file
without this command is dropped.)

Asks before it does so on a terminal; elsewhere --yes is needed.

` + deedExitCodes,
		Example: `  auditstream stream delete --config auditstream.yaml --drain --reason "contract ended" --yes acme-splunk`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if drain == drop {
				return usageError(errors.New("say what becomes of what waits: --drain or --drop"))
			}
			if _, err := d.check(cmd, &f); err != nil {
				return err
			}
			if !yes && !interactive(cmd) {
				return usageError(errors.New("without a terminal to ask on, --yes is needed"))
			}
			return d.do(cmd, &f, args[0], func(ctx context.Context, s admin.Service, change admin.Change) (string, *admin.Stream, error) {
				left, err := waits(ctx, s, args[0])
				if err != nil {
					return "", nil, err
				}
				if !yes {
					question := fmt.Sprintf("Delete the stream %s? %s, and will be delivered first.", args[0], left)
					if drop {
						question = fmt.Sprintf("Delete the stream %s? %s, and will never be delivered.", args[0], left)
					}
					if ok, err := ask(cmd, question); err != nil || !ok {
						return "", nil, errors.Join(err, errors.New("nothing was changed"))
					}
				}
				now, err := s.DeleteStream(ctx, args[0], drain, change)
				switch {
				case err != nil:
					return "", nil, err
				case drop:
					return "deleted; " + left + ", and will never be delivered", now, nil
				case !written(now) && len(now.Changes) > 0:
					c := now.Changes[len(now.Changes)-1]
					return fmt.Sprintf("%s already, %s; %s", c, timeText(&c.At), left), now, nil
				}
				return "is deleted when drained; " + left, now, nil
			})
		},
		ValidArgsFunction: f.complete,
	}
	f.add(cmd)
	d.add(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&drain, "drain", false, "deliver what waits, then delete it")
	flags.BoolVar(&drop, "drop", false, "delete it at once")
	flags.BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

// waits says how many events a stream has not delivered: as they are counted, or, where that
// cannot be done, as its lag says.
func waits(ctx context.Context, s admin.Service, id string) (string, error) {
	passages, err := s.PlanSkip(ctx, id, admin.Target{Now: true, Within: int(countPatience / time.Second)})
	if err == nil {
		var n int64
		more := false
		for _, p := range passages {
			n += p.Skipped
			more = more || p.AtLeast
		}
		return events(n, more) + " events wait", nil
	}
	if errors.Is(err, admin.CodeInvalid.Err()) { // it is being deleted, and is not moved
		if st, err := s.Stream(ctx, id); err == nil {
			return lagText(st.Waiting) + " events wait", nil
		}
	}
	return "", err
}
