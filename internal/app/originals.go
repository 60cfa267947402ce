package app

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/internal/checkpoints"
	"github.com/auditstream/auditstream/internal/kafka"
)

// Which events of a stream's feeds those of a replay were is found out before it begins: the
// chains are made anew from the records, by the stream's present rules, from each place that is
// on record to the next. Where they lead there, number and document of every event in between
// are those that were delivered; where they do not, nothing is said of these events. Places are
// the beginning of a chain, its checkpoints, where it has ended, and how far its lane is.

// originalsBefore is how long before the first event of a range checkpoints are looked for: a
// stream gets one at every interval.
const originalsBefore = 24 * time.Hour

// maxOriginalRuns bounds the runs of a task, which is one record, and mostRuns those of a range:
// the more there are, the less is counted again when the job is gone on with.
const (
	maxOriginalRuns = 2048
	mostRuns        = 64
)

// maxPlaces bounds the places of one chain. Of more every second one is left out.
const maxPlaces = 1 << 14

// chainPlace is an offset below which a chain has come to a head.
type chainPlace struct {
	offset int64
	head   integrity.Head
}

// placedChain is a chain of the stream in one partition.
type placedChain struct {
	origin integrity.Origin
	text   string
	places []chainPlace
}

// originalsFinder finds out which events those of a task were.
type originalsFinder struct {
	j     *Jobs
	spec  consumer.Spec
	again *consumer.Rechain
	found map[int32]map[string]*placedChain // by partition and origin
	left  int                               // runs of the task
}

// originals are which events of the stream's feeds those of a replay's ranges were.
func (j *Jobs) originals(ctx context.Context, t consumer.Task, s consumer.Spec, specs consumer.Specs) (*consumer.Originals, error) {
	out := &consumer.Originals{Epoch: s.Epoch, Revision: s.Revision}
	if s.Unchained {
		for _, r := range t.Ranges {
			out.Runs = append(out.Runs, consumer.OriginalRun{Partition: r.Partition, From: r.From, To: r.To, Reason: consumer.OriginalOff})
		}
		return out, nil
	}
	f := &originalsFinder{j: j, spec: s, found: map[int32]map[string]*placedChain{}, left: maxOriginalRuns}
	known, err := newKnownActions()
	if err != nil {
		return nil, err
	}
	if err := known.read(ctx, j.o.client, j.o.topics.Schemas()); err != nil && !errors.Is(err, kerr.UnknownTopicOrPartition) {
		return nil, err
	}
	format, err := FormatNamed(s.Format, known.Action)
	if err != nil {
		return nil, err
	}
	if f.again, err = s.Rechain(ctx, consumer.RechainConfig{Validator: j.o.valid, TopicID: j.o.ids.Events, Format: format}); err != nil {
		return nil, err
	}
	if err := f.readCheckpoints(ctx, t); err != nil {
		return nil, err
	}
	if err := f.readLanes(ctx, specs); err != nil {
		return nil, err
	}
	for i, r := range t.Ranges {
		most := min(mostRuns, max(1, f.left/(len(t.Ranges)-i)))
		runs, err := f.rangeOf(ctx, r, most)
		if err != nil {
			return nil, fmt.Errorf("which events those of %s[%d] were at first: %w", t.Topic, r.Partition, err)
		}
		f.left -= len(runs)
		out.Runs = append(out.Runs, runs...)
	}
	return out, nil
}

// put notes a place.
func (f *originalsFinder) put(origin string, p chainPlace) {
	o, err := integrity.ParseOrigin(origin)
	if err != nil || o.UID != f.spec.UID || o.TopicID != f.j.o.ids.Events {
		return
	}
	of := f.found[o.Partition]
	if of == nil {
		of = map[string]*placedChain{}
		f.found[o.Partition] = of
	}
	c := of[origin]
	if c == nil {
		c = &placedChain{origin: o, text: origin}
		if o.Begin >= 0 { // one behind a log that was cut off begins where only its lane knows
			c.places = append(c.places, chainPlace{o.Begin, integrity.Begin(origin)})
		}
		of[origin] = c
	}
	c.places = append(c.places, p)
	if len(c.places) > maxPlaces {
		kept := c.places[:0]
		for i, p := range c.places {
			if i%2 == 0 || i == len(c.places)-1 {
				kept = append(kept, p)
			}
		}
		c.places = kept
	}
}

// ended notes where the chain before one has ended.
func (f *originalsFinder) ended(begin int64, before *integrity.Former, gaps []integrity.Gap) {
	if before == nil || begin < 0 {
		return
	}
	for _, g := range gaps {
		begin = min(begin, g.From)
	}
	f.put(before.Origin, chainPlace{begin, before.Head})
}

