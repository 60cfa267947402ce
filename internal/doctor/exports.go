package doctor

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/auditstream/auditstream/internal/organization"
	"github.com/auditstream/auditstream/internal/units"
)

// exports holds how far back the exports of organizations are to reach against how long Kafka
// keeps events.
func (e *examiner) exports(ctx context.Context) {
	ctx, cancel := e.within(ctx)
	defer cancel()
	topic, err := organization.Connect(e.opts, e.topics.Organizations())
	if err != nil {
		e.skipped("exports", "%s", reason(err))
		return
	}
	defer topic.Close()
	list, err := topic.List(ctx)
	if err != nil {
		e.skipped("exports", "topic %s cannot be read: %s", e.topics.Organizations(), reason(err))
		return
	}
	ms, err := strconv.ParseInt(e.settings(ctx)[e.topics.Events()]["retention.ms"], 10, 64)
	if err != nil {
		e.skipped("exports", "Kafka does not tell how long it keeps %s", e.topics.Events())
		return
	}
	var beyond []string
	longest, set := 0, 0
	for _, o := range list {
		if o.RetentionDays == 0 {
			continue
		}
		set++
		// The retention of a topic may be longer than a time.Duration holds.
		if ms >= 0 && int64(o.RetentionDays)*(24*time.Hour).Milliseconds() > ms {
			beyond, longest = append(beyond, o.ID), max(longest, o.RetentionDays)
		}
	}
	if len(beyond) == 0 {
		e.ok("exports", "%s have a retention of their own, none longer than Kafka keeps events", units.Count(set, "organization", "organizations"))
		return
	}
	const shown = 3
	names := strings.Join(beyond[:min(shown, len(beyond))], ", ")
	if more := len(beyond) - shown; more > 0 {
		names += " and " + strconv.Itoa(more) + " more"
	}
	e.warn("exports", "make topics.retention and the topic's retention.ms as long, or the retention of the organizations shorter",
		"%s: exports are to reach back up to %s, and Kafka keeps events for %.1f", names, units.Count(longest, "day", "days"), float64(ms)/float64((24*time.Hour).Milliseconds()))
}
