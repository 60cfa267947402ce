package app

import (
	"fmt"
	"slices"
	"time"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/internal/units"
)

// sum is the report of what was read.
func (r *reporter) sum() *admin.Report {
	s := r.status.Spec
	out := &admin.Report{
		Stream: s.ID, UID: s.UID, OrganizationID: s.OrganizationID, Epoch: s.Epoch, Revision: s.Revision,
		From: r.first, To: r.to, At: r.at, Verdict: admin.ReportAddsUp, Expired: r.expired,
		Hours: []admin.ReportHour{}, Partitions: []admin.ReportPartition{},
	}
	var rows []admin.ReportCounts
	h := hoursOf(r.first, r.to)
	for _, p := range r.parts {
		if p.tally == nil {
			p.tally = newReportTally(h)
		}
		if rows == nil {
			rows = make([]admin.ReportCounts, len(p.tally.rows))
		}
		for i, c := range p.tally.rows {
			rows[i].Add(c)
		}
		counts := p.tally.sum()
		out.Total.Add(counts)
		out.Partitions = append(out.Partitions, admin.ReportPartition{Partition: p.number, From: p.from, To: p.to, Cursor: p.lane.Cursor, ReportCounts: counts})
	}
	for i, c := range rows {
		out.Hours = append(out.Hours, admin.ReportHour{Hour: h.first.Add(time.Duration(i) * time.Hour), ReportCounts: c})
	}
	out.Hours = shownHours(out.Hours)
	r.judge(out)
	return out
}

// quietHours is how many hours a report may have for those without any event to be listed as
// well: an hour of nothing says something, a year of them only fills the page.
const quietHours = 31 * 24

func shownHours(all []admin.ReportHour) []admin.ReportHour {
	if len(all) <= quietHours {
		return all
	}
	return slices.DeleteFunc(all, func(h admin.ReportHour) bool { return h.ReportCounts == (admin.ReportCounts{}) })
}

// judge says whether it adds up.
func (r *reporter) judge(out *admin.Report) {
	differs := func(format string, args ...any) {
		out.Verdict = admin.ReportDiffers
		out.Why = append(out.Why, fmt.Sprintf(format, args...))
	}
	lacks := func(format string, args ...any) {
		if out.Verdict == admin.ReportAddsUp {
			out.Verdict = admin.ReportIncomplete
		}
		out.Why = append(out.Why, fmt.Sprintf(format, args...))
	}
	notes := func(format string, args ...any) { out.Notes = append(out.Notes, fmt.Sprintf(format, args...)) }
	for _, p := range r.parts {
		for _, g := range p.lane.Gaps {
			gap := admin.ReportGap{Partition: p.number, From: g.From, To: g.To, Reason: g.Reason, At: g.At, By: g.By}
			switch {
			case g.OfFormerTopic():
				if !g.At.Before(r.first) && g.At.Before(r.to) {
					out.Gaps = append(out.Gaps, gap)
					differs("partition %d: %s", p.number, g.Reason)
				}
			case g.From >= p.to || g.To <= p.from || g.From >= g.To:
			case g.By == "":
				out.Gaps = append(out.Gaps, gap)
				differs("lost: %s", gap)
			default:
				out.Gaps = append(out.Gaps, gap)
				notes("passed over: %s", gap)
			}
		}
		h := p.held()
		for _, d := range h.Differ {
			if out.Feed.Differ = append(out.Feed.Differ, d); len(out.Feed.Differ) <= maxDiffer {
				differs("%s", d)
			}
		}
		for _, text := range h.missing {
			differs("%s", text)
		}
		out.Feed.Spans += h.Spans
		out.Feed.Signed += h.Signed
		out.Feed.Events += h.Events
		out.Feed.Numbers += h.Numbers
		out.Feed.Open += h.Open
		out.Feed.Changed += h.Changed
		if len(p.lane.Gaps) >= maxGapsKept {
			notes("partition %d has had more gaps than are kept on record: of what was passed over before %s, some may count as delivered", p.number, p.lane.Gaps[0].At.UTC().Format(time.RFC3339))
		}
	}
	if r.unsigned > 0 {
		differs("%s has %s of the stream that no key has signed that was in force then: a process still signs with a key that was replaced, or somebody else wrote there", r.o.topics.Checkpoints(), units.Count(r.unsigned, "checkpoint", "checkpoints"))
	}
	if n := len(out.Feed.Differ); n > maxDiffer {
		out.Feed.Differ = out.Feed.Differ[:maxDiffer]
		differs("and %s more of the feed", units.Count(n-maxDiffer, "span", "spans"))
	}
	if r.up {
		lacks("time was up before everything was read: what is counted is there, and more")
	}
	for _, e := range out.Expired {
		lacks("%s", e)
	}
	if n := out.Total.Unknown; n > 0 {
		lacks("%s before the place that the stream was last moved to, and no gap is on record: delivered before that, or older than the stream", units.Count(n, "event lies", "events lie"))
	}
	s := r.status.Spec
	if out.Feed.Changed > 0 {
		notes("%d spans of the feed are of former revisions of the stream, whose rules are not on record: they are not held against the topic", out.Feed.Changed)
	}
	if s.Revision > 1 {
		notes("the stream's rules are those of its present revision %d: what an earlier one let through, and this one does not, counts as filtered", s.Revision)
	}
	if r.status.State == consumer.StatusPaused && out.Total.Pending > 0 {
		notes("the stream is paused: what is pending stays so")
	}
}

func missingLetters(number int32, from, to, dead, letters int64) string {
	return fmt.Sprintf("partition %d, offsets %d to %d: the feed says that %d of its events went to the dead letters, which have %d of them", number, from, to-1, dead, letters)
}
