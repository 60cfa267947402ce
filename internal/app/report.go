package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/consumer/deadletter"
)

const (
	// reportWithin is how long a report reads unless a query says otherwise.
	reportWithin = 5 * time.Minute
	// reportReaders is how many partitions are read at once: each holds a fetch of some MiB.
	reportReaders = 4
	// maxReportHours bounds the rows of a report. Times that records bear out of this range, as
	// a topic of foreign times may have them, count for its first or last hour.
	maxReportHours = 366 * 24
	// maxDiffer bounds the spans that a report lists.
	maxDiffer = 20
)

// Report accounts for the events of a stream: those that the events topic has of the time that
// is asked for are read once, by the stream's own rules, and put where they are by the cursors,
// gaps and dead letters as they stand before that; then they are held against the numbers of
// the stream's feed.
func (o *Operator) Report(ctx context.Context, id string, q admin.ReportQuery) (*admin.Report, error) {
	if !q.From.IsZero() && !q.To.IsZero() && !q.From.Before(q.To) {
		return nil, admin.CodeInvalid.Errorf("the report would begin at %s, which is not before its end, %s", q.From.Format(time.RFC3339), q.To.Format(time.RFC3339))
	}
	specs, err := o.readOn(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := findStream(specs, id); err != nil {
		return nil, err
	}
	r := &reporter{o: o, q: q}
	if err := r.place(ctx, id); err != nil {
		return nil, err
	}
	within := reportWithin
	if q.Within > 0 {
		within = time.Duration(q.Within) * time.Second
	}
	reading, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	err = r.read(reading)
	switch {
	case err != nil && reading.Err() != nil && ctx.Err() == nil:
		r.up = true
	case err != nil:
		return nil, err
	}
	if err := r.gone(ctx); err != nil {
		return nil, err
	}
	return r.sum(), nil
}

// reporter puts one report together.
type reporter struct {
	o      *Operator
	q      admin.ReportQuery
	status consumer.Status
	at     time.Time // of status
	to     time.Time // of the report

	parts    []*reportPart
	expired  []admin.Expired
	first    time.Time // when the first event was appended that Kafka has of what was asked for; zero: there is none
	unsigned int64     // checkpoints of the stream that no known key has signed
	up       bool      // time was up before all was read
}

// reportPart is what a report has of one partition.
type reportPart struct {
	number   int32
	from, to int64 // offsets
	moved    bool  // the stream was moved here
	start    int64 // where its epoch begins
	lane     consumer.LaneStatus
	letters  offsetSet // of events that are dead-lettered
	redriven offsetSet // of those that were redriven since
	feed     []*feedMark
	tally    *reportTally
}

// place finds out what is to be read, and where the stream stands.
func (r *reporter) place(ctx context.Context, id string) error {
	status, err := r.o.Get(ctx, id)
	if err != nil {
		return err
	}
	r.status, r.at = status, time.Now().UTC()
	if r.to = r.q.To.UTC(); r.q.To.IsZero() || r.to.After(r.at) {
		r.to = r.at
	}
	if !r.q.From.Before(r.to) {
		return admin.CodeInvalid.Errorf("the report would begin at %s, which is yet to come", r.q.From.Format(time.RFC3339))
	}
	jobs := &Jobs{o: r.o}
	ask := Replay{From: r.q.From}
	if r.to.Before(r.at) {
		ask.To = r.to
	}
	edges, err := jobs.edges(ctx, ask)
	if err != nil {
		return err
	}
	starts, err := r.o.survey().Places(ctx, status.Spec)
	if err != nil {
		return err
	}
	for number, end := range edges.ends {
		kept, from, to := edges.starts[number].Offset, edges.from[number].Offset, min(edges.to[number].Offset, end.Offset)
		if !r.q.From.IsZero() && kept > 0 && from <= kept {
			since, err := jobs.appended(ctx, number, kept)
			if err != nil {
				return err
			}
			r.expired = append(r.expired, admin.Expired{Partition: number, Begins: kept, Since: since})
		}
		p := &reportPart{number: number, moved: status.Spec.In(number).Moved != nil, start: starts[number]}
		var known bool
		if p.lane, known = laneOf(&status, number); !known { // it has just come into being
			p.lane = consumer.LaneStatus{Partition: number, Cursor: p.start, End: end.Offset}
		}
		if !p.moved {
			from = max(from, p.start)
		}
		if isDraining(status.Spec) {
			to = min(to, p.lane.End)
		}
		p.from, p.to = from, max(from, to)
		r.parts = append(r.parts, p)
	}
	slices.SortFunc(r.parts, func(a, b *reportPart) int { return int(a.number - b.number) })
	slices.SortFunc(r.expired, func(a, b admin.Expired) int { return int(a.Partition - b.Partition) })
	return r.begins(ctx)
}

// begins finds out when the first event was appended, for who has asked for whatever there is.
func (r *reporter) begins(ctx context.Context) error {
	if r.first = r.q.From.UTC(); !r.q.From.IsZero() {
		return nil
	}
	topic := r.o.topics.Events()
	firsts, err := kadm.NewClient(r.o.client).ListOffsetsAfterMilli(ctx, 0, topic) // with their times
	if err = errors.Join(err, firsts.Error()); err != nil {
		return fmt.Errorf("first events of %s: %w", topic, err)
	}
	r.first = r.to
	firsts.Each(func(l kadm.ListedOffset) {
		if at := time.UnixMilli(l.Timestamp).UTC(); l.Timestamp > 0 && at.Before(r.first) {
			r.first = at
		}
	})
	return nil
}

// read reads the dead letters, the numbers of the feed, and then the events.
func (r *reporter) read(ctx context.Context) error {
	hours := hoursOf(r.first, r.to)
	for _, p := range r.parts {
		p.tally = newReportTally(hours)
	}
	if err := r.readLetters(ctx); err != nil {
		return err
	}
	if err := r.readFeed(ctx); err != nil {
		return err
	}
	of, passed := int64(0), int64(0)
	for _, p := range r.parts {
		of += p.to - p.from
	}
	var mu sync.Mutex
	told := func(n int64) {
		mu.Lock()
		defer mu.Unlock()
		passed += n
		if r.q.Progress != nil {
			r.q.Progress(passed, of)
		}
	}
	work, ctx := errgroup.WithContext(ctx)
	work.SetLimit(reportReaders)
	for _, p := range r.parts {
		if p.from >= p.to {
			p.tally.done = true
			continue
		}
		work.Go(func() error {
			count := r.counter(p)
			err := r.o.survey().Scan(ctx, consumer.Range{Partition: p.number, From: p.from, To: p.to}, count, told)
			if err != nil {
				return fmt.Errorf("read %s[%d]: %w", r.o.topics.Events(), p.number, err)
			}
			p.passes(p.to)
			p.tally.done = true
			return nil
		})
	}
	return work.Wait()
}

// readLetters notes which events of the stream are in the dead letters, and which of them were
// redriven since. A letter is written before a cursor passes its event, so none is missing that
// belongs below the cursors.
func (r *reporter) readLetters(ctx context.Context) error {
	topic, err := deadletter.Connect(deadletter.Config{Kafka: r.o.opts, Topic: r.o.topics.DeadLetters()})
	if err != nil {
		return err
	}
	defer topic.Close()
	byNumber := map[int32]*reportPart{}
	for _, p := range r.parts {
		byNumber[p.number] = p
	}
	since := r.q.From
	if !since.IsZero() {
		since = since.Add(-letterSlack)
	}
	uid := r.status.Spec.UID
	mine := func(s deadletter.Stream) bool { return s.UID == uid && s.Replay == "" }
	return topic.Fates(ctx, since, func(l *deadletter.Letter) bool {
		p := byNumber[l.Source.Partition]
		return p != nil && l.Source.TopicID == r.o.ids.Events && p.from <= l.Source.Offset && l.Source.Offset < p.to && slices.ContainsFunc(l.Streams, mine)
	}, func(f deadletter.Fate) {
		p := byNumber[f.Partition]
		p.letters.add(f.Offset)
		if f.State == deadletter.Redriven {
			p.redriven.add(f.Offset)
		}
	})
}

// counter puts each record of a partition where it belongs.
func (r *reporter) counter(p *reportPart) func(*kgo.Record) {
	spec := r.status.Spec
	inspector := consumer.NewInspector(r.o.valid, r.o.ids.Events)
	selection := spec.Selection()
	mine := func(organization []byte) bool {
		return spec.OrganizationID == consumer.AllOrganizations || string(organization) == spec.OrganizationID
	}
	return func(rec *kgo.Record) {
		p.passes(rec.Offset)
		event, _ := inspector.Event(rec)
		if event == nil {
			if mine(rec.Key) {
				p.tally.at(rec.Timestamp).Invalid++
			}
			return
		}
		if !mine(event.OrganizationID) {
			return
		}
		wanted, undecided := selection.Wants(inspector)
		counts := p.tally.at(rec.Timestamp)
		counts.Accepted++
		if !wanted && undecided == nil {
			counts.Filtered++
			return
		}
		lettered := p.letters.has(rec.Offset)
		p.tally.matched++
		if lettered {
			p.tally.lettered++
		}
		fate := p.fate(counts, rec.Offset, lettered)
		if fate == &counts.Delivered || fate == &counts.DeadLettered {
			p.tally.settled++
		}
		*fate++
		if fate == &counts.DeadLettered && p.redriven.has(rec.Offset) {
			counts.Redriven++
		}
	}
}

// fate is the count that an event of the stream belongs to. What is on record about this one
// event counts before what follows from the cursor.
func (p *reportPart) fate(c *admin.ReportCounts, offset int64, lettered bool) *int64 {
	gap := gapAround(p.gaps(), offset)
	switch {
	case lettered:
		return &c.DeadLettered
	case gap != nil && gap.By != "":
		return &c.PassedOver
	case gap != nil:
		return &c.Lost
	case offset >= p.lane.Cursor:
		return &c.Pending
	case offset < p.start:
		return &c.Unknown
	}
	return &c.Delivered
}

// gaps are those that speak of offsets of the present topic.
func (p *reportPart) gaps() []consumer.Gap {
	return slices.DeleteFunc(slices.Clone(p.lane.Gaps), consumer.Gap.OfFormerTopic)
}

// gone finds out whether retention took something of what was being read.
func (r *reporter) gone(ctx context.Context) error {
	extents, err := r.o.extents(ctx)
	if err != nil {
		return err
	}
	for _, p := range r.parts {
		now := extents[p.number].from
		if now <= p.from || p.from >= p.to {
			continue
		}
		p.tally.taken = true
		if !slices.ContainsFunc(r.expired, func(e admin.Expired) bool { return e.Partition == p.number }) {
			r.expired = append(r.expired, admin.Expired{Partition: p.number, Offsets: min(now, p.to) - p.from, Begins: now})
		}
	}
	return nil
}
