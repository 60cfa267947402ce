package console

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/a-h/templ"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/consumer"
)

// perPage bounds the rows of a list.
const perPage = 100

// pager leads through a list that is longer than a page.
type pager struct {
	page, pages int
	at          *url.URL
}

func pagerOf(at *url.URL, rows int) pager {
	g := pager{at: at, pages: max(1, (rows+perPage-1)/perPage)}
	g.page, _ = strconv.Atoi(at.Query().Get("page"))
	g.page = min(max(g.page, 1), g.pages)
	return g
}

// rows are the indexes [from, to) that the page shows.
func (g pager) rows(all int) (from, to int) {
	return (g.page - 1) * perPage, min(g.page*perPage, all)
}

func (g pager) url(page int) templ.SafeURL {
	q := g.at.Query()
	q.Set("page", strconv.Itoa(page))
	return templ.SafeURL(g.at.Path + "?" + q.Encode())
}

func states() []string {
	return []string{
		consumer.StateInvalid, consumer.StateError, consumer.StatusStopped, consumer.StatusDraining, consumer.StatusPaused, consumer.StateActive,
	}
}

// streamList is what the page of all streams shows.
type streamList struct {
	q, state, kind string
	kinds          []string
	all, matched   int
	shown          []admin.Stream
	pager          pager
}

func (l *streamList) filtered() bool { return l.q != "" || l.state != "" || l.kind != "" }

func (l *streamList) counted() string {
	if !l.filtered() {
		return plural(int64(l.all), "stream", "streams") + ", the worst first"
	}
	return fmt.Sprintf("%s of %s, the worst first", count(l.matched), plural(int64(l.all), "stream", "streams"))
}

func (v *visit) streams() error {
	list, err := v.service.Streams(v.r.Context())
	if err != nil {
		return err
	}
	q := v.r.URL.Query()
	l := &streamList{q: plain(q.Get("q"), 200), state: q.Get("state"), kind: q.Get("kind"), all: len(list)}
	kinds := map[string]bool{}
	list = slices.DeleteFunc(slices.Clone(list), func(s admin.Stream) bool {
		kinds[cell(s.Kind)] = true
		return l.state != "" && s.State != l.state || l.kind != "" && s.Kind != l.kind || !like(s, l.q)
	})
	l.kinds, l.matched = slices.Sorted(maps.Keys(kinds)), len(list)
	l.pager = pagerOf(v.r.URL, len(list))
	from, to := l.pager.rows(len(list))
	l.shown = list[from:to]
	p := v.page("Streams", "Streams")
	return v.live(p, streamsPage(p, l))
}

// like says whether a stream is what was looked for.
func like(s admin.Stream, q string) bool {
	q = strings.ToLower(strings.TrimSpace(q))
	if q == "" || strings.Contains(strings.ToLower(s.ID), q) || strings.Contains(strings.ToLower(s.OrganizationID), q) || strings.EqualFold(s.UID, q) {
		return true
	}
	return slices.ContainsFunc(s.Actions, func(a string) bool { return strings.Contains(strings.ToLower(a), q) })
}

func (v *visit) stream() error {
	s, err := v.service.Stream(v.r.Context(), v.r.PathValue("id"))
	if err != nil {
		return err
	}
	p := v.page(s.ID, "Streams")
	return v.live(p, streamPage(p, *s, v.historyOf(v.r.Context(), s.ID)))
}

// streamFigure is one of the numbers at the head of a stream's page.
type streamFigure struct{ name, value, unit, class string }

func streamFigures(s admin.Stream) []streamFigure {
	list := []streamFigure{
		{"Delivered, last minute", figure(s.Rates.Delivered.Minute), " / s", ""},
		{"Delivered, last hour", figure(s.Rates.Delivered.Hour), " / s", ""},
		{"Waiting", waiting(s), " events", ""},
		{"Oldest event that waits", oldest(s), "", badIf(s.LagSeconds != nil && *s.LagSeconds > 60 && s.State != consumer.StateActive)},
	}
	if r := s.Retention; r != nil && s.Lag > 0 {
		list = append(list, streamFigure{"Of the retention used", fmt.Sprintf("%.0f", 100*r.Used), " %", badIf(nearsLoss(s))})
	}
	return list
}

