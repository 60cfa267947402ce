package consumer

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"golang.org/x/sync/errgroup"

	"github.com/auditstream/auditstream/internal/kafka"
)

// How well the lag in events is known.
const (
	LagExact  = "exact"
	LagAtMost = "at_most" // offsets that nobody has looked at yet count as events
)

// Waiting is what waits for a stream, or in one partition of it.
type Waiting struct {
	Lag        int64      `json:"lag"`              // events
	LagKind    string     `json:"lag_kind"`         // LagExact or LagAtMost
	LagSeconds *float64   `json:"lag_seconds"`      // age of the oldest event that waits, 0 without one; null: not known
	Oldest     *time.Time `json:"oldest,omitempty"` // when Kafka took that event
	Retention  *Retention `json:"retention,omitempty"`

	ageless bool // of some of what waits the age is not known, so that of the oldest is not
}

// Retention says how near the oldest event that waits is to being forgotten by Kafka.
type Retention struct {
	Used       float64   `json:"used"`        // share of the retention; at 1 Kafka may forget it
	LossBegins time.Time `json:"loss_begins"` // when the oldest event that waits may be gone, if nothing is delivered
	By         string    `json:"by"`          // what deletes it first: "time" (retention.ms) or "size" (retention.bytes, at the rate of the last hour)
}

// near is the share from which on nearing loss is more urgent than any state.
const near = 0.5

// compare puts first where loss is near, and of these where it is nearest.
func (r *Retention) compare(other *Retention) int {
	pressing := func(r *Retention) bool { return r != nil && r.Used >= near }
	switch {
	case pressing(r) && pressing(other):
		return r.LossBegins.Compare(other.LossBegins)
	case pressing(r):
		return -1
	case pressing(other):
		return 1
	}
	return 0
}

func (w *Waiting) join(o Waiting) {
	w.Lag += o.Lag
	if o.LagKind != LagExact {
		w.LagKind = o.LagKind
	}
	if o.Oldest != nil && (w.Oldest == nil || o.Oldest.Before(*w.Oldest)) {
		w.Oldest = o.Oldest
	}
	w.ageless = w.ageless || o.Lag > 0 && o.Oldest == nil
	if o.Retention != nil && (w.Retention == nil || o.Retention.LossBegins.Before(w.Retention.LossBegins)) {
		w.Retention = o.Retention
	}
}

// dated says how old the oldest is.
func (w *Waiting) dated(now time.Time) {
	switch {
	case w.Lag == 0:
		w.LagSeconds = new(0.0)
	case w.Oldest != nil && !w.ageless:
		w.LagSeconds = new(max(0, now.Sub(*w.Oldest).Seconds()))
	}
}

// wait says how much waits in a lane.
func (st *LaneStatus) wait(l laneStart) {
	rec := l.record
	st.LagKind, st.looked = LagExact, st.Cursor
	if rec == nil {
		if l.lazy {
			st.looked = max(st.Cursor, l.counted) // nothing of the stream was met below
		}
	} else {
		st.Totals = Totals{
			Delivered: rec.Delivered, Filtered: rec.Filtered, DeadLettered: rec.DeadLettered, Lost: rec.Lost, Retried: rec.Retried, Expired: rec.Expired,
		}
		st.recent = rec.Recent.decoded()
		st.Rates = st.recent.rates(time.Now())
		// What another revision counted may be what the stream's filter was before.
		if rec.CountedTo > 0 && rec.Revision == l.stream.spec.Revision && rec.Epoch == l.stream.spec.Epoch {
			st.Totals.Pending = max(0, rec.Matched-rec.Delivered-rec.Filtered-rec.DeadLettered-rec.Lost)
			if st.looked = max(st.Cursor, rec.CountedTo); rec.CountedAll {
				st.looked = max(st.looked, l.counted)
			}
			if rec.AtMost || st.Cursor > rec.Cursor && !rec.Live {
				st.LagKind = LagAtMost // retention took some
			}
		}
		st.Totals.Matched = rec.Delivered + rec.Filtered + rec.DeadLettered + rec.Lost + st.Totals.Pending
		if st.Totals.Pending > 0 {
			st.Oldest = rec.Oldest
		}
	}
	offsets := max(0, st.End-st.Cursor)
	unknown := max(0, st.End-st.looked)
	if unknown > 0 {
		st.LagKind = LagAtMost
	}
	if st.Lag = st.Totals.Pending + unknown; st.Lag > offsets {
		st.Lag = offsets
	}
}

// maxLookups bounds the records that a survey reads for their append times.
const maxLookups = 256

// recordAt is where a record stands.
type recordAt struct {
	number int32
	offset int64
}

