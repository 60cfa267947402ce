package consumer

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestWhatAMoveMakesOfCursorAndGaps(t *testing.T) {
	lost := gap{From: 10, To: 20, Reason: "expired"}
	skipped := gap{From: 100, To: 200, Reason: "skipped by ops", By: "ops"}
	tests := map[string]struct {
		cursor, start int64
		forward       bool
		had           []gap
		to            int64
		gaps          []gap
	}{
		"forward is a gap from the cursor on":         {cursor: 300, start: 500, to: 500, gaps: []gap{{From: 300, To: 500, By: "op"}}},
		"back is none":                                {cursor: 300, start: 50, to: 50},
		"to where it stands is none":                  {cursor: 300, start: 300, to: 300},
		"forward only, where it stands further on":    {cursor: 300, start: 50, forward: true, to: 300},
		"forward only, where it stands behind":        {cursor: 300, start: 500, forward: true, to: 500, gaps: []gap{{From: 300, To: 500, By: "op"}}},
		"gaps go along":                               {cursor: 300, start: 500, had: []gap{lost, skipped}, to: 500, gaps: []gap{lost, skipped, {From: 300, To: 500, By: "op"}}},
		"what is read again was not passed over":      {cursor: 300, start: 50, had: []gap{lost, skipped}, to: 50, gaps: []gap{lost}},
		"half of it":                                  {cursor: 300, start: 150, had: []gap{skipped}, to: 150, gaps: []gap{{From: 100, To: 150, Reason: "skipped by ops", By: "ops"}}},
		"what retention took stays lost, read or not": {cursor: 300, start: 5, had: []gap{lost}, to: 5, gaps: []gap{lost}},
		"the oldest are forgotten when they are many": {cursor: 300, start: 301, had: make16(lost), to: 301, gaps: append(make16(lost)[1:], gap{From: 300, To: 301, By: "op"})},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := relocation{start: test.start, forward: test.forward, change: Change{What: "skipped", By: "op", Reason: "test"}}
			to, gaps := r.apply(test.cursor, test.had)
			for i, g := range gaps {
				if g.By == "op" {
					if g.Reason != "skipped by op: test" || time.Since(g.At) > time.Hour {
						t.Errorf("gap %+v", g)
					}
					gaps[i].Reason, gaps[i].At = "", time.Time{}
				}
			}
			if diff := cmp.Diff(test.gaps, gaps); to != test.to || diff != "" {
				t.Errorf("to %d, want %d; gaps (-want +got):\n%s", to, test.to, diff)
			}
		})
	}
}

func make16(g gap) []gap {
	var out []gap
	for range maxGaps {
		out = append(out, g)
	}
	return out
}

