package main

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/internal/units"
)

// outputCSV is a form of output beside the others: rows for a spreadsheet.
const outputCSV = "csv"

func newStreamReport() *cobra.Command {
	var f controlFlags
	var q admin.ReportQuery
	var from, to string
	within := 10 * time.Minute
	output := outputTable
	cmd := &cobra.Command{
		Use:   "report --config FILE STREAM",
		Short: "Account for the events of a time: what became of each, per hour",
		Long: `Account for the events that Kafka took in a time, per hour: what became of each.

  accepted       valid events of the stream's organization; the sum of all that follow
  delivered      the stream's cursor is beyond them, and no dead letter is about them
  filtered       the stream does not take such events: by its actions or its filter
  dead-lettered  they are in the dead letters; how many of them were redriven since is said
                 beside it: the destination has these, by a redrive
  pending        the cursor is not beyond them yet
  passed over    somebody has moved the cursor past them
  lost           they lie in a gap that nobody has made on purpose
  unknown        they lie before the stream's last move, and nothing is on record

The events topic itself is read for that, once, by the stream's own rules. What it has for the
stream is then held against the numbers that the feed has given its events (see
docs/integrity.md): between two checkpoints the feed has as many numbers as the topic has
events for it, or something is wrong, and the report says where. What Kafka has no longer is
named, and so is every gap.

  table  for people
  json   one object
  yaml   the same
  csv    a row an hour, with a header; the verdict and its reasons go to standard error

Exit codes: 0 it adds up; 1 it does not: something is lost, or is not what the feed says;
2 wrong arguments; 3 it cannot be told: Kafka could not be asked, some of the time has expired
there, or --within was over before everything was read.`,
		Example: `  auditstream stream report --config auditstream.yaml acme-splunk
  auditstream stream report --config auditstream.yaml acme-splunk --from 2026-11-21 --to 2026-11-22 -o csv > 2026-11-21.csv
  auditstream stream report --config auditstream.yaml acme-splunk --from 7d -o json | jq '.total'`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if output != outputCSV {
				if err := checkOutput(output); err != nil {
					return usageError(fmt.Errorf("--output %q is unknown; there are: table, json, yaml, csv", output))
				}
			}
			if err := reported(&q, from, to, within, time.Now()); err != nil {
				return usageError(err)
			}
			if f.asksServer() && within > admin.MaxPlanWithin*time.Second {
				return usageError(fmt.Errorf("--within %s is more than the %s that a server reads", within, admin.MaxPlanWithin*time.Second))
			}
			var report *admin.Report
			err := f.with(cmd.Context(), func(s admin.Service) error {
				bar := newJobScreen(cmd.ErrOrStderr())
				q.Progress = bar.counting()
				var err error
				report, err = s.ReportStream(cmd.Context(), args[0], q)
				bar.done()
				return err
			})
			if err == nil {
				err = printReport(cmd.OutOrStdout(), cmd.ErrOrStderr(), report, output)
			}
			switch {
			case isUsage(err):
				return err
			case errors.Is(err, admin.CodeInvalid.Err()):
				return usageError(err)
			case err != nil:
				return &exitError{exitUntold, err}
			case report.Verdict == admin.ReportDiffers:
				return &exitError{exitFailed, nil}
			case report.Verdict != admin.ReportAddsUp:
				return &exitError{exitUntold, nil}
			}
			return nil
		},
		ValidArgsFunction: f.complete,
	}
	f.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&from, "from", "24h", "events that Kafka took since: an `AGE` as in 90m or 7d, a time (RFC 3339), a date, or beginning")
	flags.StringVar(&to, "to", "", "and before: the same; now without it")
	flags.DurationVar(&within, "within", within, "how long may be read")
	flags.StringVarP(&output, "output", "o", outputTable, "`FORM`: table, json, yaml or csv")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]cobra.Completion{outputTable, outputJSON, outputYAML, outputCSV}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// reported reads for which time a report is asked.
func reported(q *admin.ReportQuery, from, to string, within time.Duration, now time.Time) error {
	if within < time.Second {
		return fmt.Errorf("--within %s is less than a second", within)
	}
	q.Within = int(within / time.Second)
	var err error
	if from != "beginning" {
		if q.From, err = parseSince(from, now); err != nil {
			return fmt.Errorf("--from: %w", err)
		}
	}
	if q.To, err = parseSince(to, now); err != nil {
		return fmt.Errorf("--to: %w", err)
	}
	if !q.From.IsZero() && !q.To.IsZero() && !q.From.Before(q.To) {
		return fmt.Errorf("--from %s is not before --to %s", from, to)
	}
	return nil
}

