package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/internal/units"
)

func newTail() *cobra.Command {
	var f controlFlags
	var q admin.TailQuery
	count := 0
	output := outputTable
	cmd := &cobra.Command{
		Use:   "tail --config FILE",
		Short: "Follow the events that are published, as they come",
		Long: `Follow the events that are published, as they come, until Ctrl-C. It reads beside delivery:
it changes nothing, and slows nothing.

Of each event is shown when and where Kafka took it, its organization, action and id, and the
type of its actor: nothing that tells of a person. --payload shows the whole event.

--stream shows what a stream would deliver, by its organization and actions as they are when
the command begins; the stream's format is not applied. A record that is no valid event is
shown as such, unless something is asked for that only an event has.

When events come faster than they can be shown, a thousand wait; the oldest beyond that are
left out, and it is said how many. --last looks back over a million events a partition at most.

  table  a line an event, and with --payload another with the event
  json   one object a line

Exit codes: 0 it was ended, by Ctrl-C, by --count or by the reader of its output; 1 Kafka could
not be asked; 2 wrong arguments.`,
		Example: `  auditstream tail --config auditstream.yaml
  auditstream tail --config auditstream.yaml --stream acme-splunk --last 20
  auditstream tail --config auditstream.yaml --action 'user.*' --payload -o json | jq .event.actor
  auditstream tail --config auditstream.yaml --last 100 --no-follow`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case output != outputTable && output != outputJSON:
				return usageError(fmt.Errorf("--output %q is unknown; there are: table, json", output))
			case count < 0:
				return usageError(fmt.Errorf("--count %d is no number of events", count))
			case q.Last < 0 || q.Last > admin.MaxTailLast:
				return usageError(fmt.Errorf("--last %d is not between 0 and %d", q.Last, admin.MaxTailLast))
			case q.Ends && q.Last == 0:
				return usageError(errors.New("--no-follow shows nothing without --last"))
			case cmd.Flags().Changed("action") && (len(q.Actions) == 0 || slices.Contains(q.Actions, "")):
				return usageError(errors.New("--action is empty: an action, or a pattern as in user.*"))
			}
			// A reader that goes away is an end as good as any, and no reason to be killed.
			signal.Ignore(syscall.SIGPIPE)
			// The first Ctrl-C ends it; a second one also while the terminal takes nothing.
			defer context.AfterFunc(cmd.Context(), func() { signal.Reset(syscall.SIGINT, syscall.SIGTERM) })()
			shown := &tailPrinter{out: cmd.OutOrStdout(), notes: cmd.ErrOrStderr(), output: output, left: count, counted: count > 0}
			err := f.with(cmd.Context(), func(s admin.Service) error { return s.Tail(cmd.Context(), q, shown.print) })
			if errors.Is(err, errEnough) || errors.Is(err, syscall.EPIPE) || cmd.Context().Err() != nil {
				return nil
			}
			return err
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	f.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&q.Organization, "organization", "", "only events of the organization with this `ID`")
	flags.StringSliceVar(&q.Actions, "action", nil, "only events with this action; a `PATTERN` may hold *; may be repeated")
	flags.StringVar(&q.Actor, "actor", "", "only events whose actor has this `ID`")
	flags.StringVar(&q.Stream, "stream", "", "only what the stream with this `ID` would deliver")
	flags.BoolVar(&q.Payload, "payload", false, "show the whole event, personal data included")
	flags.IntVar(&q.Last, "last", 0, "begin with the last `N` events, at most 10000")
	flags.BoolVar(&q.Ends, "no-follow", false, "end with the last events")
	flags.IntVar(&count, "count", 0, "end after `N` events; 0: go on")
	flags.StringVarP(&output, "output", "o", output, "table or json")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]cobra.Completion{outputTable, outputJSON}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("stream", f.completeFlag)
	_ = cmd.RegisterFlagCompletionFunc("action", completeAction)
	return cmd
}

// errEnough ends a tail that has shown what it was asked for.
var errEnough = errors.New("enough")

// tailPrinter shows events as they come.
type tailPrinter struct {
	out, notes io.Writer
	output     string
	counted    bool // end when left is 0
	left       int
	begun      bool
}

// Widths of the columns: they cannot wait for the events to come.
const tailRow = "%-24s  %-10s  %-30s  %-32s  %-38s  %s\n"

func (p *tailPrinter) print(e admin.TailEvent) error {
	if e.Missed > 0 && p.output == outputTable {
		if _, err := fmt.Fprintf(p.notes, "%s not shown: they come faster than this terminal takes them\n", units.Count(e.Missed, "event is", "events are")); err != nil {
			return err
		}
	}
	var b bytes.Buffer
	if p.output == outputJSON {
		encoder := json.NewEncoder(&b)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(e); err != nil {
			return err
		}
	} else {
		if !p.begun {
			fmt.Fprintf(&b, tailRow, "ACCEPTED", "AT", "ORGANIZATION", "ACTION", "EVENT", "ACTOR")
			p.begun = true
		}
		row := fmt.Sprintf(tailRow, e.Time.Format("2006-01-02T15:04:05.000Z"), fmt.Sprintf("%d:%d", e.Partition, e.Offset),
			dashed(e.OrganizationID), dashed(e.Action), dashed(e.ID), dashed(e.ActorType))
		if e.Invalid != "" {
			row = strings.TrimRight(row, "\n") + "  no valid event: " + printable(e.Invalid) + "\n"
		}
		b.WriteString(row)
		if len(e.Event) > 0 {
			fmt.Fprintf(&b, "  %s\n", printable(string(e.Event)))
		}
	}
	if _, err := b.WriteTo(p.out); err != nil {
		return err
	}
	if p.left--; p.counted && p.left == 0 {
		return errEnough
	}
	return nil
}

// dashed is a cell that is not empty.
func dashed(s string) string {
	if s == "" {
		return "-"
	}
	return printable(s)
}
