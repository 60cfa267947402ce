package integrity_test

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/auditstream/auditstream/integrity"
)

// renamed is how what is told begins of objects that lie under other names: no event was
// touched.
var renamed = regexp.MustCompile(`^(\w+ renamed [0-9-]+(; )?)*$`)

// attack is a row of docs/threat-model.md, carried out.
type attack struct {
	name   string // as the page has it
	view   view
	do     func(*world)
	says   string // findings: kind, numbers, and the feed that they are about
	reach  bool   // false: verify cannot tell, and the page says why
	detail string // of one of the findings
}

// attacks are all that the page speaks of and that can be carried out on what a receiver has.
func attacks() []attack {
	return slices.Concat(attacksOnTheSIEM(), attacksOnTheStore(), attacksOnDigests(), attacksOnGrowth(), attacksOnJobs(), attacksOnKafka(), attacksWithKeys())
}

func forge(event []byte) []byte {
	return bytes.Replace(event, []byte("user.login"), []byte("user.Login"), 1)
}

// alone leaves verify with what its adversary can write to.
func alone(w *world) { w.sources = [][]signed{w.inFeed} }

func attacksOnTheSIEM() []attack {
	remove := func(w *world, feed string, from, to int64) {
		w.siem = slices.DeleteFunc(w.siem, func(r row) bool { return r.feed == feed && r.number >= from && r.number <= to })
	}
	return []attack{
		{name: "siem-delete-first", view: siem, reach: true, says: "acme missing 1", do: func(w *world) { remove(w, w.acme(), 1, 1) }},
		{name: "siem-delete-middle", view: siem, reach: true, says: "acme missing 7-9", do: func(w *world) { remove(w, w.acme(), 7, 9) }},
		{name: "siem-delete-last", view: siem, reach: true, says: "again missing 20", do: func(w *world) { remove(w, w.again(), 20, 20) }},
		{name: "siem-delete-end-of-chain", view: siem, reach: true, says: "acme missing 21-23", do: func(w *world) { remove(w, w.acme(), 21, 23) }},
		{name: "siem-delete-tail-and-checkpoints", view: siem, reach: true, says: "again missing 11-20", do: func(w *world) {
			remove(w, w.again(), 11, 20)
			w.inFeed = forget(w.inFeed, w.again(), 10)
		}},
		{name: "siem-delete-tail-alone", view: siem, reach: false, do: func(w *world) {
			remove(w, w.again(), 11, 20)
			w.inFeed = forget(w.inFeed, w.again(), 10)
			alone(w)
		}},
		{name: "siem-delete-tail-asked-for-a-time", view: siem, reach: true, says: "again uncovered -", detail: "nothing covers what came after 2026-11-23T12:30:00Z", do: func(w *world) {
			remove(w, w.again(), 11, 20)
			w.inFeed = forget(w.inFeed, w.again(), 10)
			alone(w)
			w.until = minutes(35)
		}},
		{name: "siem-delete-behind-last-checkpoint", view: siem, reach: false, do: func(w *world) {
			w.chains[2].deliver(5)
			remove(w, w.again(), 24, 25)
		}},
		{name: "siem-delete-behind-last-checkpoint-later", view: siem, reach: true, says: "again missing 24-25", do: func(w *world) {
			w.chains[2].deliver(5)
			remove(w, w.again(), 24, 25)
			w.chains[2].seal(50, w.second)
		}},
		{name: "siem-delete-amid-last-events", view: siem, reach: true, says: "again uncovered 23", detail: "the next one says whether delivered or withheld", do: func(w *world) {
			w.chains[2].deliver(5)
			remove(w, w.again(), 23, 23)
		}},
		{name: "siem-delete-feed", view: siem, reach: true, says: "globex missing 1-25", do: func(w *world) {
			remove(w, w.globex(), 1, 99)
			w.inFeed = forget(w.inFeed, w.globex(), -1)
		}},
		{name: "siem-delete-feed-alone", view: siem, reach: false, do: func(w *world) {
			remove(w, w.globex(), 1, 99)
			w.inFeed = forget(w.inFeed, w.globex(), -1)
			alone(w)
		}},
		{name: "siem-delete-former-chain", view: siem, reach: true, says: "acme missing 1-23", do: func(w *world) {
			remove(w, w.acme(), 1, 99)
			w.inFeed = forget(w.inFeed, w.acme(), -1)
			alone(w)
		}},
		{name: "siem-delete-dead-letter", view: siem, reach: true, says: "again missing 6", do: func(w *world) {
			// Nobody can say of an event that was delivered that it was withheld: the one that was
			// is number 5, and a checkpoint says so.
			remove(w, w.again(), 6, 6)
		}},
		{name: "siem-alter-before-withheld-run", view: siem, reach: true, says: "again altered 21-25", do: func(w *world) {
			c := w.chains[2]
			head := c.head
			c.deliver(5).refuseRun(3, "rejected").deliver(2).seal(50, w.second)
			for n := int64(21); n <= 25; n++ {
				r := &w.siem[w.row(w.again(), n)]
				r.event = forge(r.event)
				head = head.Next(integrity.Digest(r.event))
				r.chain = head.Hash
			}
		}},
		{name: "siem-delete-among-some-withheld", view: siem, reach: true, says: "again unclear 26-30", do: func(w *world) {
			w.chains[2].deliver(5).refuseRun(5, integrity.Some).deliver(2).seal(50, w.second)
			remove(w, w.again(), 28, 28)
		}},
		{name: "siem-alter", view: siem, reach: true, says: "acme altered 7", do: func(w *world) {
			r := &w.siem[w.row(w.acme(), 7)]
			r.event = forge(r.event)
		}},
		{name: "siem-alter-and-rechain", view: siem, reach: true, says: "acme altered 1-23", do: func(w *world) {
			r := &w.siem[w.row(w.acme(), 7)]
			r.event = forge(r.event)
			w.rechain(originOf("acme", 1, 40))
		}},
		{name: "siem-alter-beside-digests", view: siem, reach: true, says: "acme unclear 7-9", detail: "3 events: only their digests were here, so that what they say was not checked", do: func(w *world) {
			for n := int64(7); n <= 9; n++ {
				w.hide(w.row(w.acme(), n))
			}
		}},
		{name: "siem-repeat-beside-digest", view: siem, reach: true, says: "acme unclear 7", do: func(w *world) {
			w.siem = append(w.siem, w.siem[w.row(w.acme(), 7)])
			w.hide(len(w.siem) - 1)
		}},
		{name: "siem-insert", view: siem, reach: true, says: "acme inserted 7", do: func(w *world) {
			r := w.siem[w.row(w.acme(), 7)]
			r.event, r.id = []byte(`{"id":"forged"}`), "forged"
			w.siem = append(w.siem, r)
		}},
		{name: "siem-insert-and-rechain", view: siem, reach: true, says: "acme altered 1-23", do: func(w *world) {
			i := w.row(w.acme(), 7)
			w.siem = slices.Insert(w.siem, i, row{feed: w.acme(), event: []byte(`{"id":"forged"}`), id: "forged"})
			w.rechain(originOf("acme", 1, 40))
		}},
		{name: "siem-insert-behind-last-checkpoint", view: siem, reach: false, do: func(w *world) { w.forgedEnd() }},
		{name: "siem-insert-behind-last-checkpoint-later", view: siem, reach: true, says: "again altered 22; again inserted 21", do: func(w *world) {
			w.forgedEnd()
			w.chains[2].deliver(3).seal(50, w.second)
		}},
		{name: "siem-insert-behind-ended-chain", view: siem, reach: true, says: "acme uncovered 24", do: func(w *world) {
			w.forgedEndOf(w.chains[0])
		}},
		{name: "siem-insert-without-number", view: siem, reach: true, says: "uncovered -", do: func(w *world) {
			w.siem = append(w.siem, row{event: []byte(`{"id":"forged"}`), id: "forged"})
		}},
		{name: "siem-insert-unknown-feed", view: siem, reach: true, says: "? uncovered 1", detail: "no checkpoint is about this feed", do: func(w *world) {
			c := (&world{tb: w.tb}).begin("acme", 9, 0, nil)
			w.siem = append(w.siem, c.next())
		}},
		{name: "siem-reorder", view: siem, reach: true, says: "acme reordered 6; acme reordered 7", do: func(w *world) {
			a, b := &w.siem[w.row(w.acme(), 6)], &w.siem[w.row(w.acme(), 7)]
			a.event, b.event, a.id, b.id = b.event, a.event, b.id, a.id
		}},
		{name: "siem-renumber", view: siem, reach: true, says: "acme reordered 7", do: func(w *world) { w.siem[w.row(w.acme(), 7)].number = 70 }},
		{name: "siem-repeat", view: siem, reach: true, says: "", do: func(w *world) { w.siem = append(w.siem, w.siem[w.row(w.acme(), 7)]) }},
		{name: "siem-swap-organizations", view: siem, reach: true, says: "acme altered 7; globex altered 7", do: func(w *world) {
			a, g := &w.siem[w.row(w.acme(), 7)], &w.siem[w.row(w.globex(), 7)]
			a.event, g.event, a.id, g.id = g.event, a.event, g.id, a.id
		}},
		{name: "siem-relabel-feed", view: siem, reach: true, says: "acme altered 1; acme altered 1-23; globex missing 1-25", do: func(w *world) {
			// All of one organization's events under the other's name, in place of theirs.
			remove(w, w.acme(), 1, 99)
			for i := range w.siem {
				if w.siem[i].feed == w.globex() {
					w.siem[i].feed = w.acme()
				}
			}
		}},
	}
}

