package consumer

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/auditstream/auditstream/sinks"
)

// countingLane is a live lane without a destination, whose partition stands at position.
func countingLane(position int64) *lane {
	p := &partition{g: &Group{}}
	p.position.Store(position)
	p.saveAt.Store(repeatsOfPartition)
	return &lane{p: p, live: true, stream: &stream{}, newest: -1, tally: tally{abreast: true}}
}

func TestWhatIsFilteredOutBehindAQueuedEventCountsWhenThatIsSettled(t *testing.T) {
	l := countingLane(0)
	see := func(offset int64) {
		l.sees(offset)
		l.sees(offset) // as when the lane had no room the first time
	}
	see(0)
	if !l.omit(0) || l.counts.filtered != 1 {
		t.Fatalf("with nothing queued: %+v", l.counts)
	}
	see(1)
	l.open = l.queued(1)
	l.next, l.newest = 2, 1
	for offset := int64(2); offset < 1000; offset++ {
		see(offset)
		if !l.omit(offset) {
			t.Fatal("an event that is filtered out needs no room")
		}
	}
	l.p.position.Store(1000)
	if len(l.beyond) != 1 || l.counts.filtered != 1 {
		t.Errorf("%d runs, %d counted as filtered out below the cursor %d; want 1, 1", len(l.beyond), l.counts.filtered, l.cursor())
	}
	l.current, l.open = l.open, nil
	l.current.end = 1
	l.settleOne()
	if diff := cmp.Diff(counts{delivered: 1, filtered: 999}, l.counts, cmp.AllowUnexported(counts{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if l.tally.matched != 1000 || l.tally.matched != l.counts.accounted() {
		t.Errorf("matched %d, accounted for %d", l.tally.matched, l.counts.accounted())
	}
}

func TestAPausedLanePassesOverNothing(t *testing.T) {
	l := countingLane(0)
	l.stream.spec.State = SpecPaused
	if l.omit(0) || l.next != 0 {
		t.Errorf("next %d: the cursor of a paused stream moves", l.next)
	}
}

// queued is a chunk with one event.
func (l *lane) queued(offset int64) *chunk {
	c := &chunk{letters: make([]cause, 1)}
	c.events = append(c.events, sinks.Entry{Offset: offset})
	return c
}

// settleOne settles the first event under way, as a delivery does, without a budget.
func (l *lane) settleOne() {
	c := l.current
	c.done++
	if c.done == c.end {
		l.current = nil
	}
	l.became(c.run(c.done-1, c.done, fateDelivered, ""))
}

// An older binary did not count: what it has settled is what is known, and the rest is
// counted when the lane comes to it.
func TestARecordWithoutCountsIsGoneOnFrom(t *testing.T) {
	l := countingLane(500)
	l.live = false
	l.next, l.counts = 100, counts{delivered: 40, deadLettered: 2}
	l.resume(laneStart{record: &progress{Cursor: 100, Delivered: 40, DeadLettered: 2}, from: 100})
	if l.tally != (tally{matched: 42, to: 100}) {
		t.Fatalf("%+v", l.tally)
	}
	l.sees(99)
	l.sees(300)
	if l.tally.matched != 43 {
		t.Errorf("matched %d, want 43", l.tally.matched)
	}
}

func TestWhatAFormerOwnerHasCountedIsNotCountedAgain(t *testing.T) {
	for name, c := range map[string]struct {
		rec     progress
		counted int64
		want    tally
	}{
		"counted beyond the position":              {progress{Cursor: 100, Matched: 60, CountedTo: 600, CountedAll: true}, 0, tally{matched: 60, to: 600, abreast: true}},
		"nothing since, says the commit":           {progress{Cursor: 100, Matched: 60, CountedTo: 400, CountedAll: true}, 500, tally{matched: 60, to: 500, abreast: true}},
		"nobody knows what is between":             {progress{Cursor: 100, Matched: 60, CountedTo: 400, CountedAll: true}, 0, tally{matched: 60, to: 400}},
		"the catch-up reader counted as it went":   {progress{Cursor: 100, Matched: 60, CountedTo: 120}, 500, tally{matched: 60, to: 120}},
		"another revision, perhaps another filter": {progress{Cursor: 100, Matched: 60, CountedTo: 600, CountedAll: true, Revision: 1}, 500, tally{matched: 0, to: 100}},
	} {
		t.Run(name, func(t *testing.T) {
			l := countingLane(500)
			l.live, l.next = false, 100
			l.resume(laneStart{record: &c.rec, from: 100, counted: c.counted})
			if l.tally != c.want {
				t.Errorf("%+v, want %+v", l.tally, c.want)
			}
		})
	}
}
