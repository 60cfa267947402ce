package app

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/consumer/deadletter"
	"github.com/auditstream/auditstream/internal/units"
)

// fate is all that is known about one record and one stream of its organization.
type fate struct {
	copy    *admin.EventCopy
	status  *consumer.Status
	start   int64               // where the stream's present epoch begins in the partition
	letters []deadletter.Listed // about the record, the newest first
	dropped bool                // the stream's filter does not let it pass
}

// whereabouts says where a record is on its way to a stream. The order of the questions
// matters: what is on record about this one record counts before what follows from cursors.
func whereabouts(f fate) admin.Whereabouts {
	w := admin.Whereabouts{Stream: f.status.Spec.ID}
	if l := letterOf(f.letters, f.status.Spec.UID); l != nil {
		return ofLetter(w, l)
	}
	lane, known := laneOf(f.status, f.copy.Partition)
	if !known {
		lane = consumer.LaneStatus{Partition: f.copy.Partition, State: f.status.State, Cursor: f.start, End: f.copy.Offset + 1}
	}
	offset, s := f.copy.Offset, f.status.Spec
	set := func(state, format string, args ...any) admin.Whereabouts {
		w.State, w.Why = state, fmt.Sprintf(format, args...)
		return w
	}
	gap := gapAround(lane.Gaps, offset)
	switch {
	case !s.Selection().Match([]byte(f.copy.OrganizationID), []byte(f.copy.Action)):
		why := fmt.Sprintf("the stream takes %s, and the action is %s", strings.Join(s.Actions, ", "), f.copy.Action)
		if s.Revision > 1 && offset < lane.Cursor {
			why += fmt.Sprintf("; that is so in its present revision %d: an earlier one may have taken it", s.Revision)
		}
		return set(admin.WhereFiltered, "%s", why)
	case f.dropped:
		why := "the stream's filter does not let it pass: " + s.Filter
		if s.Revision > 1 && offset < lane.Cursor {
			why += fmt.Sprintf("; that is so in its present revision %d: an earlier one may have taken it", s.Revision)
		}
		return set(admin.WhereFiltered, "%s", why)
	case gap != nil && gap.By != "":
		return set(admin.WherePassedOver, "%s, %s: offsets %d to %d of this partition were passed over, and are not delivered", gap.Reason, gap.At.UTC().Format(time.RFC3339), gap.From, gap.To-1)
	case gap != nil:
		return set(admin.WhereExpired, "offsets %d to %d of this partition were lost before they could be delivered: %s", gap.From, gap.To-1, gap.Reason)
	case f.copy.Gone && lane.Cursor <= lane.Start:
		// Cursor and start are never below what Kafka has: they say nothing of what it had.
		return set(admin.WhereUnknown, "Kafka has it no longer, and the stream stands at offset %d, the first that is left: it was delivered before, or it expired; %s", lane.Cursor, stateWords(lane, f.status))
	case s.State == consumer.SpecDraining && offset >= lane.End:
		return set(admin.WhereAfterEnd, "the stream is being deleted, and what came from offset %d of this partition on is not delivered any more", lane.End)
	case offset < f.start && s.In(f.copy.Partition).Moved == nil:
		return set(admin.WhereBeforeStart, "the stream starts at %s, which is offset %d of this partition, behind it", startText(s), f.start)
	case offset < lane.Cursor && offset < f.start:
		return set(admin.WhereUnknown, "the stream was moved to offset %d of this partition (%s) and has no gap on record here: it was delivered before that, unless it is older than the stream, or than the %d last gaps", f.start, s.In(f.copy.Partition).Moved, maxGapsKept)
	case offset < lane.Cursor:
		return set(admin.WhereDelivered, "the stream's cursor is at offset %d, and no dead letter is about it%s", lane.Cursor, updatedText(lane))
	case f.copy.Gone:
		return set(admin.WhereExpired, "Kafka has it no longer, and the stream's cursor is at offset %d: %s", lane.Cursor, stateWords(lane, f.status))
	}
	w.NextAttempt = lane.NextAttempt
	return set(admin.WhereWaiting, "the stream's cursor is at offset %d; %s", lane.Cursor, stateWords(lane, f.status))
}

// maxGapsKept is how many gaps a lane's record lists.
const maxGapsKept = 16

func gapAround(gaps []consumer.Gap, offset int64) *consumer.Gap {
	i := slices.IndexFunc(gaps, func(g consumer.Gap) bool { return g.From <= offset && offset < g.To })
	if i < 0 {
		return nil
	}
	return &gaps[i]
}

