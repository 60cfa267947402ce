package s3

import (
	"context"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/sinks"
)

// Deliver appends b's events to the chain of their day and returns when they are all in
// it, whoever put them there. It walks along what is there already, with one HEAD an
// object, and then makes one PUT; a PUT is never repeated at the same slot. Events of
// several days, which the pipeline does not put into one batch, go to a chain each.
//
// Receipt.Begin is the end of the last object on the way that an older revision of the
// stream has made, even where that lies below the lane's cursor; Receipt.Elsewhere that of the
// last one whose events are numbered in another chain than b's, or in none.
func (s *Sink) Deliver(ctx context.Context, b *sinks.Batch) (sinks.Receipt, error) {
	if err := ended(ctx); err != nil {
		return sinks.Receipt{}, err
	}
	if err := checkBatch(b); err != nil {
		return sinks.Receipt{}, err
	}
	if s.layout.format == formatLoose {
		return s.deliverLoose(ctx, b)
	}
	w := &walk{sink: s, batch: b}
	if b.Chain != nil {
		w.feed = integrity.FeedID(b.Chain.Origin)
	}
	w.marks, w.hinted = parseMarks(b.Mark, b.Lane, s.place)
	var err error
	for w.settled < len(b.Events) && err == nil {
		err = w.run(ctx)
	}
	if sinks.ClassOf(err) == sinks.Misconfigured {
		s.probe.forget()
	}
	return sinks.Receipt{Settled: w.settled, Mark: w.marks.text(b.Lane, s.place), Begin: w.begin, Elsewhere: w.elsewhere}, err
}

// walk is one Deliver on its way along the chain.
type walk struct {
	sink    *Sink
	batch   *sinks.Batch
	marks   marks
	hinted  bool  // the batch came with a mark: what it does not speak of is probably new
	settled int   // events of the batch
	begin   int64 // of the revision, as far as older objects show

	feed      string // id of the chain that the events are in; empty: they are in none
	elsewhere int64  // end of what objects have of another one
}

// run settles the next events of one day. Every turn of the loop knows a slot further
// on than the last, so it ends; on any error the walked way is in the marks.
func (w *walk) run(ctx context.Context) error {
	b := w.batch
	c := chain{layout: w.sink.layout, prefix: w.sink.prefix, lane: b.Lane, day: b.Events[w.settled].Day}
	if err := c.check(); err != nil {
		return &sinks.Error{Class: sinks.Misconfigured, Err: err}
	}
	end, next := w.settled, b.Next
	for end < len(b.Events) && b.Events[end].Day == c.day {
		end++
	}
	if end < len(b.Events) {
		next = b.Events[end].Offset
	}
	at, _ := w.marks.of(c.day)
	w.advance(at, end)
	// Without a mark the chain is probably long: to look costs less than to send an
	// object in order to hear that it is there.
	look := !w.hinted
	for w.settled < end {
		if err := ended(ctx); err != nil {
			return err
		}
		if look {
			l, found, err := w.look(ctx, c, at.slot)
			if err != nil {
				return err
			}
			if found {
				at = l.mark(c.day)
				w.advance(at, end)
				continue
			}
		}
		l, err := w.append(ctx, c, at.slot, next, end)
		if err != nil {
			return err
		}
		at = l.mark(c.day)
		w.advance(at, end)
		look = true // after a stranger's object there may be more
	}
	return nil
}

// advance settles what lies before at, which is as far as the chain is known to reach.
// It can be further than the batch: then the mark settles events of the next one.
func (w *walk) advance(at mark, end int) {
	for w.settled < end && w.batch.Events[w.settled].Offset < at.slot {
		w.settled++
	}
	if at.slot == 0 {
		return
	}
	if at.revision < w.batch.Lane.Revision {
		w.begin = max(w.begin, at.slot)
	}
	if w.feed != "" && at.feed != w.feed {
		w.elsewhere = max(w.elsewhere, at.slot)
	}
	w.marks = w.marks.with(at)
}

