package s3_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/zap"

	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/s3"
	"github.com/auditstream/auditstream/sinks/sinktest/faults"
)

// revisions of the stream: the second one has another filter.
const firstRevision, revisions = 5, 2

type record struct {
	offset  int64
	day     int32
	matches [revisions]bool // what each revision takes; the others are filtered out or dead-lettered
}

// topic is the log of one events topic: one made again has another id, and begins at 0.
type topic struct {
	id      string
	log     []record
	start   int64 // what lies below, retention has taken
	end     int64
	settled int64 // highest cursor that was ever acknowledged
	expired int64 // what lies between settled and this was taken before it was settled
}

// state is what an owner of the lane has in memory, and what outlives it.
type state struct {
	topic    int // index
	cursor   int64
	mark     string
	revision int // index
}

// world is one random history of a lane.
type world struct {
	topics  []*topic
	history []state // that has ever been acknowledged
	present int     // revision of the stream
	planted string  // key of somebody else's object that is in the way, empty without

	mu   sync.Mutex
	rng  *rand.Rand // guarded by mu while requests are under way
	told []string   // what happened; guarded by mu
}

func newWorld(rng *rand.Rand) *world {
	w := &world{rng: rng, history: []state{{}}}
	w.topics = []*topic{w.newTopic("topic-of-the-first-days", 30+rng.IntN(50))}
	return w
}

func (w *world) newTopic(id string, records int) *topic {
	rng, p := w.rng, &topic{id: id}
	offset, today := int64(rng.IntN(3)), int32(day)
	for range records {
		if rng.IntN(8) == 0 {
			today++
		}
		r := record{offset: offset, day: today}
		r.matches[0] = rng.IntN(10) < 7
		if r.matches[1] = r.matches[0]; rng.IntN(3) == 0 {
			r.matches[1] = !r.matches[0]
		}
		if rng.IntN(8) == 0 {
			r.day-- // another leader's clock
		}
		p.log = append(p.log, r)
		offset++
		if rng.IntN(5) == 0 { // control records leave gaps
			offset += int64(1 + rng.IntN(3))
		}
	}
	p.end = offset
	return p
}

// fault decides about one request.
func (w *world) fault(r *http.Request) *faults.Answer {
	w.mu.Lock()
	n := w.rng.IntN(100)
	w.mu.Unlock()
	var a *faults.Answer
	switch {
	case n < 4:
		a = &faults.Answer{Cut: faults.CutBeforeBody}
	case n < 7:
		a = &faults.Answer{Status: 500}
	case n < 9:
		a = &faults.Answer{Status: 503}
	case r.Method == http.MethodHead:
	case n < 13:
		a = &faults.Answer{Status: 409, Body: []byte("<Error><Code>ConditionalRequestConflict</Code></Error>")}
	case n < 18:
		a = &faults.Answer{Store: true, Cut: faults.CutBeforeAnswer}
	case n < 23:
		a = &faults.Answer{Store: true, Status: 502}
	case n < 26:
		a = &faults.Answer{Store: true, Cut: faults.CutInAnswer}
	}
	if a != nil {
		w.tell("  fault %s %s store=%v status=%d cut=%d", r.Method, r.URL.Path[strings.LastIndexByte(r.URL.Path, '/'):], a.Store, a.Status, a.Cut)
	}
	return a
}

func (w *world) tell(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.told = append(w.told, fmt.Sprintf(format, args...))
}

// play lets up to three owners deliver at the same time, for a while, while the world
// changes around them.
func (w *world) play(t *testing.T, b *bucketOf) {
	t.Helper()
	owners := make([]state, 1+w.rng.IntN(3))
	opened := make([]*s3.Sink, len(owners))
	for i := range opened {
		opened[i] = openSink(t, b.set)
	}
	for range 25 {
		w.change(t, b)
		batches := make([]*sinks.Batch, len(owners))
		for i := range owners {
			if w.rng.IntN(10) == 0 {
				owners[i] = w.successor()
				w.tell("owner %d goes on as %+v", i, owners[i])
			}
			if owners[i].revision < w.present && w.rng.IntN(4) == 0 { // it learns of the change between two batches
				owners[i].revision = w.present
			}
			batches[i] = w.cut(owners[i])
		}
		var wg sync.WaitGroup
		for i, b := range batches {
			if b != nil {
				wg.Go(func() { _ = w.deliver(t, i, opened[i], b, &owners[i]) }) // refused: it is cut and tried anew
			}
		}
		wg.Wait()
	}
	w.settle(t, b)
}

// successor is a process that takes over from one that crashed: from a record of progress,
// new or old, or from none, and then perhaps in the middle of an object; with the newest
// stream or one that it has yet to hear of.
func (w *world) successor() state {
	s := w.history[w.rng.IntN(len(w.history))]
	last := len(w.topics) - 1
	if s.topic != last { // progress that speaks of another topic is void
		s = state{topic: last, mark: s.mark, revision: s.revision}
	}
	switch w.rng.IntN(4) {
	case 0:
		s.mark = ""
	case 1:
		s.mark = w.history[w.rng.IntN(len(w.history))].mark
	case 2: // progress is lost: it begins wherever everything before is settled
		s.mark, s.cursor = "", w.rng.Int64N(w.topics[last].settled+1)
	}
	if w.rng.IntN(2) == 0 {
		s.revision = w.present
	}
	return s
}