// age finds out how old what waits is, where records of progress do not say so, and how near
// it is to its end.
func (s Survey) age(ctx context.Context, topic *surveyed, streams []map[int32]*LaneStatus) error {
	unknown := map[recordAt][]*LaneStatus{}
	for _, lanes := range streams {
		for number, l := range lanes {
			if l.Lag == 0 || l.Oldest != nil {
				continue
			}
			at := l.Cursor
			if l.Totals.Pending == 0 {
				at = max(at, l.looked)
			}
			unknown[recordAt{number, at}] = append(unknown[recordAt{number, at}], l)
		}
	}
	places := make([]recordAt, 0, len(unknown))
	for at := range unknown {
		places = append(places, at)
	}
	// The farthest behind first: they are the oldest.
	slices.SortFunc(places, func(a, b recordAt) int {
		return cmp.Or(cmp.Compare(unknown[b][0].End-b.offset, unknown[a][0].End-a.offset), cmp.Compare(a.number, b.number))
	})
	reading, within := errgroup.WithContext(ctx)
	reading.SetLimit(8)
	reader := &kafka.Reader{Client: s.Client}
	for _, at := range places[:min(len(places), maxLookups)] {
		reading.Go(func() error {
			span, err := reader.Read(within, s.Topics.Events, at.number, at.offset, 1)
			if err != nil || len(span.Records) == 0 {
				return within.Err() // not known
			}
			t := span.Records[0].Timestamp.UTC()
			for _, l := range unknown[at] {
				l.Oldest = &t
			}
			return nil
		})
	}
	if err := reading.Wait(); err != nil {
		return err
	}
	limits := s.limits(ctx, topic, streams)
	for _, lanes := range streams {
		for number, l := range lanes {
			l.dated(topic.at)
			l.Retention = limits.of(number, l, topic.at)
		}
	}
	return nil
}

// limits are what Kafka keeps of the events topic.
type limits struct {
	retentionLimits
	parts map[int32]volume
}

// volume is how many bytes a partition has and gets, by offset.
type volume struct {
	perOffset float64 // bytes
	perSecond float64 // bytes
}

// limits finds out what is kept. What cannot be found out is left out: a broker may forbid to
// describe its disks.
func (s Survey) limits(ctx context.Context, topic *surveyed, streams []map[int32]*LaneStatus) limits {
	waits := slices.ContainsFunc(streams, func(lanes map[int32]*LaneStatus) bool {
		for _, l := range lanes {
			if l.Oldest != nil {
				return true
			}
		}
		return false
	})
	if !waits {
		return limits{retentionLimits: retentionLimits{bytes: -1}}
	}
	found, err := topicRetention(ctx, s.Client, s.Topics.Events)
	if err != nil {
		return limits{retentionLimits: retentionLimits{bytes: -1}}
	}
	out := limits{retentionLimits: found, parts: map[int32]volume{}}
	if found.bytes < 0 {
		return out
	}
	admin := kadm.NewClient(s.Client)
	dirs, err := admin.DescribeAllLogDirs(ctx, kadm.TopicsSet{s.Topics.Events: nil})
	if err != nil && len(dirs) == 0 {
		return out
	}
	ago, err := admin.ListOffsetsAfterMilli(ctx, topic.at.Add(-time.Hour).UnixMilli(), s.Topics.Events)
	if err != nil {
		return out
	}
	sizes := map[int32]int64{}
	dirs.Each(func(d kadm.DescribedLogDir) {
		d.Topics.Each(func(p kadm.DescribedLogDirPartition) {
			if p.Topic == s.Topics.Events {
				sizes[p.Partition] = max(sizes[p.Partition], p.Size)
			}
		})
	})
	for _, number := range topic.numbers {
		start, _ := topic.starts.Lookup(s.Topics.Events, number)
		end, _ := topic.ends.Lookup(s.Topics.Events, number)
		hour, ok := ago.Lookup(s.Topics.Events, number)
		if n := end.Offset - start.Offset; n > 0 && ok && sizes[number] > 0 {
			v := volume{perOffset: float64(sizes[number]) / float64(n)}
			v.perSecond = float64(max(0, end.Offset-hour.Offset)) * v.perOffset / time.Hour.Seconds()
			out.parts[number] = v
		}
	}
	return out
}

// of says how near a lane's oldest event is to its end; nil if nothing waits, or nothing
// ends.
func (b limits) of(number int32, l *LaneStatus, now time.Time) *Retention {
	if l.Oldest == nil || l.Lag == 0 {
		return nil
	}
	var r *Retention
	if b.age > 0 {
		r = &Retention{Used: max(0, float64(now.Sub(*l.Oldest))/float64(b.age)), LossBegins: l.Oldest.Add(b.age), By: "time"}
	}
	v, ok := b.parts[number]
	if !ok || b.bytes < 0 {
		return r
	}
	behind := float64(l.End-l.Cursor) * v.perOffset
	bySize := &Retention{Used: 1, LossBegins: now, By: "size"}
	if left := float64(b.bytes) - behind; left > 0 {
		if v.perSecond <= 0 || left/v.perSecond > maxRetention.Seconds() {
			return r // nothing is appended that would push it out
		}
		bySize.Used = behind / float64(b.bytes)
		bySize.LossBegins = now.Add(time.Duration(left / v.perSecond * float64(time.Second)))
	}
	if r == nil || bySize.LossBegins.Before(r.LossBegins) {
		return bySize
	}
	return r
}
