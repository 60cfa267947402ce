package console

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/a-h/templ"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/consumer/deadletter"
)

// maxLetters bounds the letters that a page lists, and those that a form decides about.
const maxLetters = 200

// letterList is what the page of dead letters shows.
type letterList struct {
	q            deadletter.Query
	state, since string
	shown        []deadletter.Listed
	more         int64
	unread       string
}

func (l *letterList) filtered() bool {
	return l.q.Stream != "" || l.q.Organization != "" || l.q.Class != "" || l.since != "" || l.state != string(deadletter.Open)
}

func (l *letterList) counted() string {
	shown := plural(int64(len(l.shown)), "letter", "letters")
	if l.more > 0 {
		return fmt.Sprintf("The newest %s; %s older. Narrow the search to see those.", shown, plural(l.more, "is", "are"))
	}
	return shown + ", the newest first"
}

func (v *visit) letters() error {
	q := v.r.URL.Query()
	l := &letterList{since: plain(q.Get("since"), 40), state: cmp.Or(q.Get("state"), string(deadletter.Open))}
	l.q = deadletter.Query{
		Stream: plain(q.Get("stream"), 200), Organization: plain(q.Get("organization"), 200), Class: q.Get("class"), Limit: maxLetters,
	}
	if l.state != "any" {
		l.q.State = deadletter.State(l.state)
	}
	if l.since != "" {
		t, err := timeOf(l.since)
		if err != nil {
			return err
		}
		l.q.Since = *t
	}
	found, err := v.service.DeadLetters(v.r.Context(), l.q)
	if err != nil {
		return err
	}
	l.shown, l.more = found.Letters, found.More
	if u := found.Unread; u.Records > 0 {
		l.unread = plural(u.Records, "record of the topic cannot be read", "records of the topic cannot be read")
		if u.First != nil {
			l.unread += ": " + u.First.Error()
		}
	}
	p := v.page("Dead letters", "Dead letters")
	return v.show(p, lettersPage(p, l))
}

func letterURL(at deadletter.Position) templ.SafeURL {
	return templ.SafeURL("/dead-letters/" + at.String())
}

func (v *visit) letterAt() (*admin.DeadLetter, error) {
	at, err := deadletter.ParsePosition(v.r.PathValue("at"))
	if err != nil {
		return nil, admin.CodeNotFound.Errorf("a letter is named by PARTITION:OFFSET: %v", err)
	}
	return v.service.DeadLetter(v.r.Context(), at)
}

func (v *visit) letter() error {
	l, err := v.letterAt()
	if err != nil {
		return err
	}
	p := v.page("Dead letter "+l.Position.String(), "Dead letters")
	return v.show(p, letterPage(p, l))
}

// record hands the record out as it is, and never as something that a browser would open.
func (v *visit) record() error {
	l, err := v.letterAt()
	if err != nil {
		return err
	}
	if l.Record == nil {
		return admin.CodeForbidden.Errorf("payloads are shown to operators and admins")
	}
	h := v.w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", fmt.Sprintf(`attachment; filename="letter-%d-%d.bin"`, l.Position.Partition, l.Position.Offset))
	h.Set("Content-Length", strconv.Itoa(len(l.Record.Value)))
	_, _ = v.w.Write(l.Record.Value) // a browser that goes away is nobody's error
	return nil
}

func dash(s string) string { return cmp.Or(s, "–") }

func streamsOf(list []deadletter.Stream) string {
	var ids []string
	for _, s := range list {
		ids = append(ids, plain(s.ID, maxID))
	}
	return dash(cell(strings.Join(ids, ", ")))
}

func letterClass(s deadletter.State) string {
	switch s {
	case deadletter.Redriven:
		return "good"
	case deadletter.Discarded:
		return "held"
	case deadletter.Open:
	}
	return "bad"
}

func markText(m deadletter.Mark) string {
	t := string(m.State)
	if m.By != "" {
		t += " by " + m.By
	}
	if m.Reason != "" {
		t += ": " + m.Reason
	}
	return text(t)
}

func letterAdvice(l *admin.DeadLetter) string {
	switch l.Class {
	case "invalid":
		return "Mend the program that published it and publish the event again, then discard this letter: no stream could carry it."
	case "expiring":
		return "Mend the stream, then redrive: the event was kept here because Kafka would have removed it before it was delivered."
	}
	return "Mend at the destination, or in the stream’s settings, what the answer names; then redrive. Discard what nobody needs."
}

