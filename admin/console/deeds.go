package console

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/sinks"
)

// inForceTime is how long a deed waits until every process has taken it over.
const inForceTime = 5 * time.Second

// maxReason bounds a reason, in bytes.
const maxReason = 500

// change is a change as the caller makes it, for the reason that the form gives.
func (v *visit) change() admin.Change {
	return admin.Change{
		By: v.caller.Name, Reason: plain(strings.TrimSpace(v.r.PostFormValue("reason")), maxReason),
		If: v.r.PostFormValue("if"), Wait: inForceTime,
	}
}

// reasoned is a change that must have a reason.
func (v *visit) reasoned() (admin.Change, error) {
	c := v.change()
	if c.Reason == "" {
		return c, admin.CodeInvalid.Errorf("a reason is required: it stays on record with your name")
	}
	return c, nil
}

// named is the stream that the path names.
func (v *visit) named() (*admin.Stream, error) {
	return v.service.Stream(v.r.Context(), v.r.PathValue("id"))
}

func waitingText(s admin.Stream) string {
	if s.Lag == 0 {
		return "no event waits"
	}
	most := ""
	if s.LagKind == consumer.LagAtMost {
		most = "at most "
	}
	return most + plural(s.Lag, "event waits", "events wait")
}

// outcome is what became of the change of a stream, in words.
func outcome(s *admin.Stream, what string) string {
	o := s.Outcome
	switch {
	case o == nil:
		return s.ID + ": " + what
	case !o.Written:
		return fmt.Sprintf("%s: nothing to do, it was so already", s.ID)
	case o.Members == 0:
		return fmt.Sprintf("%s: %s; in force as soon as a process delivers it", s.ID, what)
	case o.InForce < o.Owned:
		return fmt.Sprintf("%s: %s; in force in %d of %s, the others follow", s.ID, what, o.InForce, plural(int64(o.Owned), "partition", "partitions"))
	}
	return fmt.Sprintf("%s: %s; in force in all %d partitions", s.ID, what, o.Owned)
}

// streamForm shows a form about the stream that the path names.
func (v *visit) streamForm(title string, form func(*page, admin.Stream) error) error {
	s, err := v.named()
	if err != nil {
		return err
	}
	return form(v.page(title+" "+s.ID, "Streams"), *s)
}

func (v *visit) pausePage() error {
	return v.streamForm("Pause", func(p *page, s admin.Stream) error { return v.show(p, holdPage(p, s, true)) })
}

func (v *visit) pause() error {
	c, err := v.reasoned()
	if err != nil {
		return err
	}
	s, err := v.service.PauseStream(v.r.Context(), v.r.PathValue("id"), c)
	if err != nil {
		return err
	}
	return v.done(string(streamURL(s.ID)), outcome(s, "paused"))
}

func (v *visit) resumePage() error {
	return v.streamForm("Resume", func(p *page, s admin.Stream) error { return v.show(p, holdPage(p, s, false)) })
}

func (v *visit) resume() error {
	s, err := v.service.ResumeStream(v.r.Context(), v.r.PathValue("id"), v.change())
	if err != nil {
		return err
	}
	return v.done(string(streamURL(s.ID)), outcome(s, "resumed"))
}

func (v *visit) deletePage() error {
	return v.streamForm("Delete", func(p *page, s admin.Stream) error { return v.show(p, deletePage(p, s)) })
}

func (v *visit) delete() error {
	c, err := v.reasoned()
	if err != nil {
		return err
	}
	id, how := v.r.PathValue("id"), v.r.PostFormValue("how")
	if v.r.PostFormValue("confirm") != id {
		return admin.CodeInvalid.Errorf("type the stream's id, %s, to confirm that it is meant", id)
	}
	if how != "drain" && how != "drop" {
		return admin.CodeInvalid.Errorf("say whether the stream is drained or dropped")
	}
	s, err := v.service.DeleteStream(v.r.Context(), id, how == "drain", c)
	if err != nil {
		return err
	}
	if how == "drain" {
		return v.done(string(streamURL(id)), outcome(s, "is deleted when drained"))
	}
	return v.done("/streams", outcome(s, "deleted"))
}

// move is where a cursor shall be moved to, as the form has it, and what that does.
type move struct {
	to, time, partition, offset string
	plan                        []admin.Passage
}

func (v *visit) moveOf() *move {
	return &move{to: v.r.FormValue("to"), time: v.r.FormValue("time"), partition: v.r.FormValue("partition"), offset: v.r.FormValue("offset")}
}

func (m *move) target() (admin.Target, error) {
	var t admin.Target
	switch m.to {
	case "now":
		t.Now = true
	case "beginning":
		t.Beginning = true
	case "time":
		at, err := timeOf(m.time)
		if err != nil {
			return t, err
		}
		t.Time = at
	case "offset":
		p, err := strconv.ParseInt(m.partition, 10, 32)
		o, err2 := strconv.ParseInt(m.offset, 10, 64)
		if err != nil || err2 != nil || p < 0 || o < 0 {
			return t, admin.CodeInvalid.Errorf("partition and offset must be whole numbers")
		}
		partition := int32(p)
		t.Partition, t.Offset = &partition, &o
	default:
		return t, admin.CodeInvalid.Errorf("say where the cursor is moved to")
	}
	return t, nil
}

