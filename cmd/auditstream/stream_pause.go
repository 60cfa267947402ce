package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/auditstream/auditstream/admin"
)

func newStreamPause() *cobra.Command {
	var f controlFlags
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
			return d.do(cmd, &f, args[0], func(ctx context.Context, s admin.Service, change admin.Change) (string, *admin.Stream, error) {
				now, err := s.PauseStream(ctx, args[0], change)
				if err != nil || written(now) || now.Hold == nil {
					return "paused", now, err
				}
				return fmt.Sprintf("%s already, %s", *now.Hold, timeText(&now.Hold.At)), now, nil
			})
		},
		ValidArgsFunction: f.complete,
	}
	f.add(cmd)
	d.add(cmd)
	return cmd
}

func newStreamResume() *cobra.Command {
	var f controlFlags
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
			return d.do(cmd, &f, args[0], func(ctx context.Context, s admin.Service, change admin.Change) (string, *admin.Stream, error) {
				now, err := s.ResumeStream(ctx, args[0], change)
				if err != nil || written(now) {
					return "resumed", now, err
				}
				return "not paused", now, nil
			})
		},
		ValidArgsFunction: f.complete,
	}
	f.add(cmd)
	d.add(cmd)
	return cmd
}

// pausedText says who paused a stream.
func pausedText(s *admin.Stream) string {
	switch {
	case s.Hold != nil && s.Paused:
		return fmt.Sprintf("%s %s; and by its owner, %s", timeText(&s.Hold.At), s.Hold, s.Owner)
	case s.Hold != nil:
		return fmt.Sprintf("%s %s", timeText(&s.Hold.At), s.Hold)
	}
	return "by its owner, " + s.Owner
}