// forgedEnd puts an event behind the last one of a feed that goes on.
func (w *world) forgedEnd() { w.forgedEndOf(w.chains[2]) }

func (w *world) forgedEndOf(c *chain) {
	event := []byte(`{"id":"forged"}`)
	link := c.head.Link(integrity.Digest(event))
	w.siem = append(w.siem, row{integrity.FeedID(c.origin), link.Number, link.Hash, event, "forged", integrity.Original{}})
}

func attacksOnTheStore() []attack {
	remove := func(w *world, o *object) {
		w.objects = slices.DeleteFunc(w.objects, func(x *object) bool { return x == o })
	}
	return []attack{
		{name: "store-delete-first", view: store, reach: true, says: "acme missing 1-10", do: func(w *world) { remove(w, w.object(w.acme(), 1)) }},
		{name: "store-delete-middle", view: store, reach: true, says: "acme missing 11-20", do: func(w *world) { remove(w, w.object(w.acme(), 11)) }},
		{name: "store-delete-last", view: store, reach: true, says: "again missing 11-20", do: func(w *world) { remove(w, w.object(w.again(), 20)) }},
		{name: "store-delete-line", view: store, reach: true, says: "acme missing 11-20", do: func(w *world) {
			o := w.object(w.acme(), 11)
			o.lines = slices.Delete(o.lines, 3, 4)
		}},
		{name: "store-alter-line", view: store, reach: true, says: "acme altered 11-20", do: func(w *world) {
			o := w.object(w.acme(), 11)
			o.lines[3] = forge(o.lines[3])
		}},
		{name: "store-alter-before-withheld-run", view: store, reach: true, says: "again altered 21-25", do: func(w *world) {
			w.chains[2].deliver(5).refuseRun(3, "rejected").deliver(2).seal(50, w.second)
			o := w.object(w.again(), 21)
			o.lines[2] = forge(o.lines[2])
			o.rehash()
		}},
		{name: "store-alter-line-and-metadata", view: store, reach: true, says: "acme altered 11-20", do: func(w *world) {
			o := w.object(w.acme(), 11)
			o.lines[3] = forge(o.lines[3])
			o.rehash()
		}},
		{name: "store-insert-line", view: store, reach: true, says: "acme inserted 11-20", do: func(w *world) {
			o := w.object(w.acme(), 11)
			o.lines = slices.Insert(o.lines, 3, []byte(`{"id":"forged"}`))
		}},
		{name: "store-reorder-lines", view: store, reach: true, says: "acme altered 11-20", do: func(w *world) {
			o := w.object(w.acme(), 11)
			o.lines[3], o.lines[4] = o.lines[4], o.lines[3]
		}},
		{name: "store-insert-object", view: store, reach: true, says: "again inserted 11; again inserted 12; again inserted 13; again inserted 14; again inserted 15; again inserted 16; again inserted 17; again inserted 18; again inserted 19; again inserted 20", do: func(w *world) {
			o := *w.object(w.again(), 11)
			o.name += "-forged"
			o.lines = slices.Clone(o.lines)
			for i := range o.lines {
				o.lines[i] = forge(o.lines[i])
			}
			o.rehash()
			w.objects = append(w.objects, &o)
		}},
		{name: "store-rename", view: store, reach: true, says: "", do: func(w *world) {
			// Names are not what places an object: nothing is hidden by another one.
			w.object(w.acme(), 1).name = "zzz"
			w.object(w.again(), 20).name = "aaa"
		}},
		{name: "store-exchange-objects", view: store, reach: true, says: "acme altered 1-10; acme altered 11-20", do: func(w *world) {
			a, b := w.object(w.acme(), 1), w.object(w.acme(), 11)
			a.lines, b.lines = b.lines, a.lines
		}},
		{name: "store-swap-organizations", view: store, reach: true, says: "acme altered 11-20; globex altered 11-20", do: func(w *world) {
			a, g := w.object(w.acme(), 11), w.object(w.globex(), 11)
			a.lines, g.lines = g.lines, a.lines
		}},
		{name: "store-relabel-object", view: store, reach: true, says: "acme altered 11-20; globex missing 11-20", do: func(w *world) {
			remove(w, w.object(w.acme(), 11))
			w.object(w.globex(), 11).feed = w.acme()
		}},
	}
}

