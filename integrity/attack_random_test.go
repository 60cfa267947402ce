package integrity_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/auditstream/auditstream/integrity"
)

// true events of the honest world, by feed and number.
type truth map[string]map[int64]integrity.Hash

func (w *world) truth() truth {
	out := truth{}
	heads := map[string]integrity.Head{}
	for _, r := range w.log {
		head, begun := heads[r.origin]
		if !begun {
			head = integrity.Begin(r.origin)
		}
		link := head.Link(integrity.Digest(r.event))
		heads[r.origin] = link.Head()
		feed := integrity.FeedID(r.origin)
		if out[feed] == nil {
			out[feed] = map[int64]integrity.Hash{}
		}
		out[feed][link.Number] = link.Digest
	}
	return out
}

// withheld are the numbers of events that were dead-lettered, by feed.
func (w *world) withheld() map[string]int64 { return map[string]int64{w.again(): 5} }

// tamper does one thing at random to what the SIEM has, or to the checkpoints beside it, and
// says what.
func (w *world) tamper(dice *rand.Rand) string {
	if len(w.siem) == 0 {
		return "nothing is left"
	}
	i, j := dice.IntN(len(w.siem)), dice.IntN(len(w.siem))
	a, b := &w.siem[i], &w.siem[j]
	at := fmt.Sprintf(" %d, %d", i, j)
	switch dice.IntN(13) {
	case 0:
		w.siem = slices.Delete(w.siem, i, i+1)
		return "delete" + at
	case 1:
		w.siem = slices.Delete(w.siem, i, min(i+1+dice.IntN(12), len(w.siem)))
		return "delete a run" + at
	case 2:
		a.event = forge(a.event)
		return "alter" + at
	case 3:
		a.chain = b.chain
		return "another hash" + at
	case 4:
		a.event, b.event = b.event, a.event
		return "exchange events" + at
	case 5:
		*a, *b = *b, *a
		return "exchange rows" + at
	case 6:
		a.number = b.number
		return "renumber" + at
	case 7:
		a.feed = b.feed
		return "relabel" + at
	case 8:
		w.siem = append(w.siem, *a)
		return "repeat" + at
	case 9:
		forged := *a
		forged.event = []byte(`{"id":"forged"}`)
		w.siem = slices.Insert(w.siem, j, forged)
		return "insert" + at
	case 10:
		forged := *a
		forged.event = []byte(`{"id":"forged"}`)
		head := integrity.Head{Size: a.number, Hash: a.chain}
		link := head.Link(integrity.Digest(forged.event))
		forged.number, forged.chain = link.Number, link.Hash
		w.siem = slices.Insert(w.siem, j, forged)
		return "insert behind" + at
	case 11:
		for _, c := range w.chains {
			if integrity.FeedID(c.origin) == a.feed {
				w.rechain(c.origin)
			}
		}
		return "rechain the feed of" + at
	}
	if n := len(w.inFeed); n > 0 {
		k := dice.IntN(n)
		w.inFeed = slices.Delete(w.inFeed, k, k+1)
		return fmt.Sprintf("a checkpoint less, %d", k)
	}
	return "no checkpoint is left"
}

// holds checks what a report promises: of a feed that is called complete every event is there
// that the checkpoints speak of, with its number and as it was, and no other has one of these
// numbers.
func (w *world) holds(r *integrity.Report, real truth) error {
	for _, f := range r.Feeds {
		if f.Verdict != integrity.Complete {
			continue
		}
		seen := map[int64]bool{}
		for _, row := range w.siem {
			if row.feed != f.Feed || row.number < 1 || row.number > f.Covered {
				continue
			}
			if integrity.Digest(row.event) != real[f.Feed][row.number] {
				return fmt.Errorf("feed %s is called complete, and another event has number %d", f.Feed, row.number)
			}
			seen[row.number] = true
		}
		for number := f.First; number <= f.Covered; number++ {
			if !seen[number] && w.withheld()[f.Feed] != number {
				return fmt.Errorf("feed %s is called complete to %d, and number %d is not there", f.Feed, f.Covered, number)
			}
		}
	}
	return nil
}

// Whatever somebody does to the SIEM's data who has no key, a feed that is called complete is.
func TestNoTamperingIsCalledComplete(t *testing.T) {
	base := honest(t)
	real := base.truth()
	complete := 0
	for seed := range uint64(1500) {
		dice := rand.New(rand.NewPCG(seed, 7))
		w := base.copied()
		var done []string
		for range 1 + dice.IntN(6) {
			done = append(done, w.tamper(dice))
		}
		if dice.IntN(3) == 0 {
			alone(w)
		}
		if dice.IntN(4) == 0 {
			dice.Shuffle(len(w.siem), func(i, j int) { w.siem[i], w.siem[j] = w.siem[j], w.siem[i] })
			done = append(done, "shuffle")
		}
		r := w.verify(siem)
		if err := w.holds(r, real); err != nil {
			t.Fatalf("seed %d: %v\nafter %q\n%s", seed, err, done, details(r))
		}
		for _, f := range r.Feeds {
			if f.Verdict == integrity.Complete {
				complete++
			}
		}
	}
	if complete < 750 {
		t.Errorf("only %d feeds were called complete: this has checked next to nothing", complete)
	}
}

