package integrity_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/auditstream/auditstream/integrity"
)

// originOfJob is the origin of the chain of a job of acme's.
func originOfJob(job, topic string) string {
	return integrity.Origin{Stream: "acme", UID: job, TopicID: topic, Partition: 3, Epoch: 1, Revision: 2}.String()
}

// replay and redrive are the ids of the feeds that acme's jobs have.
func (w *world) replay() string  { return integrity.FeedID(originOfJob("job_replay", "topic")) }
func (w *world) redrive() string { return integrity.FeedID(originOfJob("job_redrive", "letters")) }

// sendAgain has a replay send numbers 4 to 13 of acme's first feed another time, and a redrive
// what was withheld from the second.
func (w *world) sendAgain() {
	w.tb.Helper()
	replay := w.beginOrigin(originOfJob("job_replay", "topic"), 0, nil)
	for n := int64(4); n <= 13; n++ {
		r := w.siem[w.row(w.acme(), n)]
		replay.repeat(r.event, r.id, integrity.Original{Feed: w.acme(), Number: n})
	}
	replay.seal(45, w.second)
	redrive := w.beginOrigin(originOfJob("job_redrive", "letters"), 0, nil)
	redrive.repeat(w.refused, "refused", integrity.Original{Feed: w.again(), Number: 5})
	redrive.seal(46, w.second)
}

// repeat sends an event that was another one at first.
func (c *chain) repeat(event []byte, id string, original integrity.Original) {
	link := c.head.Link(integrity.Digest(event))
	c.head, c.offset = link.Head(), c.offset+1
	c.tree.Append(link.Digest)
	c.sent = integrity.JoinAgain(c.sent, integrity.Again{From: link.Number, To: link.Number, Feed: original.Feed, First: original.Number, Last: original.Number})
	c.w.siem = append(c.w.siem, row{integrity.FeedID(c.origin), link.Number, link.Hash, event, id, original})
}

// forgetAll takes every checkpoint of a feed away, wherever it is.
func (w *world) forgetAll(feed string) {
	w.inFeed, w.topic, w.locked = forget(w.inFeed, feed, -1), forget(w.topic, feed, -1), forget(w.locked, feed, -1)
}

func attacksOnJobs() []attack {
	after := func(do func(*world)) func(*world) {
		return func(w *world) {
			w.sendAgain()
			do(w)
		}
	}
	alter := func(w *world, feed string, number int64) {
		r := &w.siem[w.row(feed, number)]
		r.event = forge(r.event)
	}
	return []attack{
		{name: "replay-alter", view: siem, reach: true, says: "replay altered 3", do: after(func(w *world) { alter(w, w.replay(), 3) })},
		{name: "replay-alter-and-rechain-alone", view: siem, reach: true, says: "replay altered 3; replay uncovered 1-10", detail: "checkpoints vouch for that one and not for this", do: after(func(w *world) {
			alter(w, w.replay(), 3)
			w.rechain(originOfJob("job_replay", "topic"))
			w.forgetAll(w.replay())
		})},
		{name: "replay-shows-what-was-altered", view: siem, reach: true, says: "acme altered 7; acme uncovered 1-23", detail: "number 4 of feed", do: after(func(w *world) {
			alter(w, w.acme(), 7)
			w.rechain(originOf("acme", 1, 40))
			w.forgetAll(w.acme())
			w.forgetAll(w.again())
			w.siem = slices.DeleteFunc(w.siem, func(r row) bool { return r.feed == w.again() })
		})},
		{name: "replay-claims-another", view: siem, reach: true, says: "replay altered 3", detail: "the checkpoint says that it was number 6 of feed", do: after(func(w *world) {
			w.siem[w.row(w.replay(), 3)].original.Number = 9
		})},
		{name: "replay-claims-another-alone", view: siem, reach: true, says: "replay altered 3; replay uncovered 1-10", detail: "which is another event", do: after(func(w *world) {
			w.siem[w.row(w.replay(), 3)].original.Number = 9
			w.forgetAll(w.replay())
		})},
		{name: "replay-claims-another-organization", view: siem, reach: true, says: "replay altered 3", do: after(func(w *world) {
			w.siem[w.row(w.replay(), 3)].original = integrity.Original{Feed: w.globex(), Number: 6}
		})},
		{name: "replay-delete", view: siem, reach: true, says: "replay missing 3", do: after(func(w *world) {
			w.siem = slices.Delete(w.siem, w.row(w.replay(), 3), w.row(w.replay(), 3)+1)
		})},
		{name: "redrive-as-original", view: siem, reach: true, says: "redrive missing 1", do: after(func(w *world) {
			r := &w.siem[w.row(w.redrive(), 1)]
			*r = row{w.again(), 5, w.hashOf(w.again(), 4, r.event), r.event, r.id, integrity.Original{}}
		})},
		{name: "redrive-as-original-altered", view: siem, reach: true, says: "again inserted 5; redrive missing 1", do: after(func(w *world) {
			r := &w.siem[w.row(w.redrive(), 1)]
			event := forge(r.event)
			*r = row{w.again(), 5, w.hashOf(w.again(), 4, event), event, r.id, integrity.Original{}}
		})},
		{name: "redrive-hide", view: siem, reach: false, do: after(func(w *world) {
			w.siem = slices.Delete(w.siem, w.row(w.redrive(), 1), w.row(w.redrive(), 1)+1)
			w.inFeed = forget(w.inFeed, w.redrive(), -1)
			alone(w)
		})},
	}
}

// hashOf is what hash an event would have behind a number of a feed.
func (w *world) hashOf(feed string, behind int64, event []byte) integrity.Hash {
	w.tb.Helper()
	return integrity.Head{Size: behind, Hash: w.siem[w.row(feed, behind)].chain}.Next(integrity.Digest(event)).Hash
}

// What was sent again is each time said for itself, and held against what it was at first.
func TestWhatWasSentAgainIsNoTampering(t *testing.T) {
	w := honest(t)
	w.sendAgain()
	for range 2 {
		r := w.verify(siem)
		if r.Verdict != integrity.Complete || len(r.Feeds) != 5 {
			t.Fatalf("%s\n%s", r.Sentence, details(r))
		}
		for i := range r.Feeds {
			f := &r.Feeds[i]
			want := map[string]string{
				w.replay():  "10 events were sent before, and are the same as they were",
				w.redrive(): "1 event had not been delivered at first",
				w.again():   "1 event is on record as not delivered, 1 of which came later",
			}[f.Feed]
			if !strings.Contains(f.Sentence, want) {
				t.Errorf("%s: %s\nlacks %q", f.Feed, f.Sentence, want)
			}
		}
		slices.Reverse(w.siem) // whichever of the two comes first
	}
}