// account is what became of the events of a stream: the first is the sum of the others.
func account(s admin.Stream) []streamFigure {
	t := s.Totals
	return []streamFigure{
		{"Matched", count(t.Matched), "", ""},
		{"Delivered", count(t.Delivered), "", ""},
		{"Filtered", count(t.Filtered), "", ""},
		{"Dead-lettered", count(t.DeadLettered), "", badIf(t.DeadLettered > 0)},
		{"Lost to retention", count(t.Lost), "", badIf(t.Lost > 0)},
		{"Pending", count(t.Pending), "", ""},
	}
}

func badIf(b bool) string {
	if b {
		return "bad"
	}
	return ""
}

func owner(client string) string {
	if client == "" {
		return "none"
	}
	return cell(client)
}

func ownerText(owner string) string {
	if owner == "file" {
		return "a configuration file; its settings are changed there"
	}
	return "this API"
}

func actions(globs []string) string {
	if len(globs) == 0 {
		return "all"
	}
	return plain(strings.Join(globs, ", "), maxText)
}

func anyGap(s admin.Stream) bool {
	return slices.ContainsFunc(s.Lanes, func(l consumer.LaneStatus) bool { return len(l.Gaps) > 0 })
}

func anyChain(s admin.Stream) bool {
	return slices.ContainsFunc(s.Lanes, func(l consumer.LaneStatus) bool { return l.Chain != nil })
}

func anyCheckpoint(s admin.Stream) bool {
	return slices.ContainsFunc(s.Lanes, func(l consumer.LaneStatus) bool { return l.Chain != nil && l.Chain.Checkpoint != nil })
}

// What it means that a stream's events are not numbered and chained.
const (
	unproved  = "its receiver cannot tell whether events were removed, altered or put in behind delivery."
	proofCost = "On: whoever receives the feed can check that it is complete and unaltered, for less than a microsecond of CPU an event. Off: nobody can, and what was sent meanwhile can never be proved later. On again, another chain begins."
	proofEnds = "The proof of this stream ends here: from the next event on " + unproved + " The chain that there is gets a last checkpoint."
)

// endsProof says whether a plan has a stream's events numbered and chained no longer.
func endsProof(plan *admin.Plan) bool {
	return plan.Action == "update" && slices.ContainsFunc(plan.Changes, func(c admin.PlanChange) bool { return c.Pointer == "/integrity" && value(c.To) == "false" })
}

// taken says whether the destination has a checkpoint, and if not, why.
func taken(c *consumer.ChainCheckpoint) string {
	switch {
	case c.InFeed:
		return "yes"
	case c.Why != "":
		return "no: " + cell(c.Why)
	default:
		return "on its way"
	}
}

func lettersOf(stream string) templ.SafeURL {
	return templ.SafeURL("/dead-letters?" + url.Values{"stream": {stream[:min(len(stream), maxID)]}}.Encode())
}

// named is a setting and its value.
type named struct{ name, value string }

// settings are those of a destination, by name. A secret is said to be one.
func settings(document json.RawMessage) []named {
	var members map[string]json.RawMessage
	if json.Unmarshal(document, &members) != nil {
		return nil
	}
	var list []named
	for _, name := range slices.Sorted(maps.Keys(members)) {
		list = append(list, named{cell(name), setting(members[name])})
	}
	return list
}

func setting(value json.RawMessage) string {
	var s string
	if json.Unmarshal(value, &s) == nil {
		return text(s)
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(value, &members) == nil && len(members) == 1 {
		for _, how := range []string{"env", "file", "exec", "sealed"} {
			if of, is := members[how]; is {
				if how == "sealed" {
					return "a secret, sealed"
				}
				return "a secret, from " + how + " " + text(string(bytes.Trim(of, `"`)))
			}
		}
	}
	return text(string(value))
}