// The same honest rows are complete in whatever order, and however often, they come.
func TestTheOrderOfAnExportDoesNotMatter(t *testing.T) {
	base := honest(t)
	for seed := range uint64(200) {
		dice := rand.New(rand.NewPCG(seed, 11))
		w := base.copied()
		for range dice.IntN(20) {
			w.siem = append(w.siem, w.siem[dice.IntN(len(w.siem))])
		}
		dice.Shuffle(len(w.siem), func(i, j int) { w.siem[i], w.siem[j] = w.siem[j], w.siem[i] })
		dice.Shuffle(len(w.topic), func(i, j int) { w.topic[i], w.topic[j] = w.topic[j], w.topic[i] })
		w.sources = [][]signed{w.topic}
		if r := w.verify(siem); r.Verdict != integrity.Complete {
			t.Fatalf("seed %d: %s\n%s", seed, r.Sentence, details(r))
		}
	}
}

// copied is a world of its own with the same in it.
func (w *world) copied() *world {
	out := *w
	out.siem, out.inFeed, out.topic, out.locked = slices.Clone(w.siem), slices.Clone(w.inFeed), slices.Clone(w.topic), slices.Clone(w.locked)
	out.objects = make([]*object, len(w.objects))
	for i, o := range w.objects {
		one := *o
		one.lines = slices.Clone(o.lines)
		out.objects[i] = &one
	}
	return &out
}

// tamperObject does one thing at random to what the store has, and says what.
func (w *world) tamperObject(dice *rand.Rand) string {
	if len(w.objects) == 0 {
		return "nothing is left"
	}
	i, j := dice.IntN(len(w.objects)), dice.IntN(len(w.objects))
	a, b := w.objects[i], w.objects[j]
	line := func(o *object) int { return dice.IntN(max(len(o.lines), 1)) }
	at := fmt.Sprintf(" %d, %d", i, j)
	if len(a.lines) == 0 || len(b.lines) == 0 {
		return "an empty object"
	}
	switch dice.IntN(12) {
	case 0:
		w.objects = slices.Delete(w.objects, i, i+1)
		return "delete" + at
	case 1:
		k := line(a)
		a.lines = slices.Delete(a.lines, k, k+1)
		return "delete a line" + at
	case 2:
		k := line(a)
		a.lines[k] = forge(a.lines[k])
		return "alter a line" + at
	case 3:
		k, l := line(a), line(b)
		a.lines[k], b.lines[l] = b.lines[l], a.lines[k]
		return "exchange lines" + at
	case 4:
		a.lines = slices.Insert(a.lines, line(a), []byte(`{"id":"forged"}`))
		return "insert a line" + at
	case 5:
		a.rehash()
		return "rehash" + at
	case 6:
		a.first, a.last, a.before, a.after = b.first, b.last, b.before, b.after
		return "place of another" + at
	case 7:
		a.feed = b.feed
		return "relabel" + at
	case 8:
		a.before = b.after
		a.rehash()
		return "go on from another" + at
	case 9:
		again := *a
		again.lines = slices.Clone(a.lines)
		w.objects = append(w.objects, &again)
		return "repeat" + at
	case 10:
		a.first++
		return "begin later" + at
	}
	a.last = a.first + int64(len(a.lines)) - 1
	return "count anew" + at
}

// holdsOfObjects is holds of what a store has.
func (w *world) holdsOfObjects(r *integrity.Report, real truth) error {
	for _, f := range r.Feeds {
		if f.Verdict != integrity.Complete {
			continue
		}
		seen := map[int64]bool{}
		for _, o := range w.objects {
			if o.feed != f.Feed {
				continue
			}
			for k, line := range o.lines {
				number := o.first + int64(k)
				if number > f.Covered {
					continue
				}
				if integrity.Digest(line) != real[f.Feed][number] {
					return fmt.Errorf("feed %s is called complete, and another event stands where number %d should", f.Feed, number)
				}
				seen[number] = true
			}
		}
		for number := f.First; number <= f.Covered; number++ {
			if !seen[number] && w.withheld()[f.Feed] != number {
				return fmt.Errorf("feed %s is called complete to %d, and number %d is not there", f.Feed, f.Covered, number)
			}
		}
	}
	return nil
}

func TestNoTamperingWithAStoreIsCalledComplete(t *testing.T) {
	base := honest(t)
	real := base.truth()
	complete := 0
	for seed := range uint64(1500) {
		dice := rand.New(rand.NewPCG(seed, 13))
		w := base.copied()
		w.sources = [][]signed{w.topic}
		var done []string
		for range 1 + dice.IntN(5) {
			done = append(done, w.tamperObject(dice))
		}
		r := w.verify(store)
		if err := w.holdsOfObjects(r, real); err != nil {
			t.Fatalf("seed %d: %v\nafter %q\n%s", seed, err, done, details(r))
		}
		for _, f := range r.Feeds {
			if f.Verdict == integrity.Complete {
				complete++
			}
		}
	}
	if complete < 750 {
		t.Errorf("only %d feeds were called complete: this has checked next to nothing", complete)
	}
}
