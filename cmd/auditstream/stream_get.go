package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/internal/app"
)

func newStreamGet() *cobra.Command {
	var f streamFlags
	var output string
	cmd := &cobra.Command{
		Use:   "get --config FILE STREAM",
		Short: "Show where one stream stands, partition by partition",
		Long: `Show where one stream stands, partition by partition.

CURSOR is the first offset that is not settled: not delivered, filtered out, or in the dead
letters. LAG is the number of offsets from there to END, an upper bound of the events that
wait. A partition without record (RECORD no) has not met an event of the stream yet. OWNER
is the process that delivers the partition, as Kafka knows it.

  table  for people
  json   one object
  yaml   the same

Exit codes: 0 it was shown, 1 there is no such stream, or Kafka could not be asked, 2 wrong
arguments.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			return f.with(cmd.Context(), func(o *app.Operator) error {
				s, err := o.Get(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				switch output {
				case outputJSON:
					return printJSON(cmd.OutOrStdout(), viewOf(s))
				case outputYAML:
					return printYAML(cmd.OutOrStdout(), viewOf(s))
				}
				return printStream(cmd.OutOrStdout(), s)
			})
		},
		ValidArgsFunction: f.complete,
	}
	f.add(cmd)
	addOutput(cmd, &output)
	return cmd
}

func printStream(out io.Writer, s consumer.Status) error {
	var b bytes.Buffer
	p := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-12s  %s\n", name, printable(fmt.Sprintf(format, args...)))
	}
	spec := s.Spec
	p("stream", "%s (uid %s, epoch %d, revision %d)", spec.ID, spec.UID, spec.Epoch, spec.Revision)
	p("owner", "%s", spec.Owner)
	p("organization", "%s", spec.OrganizationID)
	if len(spec.Actions) > 0 {
		p("actions", "%s", strings.Join(spec.Actions, ", "))
	}
	p("destination", "%s %s", spec.Kind, app.Masked(spec.Settings))
	p("format", "%s", spec.Format)
	p("start", "%s", spec.Start)
	state := stateText(s.State, s.InForce)
	if s.Since != nil {
		state += " since " + timeText(s.Since)
	}
	p("state", "%s", state)
	if spec.Paused() {
		p("paused", "%s", pausedText(spec))
	}
	if s.Error != "" {
		p("error", "%s", s.Error)
	}
	if s.NextAttempt != nil {
		p("next attempt", "%s", timeText(s.NextAttempt))
	}
	p("lag", "%d", s.Lag)
	p("events", "%d delivered, %d dead-lettered, %d attempts made again, %d offsets expired", s.Totals.Delivered, s.Totals.DeadLettered, s.Totals.Retried, s.Totals.Expired)
	for _, c := range spec.Changes {
		p("change", "%s %s", timeText(&c.At), c)
	}
	for _, l := range s.Lanes {
		for _, g := range l.Gaps {
			p("gap", "partition %d, offsets %d to %d, %s: %s", l.Partition, g.From, g.To-1, timeText(&g.At), g.Reason)
		}
	}
	b.WriteByte('\n')
	if _, err := out.Write(b.Bytes()); err != nil {
		return err
	}
	t := newTable("PARTITION", "STATE", "CURSOR", "END", "LAG", "DELIVERED", "DEAD", "RECORD", "OWNER", "ERROR")
	for _, l := range s.Lanes {
		record := "no"
		if l.Recorded {
			record = timeText(l.Updated)
		}
		t.row(stateColour(l.State), fmt.Sprint(l.Partition), stateText(l.State, l.InForce), fmt.Sprint(l.Cursor), fmt.Sprint(l.End), fmt.Sprint(l.Lag),
			fmt.Sprint(l.Totals.Delivered), fmt.Sprint(l.Totals.DeadLettered), record, l.Owner, cut(l.Error, maxReasonShown))
	}
	return t.print(out)
}
