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
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/consumer/deadletter"
	"github.com/auditstream/auditstream/internal/units"
)

// maxListed bounds --limit: a listing is held in memory.
const maxListed = 10_000

// anyState is the state that stands for all of them.
const anyState = "all"

func newDeadletterList() *cobra.Command {
	var f controlFlags
	var q deadletter.Query
	var since, state, output string
	cmd := &cobra.Command{
		Use:   "list --config FILE",
		Short: "List dead letters, the newest first",
		Long: `List dead letters, the newest first. POSITION is what the other commands take.

A letter that was written several times (every crash may repeat it, and each kind of
destination writes one for a record that is no valid event) is listed once, as its last
record, with the count in TIMES. FROM is PARTITION:OFFSET in the topic of events.

  table  what fits on a line; the reason is cut
  json   one object a line
  yaml   a list of the same

Exit codes: 0 also when there are none, 1 the topic could not be read, 2 wrong arguments.`,
		Example: `  auditstream deadletter list --config auditstream.yaml --stream acme-splunk --since 24h
  auditstream deadletter list --config auditstream.yaml --state all -o json | jq .reason`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if q.Since, err = parseSince(since, time.Now()); err != nil {
				return usageError(fmt.Errorf("--since: %w", err))
			}
			states := []string{string(deadletter.Open), string(deadletter.Redriven), string(deadletter.Discarded), anyState}
			if !slices.Contains(states, state) {
				return usageError(fmt.Errorf("--state %q is unknown; there are: %s", state, strings.Join(states, ", ")))
			}
			if state != anyState {
				q.State = deadletter.State(state)
			}
			if q.Limit < 1 || q.Limit > maxListed {
				return usageError(fmt.Errorf("--limit %d is not between 1 and %d", q.Limit, maxListed))
			}
			if err := checkOutput(output); err != nil {
				return err
			}
			return f.with(cmd.Context(), func(s admin.Service) error {
				listing, err := s.DeadLetters(cmd.Context(), q)
				if err != nil {
					return err
				}
				switch output {
				case outputJSON:
					err = printListJSON(cmd.OutOrStdout(), listing)
				case outputYAML:
					err = printYAML(cmd.OutOrStdout(), slices.Concat([]deadletter.Listed{}, listing.Letters))
				default:
					err = printList(cmd.OutOrStdout(), listing, state)
				}
				return errors.Join(err, printRest(cmd.ErrOrStderr(), listing))
			})
		},
	}
	f.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&q.Stream, "stream", "", "only letters of the stream with this `ID`")
	flags.StringVar(&q.Class, "class", "", "only letters of this `CLASS`: rejected, invalid, expiring")
	flags.StringVar(&q.Organization, "organization", "", "only letters of the organization with this `ID`, the record's key")
	flags.StringVar(&since, "since", "", "only letters written since: an `AGE` as in 90m or 7d, or a time (RFC 3339)")
	flags.StringVar(&state, "state", string(deadletter.Open), "only letters in this `STATE`: open, redriven, discarded, all")
	flags.IntVar(&q.Limit, "limit", 100, "list at most `N` letters, at most 10000")
	addOutput(cmd, &output)
	_ = cmd.RegisterFlagCompletionFunc("stream", f.completeFlag)
	_ = cmd.RegisterFlagCompletionFunc("state", cobra.FixedCompletions([]cobra.Completion{string(deadletter.Open), string(deadletter.Redriven), string(deadletter.Discarded), anyState}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("class", cobra.FixedCompletions([]cobra.Completion{"rejected", "invalid", "expiring"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// parseSince reads an age before now, or a time. Nothing is the zero time.
func parseSince(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	if t, err := time.Parse(time.DateOnly, s); err == nil {
		return t, nil // UTC
	}
	age, err := units.ParseDuration(s)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is neither an age as in 90m or 7d nor a time as in 2026-11-22T10:00:00Z", s)
	}
	return now.Add(-age.Std()), nil
}

func printListJSON(w io.Writer, listing *deadletter.Listing) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	for i := range listing.Letters {
		if err := encoder.Encode(&listing.Letters[i]); err != nil {
			return err
		}
	}
	return nil
}

// maxReasonShown bounds a reason in the table, in runes.
const maxReasonShown = 80

func printList(out io.Writer, listing *deadletter.Listing, state string) error {
	if len(listing.Letters) == 0 {
		return nil
	}
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	row := func(cells ...string) {
		if state != anyState { // the other states say it by having been asked for
			cells = slices.Delete(cells, 1, 2)
		}
		for i, c := range cells {
			if c = printable(c); c == "" {
				cells[i] = "-"
			} else {
				cells[i] = c
			}
		}
		fmt.Fprintln(w, strings.Join(cells, "\t")) //nolint:errcheck // a buffer takes all
	}
	row("POSITION", "STATE", "TIME", "TIMES", "CLASS", "STREAM", "ACTION", "EVENT", "FROM", "REASON")
	for _, l := range listing.Letters {
		row(l.Position.String(), string(l.State), l.Time.Format(time.RFC3339), fmt.Sprint(l.Written), l.Class, streamNames(l.Streams),
			l.Action, l.EventID, fmt.Sprintf("%d:%d", l.Source.Partition, l.Source.Offset), cut(l.Reason, maxReasonShown))
	}
	w.Flush() //nolint:errcheck // as above
	_, err := out.Write(b.Bytes())
	return err
}

// maxStreamsShown bounds the streams in the table: one letter may be about all of them.
const maxStreamsShown = 3

func streamNames(streams []deadletter.Stream) string {
	var names []string
	for _, s := range streams[:min(len(streams), maxStreamsShown)] {
		names = append(names, s.ID)
	}
	if more := len(streams) - maxStreamsShown; more > 0 {
		names = append(names, fmt.Sprintf("+%d", more))
	}
	return strings.Join(names, ",")
}

// cut keeps the first n runes.
func cut(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}

// printRest says what the listing does not show.
func printRest(w io.Writer, listing *deadletter.Listing) error {
	var errs []error
	say := func(format string, args ...any) {
		_, err := fmt.Fprintf(w, format+"\n", args...)
		errs = append(errs, err)
	}
	if len(listing.Letters) == 0 {
		say("no letters")
	}
	if listing.More > 0 {
		say("and %d older ones: raise --limit or ask more narrowly", listing.More)
	}
	if u := listing.Unread; u.Records > 0 {
		say("warning: records that are not read as letters or marks: %d; the first: %s", u.Records, printable(u.First.Error()))
		if u.Newer != nil {
			say("warning: states may be out of date: %s", printable(u.Newer.Error()))
		}
	}
	return errors.Join(errs...)
}
