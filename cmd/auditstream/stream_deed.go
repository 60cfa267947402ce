package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/internal/app"
)

// deedExitCodes are those of every command that changes a stream.
const deedExitCodes = `Exit codes: 0 it is so, in every process that delivers; 1 it is not, or not within --wait;
2 wrong arguments.`

// deedFlags are what the commands that change a stream have in common.
type deedFlags struct {
	actor  string
	reason string
	wait   time.Duration
}

func (d *deedFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&d.actor, "actor", whoami(), "`WHO` does it; stays on record")
	flags.StringVar(&d.reason, "reason", "", "why, in words: `TEXT` that stays on record")
	flags.DurationVar(&d.wait, "wait", 10*time.Second, "how long to wait until it is in force in every process; 0: not at all")
}

// maxDeedText bounds actor and reason: a spec keeps several of them.
const maxDeedText = 512

// check refuses what would not be kept, or be kept for nothing.
func (d *deedFlags) check(cmd *cobra.Command) (app.Deed, error) {
	var errs []error
	for flag, text := range map[string]string{"actor": d.actor, "reason": d.reason} {
		switch {
		case strings.TrimSpace(text) == "" && cmd.Flags().Changed(flag):
			errs = append(errs, fmt.Errorf("--%s is empty: whoever looks at the stream later has to know", flag))
		case len(text) > maxDeedText:
			errs = append(errs, fmt.Errorf("--%s has %d bytes; at most %d are kept", flag, len(text), maxDeedText))
		}
	}
	if d.wait < 0 {
		errs = append(errs, fmt.Errorf("--wait %s is no time to wait", d.wait))
	}
	if err := errors.Join(errs...); err != nil {
		return app.Deed{}, usageError(err)
	}
	return app.Deed{By: d.actor, Reason: d.reason}, nil
}

// do has act change a stream, says what it says of it, and waits until that is in force.
func (d *deedFlags) do(cmd *cobra.Command, f *streamFlags, id string, act func(context.Context, *app.Operator, app.Deed) (string, app.Done, error)) error {
	deed, err := d.check(cmd)
	if err != nil {
		return err
	}
	return f.with(cmd.Context(), func(o *app.Operator) error {
		what, done, err := act(cmd.Context(), o, deed)
		if err != nil {
			return err
		}
		if !done.Written {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", id, printable(what))
			return err
		}
		return d.report(cmd, o, what, done.Spec)
	})
}

// report waits until the change is in force and says so.
func (d *deedFlags) report(cmd *cobra.Command, o *app.Operator, what string, s consumer.Spec) error {
	out := cmd.OutOrStdout()
	reach, err := d.await(cmd.Context(), o, s)
	switch {
	case err != nil:
		return fmt.Errorf("%s is %s; whether that is in force cannot be told: %w", s.ID, what, err)
	case reach.Members == 0:
		_, err = fmt.Fprintf(out, "%s: %s; no process delivers %s streams now, it holds when one starts\n", s.ID, what, s.Kind)
	case everywhere(reach):
		_, err = fmt.Fprintf(out, "%s: %s; in force in all %d partitions\n", s.ID, what, reach.Owned)
	case d.wait == 0:
		_, err = fmt.Fprintf(out, "%s: %s; in force in %d of %d partitions yet\n", s.ID, what, reach.InForce, reach.Owned)
	default:
		return fmt.Errorf("%s: %s; after %s in force in %d of %d partitions: the processes there are stuck, or older ones that cannot read the change (see their logs)",
			s.ID, what, d.wait, reach.InForce, reach.Owned)
	}
	return err
}

// everywhere says whether every partition has an owner that has taken a change over, as far
// as can be told while partitions move.
func everywhere(r consumer.Reach) bool { return r.Owned > 0 && r.InForce == r.Owned }

// reachPause is the wait between two looks at how far a change is in force.
const reachPause = 100 * time.Millisecond

func (d *deedFlags) await(ctx context.Context, o *app.Operator, s consumer.Spec) (consumer.Reach, error) {
	deadline := time.Now().Add(d.wait)
	for {
		r, err := o.Reach(ctx, s)
		if err != nil || r.Members == 0 || everywhere(r) || !time.Now().Before(deadline) {
			return r, err
		}
		again := time.NewTimer(reachPause)
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return r, ctx.Err()
		}
	}
}
