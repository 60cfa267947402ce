package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/auditstream/auditstream/internal/app"
)

func newStreamDelete() *cobra.Command {
	var f streamFlags
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
			if _, err := d.check(cmd); err != nil {
				return err
			}
			if !yes && !interactive(cmd) {
				return usageError(errors.New("without a terminal to ask on, --yes is needed"))
			}
			return d.do(cmd, &f, args[0], func(ctx context.Context, o *app.Operator, deed app.Deed) (string, app.Done, error) {
				st, err := o.Get(ctx, args[0])
				if err != nil {
					return "", app.Done{}, err
				}
				n, more, err := o.Undelivered(ctx, st, countPatience)
				if err != nil {
					return "", app.Done{}, err
				}
				left := events(n, more) + " events wait"
				if !yes {
					question := fmt.Sprintf("Delete the stream %s? %s, and will be delivered first.", args[0], left)
					if drop {
						question = fmt.Sprintf("Delete the stream %s? %s, and will never be delivered.", args[0], left)
					}
					if ok, err := ask(cmd, question); err != nil || !ok {
						return "", app.Done{}, errors.Join(err, errors.New("nothing was changed"))
					}
				}
				if drop {
					done, err := o.Drop(ctx, args[0], deed)
					return "deleted; " + left + ", and will never be delivered", done, err
				}
				done, err := o.Drain(ctx, args[0], deed)
				if paused, ok := errors.AsType[*app.PausedError](err); ok {
					err = fmt.Errorf("stream %q would never be drained: %w; or drop it", args[0], paused)
				}
				if err == nil && !done.Written {
					c := done.Spec.Removed
					return fmt.Sprintf("%s already, %s; %s", c, timeText(&c.At), left), done, nil
				}
				return "is deleted when drained; " + left, done, err
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
