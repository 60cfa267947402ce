package app

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/consumer/deadletter"
	"github.com/auditstream/auditstream/internal/units"
	"github.com/auditstream/auditstream/schema"
)

const (
	// explainWithin is how long an event is looked for unless a query says otherwise.
	explainWithin = time.Minute
	// maxCopies bounds the records of one id: whoever publishes the same id over and over
	// fills no memory here.
	maxCopies = 100
	// maxLettersOfEvent bounds the letters that are looked at for one event.
	maxLettersOfEvent = 1000
	// letterSlack is how much older than its event a letter may seem: the one has its
	// writer's time, the other the broker's.
	letterSlack = time.Hour
)

// Explain finds out where one event is on its way to each stream. It reads the events topic
// where the event may be, in bounded memory, and the dead letters that were written since.
func (o *Operator) Explain(ctx context.Context, q admin.ExplainQuery) (*admin.Explanation, error) {
	if q.EventID == "" || len(q.EventID) > maxEventID {
		return nil, admin.CodeInvalid.Errorf("an event's id has 1 to %d bytes", maxEventID)
	}
	e := explainer{o: o, q: q, out: &admin.Explanation{EventID: q.EventID, Copies: []admin.EventCopy{}, Complete: true}}
	if err := e.seek(ctx); err != nil {
		return nil, err
	}
	if err := e.letters(ctx); err != nil {
		return nil, err
	}
	if err := e.streams(ctx); err != nil {
		return nil, err
	}
	if len(e.out.Copies) == 0 {
		e.hint()
	}
	return e.out, nil
}

// maxEventID bounds what is looked for; see schema.Event.
const maxEventID = 1024

// explainer puts one explanation together.
type explainer struct {
	o   *Operator
	q   admin.ExplainQuery
	out *admin.Explanation

	found   map[place]*admin.EventCopy // by partition and offset
	extents map[int32]extent
	about   []deadletter.Listed // letters about the event, the newest first
	unread  error               // why the letters may be out of date
}

// patiently runs one of the steps that read much, for as long as an explanation takes time for
// it. up says that time was up before it was done, which is no error.
func (e *explainer) patiently(ctx context.Context, step func(context.Context) error) (up bool, err error) {
	within := explainWithin
	if e.q.Within > 0 {
		within = time.Duration(e.q.Within) * time.Second
	}
	reading, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	err = step(reading)
	if err != nil && reading.Err() != nil && ctx.Err() == nil {
		return true, nil
	}
	return false, errors.Join(err, ctx.Err())
}

// place is where a record stands, or stood, in the present events topic.
type place struct {
	partition int32
	offset    int64
}

// letters looks for the letters about what was found, and about records of the id that Kafka
// has no longer.
func (e *explainer) letters(ctx context.Context) error {
	since := e.q.Since
	for _, c := range e.found {
		if since.IsZero() || c.Time.Before(since) {
			since = c.Time
		}
	}
	if len(e.found) == 0 && since.IsZero() {
		since, _ = e.idTime()
	}
	if !since.IsZero() {
		since = since.Add(-letterSlack)
	}
	topic, err := deadletter.Connect(deadletter.Config{Kafka: e.o.opts, Topic: e.o.topics.DeadLetters()})
	if err != nil {
		return err
	}
	defer topic.Close()
	id := []byte(e.q.EventID)
	var listing *deadletter.Listing
	up, err := e.patiently(ctx, func(ctx context.Context) error {
		var err error
		listing, err = topic.About(ctx, since, func(l *deadletter.Letter) bool {
			if e.q.Organization != "" && string(l.Key) != e.q.Organization {
				return false
			}
			if l.Source.TopicID == e.o.ids.Events && e.found[place{l.Source.Partition, l.Source.Offset}] != nil {
				return true
			}
			if !bytes.Contains(l.Value, id) {
				return false
			}
			_, of := l.Event()
			return of == e.q.EventID
		}, maxLettersOfEvent)
		return err
	})
	if up {
		e.out.Complete = false
		e.out.Hints = append(e.out.Hints, "time was up before all dead letters were read: the event may be among them, although none is shown")
		return nil
	}
	if err != nil {
		return fmt.Errorf("dead letters: %w", err)
	}
	e.about, e.unread = listing.Letters, listing.Unread.Newer
	for i := range e.about {
		l := &e.about[i]
		at := place{l.Source.Partition, l.Source.Offset}
		if l.Source.TopicID != e.o.ids.Events || e.found[at] != nil || len(e.found) >= maxCopies {
			continue
		}
		e.found[at] = &admin.EventCopy{Gone: true, TailEvent: admin.TailEvent{
			Partition: at.partition, Offset: at.offset, Time: l.Source.Time,
			OrganizationID: l.OrganizationID, Action: l.Action, ID: e.q.EventID,
		}}
	}
	return nil
}

