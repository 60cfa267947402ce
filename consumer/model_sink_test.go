package consumer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/auditstream/auditstream/sinks"
)

// modelSink is the destination as one deliverer sees it.
type modelSink struct {
	w *world
	o *owner
}

type modelSettings struct {
	w            *world
	linger       time.Duration
	confirmation sinks.Confirmation
}

// settings have a linger of their own: who is first of two that end at once would be no
// part of the schedule.
func (w *world) settings() *modelSettings {
	s := &modelSettings{w: w}
	w.opened++
	if w.linger > 0 {
		s.linger = w.linger + time.Duration(w.opened)
	}
	if w.waiting > 0 {
		s.confirmation = sinks.Confirmation{Batches: w.waiting, Every: time.Millisecond + time.Duration(w.opened), Within: 20 * time.Millisecond}
	}
	return s
}

func (*modelSettings) Validate() error { return nil }

func (s *modelSettings) Batching() sinks.Batching {
	return sinks.Batching{MaxBytes: 1 << 10, MaxEvents: s.w.batch, Linger: s.linger, Daily: s.w.s3, Confirmation: s.confirmation}
}

var (
	errModelDown = errors.New("down")
	errModelHuge = &sinks.Error{Class: sinks.Rejected, Err: errors.New("too large")}
)

func (*modelSink) Frame(dst []byte, e *sinks.Event) ([]byte, error) {
	if strings.HasSuffix(string(e.Action), ".huge") {
		return dst, errModelHuge
	}
	return append(dst, '.'), nil
}

func (*modelSink) Close() error { return nil }

func (s *modelSink) Deliver(ctx context.Context, b *sinks.Batch) (sinks.Receipt, error) {
	w, o := s.w, s.o
	id := fmt.Sprintf("%d %s/%d/%d", b.Lane.Partition, b.Lane.UID, b.Lane.Epoch, b.Lane.Revision)
	lane := fmt.Sprintf("%d %s/%d", b.Lane.Partition, b.Lane.UID, w.line(b.Lane.UID, b.Lane.Epoch, b.Lane.Partition).base)
	if !o.under(lane, true) {
		w.fail("7: two requests at once for %s", lane)
	}
	defer o.under(lane, false)
	at := []int64{}
	for i, e := range b.Events {
		if i > 0 && e.Offset <= at[i-1] || e.Offset >= b.Next {
			w.fail("7: batch %v of %s, next %d", b.Events, id, b.Next)
		}
		at = append(at, e.Offset)
	}
	if err := o.park(ctx, "deliver", id); err != nil {
		return sinks.Receipt{}, err
	}
	w.tell("%s: deliver %s %v next %d mark %q", o.name, id, at, b.Next, b.Mark)
	if b.Lane.TopicID != w.events() && b.Lane.TopicID != lettersID {
		return sinks.Receipt{}, s.unavailable()
	}
	if l := w.line(b.Lane.UID, b.Lane.Epoch, b.Lane.Partition); !l.at(b.Lane.Partition).onRecord[b.Lane.Revision] {
		w.fail("6: %s sends before its revision was ever on record", id)
	}
	o.delivers(b)
	w.numbered(b)
	if w.away || !w.healthy && w.tape.chance(25) {
		w.tell("  refused")
		return sinks.Receipt{}, s.unavailable()
	}
	if w.s3 {
		return s.put(ctx, b)
	}
	return s.take(b, at)
}

// under notes whether a lane has a request under way; it reports whether that is a change.
func (o *owner) under(lane string, way bool) bool {
	o.w.mu.Lock()
	defer o.w.mu.Unlock()
	changed := o.inFlight[lane] != way
	o.inFlight[lane] = way
	return changed
}

// unavailable asks for a wait of its own, in the fake time of the model.
func (s *modelSink) unavailable() error {
	e := &sinks.Error{Class: sinks.Unavailable, Err: errModelDown}
	switch s.w.tape.pick(4) {
	case 2:
		e.RetryAfter = 7 * time.Millisecond
	case 3:
		e.Class = sinks.Misconfigured
	}
	return e
}