// rehash makes the metadata fit what the object holds.
func (o *object) rehash() {
	head := integrity.Head{Size: o.first - 1, Hash: o.before}
	for _, line := range o.lines {
		head = head.Next(integrity.Digest(line))
	}
	o.last, o.after = head.Size, head.Hash
}

// attacksOnGrowth are those on feeds of a topic that got a partition more.
func attacksOnGrowth() []attack {
	remove := func(w *world, feed string, above int64) {
		w.siem = slices.DeleteFunc(w.siem, func(r row) bool { return r.feed == feed && r.number > above })
		w.inFeed = forget(w.inFeed, feed, above)
	}
	young := func(w *world) *signed {
		i := slices.IndexFunc(w.inFeed, func(s signed) bool { return s.origin == originIn(4, "acme", 2, 0) && s.size == 5 })
		return &w.inFeed[i]
	}
	return []attack{
		{name: "growth-delete-old-feed", view: siem, reach: true, says: "again missing 1-20", detail: "says that its stream had it before", do: func(w *world) {
			w.grow()
			remove(w, w.again(), -1)
			remove(w, w.acme(), -1)
			alone(w)
		}},
		{name: "growth-delete-tail-of-old-feed", view: siem, reach: true, says: "again missing 11-20", do: func(w *world) {
			w.grow()
			remove(w, w.again(), 10)
			alone(w)
		}},
		{name: "growth-delete-tail-behind-growth", view: siem, reach: false, do: func(w *world) {
			w.grow()
			w.chains[2].deliver(5).seal(55, w.second)
			remove(w, w.again(), 20)
			alone(w)
		}},
		{name: "growth-delete-old-and-new-feed", view: siem, reach: false, do: func(w *world) {
			w.grow()
			for _, feed := range []string{w.young(), w.elder()} {
				remove(w, feed, -1)
			}
			alone(w)
		}},
		{name: "growth-alter-predecessor", view: siem, reach: true, says: "again missing 11-20; uncovered -; young uncovered 1-5", detail: "for nothing", do: func(w *world) {
			w.grow()
			remove(w, w.again(), 10)
			s := young(w)
			s.note = bytes.Replace(s.note, []byte(originOf("acme", 2, 63)+" 20 "), []byte(originOf("acme", 2, 63)+" 10 "), 1)
			alone(w)
		}},
		{name: "growth-forge-predecessor", view: siem, reach: true, says: "uncovered -", detail: "for nothing", do: func(w *world) {
			w.grow()
			c := *w.chains[len(w.chains)-1]
			c.beside = []integrity.Beside{{Origin: originIn(1, "acme", 2, 3), Head: integrity.Head{Size: 9, Hash: integrity.Digest(nil)}, Time: minutes(30)}}
			w.inFeed = append(w.inFeed, c.checkpoint(minutes(52), newKey(w.tb)))
		}},
		{name: "growth-swap-predecessors", view: siem, reach: true, says: "again altered 1; again altered 6; again inserted 5; again missing 7-20; elder altered 1; elder altered 6; elder missing 5", do: func(w *world) {
			w.grow()
			for i := range w.siem {
				switch w.siem[i].feed {
				case w.again():
					w.siem[i].feed = w.elder()
				case w.elder():
					w.siem[i].feed = w.again()
				}
			}
		}},
		{name: "growth-swap-predecessors-in-checkpoint", view: siem, reach: true, says: "uncovered -", detail: "for nothing", do: func(w *world) {
			w.grow()
			s, elder, again := young(w), originIn(2, "acme", 2, 9), originOf("acme", 2, 63)
			s.note = bytes.Replace(s.note, []byte(elder), []byte("?"), 1)
			s.note = bytes.Replace(s.note, []byte(again), []byte(elder), 1)
			s.note = bytes.Replace(s.note, []byte("?"), []byte(again), 1)
		}},
	}
}