// sum is what the move does, over all partitions.
func (m *move) sum() string {
	var skipped, repeated int64
	least := ""
	for _, p := range m.plan {
		skipped += p.Skipped
		repeated += p.Repeated
		if p.AtLeast {
			least = "at least "
		}
	}
	return fmt.Sprintf("%s%s passed over and never delivered, %s%s sent again.",
		least, plural(skipped, "event is", "events are"), least, plural(repeated, "is", "are"))
}

// more says that counting took too long.
func more(p admin.Passage) string {
	if p.AtLeast {
		return " or more"
	}
	return ""
}

func (v *visit) skipPage() error {
	return v.streamForm("Move the cursor of", func(p *page, s admin.Stream) error {
		m := v.moveOf()
		if m.to == "" {
			return v.show(p, skipPage(p, s, m))
		}
		target, err := m.target()
		if err != nil {
			return err
		}
		if m.plan, err = v.service.PlanSkip(v.r.Context(), s.ID, target); err != nil {
			return err
		}
		return v.show(p, skipPage(p, s, m))
	})
}

func (v *visit) skip() error {
	c, err := v.reasoned()
	if err != nil {
		return err
	}
	target, err := v.moveOf().target()
	if err != nil {
		return err
	}
	s, err := v.service.SkipStream(v.r.Context(), v.r.PathValue("id"), target, c)
	if err != nil {
		return err
	}
	return v.done(string(streamURL(s.ID)), outcome(s, "moved; what was passed over is on record as a gap"))
}

func (v *visit) testPage() error {
	return v.streamForm("Test", func(p *page, s admin.Stream) error { return v.show(p, testPage(p, s, nil)) })
}

func (v *visit) test() error {
	return v.streamForm("Test", func(p *page, s admin.Stream) error {
		return v.tried(func(ctx context.Context, c admin.Change, step func(sinks.Step)) (string, error) {
			return v.service.TestStream(ctx, s.ID, c, step)
		}, func(t *trial) error { return v.show(p, testPage(p, s, t)) })
	})
}

func took(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.Round(time.Millisecond).String()
}

// replay is what shall be sent another time, as the form has it, and how much that is.
type replay struct {
	from, to, actions, rate string
	expired                 bool
	fixedTo                 string // the end that was counted to, also if none was given
	plan                    *admin.JobPlan
}

func (v *visit) replayOf() *replay {
	return &replay{
		from: v.r.FormValue("from"), to: v.r.FormValue("to"), actions: v.r.FormValue("actions"),
		rate: v.r.FormValue("rate"), expired: v.r.FormValue("expired") == "yes",
	}
}

func (r *replay) request(stream string) (admin.Replay, error) {
	out := admin.Replay{Stream: stream, AllowExpired: r.expired}
	var err error
	if r.from != "" {
		if out.From, err = timeOf(r.from); err != nil {
			return out, err
		}
	}
	if r.to != "" {
		if out.To, err = timeOf(r.to); err != nil {
			return out, err
		}
	}
	for a := range strings.SplitSeq(r.actions, ",") {
		if a = strings.TrimSpace(a); a != "" {
			out.Actions = append(out.Actions, a)
		}
	}
	out.Rate, err = rateOf(r.rate)
	return out, err
}

func rateOf(s string) (float64, error) {
	if s == "" {
		return 0, nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || !(f > 0 && f <= 1e9) {
		return 0, admin.CodeInvalid.Errorf("the rate must be a number of events a second")
	}
	return f, nil
}

// timeOf reads a time as the forms take it: RFC 3339, or a shorter one in UTC.
func timeOf(s string) (*time.Time, error) {
	s = strings.TrimSpace(s)
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02"} {
		if t, err := time.Parse(layout, s); err == nil {
			t = t.UTC()
			return &t, nil
		}
	}
	return nil, admin.CodeInvalid.Errorf("%q is no time; write it as 2026-11-22T18:42, in UTC", plain(s, 100))
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return ""
}

func expiredText(e admin.Expired) string {
	at := "has nothing"
	if !e.Since.IsZero() {
		at = "begins at " + exact(e.Since)
	}
	return fmt.Sprintf("Partition %d: some of it is there no more; Kafka %s.", e.Partition, at)
}

func (v *visit) replayPage() error {
	return v.streamForm("Replay", func(p *page, s admin.Stream) error {
		r := v.replayOf()
		if v.r.FormValue("count") == "" {
			return v.show(p, replayPage(p, s, r))
		}
		ask, err := r.request(s.ID)
		if err != nil {
			return err
		}
		if ask.To == nil { // what is counted is what is sent, however long the question is looked at
			now := time.Now().UTC()
			ask.To = &now
		}
		r.fixedTo = ask.To.Format(time.RFC3339Nano)
		if r.plan, err = v.service.PlanReplay(v.r.Context(), ask); err != nil {
			return err
		}
		return v.show(p, replayPage(p, s, r))
	})
}

func (v *visit) replay() error {
	c, err := v.reasoned()
	if err != nil {
		return err
	}
	ask, err := v.replayOf().request(v.r.PathValue("id"))
	if err != nil {
		return err
	}
	j, err := v.service.StartReplay(v.r.Context(), ask, c)
	if err != nil {
		return err
	}
	return v.done(jobPath(j.UID), fmt.Sprintf("replay started: %s", plural(j.Matched, "event", "events")))
}

// jobPath is the page of a job.
func jobPath(uid string) string { return string(jobURL(uid)) }