// decision is what shall become of letters.
type decision struct {
	discard bool
	stream  string
	letters []deadletter.Position // none: all open ones of the stream
	matched int64
}

func (d *decision) action() templ.SafeURL {
	if d.discard {
		return "/dead-letters/discard"
	}
	return "/dead-letters/redrive"
}

// positions are the letters that a form names.
func (v *visit) positions() ([]deadletter.Position, error) {
	var list []deadletter.Position
	for _, s := range v.r.PostForm["at"] {
		at, err := deadletter.ParsePosition(s)
		if err != nil {
			return nil, admin.CodeInvalid.Errorf("%q names no letter: %v", plain(s, 60), err)
		}
		if !slices.Contains(list, at) {
			list = append(list, at)
		}
	}
	if len(list) > maxLetters {
		return nil, admin.CodeInvalid.Errorf("at most %d letters are decided about at a time", maxLetters)
	}
	return list, nil
}

// decide asks before anything is done, with the numbers.
func (v *visit) decide() error {
	at, err := v.positions()
	if err != nil {
		return err
	}
	d := &decision{stream: v.r.PostFormValue("stream"), letters: at}
	what := v.r.PostFormValue("what")
	switch {
	case what == "redrive-all" && d.stream != "":
		d.letters = nil
	case len(at) == 0:
		return admin.CodeInvalid.Errorf("no letter is chosen: choose some in the list first")
	case what == "discard":
		d.discard = true
	case d.stream == "":
		if d.stream, err = v.streamOf(at); err != nil {
			return err
		}
	}
	if !d.discard {
		plan, err := v.service.PlanRedrive(v.r.Context(), admin.Redrive{Stream: d.stream, Letters: d.letters})
		if err != nil {
			return err
		}
		d.matched = plan.Matched
		if d.matched == 0 {
			return admin.CodeConflict.Errorf("none of the letters is an open one of stream %s", d.stream)
		}
	}
	p := v.page("Dead letters", "Dead letters")
	return v.show(p, decidePage(p, d))
}

// streamOf is the stream that all letters are about: a redrive is of one stream.
func (v *visit) streamOf(at []deadletter.Position) (string, error) {
	stream := ""
	for _, p := range at {
		l, err := v.service.DeadLetter(v.r.Context(), p)
		if err != nil {
			return "", err
		}
		if len(l.Streams) == 0 {
			return "", admin.CodeConflict.Errorf("letter %s is about no valid event: no stream can carry it; discard it, and publish the mended event", p)
		}
		if stream != "" && stream != l.Streams[0].ID {
			return "", admin.CodeConflict.Errorf("the letters are about several streams, %s and %s: redrive those of one stream at a time", stream, l.Streams[0].ID)
		}
		stream = l.Streams[0].ID
	}
	return stream, nil
}

func (v *visit) discard() error {
	c, err := v.reasoned()
	if err != nil {
		return err
	}
	at, err := v.positions()
	if err != nil {
		return err
	}
	if len(at) == 0 {
		return admin.CodeInvalid.Errorf("no letter is chosen")
	}
	out, err := v.service.DiscardDeadLetters(v.r.Context(), at, c)
	if err != nil {
		return err
	}
	said := plural(int64(len(out.Discarded)), "letter", "letters") + " discarded"
	if n := len(out.Before); n > 0 {
		said += "; " + plural(int64(n), "was", "were") + " discarded before"
	}
	return v.done("/dead-letters", said)
}

func (v *visit) redrive() error {
	c, err := v.reasoned()
	if err != nil {
		return err
	}
	at, err := v.positions()
	if err != nil {
		return err
	}
	j, err := v.service.StartRedrive(v.r.Context(), admin.Redrive{Stream: v.r.PostFormValue("stream"), Letters: at}, c)
	if err != nil {
		return err
	}
	return v.done(jobPath(j.UID), fmt.Sprintf("redrive started: %s", plural(j.Matched, "letter", "letters")))
}

func explainURL(event string) templ.SafeURL {
	return templ.SafeURL("/explain?" + url.Values{"id": {event[:min(len(event), maxID)]}}.Encode())
}