func startText(s consumer.Spec) string {
	t, err := s.StartTime()
	if err != nil || t.IsZero() {
		return s.Start
	}
	return t.UTC().Format("2006-01-02T15:04:05.999Z07:00") // as Kafka has it
}

func updatedText(l consumer.LaneStatus) string {
	if l.Updated == nil {
		return ""
	}
	return "; on record since " + l.Updated.UTC().Format(time.RFC3339) + " or before"
}

// stateWords says why a lane has not come further.
func stateWords(l consumer.LaneStatus, st *consumer.Status) string {
	switch l.State {
	case consumer.StateError:
		text := "the destination fails: " + l.Error
		if l.NextAttempt != nil {
			text += "; next attempt " + l.NextAttempt.UTC().Format(time.RFC3339)
		}
		return text
	case consumer.StateInvalid:
		return "the destination refuses credentials or configuration, and is probed slowly: " + l.Error
	case consumer.StatusPaused:
		if h := st.Spec.Hold; h != nil {
			return "the stream is " + h.String() + ", since " + h.At.UTC().Format(time.RFC3339)
		}
		return "the stream is paused by its owner, " + st.Spec.Owner
	case consumer.StatusStopped:
		return "no process delivers streams of kind " + st.Spec.Kind
	case consumer.StatusDraining:
		return "the stream is being deleted, and delivers this before"
	}
	return "it is on its way"
}

// letterOf is the newest letter about a stream: one of live delivery before one of a job.
func letterOf(letters []deadletter.Listed, uid string) *deadletter.Listed {
	var ofJob *deadletter.Listed
	for i := range letters {
		for _, s := range letters[i].Streams {
			switch {
			case s.UID != uid:
			case s.Replay == "":
				return &letters[i]
			case ofJob == nil:
				ofJob = &letters[i]
			}
		}
	}
	return ofJob
}

// ofLetter is what a letter says.
func ofLetter(w admin.Whereabouts, l *deadletter.Listed) admin.Whereabouts {
	at := l.Position
	w.DeadLetter, w.State = &at, admin.WhereDeadLettered
	why := fmt.Sprintf("%s at %s: %s", l.Class, l.LastFailure.UTC().Format(time.RFC3339), strings.TrimPrefix(l.Reason, l.Class+": "))
	if i := slices.IndexFunc(l.Streams, func(s deadletter.Stream) bool { return s.Replay != "" }); i >= 0 {
		why = "in job " + l.Streams[i].Replay + " " + why
	}
	if l.Written > 1 {
		why += fmt.Sprintf(" (%s)", units.Count(l.Written, "time", "times"))
	}
	if m := l.Mark; m != nil {
		done := fmt.Sprintf("%s %s by %s", m.State, m.At.UTC().Format(time.RFC3339), cmp.Or(m.By, "nobody named"))
		if m.Reason != "" {
			done += ": " + m.Reason
		}
		if m.State == deadletter.Redriven {
			w.State = admin.WhereDelivered
		}
		why = done + "; before that " + why
	}
	w.Why = why
	return w
}

// invalidWhereabouts is where a record is that is no valid event: it belongs to no stream.
func invalidWhereabouts(c *admin.EventCopy, letters []deadletter.Listed) admin.Whereabouts {
	for i := range letters {
		if len(letters[i].Streams) == 0 {
			return ofLetter(admin.Whereabouts{}, &letters[i])
		}
	}
	return admin.Whereabouts{State: admin.WhereWaiting, Why: "it is no valid event (" + c.Invalid + "), and goes to the dead letters when delivery comes past it"}
}

// ofDeleted are the whereabouts for streams that letters name and that are no more.
func ofDeleted(letters []deadletter.Listed, have []consumer.Spec) []admin.Whereabouts {
	told := map[string]bool{}
	for _, s := range have {
		if s.State != consumer.SpecDeleted {
			told[s.UID] = true
		}
	}
	var out []admin.Whereabouts
	for i := range letters {
		for _, s := range letters[i].Streams {
			if told[s.UID] {
				continue
			}
			told[s.UID] = true
			w := ofLetter(admin.Whereabouts{Stream: s.ID}, &letters[i])
			w.Why += "; the stream has been deleted since"
			out = append(out, w)
		}
	}
	return out
}

// counter counts, for each of some streams, the events that come before what it waits for.
func counter(inspector *consumer.Inspector, list []*waiting) func(*kgo.Record) {
	return func(r *kgo.Record) {
		event, _ := inspector.Event(r)
		if event == nil {
			return
		}
		for _, w := range list {
			if r.Offset < w.cursor || r.Offset >= w.copy.Offset {
				continue
			}
			if wants, err := w.selection.Wants(inspector); wants || err != nil {
				w.n++
			}
		}
	}
}