// look asks for the object at slot before one is sent there. What a HEAD cannot tell,
// the PUT that follows will.
func (w *walk) look(ctx context.Context, c chain, slot int64) (link, bool, error) {
	metadata, found, a := w.sink.store.stat(ctx, c.key(slot))
	switch {
	case a == nil:
		l, err := w.linkOf(c, slot, metadata, found)
		return l, err == nil, err
	case a.status >= 300 && a.status < 500 && a.status != http.StatusTooManyRequests && a.ended == nil && !a.credential:
		return link{}, false, nil
	default:
		return link{}, false, a.refusal()
	}
}

// append makes the object [slot, next) of the unsettled events before end, and returns
// the object that is then at slot: this one or that of another.
func (w *walk) append(ctx context.Context, c chain, slot, next int64, end int) (link, error) {
	s, b := w.sink, w.batch
	if err := s.probe.check(ctx, s.store); err != nil {
		return link{}, err
	}
	from := 0
	if w.settled > 0 {
		from = b.Events[w.settled-1].End
	}
	content := b.Body[from:b.Events[end-1].End]
	packed, err := c.layout.pack(content)
	if err != nil {
		return link{}, err
	}
	key := c.key(slot)
	if c.layout.sumPacked {
		content = packed
	}
	l := newLink(c, slot, next, end-w.settled, content, chainOf(b, w.settled, end))
	o, err := s.store.put(ctx, upload{key: key, contentType: c.layout.contentType, body: packed, metadata: l.metadata(), retain: true})
	switch o {
	case created:
		s.log.Debug("object created", zap.String("key", key), zap.Int("events", end-w.settled), zap.Int64("next", next), zap.Int("bytes", len(packed)))
		s.digests.note(key, &l, stored{int64(len(packed)), time.Now()}, true)
		return l, nil
	case exists:
		return w.met(ctx, c, slot)
	case unknown:
		if ctx.Err() != nil {
			return link{}, err
		}
		if metadata, found, a := s.store.stat(ctx, key); a == nil {
			return w.linkOf(c, slot, metadata, found)
		}
		return link{}, err
	case refused:
	}
	return link{}, err
}

// chainOf is where the events [i, j) of b stand in the chain of their feed, if they do.
func chainOf(b *sinks.Batch, i, j int) *sinks.Chain {
	if b.Chain == nil {
		return nil
	}
	return b.Slice(i, j).Chain
}

// met reads the object that a 412 has told us of.
func (w *walk) met(ctx context.Context, c chain, slot int64) (link, error) {
	s := w.sink.store
	metadata, found, a := s.stat(ctx, c.key(slot))
	if a == nil {
		return w.linkOf(c, slot, metadata, found)
	}
	e := a.refusal()
	switch a.status {
	case http.StatusNotFound: // deleted in between, or not yet visible
		e = s.errorf(sinks.Unavailable, a.what, a.status, errGone)
	case http.StatusForbidden:
		e = s.errorf(sinks.Misconfigured, a.what, a.status, errNoHead)
	}
	return link{}, e
}

// linkOf reads an object's metadata. One that cannot be of this chain holds the lane: to
// pass over it might lose events, to overwrite it would destroy somebody's.
func (w *walk) linkOf(c chain, slot int64, metadata map[string]string, found stored) (link, error) {
	l, err := w.sink.linkOf(c, slot, metadata)
	if err == nil {
		w.sink.digests.note(c.key(slot), &l, found, false)
	}
	return l, err
}

func (s *Sink) linkOf(c chain, slot int64, metadata map[string]string) (link, error) {
	l, err := parseLink(metadata, c.layout.format)
	if err == nil {
		err = l.belongs(c, slot)
	}
	if err != nil {
		return link{}, s.store.errorf(sinks.Misconfigured, "the object "+c.key(slot), http.StatusOK, senseless(err))
	}
	return l, nil
}
