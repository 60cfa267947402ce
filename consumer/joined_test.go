package consumer

import (
	"testing"
	"time"

	"github.com/auditstream/auditstream/sinks"
)

// TestWhatALaneHoldsThatHasJustJoinedIsShownAsWaiting has a lane that was behind when the group
// committed 100, as it is after a restart, and that has been fed up to there since. It is live
// then, and still holds thirty events; that a commit passes what live lanes have settled is
// true of the next commit only.
func TestWhatALaneHoldsThatHasJustJoinedIsShownAsWaiting(t *testing.T) {
	p := newTestPartition(t, lineSink{}, sinks.Batching{MaxBytes: 1 << 20, Linger: time.Hour})
	s := p.streams[0]
	p.position.Store(100)
	p.said.Store(100)
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.addLane(s, 70, nil)
	l.next, l.tally.to = 70, 70
	p.behind[l] = struct{}{}
	for offset := int64(70); offset < 100; offset++ {
		e, violations := p.check.check(records(1, offset)[0])
		if e == nil {
			t.Fatal(violations)
		}
		l.sees(offset)
		if !l.offer(e, &p.check) {
			t.Fatalf("no room at %d", offset)
		}
	}
	p.join(l)
	if !l.live {
		t.Fatal("the lane has not joined")
	}

	record := func() *progress {
		l.mu.Lock()
		defer l.mu.Unlock()
		rec := l.record(l.cursor(), time.Now())
		l.recordWritten(rec)
		return rec
	}
	shown := func(rec *progress, committed int64) LaneStatus {
		f := found{
			logEnd: 104, events: "events", streams: "streams",
			commit: &commit{offset: committed, meta: commitMeta{Events: "events", Streams: "streams", Specs: 10, Position: 100, Floor: 70}},
		}
		return laneStatus(laneStart{stream: s, record: rec, from: rec.Cursor, counted: 100}, f)
	}
	if st := shown(record(), 100); st.Lag != 34 || st.Cursor != 70 {
		t.Errorf("with the commit from before it has joined: lag %d from %d, want 34 from 70", st.Lag, st.Cursor)
	}

	p.said.Store(70) // the next commit is as low as what the lane holds
	l.mu.Lock()
	stale := l.stale(l.cursor(), time.Now())
	l.mu.Unlock()
	if !stale {
		t.Error("the record is not made anew, so that commits do not move an idle lane's cursor")
	}
	rec := record()
	if st := shown(rec, 70); st.Lag != 34 || st.Cursor != 70 || !rec.Live {
		t.Errorf("with the commit behind it: live %v, lag %d from %d, want 34 from 70", rec.Live, st.Lag, st.Cursor)
	}
	if st := shown(rec, 100); st.Cursor != 100 {
		t.Errorf("a later commit has passed the lane, but it is shown at %d", st.Cursor)
	}
}