// loseProgress has acme's second feed go on for five events behind its last checkpoint, and
// its stream begin anew behind them, as if it had never been in that partition.
func (w *world) loseProgress(previous *integrity.Former) {
	w.chains[2].deliver(5)
	c := w.begin("acme", 2, 88, previous)
	c.seal(50, w.second).deliver(5).seal(60, w.second)
}

func attacksOnKafka() []attack {
	number := func(w *world, origin string, n int) int {
		for i, r := range w.log {
			if r.origin == origin {
				if n--; n == 0 {
					return i
				}
			}
		}
		w.tb.Fatal("no such record")
		return 0
	}
	acme, again := originOf("acme", 1, 40), originOf("acme", 2, 63)
	return []attack{
		{name: "topic-alter", view: kafka, reach: true, says: "acme altered 1-23", do: func(w *world) {
			r := &w.log[number(w, acme, 7)]
			r.event = forge(r.event)
		}},
		{name: "topic-delete", view: kafka, reach: true, says: "acme altered 1-20; acme missing 23", do: func(w *world) {
			w.log = slices.Delete(w.log, number(w, acme, 7), number(w, acme, 7)+1)
		}},
		{name: "topic-delete-first", view: kafka, reach: true, says: "acme altered 1-20; acme missing 23", do: func(w *world) {
			w.log = slices.Delete(w.log, number(w, acme, 1), number(w, acme, 1)+1)
		}},
		{name: "topic-delete-last", view: kafka, reach: true, says: "again missing 20", do: func(w *world) {
			w.log = slices.Delete(w.log, number(w, again, 20), number(w, again, 20)+1)
		}},
		{name: "topic-insert", view: kafka, reach: true, says: "acme altered 1-23", do: func(w *world) {
			r := w.log[number(w, acme, 7)]
			r.event = forge(r.event)
			w.log = slices.Insert(w.log, number(w, acme, 7), r)
		}},
		{name: "topic-reorder", view: kafka, reach: true, says: "acme altered 1-23", do: func(w *world) {
			a, b := &w.log[number(w, acme, 7)], &w.log[number(w, acme, 8)]
			a.event, b.event = b.event, a.event
		}},
		{name: "topic-swap-organizations", view: kafka, reach: true, says: "acme altered 1-23; globex altered 1-25", do: func(w *world) {
			a, b := &w.log[number(w, acme, 7)], &w.log[number(w, "auditstream/globex/str_globex/topic/3/1.1.0", 7)]
			a.event, b.event = b.event, a.event
		}},
		{name: "topic-insert-before-delivery", view: siem, reach: false, do: func(w *world) {
			// Whoever may write to the topic publishes: what is written there is what is delivered.
			w.chains[2].deliver(1).seal(50, w.second)
		}},
		{name: "progress-ahead", view: siem, reach: false, do: func(w *world) { w.passOver(false) }},
		{name: "progress-ahead-held-against-the-topic", view: kafka, reach: true, says: "again altered 21-30", do: func(w *world) { w.passOver(true) }},
		{name: "progress-back", view: siem, reach: true, says: "", do: func(w *world) {
			// Cursor and chain put back together: the same events with the same numbers once more.
			for n := int64(11); n <= 20; n++ {
				w.siem = append(w.siem, w.siem[w.row(w.again(), n)])
			}
		}},
		{name: "progress-delete", view: siem, reach: true, says: "", do: func(w *world) {
			// Delivery goes on from the last checkpoint: what came behind it comes again, as it was.
			c := w.chains[2]
			c.deliver(5)
			for n := int64(21); n <= 25; n++ {
				w.siem = append(w.siem, w.siem[w.row(w.again(), n)])
			}
			c.deliver(3).seal(50, w.second)
		}},
		{name: "progress-delete-of-former-revision", view: siem, reach: true, says: "again uncovered 21-25", detail: "has lost where this feed stood", do: func(w *world) {
			again := w.chains[2]
			w.loseProgress(&integrity.Former{Origin: again.origin, Head: again.head, Reason: integrity.ProgressLost})
		}},
		{name: "progress-and-checkpoints-delete", view: siem, reach: false, do: func(w *world) { w.loseProgress(nil) }},
		{name: "progress-and-checkpoints-delete-asked-for-a-time", view: siem, reach: true, says: "again uncovered -", detail: "nothing covers what came after", do: func(w *world) {
			w.loseProgress(nil)
			w.chains[1].seal(60, w.second)
			w.until = minutes(60)
		}},
		{name: "progress-other-chain", view: siem, reach: true, says: "again forked 20; again inserted 20", do: func(w *world) {
			// Size and hash put back, and the cursor not: other events get numbers that are taken.
			c := w.chains[2]
			before := w.siem[w.row(w.again(), 19)]
			c.head = integrity.Head{Size: 19, Hash: before.chain}
			event := []byte(`{"id":"another"}`)
			link := c.head.Link(integrity.Digest(event))
			w.siem = append(w.siem, row{w.again(), link.Number, link.Hash, event, "another", integrity.Original{}})
			c.head = link.Head()
			w.inFeed = append(w.inFeed, c.checkpoint(minutes(50), w.second))
		}},
		{name: "checkpoints-delete", view: siem, reach: true, says: "", do: func(w *world) { w.topic = nil }},
		{name: "checkpoints-delete-everywhere", view: siem, reach: true, says: "acme uncovered 1-23; again missing 5; again uncovered 1-20; globex uncovered 1-25", do: func(w *world) { w.topic, w.inFeed, w.locked = nil, nil, nil }},
		{name: "checkpoints-forge", view: siem, reach: true, says: "uncovered -", detail: "1 checkpoint counts for nothing", do: func(w *world) {
			mallory := newKey(w.tb)
			w.topic = append(w.topic, w.chains[2].checkpoint(minutes(50), mallory))
		}},
		{name: "checkpoints-alter", view: siem, reach: true, says: "uncovered -", detail: "for nothing", do: func(w *world) {
			i := slices.IndexFunc(w.topic, func(s signed) bool { return s.origin == again && s.size == 20 })
			w.topic[i].note = bytes.Replace(w.topic[i].note, []byte("\n20\n"), []byte("\n10\n"), 1)
		}},
		{name: "checkpoints-replay-old", view: siem, reach: true, says: "again missing 11-20", do: func(w *world) {
			// The tail is taken out, and an old checkpoint shown again as if it were the last.
			w.siem = slices.DeleteFunc(w.siem, func(r row) bool { return r.feed == w.again() && r.number > 10 })
			old := w.topic[slices.IndexFunc(w.topic, func(s signed) bool { return s.origin == again && s.size == 9+1 })]
			w.topic = append(forget(w.topic, w.again(), 10), old, old)
			w.inFeed = forget(w.inFeed, w.again(), 10)
		}},
		{name: "checkpoints-replay-old-alone", view: siem, reach: true, says: "again uncovered -", detail: "nothing covers what came after", do: func(w *world) {
			w.siem = slices.DeleteFunc(w.siem, func(r row) bool { return r.feed == w.again() && r.number > 10 })
			w.inFeed = forget(w.inFeed, w.again(), 10)
			alone(w)
			w.until = minutes(40)
		}},
	}
}

