package console

import (
	"time"

	"github.com/auditstream/auditstream/admin"
)

// reportTime is how long is read for the page of a report, in seconds: its answer has to come
// within answerTime. For more there are the command and the API.
const reportTime = 15

// report is for which time is asked, as the form has it, and what came of it.
type report struct {
	from, to string
	found    *admin.Report
}

func (v *visit) reportPage() error {
	return v.streamForm("Report on", func(p *page, s admin.Stream) error {
		r := &report{from: v.r.FormValue("from"), to: v.r.FormValue("to")}
		if v.r.FormValue("count") == "" {
			r.from = time.Now().UTC().Add(-24 * time.Hour).Truncate(time.Hour).Format("2006-01-02T15:04")
			return v.show(p, reportPage(p, s, r))
		}
		q := admin.ReportQuery{Within: reportTime}
		for _, bound := range []struct {
			text string
			at   *time.Time
		}{{r.from, &q.From}, {r.to, &q.To}} {
			if bound.text == "" {
				continue
			}
			t, err := timeOf(bound.text)
			if err != nil {
				return err
			}
			*bound.at = *t
		}
		var err error
		if r.found, err = v.service.ReportStream(v.r.Context(), s.ID, q); err != nil {
			return err
		}
		return v.show(p, reportPage(p, s, r))
	})
}

// severity is how the verdict is shown.
func (r *report) severity() string {
	switch r.found.Verdict {
	case admin.ReportAddsUp:
		return ""
	case admin.ReportDiffers:
		return "bad"
	}
	return "warn"
}

// verdict is what came of it in words.
func (r *report) verdict() string {
	switch r.found.Verdict {
	case admin.ReportAddsUp:
		return "It adds up: every event is where it should be."
	case admin.ReportDiffers:
		return "It does not add up."
	}
	return "It cannot be told whether it adds up."
}

// dead is how many events are dead-lettered, and how many of them were redriven since.
func dead(c admin.ReportCounts) string {
	if c.Redriven == 0 {
		return count(c.DeadLettered)
	}
	return count(c.DeadLettered) + " (" + count(c.Redriven) + " redriven)"
}

// feed says what the numbers of the feed were good for.
func (r *report) feed() string {
	f := r.found.Feed
	if f.Spans == 0 {
		return "The feed's numbers say nothing of this time."
	}
	return "The feed has given " + plural(f.Numbers, "number", "numbers") + ", and the topic has " + plural(f.Events, "event", "events") + " for them, in " +
		plural(int64(f.Spans), "span", "spans") + ", of which " + plural(int64(f.Signed), "ends", "end") + " at a signed checkpoint."
}