func printReport(out, notes io.Writer, r *admin.Report, output string) error {
	switch output {
	case outputJSON:
		return printJSON(out, r)
	case outputYAML:
		return printYAML(out, r)
	case outputCSV:
		if err := printReportCSV(out, r); err != nil {
			return err
		}
		return printVerdict(notes, r)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s, %s to %s\n\n", printable(r.Stream), r.From.Format(time.RFC3339), r.To.Format(time.RFC3339))
	t := newTable("HOUR", "ACCEPTED", "DELIVERED", "FILTERED", "DEAD", "PENDING", "PASSED OVER", "LOST", "UNKNOWN")
	row := func(name string, c admin.ReportCounts) {
		colour := ""
		switch {
		case c.Lost > 0:
			colour = colourBad
		case c.DeadLettered-c.Redriven+c.Pending+c.PassedOver+c.Unknown > 0:
			colour = colourHeld
		}
		cells := figures(c)[:8]
		if c.Redriven > 0 {
			cells[3] = fmt.Sprintf("%d (%d redriven)", c.DeadLettered, c.Redriven)
		}
		t.row(colour, append([]string{name}, cells...)...)
	}
	for _, h := range r.Hours {
		row(h.Hour.Format("2006-01-02T15:04Z"), h.ReportCounts)
	}
	row("total", r.Total)
	if err := t.printTo(&b, colours(out)); err != nil {
		return err
	}
	fmt.Fprintln(&b)
	if err := printVerdict(&b, r); err != nil {
		return err
	}
	_, err := b.WriteTo(out)
	return err
}

// figures are the counts in the order of the columns, what is no event at all behind them, and
// last what is no summand.
func figures(c admin.ReportCounts) []string {
	var out []string
	for _, n := range []int64{c.Accepted, c.Delivered, c.Filtered, c.DeadLettered, c.Pending, c.PassedOver, c.Lost, c.Unknown, c.Invalid, c.Redriven} {
		out = append(out, strconv.FormatInt(n, 10))
	}
	return out
}

func printReportCSV(out io.Writer, r *admin.Report) error {
	w := csv.NewWriter(out)
	rows := [][]string{{"hour", "accepted", "delivered", "filtered", "dead_lettered", "pending", "passed_over", "lost", "unknown", "invalid", "redriven"}}
	for _, h := range r.Hours {
		rows = append(rows, append([]string{h.Hour.Format(time.RFC3339)}, figures(h.ReportCounts)...))
	}
	return w.WriteAll(rows)
}

// printVerdict says in words what came of it.
func printVerdict(out io.Writer, r *admin.Report) error {
	var b bytes.Buffer
	switch r.Verdict {
	case admin.ReportAddsUp:
		c := r.Total
		fmt.Fprintf(&b, "It adds up: %d accepted = %d delivered + %d filtered + %d dead-lettered", c.Accepted, c.Delivered, c.Filtered, c.DeadLettered)
		if c.Redriven > 0 {
			fmt.Fprintf(&b, " (%d of which redriven since)", c.Redriven)
		}
		fmt.Fprintf(&b, " + %d pending", c.Pending)
		if c.PassedOver > 0 {
			fmt.Fprintf(&b, " + %d passed over", c.PassedOver)
		}
		fmt.Fprintln(&b, ".")
	case admin.ReportDiffers:
		fmt.Fprintln(&b, "It does not add up:")
	default:
		fmt.Fprintln(&b, "It cannot be told whether it adds up:")
	}
	for _, why := range r.Why {
		fmt.Fprintf(&b, "  %s\n", printable(why))
	}
	fmt.Fprintln(&b, printable(feedText(r.Feed)))
	if n := r.Total.Invalid; n > 0 {
		fmt.Fprintf(&b, "note: %s: no stream carries that, and it goes to the dead letters\n", units.Count(n, "record is no valid event", "records are no valid events"))
	}
	for _, note := range r.Notes {
		fmt.Fprintf(&b, "note: %s\n", printable(note))
	}
	_, err := b.WriteTo(out)
	return err
}

// feedText says what the numbers of the feed were good for.
func feedText(f admin.ReportFeed) string {
	switch {
	case f.Spans == 0 && f.Open == 0:
		return "The feed has no number in this time."
	case f.Spans == 0:
		return fmt.Sprintf("The feed's numbers say nothing of this time: %s counted by the topic and the cursors alone.", units.Count(f.Open, "event was", "events were"))
	}
	text := fmt.Sprintf("The feed has given %s, the topic has %s for them: %s, %d up to a signed checkpoint",
		units.Count(f.Numbers, "number", "numbers"), units.Count(f.Events, "event", "events"), units.Count(f.Spans, "span", "spans"), f.Signed)
	if f.Open > 0 {
		text += "; " + units.Count(f.Open, "event lies in no span", "events lie in no span")
	}
	return text + "."
}