// passOver has a cursor moved on in the progress topic: five events get no number, and those
// behind them follow in the chain as if they had not been. numbered says whether the topic is
// read again by the stream's rules.
func (w *world) passOver(read bool) {
	c := w.chains[2]
	for range 5 {
		if read {
			w.log = append(w.log, record{c.origin, []byte(`{"id":"passed over"}`)})
		}
	}
	c.deliver(10).seal(50, w.second)
}

func attacksWithKeys() []attack {
	acme := originOf("acme", 1, 40)
	// rewrite alters an event of the first chain, makes the chain anew, and puts checkpoints
	// of it in place of the true ones that it can reach.
	rewrite := func(w *world, by key) {
		r := &w.siem[w.row(w.acme(), 7)]
		r.event = forge(r.event)
		w.inFeed = forget(w.inFeed, w.acme(), -1)
		c := (&world{tb: w.tb}).begin("acme", 1, 40, nil)
		for _, r := range w.siem {
			if r.feed != w.acme() {
				continue
			}
			link := c.head.Link(integrity.Digest(r.event))
			c.head, c.offset = link.Head(), c.offset+1
			c.tree.Append(link.Digest)
			if link.Number == 10 || link.Number == 20 {
				w.inFeed = append(w.inFeed, c.checkpoint(minutes(int(link.Number)-10), by))
				c.after = link.Number
			}
		}
		w.rechain(acme)
	}
	return []attack{
		{name: "old-key-signs-later", view: siem, reach: true, says: "uncovered -", detail: "only until 2026-11-23T12:30:00Z", do: func(w *world) {
			w.forgedEnd()
			c := w.chains[2]
			c.head = c.head.Next(integrity.Digest([]byte(`{"id":"forged"}`)))
			c.tree.Append(integrity.Digest([]byte(`{"id":"forged"}`)))
			w.inFeed = append(w.inFeed, c.checkpoint(minutes(50), w.first))
		}},
		{name: "old-key-rewrites", view: siem, reach: true, says: "acme altered 21-23; acme forked 10; acme forked 20", do: func(w *world) { rewrite(w, w.first) }},
		{name: "old-key-rewrites-alone", view: siem, reach: true, says: "acme altered 21-23", do: func(w *world) {
			// The checkpoint of the chain behind says how long the one before it was, and its hash.
			rewrite(w, w.first)
			alone(w)
		}},
		{name: "old-key-rewrites-all-alone", view: siem, reach: false, do: func(w *world) {
			// Nothing that the new key has signed speaks of it any more.
			rewrite(w, w.first)
			w.siem = slices.DeleteFunc(w.siem, func(r row) bool { return r.feed == w.again() })
			w.inFeed = forget(w.inFeed, w.again(), -1)
			alone(w)
		}},
		{name: "old-key-names-another-heir", view: siem, reach: true, says: "forked -", detail: "whoever has the old key has forged one of the two", do: func(w *world) {
			w.statements = append(w.statements, w.replace(w.first, newKey(w.tb), minutes(20), minutes(21)))
		}},
		{name: "old-key-names-another-heir-alone", view: siem, reach: false, do: func(w *world) {
			mallory := newKey(w.tb)
			w.statements = [][]byte{w.replace(w.first, mallory, minutes(11), minutes(12))}
			w.siem, w.inFeed = w.siem[:0], w.inFeed[:0]
			c := w.begin("acme", 1, 40, nil)
			w.topic, w.locked = nil, nil
			c.deliver(3).seal(50, mallory)
			alone(w)
		}},
		{name: "key-not-handed-over", view: siem, reach: true, says: "acme uncovered 1-23; again missing 5; again uncovered 1-20; globex uncovered 1-25; uncovered -", detail: "for nothing", do: func(w *world) {
			w.trusted, w.statements = []string{newKey(w.tb).public}, nil
		}},
		{name: "signer-tells-two-stories", view: siem, reach: true, says: "again forked 20", do: func(w *world) {
			// Whoever holds the key delivers one feed, and shows the auditor the checkpoint of another.
			w.inFeed = append(w.inFeed, w.otherStory())
		}},
		{name: "signer-tells-two-stories-apart", view: siem, reach: false, do: func(w *world) {
			w.otherStory()
			alone(w)
		}},
		{name: "signer-shortens-former-chain", view: siem, reach: true, says: "acme missing 7-23; again missing 1-4; again missing 6-20", do: func(w *world) {
			c := w.begin("acme", 3, 90, &integrity.Former{Origin: acme, Head: integrity.Head{Size: 6, Hash: w.siem[w.row(w.acme(), 6)].chain}, Reason: "moved"})
			c.seal(50, w.second)
			w.siem = slices.DeleteFunc(w.siem, func(r row) bool { return r.feed == w.acme() && r.number > 6 })
			w.inFeed = forget(w.inFeed, w.acme(), 6)
			w.inFeed = forget(w.inFeed, w.again(), -1)
			w.siem = slices.DeleteFunc(w.siem, func(r row) bool { return r.feed == w.again() })
		}},
	}
}

