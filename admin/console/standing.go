package console

import (
	"fmt"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/a-h/templ"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/consumer"
)

// maxID bounds an id in an address; no stream has a longer one.
const maxID = 300

func streamURL(id string, more ...string) templ.SafeURL {
	id = id[:min(len(id), maxID)]
	return templ.SafeURL(path.Join(append([]string{"/streams", url.PathEscape(id)}, more...)...))
}

func isEventID(s string) bool { return strings.HasPrefix(s, "audit_event_") }

func organization(id string) string {
	if id == consumer.AllOrganizations {
		return "all"
	}
	return cell(id)
}

// stateClass is how a state looks.
func stateClass(s string) string {
	switch s {
	case consumer.StateInvalid, consumer.StateError, consumer.StatusStopped:
		return "bad"
	case consumer.StatusPaused, consumer.StatusDraining:
		return "held"
	}
	return "good"
}

// pending says whether not every process has taken over the stream's last change.
func pending(s admin.Stream) bool { return !s.InForce && s.State != consumer.StatusStopped }

// fact is something about a stream in a few words.
type fact struct {
	text string
	bad  bool
}

// facts are how far behind a stream is, and what that threatens.
func facts(s admin.Stream) []fact {
	var list []fact
	if s.Lag > 0 {
		list = append(list, fact{text: waitingText(s)})
	}
	if s.Lag > 0 && s.Oldest != nil {
		list = append(list, fact{text: "the oldest for " + span(time.Since(*s.Oldest))})
	}
	if r := s.Retention; r != nil && s.Lag > 0 {
		list = append(list, fact{
			text: fmt.Sprintf("%.0f %% of the retention used; loss begins %s, at %s", 100*r.Used, relative(r.LossBegins), exact(r.LossBegins)), bad: nearsLoss(s),
		})
	}
	return list
}

// waiting is how many events wait for a stream.
func waiting(s admin.Stream) string {
	if s.LagKind == consumer.LagAtMost && s.Lag > 0 {
		return "≤ " + count(s.Lag)
	}
	return count(s.Lag)
}

// oldest is how long the oldest of them has been waiting.
func oldest(s admin.Stream) string {
	switch {
	case s.LagSeconds == nil:
		return "not known"
	case s.Lag == 0:
		return "–"
	}
	return span(time.Duration(*s.LagSeconds * float64(time.Second)))
}

// nearsLoss says whether events will be lost if nobody does anything: half of the time that
// Kafka keeps them is over.
func nearsLoss(s admin.Stream) bool {
	return s.Lag > 0 && s.Retention != nil && s.Retention.Used >= 0.5
}

// troubled says whether somebody has to do something about a stream.
func troubled(s admin.Stream) bool {
	return stateClass(s.State) == "bad" || nearsLoss(s) || s.BadRecord != ""
}

// severity is how a stream in trouble looks.
func severity(s admin.Stream) string {
	if stateClass(s.State) == "bad" || nearsLoss(s) {
		return "bad"
	}
	return "warn"
}

// maxAlerts bounds the streams in trouble that the overview lists.
const maxAlerts = 8

// overview is what the first page shows.
type overview struct {
	streams  []admin.Stream // the worst first
	troubled []admin.Stream
	active   int
	history  *history
}

func (v *visit) overview() error {
	list, err := v.service.Streams(v.r.Context())
	if err != nil {
		return err
	}
	o := &overview{streams: list, history: v.historyOf(v.r.Context(), "")}
	for _, s := range list {
		if troubled(s) {
			o.troubled = append(o.troubled, s)
		}
		if s.State == consumer.StateActive {
			o.active++
		}
	}
	return v.live(v.page("Overview", "Overview"), overviewPage(o))
}

// worst are the streams that the overview lists.
func (o *overview) worst() []admin.Stream { return o.streams[:min(len(o.streams), 10)] }

// waiting is how many events wait for all streams together.
func (o *overview) waiting() string {
	var sum admin.Stream
	for _, s := range o.streams {
		if sum.Lag += s.Lag; s.LagKind == consumer.LagAtMost {
			sum.LagKind = s.LagKind
		}
	}
	return waiting(sum)
}

// oldest is the age of the oldest event that waits for any stream.
func (o *overview) oldest() string {
	at := o.oldestAt()
	if at == nil {
		return "–"
	}
	return span(time.Since(*at))
}

func (o *overview) oldestAt() *time.Time {
	var first *time.Time
	for _, s := range o.streams {
		if s.Oldest != nil && (first == nil || s.Oldest.Before(*first)) {
			first = s.Oldest
		}
	}
	return first
}

// late says whether events wait longer than a healthy pipeline makes them.
func (o *overview) late() bool {
	at := o.oldestAt()
	return at != nil && time.Since(*at) > time.Minute
}

// partitionNote is what is particular about a partition of a stream.
func partitionNote(l consumer.LaneStatus) string {
	if !l.Recorded {
		return "no event of the stream yet"
	}
	if !l.InForce {
		return "change pending"
	}
	return ""
}

func gapText(g consumer.Gap) string {
	return fmt.Sprintf("offsets %s to %s: %s", count(g.From), count(g.To-1), text(g.Reason))
}
