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

	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/internal/app"
)

func newStreamList() *cobra.Command {
	var f streamFlags
	var output string
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

Exit codes: 0 whatever state the streams are in, 1 Kafka could not be asked, 2 wrong
arguments.`,
		Example: `  auditstream stream list --config auditstream.yaml
  auditstream stream list --config auditstream.yaml -o json | jq -r 'select(.state != "active") | .id'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			return f.with(cmd.Context(), func(o *app.Operator) error {
				list, err := o.List(cmd.Context())
				if err != nil {
					return err
				}
				err = printStreams(cmd.OutOrStdout(), list, output)
				err = errors.Join(err, printHanging(cmd, o))
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
	return cmd
}

// streamView is what -o json and yaml show.
type streamView struct {
	ID             string          `json:"id"`
	UID            string          `json:"uid"`
	Owner          string          `json:"owner"`
	OrganizationID string          `json:"organization_id"`
	Actions        []string        `json:"actions,omitempty"`
	Filter         string          `json:"filter,omitempty"`
	Mask           json.RawMessage `json:"mask,omitempty"` // keys are references, or masked
	Format         string          `json:"format"`
	Kind           string          `json:"kind"`
	Settings       json.RawMessage `json:"settings"` // secrets are references, or masked
	Start          string          `json:"start"`
	Epoch          int64           `json:"epoch"`
	Revision       int64           `json:"revision"`
	consumer.Status
	Advice  string            `json:"advice,omitempty"` // what to do about the state
	Hold    *consumer.Change  `json:"hold,omitempty"`   // an operator's pause
	Changes []consumer.Change `json:"changes,omitempty"`
}

func viewOf(s consumer.Status) streamView {
	return streamView{
		ID: s.Spec.ID, UID: s.Spec.UID, Owner: s.Spec.Owner, OrganizationID: s.Spec.OrganizationID, Actions: s.Spec.Actions,
		Filter: s.Spec.Filter, Mask: app.MaskOf(s.Spec),
		Format: s.Spec.Format, Kind: s.Spec.Kind, Settings: app.Masked(s.Spec.Settings), Start: s.Spec.Start,
		Epoch: s.Spec.Epoch, Revision: s.Spec.Revision, Status: s, Advice: app.Advice(s),
		Hold: s.Spec.Hold, Changes: s.Spec.Changes,
	}
}

func printStreams(w io.Writer, list []consumer.Status, output string) error {
	if output == outputTable {
		return printStreamTable(w, list)
	}
	all := []streamView{}
	for _, s := range list {
		all = append(all, viewOf(s))
	}
	if output == outputYAML {
		return printYAML(w, all)
	}
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	for _, s := range all {
		if err := encoder.Encode(s); err != nil {
			return err
		}
	}
	return nil
}

func printStreamTable(out io.Writer, list []consumer.Status) error {
	if len(list) == 0 {
		return nil
	}
	t := newTable("STREAM", "KIND", "ORGANIZATION", "STATE", "SINCE", "LAG", "AGE", "LOSS BEGINS", "DELIVERED", "DEAD", "1M", "1H", "NEXT ATTEMPT", "ERROR")
	for _, s := range list {
		t.row(stateColour(s.State), s.Spec.ID, s.Spec.Kind, s.Spec.OrganizationID, stateText(s.State, s.InForce), timeText(s.Since),
			lagText(s.Waiting), ageText(s.Waiting), lossText(s.Waiting), fmt.Sprint(s.Totals.Delivered), fmt.Sprint(s.Totals.DeadLettered),
			rateText(s.Rates.Delivered.Minute), rateText(s.Rates.Delivered.Hour), timeText(s.NextAttempt), cut(s.Error, maxReasonShown))
	}
	return t.print(out)
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

// hangsAfter is how long a transaction may be open before it is spoken of.
const hangsAfter = 10 * time.Second

// printHanging says what keeps events from all streams alike.
func printHanging(cmd *cobra.Command, o *app.Operator) error {
	list, err := o.Hanging(cmd.Context(), hangsAfter)
	for _, h := range list {
		who := "a transaction that Kafka does not name"
		if h.ID != "" {
			who = fmt.Sprintf("the open transaction %q", h.ID)
		}
		if !h.Since.IsZero() {
			who += " of " + timeText(&h.Since)
		}
		_, told := fmt.Fprintf(cmd.ErrOrStderr(), "note: partition %d cannot be read beyond offset %d, %d offsets are held back from all streams: %s has to end, or be aborted (kafka-transactions.sh)\n",
			h.Partition, h.Stable, h.Held, printable(who))
		err = errors.Join(err, told)
	}
	return err
}
