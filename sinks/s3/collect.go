package s3

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/auditstream/auditstream/sinks"
)

const (
	maxHeads    = 10_000 // requests in one call: a digest with so many objects lists those, the next one goes on
	maxDaysBack = 31     // that objects are looked for, of a lane that lags behind
)

// collect lists the objects of the chain that stand in no digest yet. While this process
// delivers alone it remembers all of them, and asks nobody. Where it knows less than what is
// on record as settled, somebody else has delivered, or events have gone to the dead letters:
// then the store is asked, object by object, along the lane's days.
func (s *Sink) collect(ctx context.Context, series *series, d *sinks.Digest) ([]object, error) {
	after := series.last.After.Size
	objects := inOrder(series.behind(after), after)
	if joined(objects, after) >= d.Head.Size {
		return objects, nil
	}
	w := &search{sink: s, series: series, digest: d, heads: maxHeads, found: map[string]object{}}
	for _, o := range objects {
		w.found[o.Key] = o
	}
	if err := w.run(ctx); err != nil {
		return nil, err
	}
	return inOrder(w.list(), after), nil
}

// joined is up to which number objects go on from after without a gap.
func joined(objects []object, after int64) int64 {
	for _, o := range objects {
		if o.First != after+1 {
			break
		}
		after = o.Last
	}
	return after
}

// search looks for a chain's objects in the store.
type search struct {
	sink   *Sink
	series *series
	digest *sinks.Digest
	heads  int               // requests that may still be made
	found  map[string]object // by key, with those that were known before
	way    []object          // in the order in which they were met
}

// list is what was found: all of it, or of a search that was cut short what lies on its way.
func (w *search) list() []object {
	if w.heads <= 0 {
		return w.way
	}
	list := make([]object, 0, len(w.found))
	for _, o := range w.found {
		list = append(list, o)
	}
	return list
}

// run walks from behind the last object that stands in a digest to the present day, and then
// back, day by day, until everything that is on record is found: append times may step back
// around midnight, and where no digest has an object yet nobody knows where to begin.
func (w *search) run(ctx context.Context) error {
	day, slot, back, err := w.place(ctx)
	if err != nil {
		return err
	}
	for on := day; on <= dayOf(w.digest.At); on++ {
		if err := w.day(ctx, on, slot); err != nil {
			return err
		}
		slot = 0
	}
	after := w.series.last.After.Size
	for on := day - 1; on >= day-back && w.heads > 0; on-- {
		if joined(inOrder(w.list(), after), after) >= w.digest.Head.Size {
			break
		}
		if err := w.day(ctx, on, 0); err != nil {
			return err
		}
	}
	return nil
}

// place is where to begin, and how many days before that may have something.
func (w *search) place(ctx context.Context) (day int32, slot int64, back int32, err error) {
	key := w.series.key
	if day, ok := dayIn(key); ok {
		metadata, a := w.sink.store.head(ctx, key)
		w.heads--
		if a == nil {
			l, err := parseLink(metadata, w.sink.layout.format)
			if err != nil {
				return 0, 0, 0, err
			}
			return day, l.next, 1, nil
		}
		if !a.missing() {
			return 0, 0, 0, a.refusal()
		}
		return day, 0, 1, nil // whoever verifies will miss it
	}
	return dayOf(w.series.last.Hour), 0, maxDaysBack, nil
}

// day walks along the chain of objects of one day.
func (w *search) day(ctx context.Context, day int32, slot int64) error {
	c := chain{layout: w.sink.layout, prefix: w.sink.prefix, lane: w.digest.Lane, day: day}
	if err := c.check(); err != nil {
		return &sinks.Error{Class: sinks.Misconfigured, Err: err}
	}
	if w.sink.layout.format == formatLoose {
		return w.looseDay(ctx, c)
	}
	for w.heads > 0 {
		if err := ended(ctx); err != nil {
			return err
		}
		key := c.key(slot)
		if o, ok := w.found[key]; ok {
			w.way = append(w.way, o)
			slot = o.next
			continue
		}
		metadata, found, a := w.sink.store.stat(ctx, key)
		w.heads--
		if a != nil {
			if a.missing() {
				return nil
			}
			return a.refusal()
		}
		l, err := w.sink.linkOf(c, slot, metadata)
		if err != nil {
			return err
		}
		if l.origin == w.digest.Origin {
			o := objectOf(key, &l, found, false)
			w.found[key] = o
			w.way = append(w.way, o)
		}
		slot = l.next
	}
	return nil
}

// looseDay lists the objects of one day. They stand in no chain: none says what the next one
// is called. Whoever may not list has digests of what this process has written itself.
func (w *search) looseDay(ctx context.Context, c chain) error {
	for last := ""; w.heads > 0; {
		if err := ended(ctx); err != nil {
			return err
		}
		keys, more, a := w.sink.store.list(ctx, c.looseKeys(), last)
		w.heads--
		switch {
		case a == nil:
		case a.missing(), a.status == http.StatusNotImplemented:
			return nil
		default:
			return a.refusal()
		}
		for _, key := range keys {
			if err := w.looseObject(ctx, key); err != nil {
				return err
			}
		}
		if !more || len(keys) == 0 {
			return nil
		}
		last = keys[len(keys)-1]
	}
	return nil
}

// looseObject takes an object in that is of the chain. What is not ours, or cannot be read, is
// left to whoever verifies.
func (w *search) looseObject(ctx context.Context, key string) error {
	o, known := w.found[key]
	if !known {
		if w.heads <= 0 {
			return nil
		}
		metadata, found, a := w.sink.store.stat(ctx, key)
		w.heads--
		switch {
		case a == nil:
		case a.missing():
			return nil
		default:
			return a.refusal()
		}
		l, err := parseLink(metadata, w.sink.layout.format)
		if err != nil || l.origin != w.digest.Origin {
			return nil //nolint:nilerr // see above
		}
		o = objectOf(key, &l, found, false)
		w.found[key] = o
	}
	w.way = append(w.way, o)
	return nil
}

// dayOf is the UTC day of a time.
func dayOf(t time.Time) int32 { return int32(t.Unix() / int64(day/time.Second)) }

// dayIn is the day that a key names.
func dayIn(key string) (int32, bool) {
	_, rest, ok := strings.Cut(key, "/day=")
	if !ok || len(rest) < len(time.DateOnly) {
		return 0, false
	}
	t, err := time.Parse(time.DateOnly, rest[:len(time.DateOnly)])
	return dayOf(t), err == nil
}
