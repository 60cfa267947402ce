package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/auditstream/auditstream/admin"
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
	d.sign(cmd)
	cmd.Flags().DurationVar(&d.wait, "wait", 10*time.Second, "how long to wait until it is in force in every process; 0: not at all")
}

// sign adds who, and why.
func (d *deedFlags) sign(cmd *cobra.Command) {
	cmd.Flags().StringVar(&d.actor, "actor", whoami(), "`WHO` does it; stays on record")
	cmd.Flags().StringVar(&d.reason, "reason", "", "why, in words: `TEXT` that stays on record")
}

// maxDeedText bounds actor and reason: a spec keeps several of them.
const maxDeedText = 512

// check refuses what would not be kept, or be kept for nothing.
func (d *deedFlags) check(cmd *cobra.Command, f *controlFlags) (admin.Change, error) {
	errs := []error{f.signs(cmd, "actor")}
	for _, kept := range []struct{ flag, text string }{{"actor", d.actor}, {"reason", d.reason}} {
		switch {
		case strings.TrimSpace(kept.text) == "" && cmd.Flags().Changed(kept.flag):
			errs = append(errs, fmt.Errorf("--%s is empty: whoever looks at it later has to know", kept.flag))
		case len(kept.text) > maxDeedText:
			errs = append(errs, fmt.Errorf("--%s has %d bytes; at most %d are kept", kept.flag, len(kept.text), maxDeedText))
		}
	}
	switch {
	case d.wait < 0:
		errs = append(errs, fmt.Errorf("--wait %s is no time to wait", d.wait))
	case d.wait > maxServerWait && f.asksServer():
		errs = append(errs, fmt.Errorf("--wait %s is more than the %s that a server waits", d.wait, maxServerWait))
	}
	if err := errors.Join(errs...); err != nil {
		return admin.Change{}, usageError(err)
	}
	return admin.Change{By: d.actor, Reason: d.reason, Wait: d.wait}, nil
}

// maxServerWait is how long a server waits for a change to be in force.
const maxServerWait = time.Minute

// do has act change a stream, says what it says of it, and how far that is in force.
func (d *deedFlags) do(cmd *cobra.Command, f *controlFlags, id string, act func(context.Context, admin.Service, admin.Change) (string, *admin.Stream, error)) error {
	change, err := d.check(cmd, f)
	if err != nil {
		return err
	}
	return f.with(cmd.Context(), func(s admin.Service) error {
		what, now, err := act(cmd.Context(), s, change)
		if err != nil {
			return err
		}
		return reportDeed(cmd, id, what, now, change)
	})
}

// reportDeed says what was done to a stream, and how far it is in force.
func reportDeed(cmd *cobra.Command, id, what string, now *admin.Stream, change admin.Change) error {
	if written(now) {
		force, err := forceText(now, change)
		if err != nil {
			return fmt.Errorf("%s: %s; %w", id, what, err)
		}
		what += "; " + force
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", id, printable(what))
	return err
}

// written says whether a change has changed anything.
func written(now *admin.Stream) bool { return now.Outcome == nil || now.Outcome.Written }