// What a process does that starts after a move which no other has taken over.
func TestWhereAMovedLaneStarts(t *testing.T) {
	const logStart, logEnd = 10, 1000
	made := Spec{ID: "u", UID: "u", Epoch: 1, BaseEpoch: 1, Revision: 1, Start: StartBeginning, Offset: 3}
	at := func(s Spec, offset int64) Spec {
		s.Offset, s.Time = offset, time.Date(2026, 11, 1, 0, 0, int(offset), 0, time.UTC)
		return s
	}
	former := &progress{UID: "u", Epoch: 1, Revision: 1, Cursor: 300, TopicID: "events", Gaps: []gap{{From: 1, To: 2, Reason: "expired"}}}
	change := Change{What: "moved", By: "op"}
	tests := map[string]struct {
		spec      Spec
		start     int64 // what the spec's time resolves to
		record    *progress
		specs     int64 // of the commit, at 500
		commitOff bool  // there is none
		from      int64
		lazy      bool
		gaps      []gap
	}{
		"forward, from its former record": {
			spec: at(made.MoveTo(StartNow, change), 8), start: 700, record: former, specs: 8,
			from: 700, gaps: []gap{{From: 1, To: 2, Reason: "expired"}, {From: 300, To: 700, By: "op"}},
		},
		"back": {
			spec: at(made.MoveTo(StartBeginning, change), 8), start: logStart, record: former, specs: 8,
			from: logStart, gaps: []gap{{From: 1, To: 2, Reason: "expired"}},
		},
		"forward only, and it stands further on": {
			spec: at(made.MoveTo(StartNow, change), 8), start: 200, record: former, specs: 8,
			from: 300, gaps: []gap{{From: 1, To: 2, Reason: "expired"}},
		},
		"a stream that never had a lane has settled everything below the group offset": {
			spec: at(made.MoveTo(StartNow, change), 8), start: 700, specs: 8,
			from: 700, gaps: []gap{{From: 500, To: 700, By: "op"}},
		},
		"and is not moved back by a move that only passes over": {
			spec: at(made.MoveTo(StartNow, change), 8), start: 200, specs: 8,
			from: 500, lazy: true,
		},
		"unless nobody has taken over its making either": {
			spec: at(made.MoveTo(StartNow, change), 8), start: 200, specs: 3,
			from: 200,
		},
		"without a commit, at the start": {
			spec: at(made.MoveTo(StartNow, change), 8), start: 700, commitOff: true,
			from: 700, lazy: true,
		},
		"taken over before": {
			spec: at(made.MoveTo(StartBeginning, change), 8), start: logStart, record: former, specs: 9,
			from: 500, lazy: true,
		},
		"in this partition alone": {
			spec: at(made.MovePartition(4, 650, "events", true, change), 8), record: former, specs: 8,
			from: 650, gaps: []gap{{From: 1, To: 2, Reason: "expired"}, {From: 300, To: 650, By: "op"}},
		},
		"back in this partition alone": {
			spec: at(made.MovePartition(4, 20, "events", false, change), 8), record: former, specs: 8,
			from: 20, gaps: []gap{{From: 1, To: 2, Reason: "expired"}},
		},
		"in another partition": {
			spec: at(made.MovePartition(5, 650, "events", true, change), 8), record: former, specs: 8,
			from: 300,
		},
		"to an offset of an events topic that is gone": {
			spec: at(made.MovePartition(4, 650, "another", false, change), 8), record: former, specs: 8,
			from: logStart, gaps: []gap{{From: 1, To: 2, Reason: "expired"}},
		},
		"after a revision since": {
			spec: at(at(made.MovePartition(4, 650, "events", true, change), 8).Revise(), 9), record: former, specs: 9,
			from: 650, lazy: true,
		},
		"in every partition, after this one was moved alone": {
			spec: at(at(made.MovePartition(4, 650, "events", true, change), 8).MoveTo(StartBeginning, change), 9), start: logStart, record: former, specs: 9,
			from: logStart, gaps: []gap{{From: 1, To: 2, Reason: "expired"}},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			f := found{number: 4, records: table{}, logStart: logStart, logEnd: logEnd, events: "events", progress: "progress", streams: "streams"}
			if !test.commitOff {
				f.commit = &commit{offset: 500, meta: commitMeta{Floor: 200, Specs: test.specs, Events: "events", Progress: "progress", Streams: "streams"}}
			}
			if test.record != nil {
				f.records[test.record.key()] = test.record
			}
			f.started = func(s Spec) (int64, error) {
				return s.begins("events", logStart, logEnd, func(time.Time) (int64, error) { return test.start, nil })
			}
			got, err := place(f, []*stream{{spec: test.spec}})
			if err != nil {
				t.Fatal(err)
			}
			l := got.lanes[0]
			for i, g := range l.gaps {
				if g.By != "" {
					l.gaps[i].Reason, l.gaps[i].At = "", time.Time{}
				}
			}
			if diff := cmp.Diff(test.gaps, l.gaps); l.from != test.from || l.lazy != test.lazy || diff != "" {
				t.Errorf("from %d, lazy %t; want %d, %t; gaps (-want +got):\n%s", l.from, l.lazy, test.from, test.lazy, diff)
			}
		})
	}
}
