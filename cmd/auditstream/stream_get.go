package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/internal/units"
)

func newStreamGet() *cobra.Command {
	var f controlFlags
	var output string
	cmd := &cobra.Command{
		Use:   "get --config FILE STREAM",
		Short: "Show where one stream stands, partition by partition",
		Long: `Show where one stream stands, partition by partition.

CURSOR is the first offset that is not settled: not delivered, filtered out, or in the dead
letters. LAG is the number of events from there to END, AGE that of the oldest; "<=" says
that offsets which nobody has looked at yet are counted as events, "?" that the age is not
known. A partition without record (RECORD no) has not met an event of the stream yet. OWNER
is the process that delivers the partition, as Kafka knows it. Of the events, matched is the
sum of delivered, filtered out, dead-lettered, lost and waiting.

  table  for people
  json   one object
  yaml   the same

Exit codes: 0 it was shown, 1 there is no such stream, or Kafka could not be asked, 2 wrong
arguments.`,
		Example: `  auditstream stream get --config auditstream.yaml acme-splunk
  auditstream stream get --config auditstream.yaml acme-splunk -o json | jq '.partitions[] | select(.state != "active")'`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			return f.with(cmd.Context(), func(c admin.Service) error {
				s, err := c.Stream(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				switch output {
				case outputJSON:
					return printJSON(cmd.OutOrStdout(), s)
				case outputYAML:
					return printYAML(cmd.OutOrStdout(), s)
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

func printStream(out io.Writer, s *admin.Stream) error {
	var b bytes.Buffer
	p := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-12s  %s\n", name, printable(fmt.Sprintf(format, args...)))
	}
	p("stream", "%s (uid %s, epoch %d, revision %d)", s.ID, s.UID, s.Epoch, s.Revision)
	p("owner", "%s", s.Owner)
	p("organization", "%s", s.OrganizationID)
	if len(s.Actions) > 0 {
		p("actions", "%s", strings.Join(s.Actions, ", "))
	}
	if s.Filter != "" {
		p("filter", "%s", strings.Join(strings.Fields(s.Filter), " "))
	}
	if len(s.Mask) > 0 {
		p("mask", "%s", s.Mask)
	}
	if !s.Integrity {
		p("integrity", "false: its events are not numbered and chained")
	}
	p("destination", "%s %s", s.Kind, s.Settings)
	if !s.Integrity {
		p("integrity", "off: events are not numbered and chained")
	}
	p("format", "%s", s.Format)
	p("start", "%s", s.Start)
	state := stateText(s.State, s.InForce)
	if s.Since != nil {
		state += " since " + timeText(s.Since)
	}
	p("state", "%s", state)
	if s.Hold != nil || s.Paused {
		p("paused", "%s", pausedText(s))
	}
	if s.Error != "" {
		p("error", "%s", s.Error)
	}
	if s.NextAttempt != nil {
		p("next attempt", "%s", timeText(s.NextAttempt))
	}
	if s.Advice != "" {
		p("what to do", "%s", s.Advice)
	}
	lag := lagText(s.Waiting)
	if age := ageText(s.Waiting); age != "" {
		lag += ", the oldest " + age + " old"
	}
	p("lag", "%s", lag)
	if r := s.Retention; r != nil {
		p("retention", "%.1f %% used, loss begins at %s (by %s)", min(100, 100*r.Used), timeText(&r.LossBegins), r.By)
	}
	n := s.Totals
	p("events", "%d matched = %d delivered + %d filtered + %d dead-lettered + %d lost + %d pending", n.Matched, n.Delivered, n.Filtered, n.DeadLettered, n.Lost, n.Pending)
	p("besides", "%s made again, %s expired", units.Count(n.Retried, "attempt", "attempts"), units.Count(n.Expired, "offset", "offsets"))
	for _, r := range []struct {
		what string
		rate consumer.Rate
	}{{"delivered", s.Rates.Delivered}, {"dead letters", s.Rates.DeadLettered}, {"attempts again", s.Rates.Retried}} {
		if r.rate != (consumer.Rate{}) {
			p("a second", "%s: %s in the last minute, %s in five, %s in the hour", r.what, rateText(r.rate.Minute), rateText(r.rate.Five), rateText(r.rate.Hour))
		}
	}
	for _, c := range s.Changes {
		p("change", "%s %s", timeText(&c.At), c)
	}
	for _, l := range s.Lanes {
		for _, g := range l.Gaps {
			p("gap", "partition %d, offsets %d to %d, %s: %s", l.Partition, g.From, g.To-1, timeText(&g.At), g.Reason)
		}
	}
	for _, l := range s.Lanes {
		if c := l.Chain; c != nil {
			p("chain", "partition %d, %s: %s, hash %s (%s)", l.Partition, integrity.FeedID(c.Origin), units.Count(c.Size, "event", "events"), c.Hash, c.Origin)
			p("checkpoint", "partition %d: %s", l.Partition, checkpointText(c.Checkpoint))
		}
	}
	b.WriteByte('\n')
	if _, err := out.Write(b.Bytes()); err != nil {
		return err
	}
	t := newTable("PARTITION", "STATE", "CURSOR", "END", "LAG", "AGE", "DELIVERED", "FILTERED", "DEAD", "RECORD", "OWNER", "ERROR")
	for _, l := range s.Lanes {
		record := "no"
		if l.Recorded {
			record = timeText(l.Updated)
		}
		t.row(stateColour(l.State), fmt.Sprint(l.Partition), stateText(l.State, l.InForce), fmt.Sprint(l.Cursor), fmt.Sprint(l.End), lagText(l.Waiting), ageText(l.Waiting),
			fmt.Sprint(l.Totals.Delivered), fmt.Sprint(l.Totals.Filtered), fmt.Sprint(l.Totals.DeadLettered), record, l.Owner, cut(l.Error, maxReasonShown))
	}
	return t.print(out)
}

// checkpointText says what there is to say of a feed's last checkpoint.
func checkpointText(c *consumer.ChainCheckpoint) string {
	if c == nil {
		return "none yet (see docs/integrity.md)"
	}
	where := "on its way into the feed"
	switch {
	case c.InFeed:
		where = "in the feed"
	case c.Why != "":
		where = "not in the feed: " + c.Why
	}
	return fmt.Sprintf("%s, of %s, %s", timeText(&c.At), units.Count(c.Size, "event", "events"), where)
}