// otherStory is a checkpoint of the second chain of acme as it never was.
func (w *world) otherStory() signed {
	c := *w.chains[2]
	c.head.Hash, c.after = integrity.Digest([]byte("another")), 10
	return c.checkpoint(minutes(40), w.second)
}

// told are the findings of a report in short: feed, kind, numbers, in order.
func (w *world) told(r *integrity.Report) string {
	names := map[string]string{w.acme(): "acme ", w.again(): "again ", w.globex(): "globex ", w.elder(): "elder ", w.young(): "young ", w.replay(): "replay ", w.redrive(): "redrive "}
	var out []string
	short := func(feed string, x integrity.Finding) {
		numbers := "-"
		switch {
		case x.To > x.From:
			numbers = fmt.Sprintf("%d-%d", x.From, x.To)
		case x.To > 0:
			numbers = fmt.Sprint(x.From)
		}
		out = append(out, fmt.Sprintf("%s%s %s", feed, x.Kind, numbers))
	}
	for _, x := range r.Findings {
		short("", x)
	}
	for _, f := range r.Feeds {
		name, known := names[f.Feed]
		if !known {
			name = "? "
		}
		for _, x := range f.Findings {
			short(name, x)
		}
	}
	slices.Sort(out)
	return strings.Join(slices.Compact(out), "; ")
}