// readCheckpoints notes what signed checkpoints say.
func (f *originalsFinder) readCheckpoints(ctx context.Context, t consumer.Task) error {
	o := f.j.o
	topic := o.topics.Checkpoints()
	statements, err := checkpoints.ReadStatements(ctx, o.client, o.topics)
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return nil // no process that makes checkpoints has run yet
	}
	if err != nil {
		return err
	}
	keys, err := checkpoints.Trusted(statements)
	if keys == nil {
		return fmt.Errorf("keys of checkpoints: %w", err)
	}
	var first time.Time
	for _, r := range t.Ranges {
		at, err := f.j.appended(ctx, r.Partition, r.From)
		if err != nil && !errors.Is(err, kerr.OffsetOutOfRange) {
			return err
		}
		if first.IsZero() || at.Before(first) {
			first = at
		}
	}
	listed, err := kadm.NewClient(o.client).ListOffsetsAfterMilli(ctx, first.Add(-originalsBefore).UnixMilli(), topic)
	if err = errors.Join(err, listed.Error()); err != nil {
		return fmt.Errorf("offsets of %s: %w", topic, err)
	}
	from, ok := listed.Lookup(topic, kafka.CheckpointsPartition)
	if !ok {
		return nil
	}
	mine := []byte("auditstream/" + f.spec.ID + "/" + f.spec.UID + "/" + o.ids.Events + "/")
	_, err = o.reader.ReadOn(ctx, topic, kafka.CheckpointsPartition, from.Offset, func(rec *kgo.Record) {
		if !bytes.HasPrefix(rec.Key, mine) {
			return
		}
		c, err := keys.Open(rec.Value)
		if err != nil || c.Origin != string(rec.Key) {
			return // it counts for nothing
		}
		f.put(c.Origin, chainPlace{c.Offset, c.Head()})
		origin, _ := integrity.ParseOrigin(c.Origin) // whoever signs a checkpoint has read it
		f.ended(origin.Begin, c.Previous, c.Gaps)
	})
	if err != nil {
		return fmt.Errorf("checkpoints: %w", err)
	}
	return nil
}

// readLanes notes what the lanes' records of progress say.
func (f *originalsFinder) readLanes(ctx context.Context, specs consumer.Specs) error {
	list, err := f.j.o.survey().Of(ctx, specs, func(s consumer.Spec) bool { return s.UID == f.spec.UID })
	if err != nil {
		return err
	}
	for _, st := range list {
		for _, l := range st.Lanes {
			if c := l.Chain; c != nil {
				f.put(c.Origin, chainPlace{c.Offset, integrity.Head{Size: c.Size, Hash: c.Hash}})
				f.ended(c.Begin, c.Previous, c.Gaps)
			}
		}
	}
	return nil
}

// rangeOf finds the runs of a range.
func (f *originalsFinder) rangeOf(ctx context.Context, r consumer.Range, most int) ([]consumer.OriginalRun, error) {
	start, _, err := f.j.bounds(ctx, r.Partition)
	if err != nil {
		return nil, err
	}
	var chains []*placedChain
	for _, c := range f.found[r.Partition] {
		slices.SortStableFunc(c.places, func(a, b chainPlace) int {
			return cmp.Or(cmp.Compare(a.offset, b.offset), cmp.Compare(a.head.Size, b.head.Size))
		})
		c.places = slices.DeleteFunc(c.places, func(p chainPlace) bool { return p.offset < start })
		c.places = slices.CompactFunc(c.places, func(a, b chainPlace) bool { return a.offset == b.offset })
		chains = append(chains, c)
	}
	slices.SortFunc(chains, func(a, b *placedChain) int { // the newest first: what it has it has for certain
		x, y := a.origin, b.origin
		return cmp.Or(cmp.Compare(y.Epoch, x.Epoch), cmp.Compare(y.Revision, x.Revision), cmp.Compare(y.Begin, x.Begin))
	})
	var runs []consumer.OriginalRun
	reached, differs := int64(0), false
	for _, c := range chains {
		found, differ, err := f.runsOf(ctx, c, r)
		if err != nil {
			return nil, err
		}
		differs = differs || differ
		if n := len(c.places); n > 0 {
			reached = max(reached, c.places[n-1].offset)
		}
		for _, x := range found {
			if !slices.ContainsFunc(runs, func(y consumer.OriginalRun) bool { return x.From < y.To && y.From < x.To }) {
				runs = append(runs, x)
			}
		}
	}
	slices.SortFunc(runs, func(a, b consumer.OriginalRun) int { return cmp.Compare(a.From, b.From) })
	reason := consumer.OriginalNone
	if differs {
		reason = consumer.OriginalRules
	}
	return filled(thinned(runs, most), r, reached, reason), nil
}

