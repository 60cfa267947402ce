package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/internal/units"
)

func newStreamList() *cobra.Command {
	var f controlFlags
	var output string
	var watch time.Duration
	cmd := &cobra.Command{
		Use:   "list --config FILE",
		Short: "List all streams, the worst first",
		Long: `List all streams, the worst first.

  invalid   the destination refuses credentials or configuration; probed slowly
  error     the destination fails; tried again at NEXT ATTEMPT
  stopped   no process delivers streams of this kind
  draining  is deleted as soon as it has delivered what came before its deletion
  paused    by its owner or an operator; the cursor stays
  active    delivers, or has nothing to deliver

A stream is as its worst partition is; those whose oldest event has used half of the
retention come before all others. "change pending" says that not every process has taken
over the last change of the stream.

  LAG          events that wait; "<=" where offsets that nobody has looked at yet are
               counted as events
  AGE          of the oldest of them, since Kafka took it; "?" where it is not known
  LOSS BEGINS  when Kafka may forget that event, if nothing is delivered until then
  DELIVERED, DEAD  events since the stream's last skip
  1M, 1H       events delivered a second, over the last minute and the last hour

  table  what fits on a line; the error is cut
  json   one object a line, partitions included
  yaml   a list of the same

With --watch they are listed again and again, on a terminal in place of each other, until
Ctrl-C; that Kafka does not answer is said then, and ends nothing.

Exit codes: 0 whatever state the streams are in, 1 Kafka could not be asked, 2 wrong
arguments.`,
		Example: `  auditstream stream list --config auditstream.yaml
  auditstream stream list --server https://auditstream.example:8082 --watch
  auditstream stream list --config auditstream.yaml -o json | jq -r 'select(.state != "active") | .id'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			if watch > 0 && watch < minWatch {
				return usageError(fmt.Errorf("--watch %s asks more often than every %s", watch, minWatch))
			}
			return f.with(cmd.Context(), func(s admin.Service) error {
				if watch > 0 {
					return watchStreams(cmd, s, output, watch)
				}
				list, err := s.Streams(cmd.Context())
				if err != nil {
					return err
				}
				err = errors.Join(printStreams(cmd.OutOrStdout(), list, output), printHeldBack(cmd, s))
				if len(list) == 0 {
					_, told := fmt.Fprintln(cmd.ErrOrStderr(), "no streams")
					err = errors.Join(err, told)
				}
				return err
			})
		},
	}
	f.add(cmd)
	addOutput(cmd, &output)
	cmd.Flags().DurationVar(&watch, "watch", 0, "list them again and again, every `TIME`; without one every 2s")
	cmd.Flags().Lookup("watch").NoOptDefVal = "2s"
	return cmd
}

func printStreams(w io.Writer, list []admin.Stream, output string) error {
	switch output {
	case outputYAML:
		return printYAML(w, list)
	case outputTable:
		return printStreamTable(w, list)
	}
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	for i := range list {
		if err := encoder.Encode(&list[i]); err != nil {
			return err
		}
	}
	return nil
}

func printStreamTable(out io.Writer, list []admin.Stream) error {
	return printStreamTableTo(out, list, colours(out))
}

// printStreamTableTo prints to what is no terminal itself, but may end on one.
func printStreamTableTo(out io.Writer, list []admin.Stream, coloursToo bool) error {
	if len(list) == 0 {
		return nil
	}
	t := newTable("STREAM", "KIND", "ORGANIZATION", "STATE", "SINCE", "LAG", "AGE", "LOSS BEGINS", "DELIVERED", "DEAD", "1M", "1H", "NEXT ATTEMPT", "ERROR")
	for _, s := range list {
		t.row(stateColour(s.State), s.ID, s.Kind, s.OrganizationID, stateText(s.State, s.InForce), timeText(s.Since),
			lagText(s.Waiting), ageText(s.Waiting), lossText(s.Waiting), fmt.Sprint(s.Totals.Delivered), fmt.Sprint(s.Totals.DeadLettered),
			rateText(s.Rates.Delivered.Minute), rateText(s.Rates.Delivered.Hour), timeText(s.NextAttempt), cut(s.Error, maxReasonShown))
	}
	return t.printTo(out, coloursToo)
}

// lagText says how many events wait.
func lagText(w consumer.Waiting) string {
	if w.LagKind == consumer.LagAtMost {
		if w.Lag == 0 {
			return "?" // nobody knows what the stream is
		}
		return fmt.Sprintf("<=%d", w.Lag)
	}
	return fmt.Sprint(w.Lag)
}

// ageText is the age of the oldest event that waits; empty when none does.
func ageText(w consumer.Waiting) string {
	switch {
	case w.LagSeconds == nil:
		return "?"
	case w.Lag == 0:
		return ""
	}
	age := time.Duration(*w.LagSeconds * float64(time.Second))
	switch {
	case age >= 48*time.Hour:
		return fmt.Sprintf("%dd%dh", age/(24*time.Hour), age%(24*time.Hour)/time.Hour)
	case age >= time.Hour:
		return fmt.Sprintf("%dh%dm", age/time.Hour, age%time.Hour/time.Minute)
	}
	return age.Round(time.Second).String()
}

func lossText(w consumer.Waiting) string {
	if w.Retention == nil {
		return ""
	}
	return timeText(&w.Retention.LossBegins)
}

// rateText is a number a second, with as many digits as say something.
func rateText(r float64) string {
	switch {
	case r == 0:
		return "0"
	case r < 0.01:
		return "<0.01"
	case r < 10:
		return fmt.Sprintf("%.2f", r)
	}
	return fmt.Sprintf("%.0f", r)
}

// stateText is a state, and whether the last change of the stream is in force.
func stateText(state string, inForce bool) string {
	if inForce || state == consumer.StatusStopped {
		return state
	}
	return state + ", change pending"
}

func stateColour(state string) string {
	switch state {
	case consumer.StateInvalid, consumer.StateError:
		return colourBad
	case consumer.StatusStopped, consumer.StatusPaused, consumer.StatusDraining:
		return colourHeld
	}
	return ""
}

// timeText is a time in UTC, to the second.
func timeText(t *time.Time) string {
	if t == nil || t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// table is rows in columns, coloured on terminals.
type table struct {
	b       bytes.Buffer
	w       *tabwriter.Writer
	colours []string
}

func newTable(header ...string) *table {
	t := &table{}
	t.w = tabwriter.NewWriter(&t.b, 0, 0, 2, ' ', 0)
	t.row("", header...)
	return t
}

// row adds one; what is empty is shown as a dash.
func (t *table) row(colour string, cells ...string) {
	cells = slices.Clone(cells)
	for i, c := range cells {
		if cells[i] = printable(c); c == "" {
			cells[i] = "-"
		}
	}
	t.colours = append(t.colours, colour)
	fmt.Fprintln(t.w, strings.Join(cells, "\t")) //nolint:errcheck // a buffer takes all
}

func (t *table) print(out io.Writer) error { return t.printTo(out, colours(out)) }

// printTo prints to what is no terminal itself, but may end on one.
func (t *table) printTo(out io.Writer, coloursToo bool) error {
	t.w.Flush() //nolint:errcheck // as above
	text := t.b.Bytes()
	if coloursToo {
		text = coloured(text, t.colours)
	}
	_, err := out.Write(text)
	return err
}

// printHeldBack says what keeps events from all streams alike. Who may not see the topics is
// told nothing.
func printHeldBack(cmd *cobra.Command, s admin.Service) error {
	topics, err := s.Topics(cmd.Context())
	switch {
	case errors.Is(err, admin.CodeForbidden.Err()):
		return nil
	case err != nil:
		return err
	}
	now := time.Now()
	for _, t := range topics.Topics {
		if !strings.HasSuffix(t.Name, ".events") {
			continue
		}
		for _, p := range t.Partitions {
			if x := p.Open; x != nil && (x.Since == nil || now.Sub(*x.Since) >= hangsAfter) {
				_, told := fmt.Fprintf(cmd.ErrOrStderr(), "note: partition %d cannot be read beyond offset %d, %s held back from all streams: %s has to end, or be aborted (kafka-transactions.sh)\n",
					p.Number, p.LastStable, units.Count(p.End-p.LastStable, "offset is", "offsets are"), printable(transactionText(x)))
				err = errors.Join(err, told)
			}
		}
	}
	return err
}

// hangsAfter is how long a transaction may be open before it is spoken of.
const hangsAfter = 10 * time.Second

func transactionText(x *admin.Transaction) string {
	who := "a transaction that Kafka does not name"
	if x.TransactionalID != "" {
		who = fmt.Sprintf("the open transaction %q", x.TransactionalID)
	}
	if x.Since != nil {
		who += " of " + timeText(x.Since)
	}
	return who
}