func TestNothingIsFoundInWhatIsHonest(t *testing.T) {
	for _, v := range []view{siem, store, shelf, kafka} {
		w := honest(t)
		r := w.verify(v)
		if r.Verdict != integrity.Complete || len(r.Feeds) != 3 {
			t.Errorf("%s: %s\n%+v", v, r.Sentence, r)
		}
		alone(w)
		if r := w.verify(v); r.Verdict != integrity.Complete {
			t.Errorf("%s, with the checkpoints of the feed alone: %s\n%+v", v, r.Sentence, r)
		}
		w.sources = nil
		w.grow()
		if r := w.verify(v); r.Verdict != integrity.Complete || len(r.Feeds) != 5 {
			t.Errorf("%s, of a topic that has grown: %s\n%+v", v, r.Sentence, r)
		}
	}
}

func TestAttacks(t *testing.T) {
	for _, a := range attacks() {
		t.Run(a.name, func(t *testing.T) {
			w := honest(t)
			a.do(w)
			r := w.verify(a.view)
			got := w.told(r)
			if got != a.says {
				t.Errorf("verify tells %q, want %q\n%s", got, a.says, details(r))
			}
			if a.detail != "" && !strings.Contains(details(r), a.detail) {
				t.Errorf("verify does not tell %q:\n%s", a.detail, details(r))
			}
			if harmless := renamed.MatchString(a.says); !harmless == (r.Verdict == integrity.Complete) {
				t.Errorf("the verdict is %s: %s", r.Verdict, r.Sentence)
			}
		})
	}
}