// streams says of every copy where it is on its way to the streams of its organization.
func (e *explainer) streams(ctx context.Context) error {
	if len(e.found) == 0 {
		return nil
	}
	specs, err := readSpecs(ctx, e.o.reader, e.o.topics, e.o.keys)
	if err != nil {
		return err
	}
	organizations := map[string]bool{consumer.AllOrganizations: true}
	for _, c := range e.found {
		organizations[c.OrganizationID] = true
	}
	survey := e.o.survey()
	statuses, err := survey.Of(ctx, specs, func(s consumer.Spec) bool { return organizations[s.OrganizationID] })
	if err != nil {
		return err
	}
	slices.SortFunc(statuses, func(a, b consumer.Status) int { return strings.Compare(a.Spec.ID, b.Spec.ID) })
	var waits []*waiting
	for _, c := range e.found {
		letters := e.lettersAt(c)
		c.Streams = []admin.Whereabouts{}
		if c.Invalid != "" {
			c.Streams = append(c.Streams, invalidWhereabouts(c, letters))
			continue
		}
		for i := range statuses {
			st := &statuses[i]
			if st.Spec.OrganizationID != consumer.AllOrganizations && st.Spec.OrganizationID != c.OrganizationID {
				continue
			}
			starts, err := survey.Places(ctx, st.Spec)
			if err != nil {
				return err
			}
			dropped, err := e.dropped(ctx, c, st.Spec)
			if err != nil {
				return err
			}
			w := whereabouts(fate{copy: c, status: st, start: starts[c.Partition], letters: letters, dropped: dropped})
			c.Streams = append(c.Streams, w)
			if lane, ok := laneOf(st, c.Partition); ok && w.State == admin.WhereWaiting {
				waits = append(waits, &waiting{copy: c, at: len(c.Streams) - 1, cursor: lane.Cursor, selection: st.Spec.Selection()})
			}
		}
		c.Streams = append(c.Streams, ofDeleted(letters, specs.Streams)...)
	}
	if err := e.before(ctx, waits); err != nil {
		return err
	}
	for _, c := range e.found {
		e.out.Copies = append(e.out.Copies, *c)
	}
	slices.SortFunc(e.out.Copies, func(a, b admin.EventCopy) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
	})
	if e.unread != nil {
		e.out.Hints = append(e.out.Hints, "what was decided about dead letters may be out of date: "+e.unread.Error())
	}
	return nil
}

// dropped says whether a stream's filter lets a record not pass. It is asked of the record
// itself, which what Kafka has no longer cannot be.
func (e *explainer) dropped(ctx context.Context, c *admin.EventCopy, s consumer.Spec) (bool, error) {
	if s.Filter == "" || c.Gone {
		return false, nil
	}
	r, err := e.o.reader.ReadRecord(ctx, e.o.topics.Events(), c.Partition, c.Offset)
	if err != nil {
		return false, fmt.Errorf("read the event again: %w", err)
	}
	inspector := consumer.NewInspector(e.o.valid, e.o.ids.Events)
	if event, _ := inspector.Event(r); event == nil || !s.Selection().Match(event.OrganizationID, event.Action) {
		return false, nil
	}
	wants, undecided := s.Selection().Wants(inspector)
	return !wants && undecided == nil, nil
}

func laneOf(st *consumer.Status, partition int32) (consumer.LaneStatus, bool) {
	i := slices.IndexFunc(st.Lanes, func(l consumer.LaneStatus) bool { return l.Partition == partition })
	if i < 0 {
		return consumer.LaneStatus{}, false
	}
	return st.Lanes[i], true
}

