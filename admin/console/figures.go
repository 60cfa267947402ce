package console

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/auditstream/auditstream/admin"
)

// history is what is known of the last hours, of one stream or of all together.
type history struct {
	*admin.History
	stream  string // empty: all
	problem string // why nothing is known
}

// historyOf is what is known of the last hours. A page is whole without it: where streams
// stand does not depend on what was measured.
func (v *visit) historyOf(ctx context.Context, stream string) *history {
	h, err := v.service.History(ctx, stream)
	if err != nil {
		return &history{History: &admin.History{}, stream: stream, problem: err.Error()}
	}
	return &history{History: cmp.Or(h, &admin.History{}), stream: stream}
}

// source is where the script finds the figures.
func (h *history) source() string {
	if h.stream == "" {
		return "/history"
	}
	return "/history?" + url.Values{"stream": {h.stream[:min(len(h.stream), maxID)]}}.Encode()
}

// history answers the script that draws plots.
func (v *visit) history() error {
	h, err := v.service.History(v.r.Context(), v.r.FormValue("stream"))
	if err != nil {
		return err
	}
	v.w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(v.w).Encode(struct {
		From int64 `json:"from"` // seconds since 1970, which is what the script reckons in
		*admin.History
	}{h.From.Unix(), h})
}

func (h *history) delivered() []*float64 { return h.Delivered }
func (h *history) dead() []*float64      { return h.DeadLettered }

// series is a measure by its name in the answer of /history.
func (h *history) series(name string) []*float64 {
	switch name {
	case "delivered":
		return h.Delivered
	case "dead_lettered":
		return h.DeadLettered
	case "retried":
		return h.Retried
	case "lag":
		return h.Lag
	case "lag_seconds":
		return h.LagSeconds
	}
	return nil
}

func labels(names []string) []string {
	known := map[string]string{
		"delivered": "Delivered", "dead_lettered": "Dead-lettered", "retried": "Tried again",
		"lag": "Waiting", "lag_seconds": "Oldest",
	}
	var list []string
	for _, n := range names {
		list = append(list, known[n])
	}
	return list
}

func (h *history) measured(names ...string) bool {
	for _, n := range names {
		for _, f := range h.series(n) {
			if f != nil {
				return true
			}
		}
	}
	return false
}

// last is the newest that was measured, if that was not long ago.
func last(s []*float64) *float64 {
	for i := len(s) - 1; i >= 0 && i >= len(s)-5; i-- {
		if s[i] != nil {
			return s[i]
		}
	}
	return nil
}

func (h *history) now(s []*float64) string {
	if f := last(s); f != nil {
		return figure(*f)
	}
	return "–"
}

func (h *history) positive(s []*float64) bool {
	f := last(s)
	return f != nil && *f > 0
}

// at is when a step ends.
func (h *history) at(i int) time.Time {
	return h.From.Add(time.Duration(i+1) * time.Duration(h.Step) * time.Second)
}

// summary is a measure in words, for those who do not see the plot.
func (h *history) summary(name string) string {
	s := h.series(name)
	label := labels([]string{name})[0]
	var most *float64
	var when, known int
	var sum float64
	for i, f := range s {
		if f == nil {
			continue
		}
		known++
		sum += *f
		if most == nil || *f > *most {
			most, when = f, i
		}
	}
	if most == nil {
		return label + ": not measured"
	}
	show := figure
	if name == "lag_seconds" {
		show = func(f float64) string { return span(time.Duration(f * float64(time.Second))) }
	}
	now := "not known"
	if f := last(s); f != nil {
		now = show(*f)
	}
	if *most == 0 {
		return label + ": 0 throughout"
	}
	return fmt.Sprintf("%s: now %s, mean %s, most %s at %s UTC", label, now, show(sum/float64(known)), show(*most), h.at(when).UTC().Format("15:04"))
}

// maxRows bounds the table beside a plot.
const maxRows = 48

type figureRow struct {
	at, shown string
	cells     []string
}

// rows are the measures as a table, the newest first, several steps a row if there are many.
func (h *history) rows(names []string) []figureRow {
	steps := 0
	for _, n := range names {
		steps = max(steps, len(h.series(n)))
	}
	stride := max(1, (steps+maxRows-1)/maxRows)
	var list []figureRow
	for end := steps; end > 0; end -= stride {
		row := figureRow{at: h.at(end - 1).UTC().Format(time.RFC3339), shown: h.at(end - 1).UTC().Format("15:04:05")}
		for _, n := range names {
			row.cells = append(row.cells, mean(h.series(n), max(0, end-stride), end))
		}
		list = append(list, row)
	}
	return list
}

func mean(s []*float64, from, to int) string {
	sum, known := 0.0, 0
	for _, f := range s[min(from, len(s)):min(to, len(s))] {
		if f != nil {
			sum += *f
			known++
		}
	}
	if known == 0 {
		return "–"
	}
	return figure(sum / float64(known))
}

// search leads to what was looked for: an event by its id, a stream by its id, else the
// streams that are like it.
func (v *visit) search() error {
	q := plain(v.r.FormValue("q"), 200)
	to := "/streams?" + url.Values{"q": {q}}.Encode()
	if isEventID(q) {
		to = "/explain?" + url.Values{"id": {q}}.Encode()
	}
	http.Redirect(v.w, v.r, to, http.StatusSeeOther)
	return nil
}