// change is what happens to the lane from outside, once in a while.
func (w *world) change(t *testing.T, b *bucketOf) {
	t.Helper()
	p := w.topics[len(w.topics)-1]
	switch n := w.rng.IntN(100); {
	case n < 4:
		w.present = revisions - 1
		w.tell("the filter is another one")
	case n < 9: // what is settled is forgotten, sometimes more than that
		p.start = max(p.start, w.rng.Int64N(p.settled+1))
		if w.rng.IntN(3) == 0 {
			p.start = max(p.start, min(p.end, p.settled+w.rng.Int64N(4)))
			p.expired = max(p.expired, p.start)
		}
		w.tell("retention takes what lies below %d, settled is %d", p.start, p.settled)
	case n < 11 && len(w.topics) < 2:
		w.topics = append(w.topics, w.newTopic("topic-made-again", 10+w.rng.IntN(30)))
		w.tell("the topic is made again")
	case n < 14:
		b.expire(t, w)
	case n < 17 && w.planted == "":
		b.plant(t, w)
	case n < 25 && w.planted != "":
		b.remove(t, w)
	}
}

// settle ends what the finish cannot end by itself.
func (w *world) settle(t *testing.T, b *bucketOf) {
	t.Helper()
	if w.planted != "" {
		b.remove(t, w)
	}
}

// finish delivers the rest over a network that works.
func (w *world) finish(t *testing.T, b *bucketOf) {
	t.Helper()
	s := openSink(t, b.set)
	o := w.successor()
	o.revision = w.present
	for range 10 * len(w.topics[o.topic].log) {
		b := w.cut(o)
		if b == nil {
			return
		}
		if err := w.deliver(t, -1, s, b, &o); err != nil {
			t.Errorf("with nothing in the way: %v", err)
			return
		}
	}
	t.Error("it goes on for ever")
}

func openSink(t *testing.T, set *s3.Settings) *s3.Sink {
	t.Helper()
	s, err := s3.Open(set, sinks.Options{Log: zap.NewNop(), Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func (w *world) laneOf(o state) sinks.Lane {
	l := lane()
	l.TopicID, l.Revision = w.topics[o.topic].id, int64(firstRevision+o.revision)
	return l
}

// cut makes a batch of some of the events from o's cursor on, or nil at the end.
func (w *world) cut(o state) *sinks.Batch {
	p := w.topics[o.topic]
	b := &sinks.Batch{Lane: w.laneOf(o), Mark: o.mark, Next: p.end}
	size, several := 1+w.rng.IntN(6), w.rng.IntN(10) == 0
	for _, r := range p.log {
		if r.offset < max(o.cursor, p.start) || !r.matches[o.revision] {
			continue
		}
		if n := len(b.Events); n == size || n > 0 && b.Events[0].Day != r.day && !several {
			// The lane has read at least up to here and found nothing in between.
			b.Next = b.Events[n-1].Offset + 1 + w.rng.Int64N(r.offset-b.Events[n-1].Offset)
			break
		}
		b.Body = append(b.Body, value(r.offset)+"\n"...)
		b.Events = append(b.Events, sinks.Entry{Offset: r.offset, End: len(b.Body), Day: r.day})
	}
	if len(b.Events) == 0 {
		return nil
	}
	return b
}

// deliver is one attempt, and what the pipeline does with its receipt.
func (w *world) deliver(t *testing.T, i int, s *s3.Sink, b *sinks.Batch, o *state) error {
	t.Helper()
	receipt, err := s.Deliver(t.Context(), b)
	if c := sinks.ClassOf(err); err != nil && c != sinks.Unavailable && (c != sinks.Misconfigured || w.planted == "") {
		t.Errorf("owner %d: %v", i, err)
	}
	if receipt.Mark != "" {
		o.mark = receipt.Mark
	}
	if receipt.Settled == len(b.Events) {
		o.cursor = b.Next
	} else {
		o.cursor = b.Events[receipt.Settled].Offset
	}
	w.tell("owner %d delivers %v next %d of revision %d, %s, with mark %q: settled %d, mark %q, begin %d, %v",
		i, offsets(b), b.Next, o.revision, b.Lane.TopicID, b.Mark, receipt.Settled, receipt.Mark, receipt.Begin, err)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.history = append(w.history, *o)
	p := w.topics[o.topic]
	p.settled = max(p.settled, o.cursor)
	return err
}

func offsets(b *sinks.Batch) []int64 {
	var out []int64
	for _, e := range b.Events {
		out = append(out, e.Offset)
	}
	return out
}

// duty says how often the event of r may and must be in the bucket.
func (p *topic) duty(r record, revisions int) (least, most int) {
	seen := r.matches[:revisions+1]
	switch {
	case !slices.Contains(seen, true):
		return 0, 0
	case slices.Contains(seen, false): // around a change of filter, one that matches only one of them
		return 0, 1
	case r.offset < p.expired: // it may have been taken before it was settled: a gap on record
		return 0, 1
	}
	return 1, 1
}