// lettersAt are the letters about one copy.
func (e *explainer) lettersAt(c *admin.EventCopy) []deadletter.Listed {
	var out []deadletter.Listed
	for _, l := range e.about {
		if l.Source.TopicID == e.o.ids.Events && l.Source.Partition == c.Partition && l.Source.Offset == c.Offset {
			out = append(out, l)
		}
	}
	return out
}

// idTime is when the event was made, by its id. An id that is derived from something else may
// look as if it said a time.
func (e *explainer) idTime() (time.Time, bool) {
	t, ok := schema.IDTime(e.q.EventID)
	if !ok || t.Before(time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)) || t.After(time.Now().Add(24*time.Hour)) {
		return time.Time{}, false
	}
	return t, true
}

// hint says what may be the case with an event that was not found.
func (e *explainer) hint() {
	say := func(format string, args ...any) { e.out.Hints = append(e.out.Hints, fmt.Sprintf(format, args...)) }
	if !e.out.Complete {
		say("time was up before all of %s was read: give it more time, the organization, or a time to look from", e.o.topics.Events())
		return
	}
	made, ok := e.idTime()
	first := e.firstKept()
	switch {
	case ok && !first.IsZero() && made.Before(first):
		say("by its id it was made at %s, and the first event that Kafka still has was appended at %s: it has expired. No dead letter that is kept is about it, so every stream that was to get it has got it or had a gap then: \"stream get\" shows gaps; look for it at the destinations and in archives",
			made.Format(time.RFC3339), first.Format(time.RFC3339))
	case ok && first.IsZero():
		say("by its id it was made at %s; %s is empty", made.Format(time.RFC3339), e.o.topics.Events())
	case ok:
		say("by its id it was made at %s, and what Kafka took since is there: it was not published here, or its publisher was told that it failed", made.Format(time.RFC3339))
	case first.IsZero():
		say("%s is empty: nothing was published here, or all of it has expired", e.o.topics.Events())
	default:
		say("its id says no time; if it was published before %s, it has expired: look in the dead letters, at the destinations and in archives", first.Format(time.RFC3339))
	}
	if e.q.Organization != "" {
		say("only events of organization %s were looked at", e.q.Organization)
	}
	say("this is cluster %s, topic %s: it may have been published to another", e.o.ids.Cluster, e.o.topics.Events())
}

// firstKept is when the first event was appended that Kafka still has; zero if there is none.
func (e *explainer) firstKept() time.Time {
	var first time.Time
	for _, x := range e.extents {
		if !x.first.IsZero() && (first.IsZero() || x.first.Before(first)) {
			first = x.first
		}
	}
	return first
}

// waiting is a stream that has not come to a copy yet.
type waiting struct {
	copy      *admin.EventCopy
	at        int // of its whereabouts
	cursor    int64
	selection consumer.Selection
	n         int64
}

// before counts the events that come before what waits: each partition is read once for all
// streams.
func (e *explainer) before(ctx context.Context, waits []*waiting) error {
	byPartition := map[int32][]*waiting{}
	for _, w := range waits {
		byPartition[w.copy.Partition] = append(byPartition[w.copy.Partition], w)
	}
	for partition, list := range byPartition {
		r := consumer.Range{Partition: partition, From: list[0].cursor, To: list[0].copy.Offset}
		for _, w := range list {
			r.From, r.To = min(r.From, w.cursor), max(r.To, w.copy.Offset)
		}
		inspector := consumer.NewInspector(e.o.valid, e.o.ids.Events)
		up, err := e.patiently(ctx, func(ctx context.Context) error {
			return e.o.survey().Scan(ctx, r, counter(inspector, list), nil)
		})
		if err != nil {
			return fmt.Errorf("count what comes before it: %w", err)
		}
		for _, w := range list {
			at := &w.copy.Streams[w.at]
			at.Before, at.AtLeast = &w.n, up
			at.Why += beforeText(w.n, at.AtLeast)
		}
	}
	return nil
}

func beforeText(n int64, atLeast bool) string {
	text := fmt.Sprintf("; %s before it in this partition", units.Count(n, "event of the stream comes", "events of the stream come"))
	switch {
	case atLeast:
		return strings.Replace(text, "; ", "; at least ", 1)
	case n == 0:
		return "; it is the next one"
	case n == 1:
		return "; 1 event of the stream comes before it in this partition"
	}
	return text
}
