package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/internal/app"
)

func newStreamPause() *cobra.Command {
	var f streamFlags
	var d deedFlags
	cmd := &cobra.Command{
		Use:   "pause --config FILE STREAM",
		Short: "Hold a stream where it stands",
		Long: `Hold a stream where it stands. The cursor stays and events wait in Kafka; what is
under way ends. Within a second it is in force in every process, which the command waits for.

A pause is an act of operation and no setting: it outlives restarts, also with a
configuration file that says nothing of it, until "auditstream stream resume". Who paused
the stream, when and why stays on record. A paused stream's events still expire in Kafka:
delivery warns, and puts them into the dead letters before they do.

` + deedExitCodes,
		Example: `  auditstream stream pause --config auditstream.yaml --reason "index is being moved, OPS-812" acme-splunk`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return d.do(cmd, &f, args[0], func(ctx context.Context, o *app.Operator, deed app.Deed) (string, app.Done, error) {
				done, err := o.Pause(ctx, args[0], deed)
				if err != nil || done.Written {
					return "paused", done, err
				}
				return fmt.Sprintf("%s already, %s", *done.Spec.Hold, timeText(&done.Spec.Hold.At)), done, nil
			})
		},
		ValidArgsFunction: f.complete,
	}
	f.add(cmd)
	d.add(cmd)
	return cmd
}

func newStreamResume() *cobra.Command {
	var f streamFlags
	var d deedFlags
	cmd := &cobra.Command{
		Use:   "resume --config FILE STREAM",
		Short: "Let a paused stream go on where it stands",
		Long: `Let a stream that an operator paused go on where it stands. What came meanwhile is read
from Kafka, in order.

A stream that its configuration file pauses is not resumed: what the file says is changed
in the file.

` + deedExitCodes,
		Example: `  auditstream stream resume --config auditstream.yaml --reason "index is there" acme-splunk`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return d.do(cmd, &f, args[0], func(ctx context.Context, o *app.Operator, deed app.Deed) (string, app.Done, error) {
				done, err := o.Resume(ctx, args[0], deed)
				if paused, ok := errors.AsType[*app.PausedError](err); ok {
					err = fmt.Errorf("stream %q is not resumed: %w", args[0], paused)
				}
				if err != nil || done.Written {
					return "resumed", done, err
				}
				return "not paused", done, nil
			})
		},
		ValidArgsFunction: f.complete,
	}
	f.add(cmd)
	d.add(cmd)
	return cmd
}

// pausedText says who paused a stream.
func pausedText(s consumer.Spec) string {
	switch {
	case s.Hold != nil && s.State == consumer.SpecPaused:
		return fmt.Sprintf("%s %s; and by its owner, %s", timeText(&s.Hold.At), s.Hold, s.Owner)
	case s.Hold != nil:
		return fmt.Sprintf("%s %s", timeText(&s.Hold.At), s.Hold)
	}
	return "by its owner, " + s.Owner
}
