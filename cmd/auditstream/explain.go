package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/auditstream/auditstream/admin"
)

func newExplain() *cobra.Command {
	var f controlFlags
	var q admin.ExplainQuery
	var since, output string
	within := time.Minute
	cmd := &cobra.Command{
		Use:   "explain --config FILE EVENT_ID",
		Short: "Say where an event is on its way to each stream, and why",
		Long: `Say where an event is on its way to each stream of its organization, and why.

  delivered      the destination has it: the stream's cursor is beyond it
  waiting        the cursor is not beyond it yet: what holds the stream, how many come before
  dead-lettered  it was refused, or saved before it expired: where, and why
  filtered       the stream does not take such events
  passed over    the stream was moved past it: by whom, and when
  expired        Kafka forgot it before it could be delivered
  before start   the stream begins behind it
  after end      the stream is being deleted, and ends before it
  unknown        it is settled, and the record of how has been dropped

The event is looked for in Kafka where its id says that it was made, then everywhere, the
newest first; with --organization first in the partition of that. What was found once is not
looked for further: --since has everything that was published since looked through, for other
copies of the same event. Ids that callers or idempotency keys have determined say no time.

  table  for people
  json   one object
  yaml   the same

Exit codes: 0 it was found, whatever became of it; 1 it was not, or Kafka could not be asked;
2 wrong arguments; 3 it was not found, and time was up before everything was looked through.`,
		Example: `  auditstream explain --config auditstream.yaml audit_event_01KAQ7E5T0SVZ5B5X5V2Q0J6YD
  auditstream explain --config auditstream.yaml --organization org_01JAAAAAAAAAAAAAAAAAAAAAAA --since 2d audit_event_01KAQ7E5T0SVZ5B5X5V2Q0J6YD
  auditstream explain --config auditstream.yaml -o json audit_event_01KAQ7E5T0SVZ5B5X5V2Q0J6YD | jq '.copies[].streams[] | select(.state == "waiting")'`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			if within < time.Second {
				return usageError(fmt.Errorf("--within %s is less than a second", within))
			}
			var err error
			if q.Since, err = parseSince(since, time.Now()); err != nil {
				return usageError(fmt.Errorf("--since: %w", err))
			}
			q.EventID, q.Within = args[0], int(within/time.Second)
			return f.with(cmd.Context(), func(s admin.Service) error {
				bar := newJobScreen(cmd.ErrOrStderr())
				shown := false
				q.Progress = func(passed, of int64) {
					if !shown {
						bar.show("looking", of)
						shown = true
					}
					bar.move(passed, true)
				}
				found, err := s.Explain(cmd.Context(), q)
				bar.done()
				if err != nil {
					return err
				}
				return errors.Join(printExplanation(cmd.OutOrStdout(), cmd.ErrOrStderr(), found, output), notFound(found))
			})
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	f.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&q.Organization, "organization", "", "`ID` of the event's organization: finds it faster")
	flags.StringVar(&since, "since", "", "look through all that was published since: an `AGE` as in 90m or 7d, or a time (RFC 3339)")
	flags.DurationVar(&within, "within", within, "how long each step of looking may take")
	addOutput(cmd, &output)
	return cmd
}

// notFound is the exit code of an event that was not found; what may be the case is said
// already.
func notFound(e *admin.Explanation) error {
	switch {
	case len(e.Copies) > 0:
		return nil
	case e.Complete:
		return &exitError{exitFailed, fmt.Errorf("event %s was not found", printable(e.EventID))}
	}
	return &exitError{exitPartly, fmt.Errorf("event %s was not found so far", printable(e.EventID))}
}

func printExplanation(out, notes io.Writer, e *admin.Explanation, output string) error {
	switch output {
	case outputJSON:
		return printJSON(out, e)
	case outputYAML:
		return printYAML(out, e)
	}
	var b bytes.Buffer
	for i, c := range e.Copies {
		if i > 0 {
			fmt.Fprintln(&b)
		}
		if err := printCopy(&b, out, c); err != nil {
			return err
		}
	}
	if _, err := b.WriteTo(out); err != nil {
		return err
	}
	var err error
	say := func(text string) {
		_, told := fmt.Fprintln(notes, printable(text))
		err = errors.Join(err, told)
	}
	if len(e.Copies) != 1 || !e.Complete {
		say(e.Sought)
	}
	for _, hint := range e.Hints {
		say("  " + hint)
	}
	return err
}

// printCopy prints one record of an event; terminal says whether in colours.
func printCopy(b *bytes.Buffer, terminal io.Writer, c admin.EventCopy) error {
	line := func(name, format string, args ...any) {
		fmt.Fprintf(b, "%-13s %s\n", name, printable(fmt.Sprintf(format, args...)))
	}
	line("event", "%s", c.ID)
	line("action", "%s", c.Action)
	line("organization", "%s", c.OrganizationID)
	if c.OccurredAt != "" {
		line("occurred", "%s", c.OccurredAt)
	}
	kept := ""
	if c.Gone {
		kept = "; Kafka has it no longer: this is known from its dead letter"
	}
	line("accepted", "%s in partition %d at offset %d%s", c.Time.UTC().Format(time.RFC3339Nano), c.Partition, c.Offset, kept)
	if c.Invalid != "" {
		line("invalid", "%s", c.Invalid)
	}
	fmt.Fprintln(b)
	if len(c.Streams) == 0 {
		fmt.Fprintln(b, "no stream is for this organization")
		return nil
	}
	t := newTable("STREAM", "STATE", "DEAD LETTER", "WHY")
	for _, w := range c.Streams {
		letter := ""
		if w.DeadLetter != nil {
			letter = w.DeadLetter.String()
		}
		t.row(whereColour(w.State), w.Stream, w.State, letter, w.Why)
	}
	return t.printTo(b, colours(terminal))
}

func whereColour(state string) string {
	switch state {
	case admin.WhereDeadLettered, admin.WhereExpired:
		return colourBad
	case admin.WhereWaiting, admin.WherePassedOver, admin.WhereUnknown:
		return colourHeld
	}
	return ""
}