func details(r *integrity.Report) string {
	var b strings.Builder
	for _, x := range r.Findings {
		fmt.Fprintln(&b, x)
	}
	for i := range r.Feeds {
		fmt.Fprintln(&b, r.Feeds[i].Sentence)
		for _, x := range r.Feeds[i].Findings {
			fmt.Fprintln(&b, "  ", x)
		}
	}
	return b.String()
}

// The page speaks of what these tests carry out, and of nothing that they do not; what it calls
// out of reach is what verify does not tell here.
func TestTheThreatModelSaysWhatTheAttacksShow(t *testing.T) {
	page, err := os.ReadFile("../docs/threat-model.md")
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\| [^|]+ \\| (detected|harmless|\\*\\*out of reach\\*\\*): ").FindAllStringSubmatch(string(page), -1) {
		if told[m[1]] != "" {
			t.Errorf("the page has %s twice", m[1])
		}
		told[m[1]] = m[2]
	}
	shown := map[string]string{}
	for _, a := range attacks() {
		switch {
		case !a.reach:
			shown[a.name] = "**out of reach**"
		case renamed.MatchString(a.says):
			shown[a.name] = "harmless"
		default:
			shown[a.name] = "detected"
		}
		if !a.reach && a.says != "" {
			t.Errorf("%s is called out of reach, and told of", a.name)
		}
	}
	if diff := cmp.Diff(shown, told); diff != "" {
		t.Errorf("(-attacks +page):\n%s", diff)
	}
}

// The table of adversaries and attacks has no empty cell, and names rows that there are.
func TestTheThreatModelHasEachAttackOfEachAdversary(t *testing.T) {
	page, err := os.ReadFile("../docs/threat-model.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "### Each attack by each adversary")
	section, _, _ = strings.Cut(section, "\n### ")
	known := map[string]bool{}
	for _, a := range attacks() {
		known[a.name] = true
	}
	rows := 0
	for line := range strings.Lines(section) {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| ---") {
			continue
		}
		rows++
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 5 {
			t.Errorf("%s has %d cells", line, len(cells))
		}
		for _, cell := range cells {
			if strings.TrimSpace(cell) == "" && rows > 1 {
				t.Errorf("%s has an empty cell", line)
			}
		}
		for _, m := range regexp.MustCompile("`([a-z-]+)`").FindAllStringSubmatch(line, -1) {
			if !known[m[1]] {
				t.Errorf("%s is no row of the page that is carried out", m[1])
			}
		}
	}
	if rows < 11 {
		t.Errorf("the table has %d rows", rows)
	}
}