// take is a destination that takes batches and refuses events, with and without naming them.
func (s *modelSink) take(b *sinks.Batch, at []int64) (sinks.Receipt, error) {
	w := s.w
	j := w.line(b.Lane.UID, b.Lane.Epoch, b.Lane.Partition).job
	n := len(at)
	if !w.healthy && w.tape.chance(20) {
		n = w.tape.pick(n) // a head of it is taken
	}
	for i, o := range at {
		x := w.recordOf(b.Lane.TopicID, b.Lane.Partition, o)
		if x == nil || !w.refuses(j, x) {
			continue
		}
		refusal := &sinks.Error{Class: sinks.Rejected, Err: errors.New("bad event")}
		switch w.tape.pick(3) {
		case 0: // names it, and has taken what stands before
			refusal.Named, refusal.Event = true, i
			return s.taken(b, at[:i]), refusal
		case 1: // names it, and has taken nothing
			refusal.Named, refusal.Event = true, i
			w.tell("  names %d", o)
			return sinks.Receipt{}, refusal
		}
		w.tell("  refuses the batch")
		return sinks.Receipt{}, refusal
	}
	receipt := s.taken(b, at[:n])
	switch {
	case !w.healthy && w.tape.chance(20):
		w.tell("  answer lost")
		return sinks.Receipt{}, s.unavailable()
	case n < len(at):
		return receipt, s.unavailable()
	}
	return receipt, nil
}

// taken is the arrival of events: durable at once, or taken in, to be confirmed later.
func (s *modelSink) taken(b *sinks.Batch, at []int64) sinks.Receipt {
	w := s.w
	l := w.line(b.Lane.UID, b.Lane.Epoch, b.Lane.Partition)
	lp := l.at(b.Lane.Partition)
	p := w.parts[b.Lane.Partition]
	for _, o := range at {
		if lp.arrived[o] {
			continue
		}
		lp.arrived[o] = true
		x := w.recordOf(b.Lane.TopicID, b.Lane.Partition, o)
		if l.job != nil {
			w.sends(l.job, p.number, o, x)
		}
		if x == nil {
			w.fail("11: offset %d of %d holds no event", o, p.number)
			continue
		}
		if last, ok := lp.newest[x.org]; ok && o < last && (o >= p.start || l.job != nil && !l.job.twice) && !x.Timestamp.Before(l.start) && !l.changed && !w.repeats(l, p.number, o) && !x.refused {
			w.fail("11: %s: organization %c: event %d of %d arrives after %d", l.id, x.org, o, p.number, last)
		}
		lp.newest[x.org] = max(lp.newest[x.org], o)
	}
	w.tell("  taken %v", at)
	if len(at) > 0 {
		s.o.refusals[runOf(b.Lane.UID, b.Lane.Partition)] = nil
	}
	in := &intake{line: l, part: p.number, offsets: at, batch: b.Slice(0, len(at))}
	if w.waiting == 0 || len(at) == 0 {
		in.settle(w)
		return sinks.Receipt{Settled: len(at)}
	}
	ticket := sinks.Ticket(fmt.Sprint(len(w.intakes)))
	w.intakes[ticket] = in
	return sinks.Receipt{Settled: len(at), Pending: ticket}
}

// slot names an object, as sinks/s3 does.
type slot struct {
	uid, topic string
	epoch      int64
	part, day  int32
	at         int64
}

type object struct {
	next, revision int64
	origin         string // of the chain that the events are in
	offsets        []int64
}