// runsOf makes a chain anew where it may have events of a range: each run is between two of its
// places that lead to each other. differs says that some do not.
func (f *originalsFinder) runsOf(ctx context.Context, c *placedChain, r consumer.Range) (runs []consumer.OriginalRun, differs bool, err error) {
	first, last := 0, len(c.places)-1
	for first < last && c.places[first+1].offset <= r.From {
		first++
	}
	for last > first && c.places[last-1].offset >= r.To {
		last--
	}
	if first >= last || c.places[first].offset >= r.To || c.places[last].offset <= r.From {
		return nil, false, nil
	}
	feed := integrity.FeedID(c.text)
	at := first // the place behind which the reading is
	f.again.Reset(c.text, c.places[first].head)
	begin, after := int64(-1), int64(0)
	opens := func(offset int64) { // the run that goes on to the next place
		if begin < 0 && offset >= r.From {
			begin, after = max(c.places[at].offset, r.From), f.again.Head().Size
		}
	}
	passes := func() { // the next place
		at++
		next := c.places[at]
		opens(max(next.offset, r.From))
		switch {
		case f.again.Head() != next.head:
			differs = true
		case begin < min(next.offset, r.To):
			runs = append(runs, consumer.OriginalRun{Partition: r.Partition, From: begin, To: min(next.offset, r.To), Feed: feed, After: after})
		}
		f.again.Reset(c.text, next.head)
		begin = -1
		opens(next.offset)
	}
	opens(c.places[first].offset)
	err = f.j.o.survey().Scan(ctx, consumer.Range{Partition: r.Partition, From: c.places[first].offset, To: c.places[last].offset}, func(rec *kgo.Record) {
		for at < last && rec.Offset >= c.places[at+1].offset {
			passes()
		}
		if at < last {
			opens(rec.Offset)
			f.again.Take(rec)
		}
	}, nil)
	for err == nil && at < last {
		passes()
	}
	return runs, differs, err
}

// thinned are runs of which those that go on from each other are one, unless there are few: then
// they stay, each a place from which a job that is gone on with counts.
func thinned(runs []consumer.OriginalRun, most int) []consumer.OriginalRun {
	every := max(1, len(runs)/most)
	var out []consumer.OriginalRun
	joined := 0
	for _, r := range runs {
		if n := len(out); n > 0 && out[n-1].Feed == r.Feed && out[n-1].To == r.From && joined < every {
			out[n-1].To = r.To
			joined++
			continue
		}
		out, joined = append(out, r), 0
	}
	return out
}

// filled are the runs of a range, with those between them of which nothing is known.
func filled(runs []consumer.OriginalRun, r consumer.Range, reached int64, reason string) []consumer.OriginalRun {
	var out []consumer.OriginalRun
	unknown := func(from, to int64) {
		if part := min(to, max(reached, from)); from < part {
			out = append(out, consumer.OriginalRun{Partition: r.Partition, From: from, To: part, Reason: reason})
			from = part
		}
		if from < to {
			out = append(out, consumer.OriginalRun{Partition: r.Partition, From: from, To: to, Reason: consumer.OriginalPending})
		}
	}
	at := r.From
	for _, x := range runs {
		unknown(at, x.From)
		out = append(out, x)
		at = x.To
	}
	unknown(at, r.To)
	return out
}

// bounds are the first offset that Kafka has of a partition of the events topic, and the end.
func (j *Jobs) bounds(ctx context.Context, partition int32) (start, end int64, err error) {
	e, err := j.edges(ctx, Replay{})
	return e.starts[partition].Offset, e.ends[partition].Offset, err
}

// know finds out which events those of a replay were at first, if nobody has by the stream's
// present rules, and puts it on record: however often the job is gone on with, it says the same.
func (j *Jobs) know(ctx context.Context, t *consumer.Task, s consumer.Spec, specs consumer.Specs) error {
	if t.Job != consumer.TaskReplay || t.Originals != nil && t.Originals.Epoch == s.Epoch && t.Originals.Revision == s.Revision {
		return nil
	}
	found, err := j.originals(ctx, *t, s, specs)
	if err != nil {
		return err
	}
	for _, r := range found.Runs {
		if r.Feed == "" && r.Reason != consumer.OriginalOff {
			j.log.Info("of a part of the replay nobody knows which numbers its events had in the stream's own feed", zap.String("job", t.UID),
				zap.Int32("partition", r.Partition), zap.Int64("from", r.From), zap.Int64("to", r.To), zap.String("reason", r.Reason))
		}
	}
	if now, err := j.jobs.Find(ctx, t.UID); err == nil {
		t.Stopped = now.Stopped // somebody may have stopped it meanwhile
	}
	t.Originals = found
	return j.jobs.Put(ctx, *t)
}