// put appends to the chain of the batch's day by the rules of sinks/s3: walk along what is
// there, create where nothing is.
func (s *modelSink) put(ctx context.Context, b *sinks.Batch) (sinks.Receipt, error) {
	w, day := s.w, b.Events[0].Day
	for _, e := range b.Events {
		if e.Day != day {
			w.fail("7: a batch of two days: %v", b.Events)
		}
	}
	key := slot{b.Lane.UID, b.Lane.TopicID, b.Lane.Epoch, b.Lane.Partition, day, 0}
	r := sinks.Receipt{}
	var revision int64
	var origin string
	if _, err := fmt.Sscanf(b.Mark, "%d %d %d", new(int32), new(int64), new(int64)); err == nil {
		var markDay int32
		var at int64
		if n, _ := fmt.Sscanf(b.Mark, "%d %d %d %s", &markDay, &at, &revision, &origin); n >= 3 && markDay == day {
			key.at = at
		}
	}
	advance := func() {
		for r.Settled < len(b.Events) && b.Events[r.Settled].Offset < key.at {
			r.Settled++
		}
		if key.at > 0 {
			if revision < b.Lane.Revision {
				r.Begin = max(r.Begin, key.at)
			}
			if b.Chain != nil && b.Chain.Origin != origin {
				r.Elsewhere = max(r.Elsewhere, key.at)
			}
			r.Mark = fmt.Sprintf("%d %d %d %s", day, key.at, revision, origin)
		}
	}
	walk := func() bool {
		for r.Settled < len(b.Events) {
			advance()
			have, ok := w.objects[key]
			if !ok || r.Settled == len(b.Events) {
				break
			}
			if have.next <= key.at {
				w.fail("5: object %v ends at %d", key, have.next)
				return true
			}
			s.older(b, have)
			key.at, revision, origin = have.next, have.revision, have.origin
		}
		advance()
		return r.Settled == len(b.Events)
	}
	if walk() {
		return r, nil
	}
	if w.tape.chance(30) { // another may be faster
		if err := s.o.park(ctx, "put", fmt.Sprint(key)); err != nil {
			return r, err
		}
		if b.Lane.TopicID != w.events() && b.Lane.TopicID != lettersID {
			return r, s.unavailable()
		}
		if walk() {
			return r, nil
		}
	}
	if !w.healthy && w.tape.chance(20) {
		return r, s.unavailable()
	}
	s.create(b, key, r.Settled)
	if !w.healthy && w.tape.chance(20) {
		w.tell("  answer lost")
		return r, s.unavailable()
	}
	key.at, revision, origin = b.Next, b.Lane.Revision, originOf(b)
	advance()
	return r, nil
}

// originOf is the origin of the chain that b's events are in.
func originOf(b *sinks.Batch) string {
	if b.Chain == nil {
		return ""
	}
	return b.Chain.Origin
}

// older moves the beginning of revisions: an older one has made an object beyond it.
func (s *modelSink) older(b *sinks.Batch, have object) {
	l := s.w.line(b.Lane.UID, b.Lane.Epoch, b.Lane.Partition)
	begin := l.at(b.Lane.Partition).begin
	for z := range begin {
		if z > have.revision {
			begin[z] = max(begin[z], have.next)
		}
	}
}

func (s *modelSink) create(b *sinks.Batch, key slot, from int) {
	w := s.w
	o := object{next: b.Next, revision: b.Lane.Revision, origin: originOf(b)}
	l := w.line(key.uid, key.epoch, key.part)
	linked := key.at == 0
	for k, have := range w.objects {
		same := k
		same.at = key.at
		if same != key {
			continue
		}
		linked = linked || have.next == key.at
		if k.at < b.Next && key.at < have.next {
			w.fail("5: objects [%d, %d) and [%d, %d) of %v overlap", k.at, have.next, key.at, b.Next, key)
		}
	}
	if !linked {
		w.fail("5: object %v is no link of its chain", key)
	}
	w.has(b, from, len(b.Events))
	for _, e := range b.Events[from:] {
		o.offsets = append(o.offsets, e.Offset)
		id := fmt.Sprint(key.uid, key.epoch, key.topic, key.part, e.Offset)
		if other, ok := w.once[id]; ok {
			w.fail("5: event %d is in the objects %v and %v", e.Offset, other, key)
		}
		w.once[id] = key
		if l.job != nil {
			w.sends(l.job, key.part, e.Offset, w.recordOf(key.topic, key.part, e.Offset))
		}
		w.settle(l, key.part, e.Offset)
	}
	w.objects[key] = o
	w.tell("  object day %d [%d, %d) %v", key.day, key.at, o.next, o.offsets)
}
