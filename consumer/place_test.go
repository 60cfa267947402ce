package consumer

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestWhereALaneStarts has one case a line of the rule "Where a lane starts".
func TestWhereALaneStarts(t *testing.T) {
	const logStart, logEnd = 10, 1000
	commitAt := func(offset, floor, specs int64) *commit {
		return &commit{offset: offset, meta: commitMeta{Floor: floor, Specs: specs, Events: "events", Progress: "progress", Streams: "streams"}}
	}
	on := func(uids ...string) string {
		var f fingerprint
		for _, uid := range uids {
			f = f.with(Spec{UID: uid, BaseEpoch: 1})
		}
		return f.String()
	}
	changed := func(c *commit, change func(*commitMeta)) *commit {
		change(&c.meta)
		return c
	}
	rec := func(epoch, revision, cursor int64) *progress {
		return &progress{UID: "u", Epoch: epoch, Revision: revision, Cursor: cursor, TopicID: "events"}
	}
	tests := map[string]struct {
		commit  *commit
		records []*progress
		spec    Spec  // of stream u
		begins  int64 // where its epoch begins in the log
		invalid bool  // it is the lane of invalid records
		cut     *int64
		cuts    map[progressKey]int64

		from     int64
		position int64
		lazy     bool
		noted    bool
	}{
		"at its own record": {
			commit: commitAt(500, 200, 7), records: []*progress{rec(1, 1, 300)}, begins: 10,
			from: 300, position: 500,
		},
		"at the floor if the lane was on record at the commit and its record is lost": {
			commit: changed(commitAt(500, 200, 7), func(m *commitMeta) { m.Lanes = on("u") }), begins: 10,
			from: 200, position: 500, noted: true,
		},
		"at the group offset if no lane was on record": {
			commit: changed(commitAt(500, 200, 7), func(m *commitMeta) { m.Lanes = on() }), begins: 10,
			from: 500, position: 500, lazy: true,
		},
		"at its own record, whatever other lanes have lost": {
			commit: changed(commitAt(500, 200, 7), func(m *commitMeta) { m.Lanes = on("u", "other") }), records: []*progress{rec(1, 1, 300)}, begins: 10,
			from: 300, position: 500, noted: true,
		},
		"at its own record, above the group offset": {
			commit: commitAt(500, 200, 7), records: []*progress{rec(1, 1, 700)}, begins: 10,
			from: 700, position: 500,
		},
		"at its own record also where progress was made anew since": {
			commit: changed(commitAt(500, 200, 7), func(m *commitMeta) { m.Progress = "former" }), records: []*progress{rec(1, 1, 450)}, begins: 10,
			from: 450, position: 500, noted: true,
		},
		"of several records the highest revision counts, not the highest cursor": {
			commit: commitAt(500, 200, 7), records: []*progress{rec(1, 1, 900), rec(1, 2, 400)}, begins: 10, spec: Spec{Revision: 3},
			from: 400, position: 500,
		},
		"of several records the highest epoch counts before the revision": {
			commit: commitAt(500, 200, 7), records: []*progress{rec(1, 9, 900), rec(2, 2, 400)}, begins: 10, spec: Spec{Epoch: 2, Revision: 9},
			from: 400, position: 500,
		},
		"a record of an epoch before the base is void": {
			commit: commitAt(500, 200, 9), records: []*progress{rec(1, 1, 300)}, begins: 10, spec: Spec{Epoch: 2, BaseEpoch: 2, Offset: 9},
			from: 10, position: 500,
		},
		"a record of an epoch that this process does not know yet is left to others": {
			commit: commitAt(500, 200, 9), records: []*progress{rec(1, 1, 300), rec(2, 2, 20)}, begins: 10,
			from: 300, position: 500,
		},
		"where that is the only record there, it says where the lane stands": {
			commit: commitAt(500, 200, 9), records: []*progress{rec(2, 2, 20)}, begins: 10,
			from: 20, position: 500,
		},
		"also what Kafka no longer has of it is left in": {
			commit: commitAt(500, 2, 9), records: []*progress{rec(2, 2, 2)}, begins: 10,
			from: 2, position: 500,
		},
		"a record of another events topic is void": {
			commit: commitAt(500, 200, 7), records: []*progress{{UID: "u", Epoch: 1, Revision: 1, Cursor: 300, TopicID: "former"}}, begins: 10,
			from: 500, position: 500, lazy: true,
		},
		"without one, at its epoch's start if that is newer than specs": {
			commit: commitAt(500, 200, 7), spec: Spec{Offset: 7}, begins: 100,
			from: 100, position: 500,
		},
		"the same, and the start lies above the position": {
			commit: commitAt(500, 200, 7), spec: Spec{Offset: 8}, begins: 800,
			from: 800, position: 500, lazy: true,
		},
		"a revision newer than specs of an epoch that is not begins no epoch": {
			commit: commitAt(500, 200, 7), spec: Spec{Offset: 9, Revision: 2, EpochOffset: new(int64(3))}, begins: 100,
			from: 500, position: 500, lazy: true,
		},
		"newer than specs counts before lost progress": {
			commit: changed(commitAt(500, 200, 7), func(m *commitMeta) { m.Progress = "former" }), spec: Spec{Offset: 7}, begins: 100,
			from: 100, position: 500, noted: true,
		},
		"else at the floor if progress was lost": {
			commit: changed(commitAt(500, 200, 7), func(m *commitMeta) { m.Progress = "former" }), spec: Spec{Offset: 6}, begins: 100,
			from: 200, position: 500, noted: true,
		},
		"else at the epoch's start if that is higher than the floor": {
			commit: changed(commitAt(500, 200, 7), func(m *commitMeta) { m.Progress = "former" }), spec: Spec{Offset: 6}, begins: 300,
			from: 300, position: 500, noted: true,
		},
		"after lost progress every lane must exist, also at the position": {
			commit: changed(commitAt(500, 500, 7), func(m *commitMeta) { m.Progress = "former" }), spec: Spec{Offset: 6}, begins: 100,
			from: 500, position: 500, noted: true,
		},
		"else at the group offset": {
			commit: commitAt(500, 200, 7), spec: Spec{Offset: 6}, begins: 100,
			from: 500, position: 500, lazy: true,
		},
		"a streams topic made anew: every epoch counts as newer": {
			commit: changed(commitAt(500, 200, 7), func(m *commitMeta) { m.Streams = "former" }), spec: Spec{Offset: 0}, begins: 100,
			from: 100, position: 500,
		},
		"without a commit, at the epoch's start, which is also the position": {
			spec: Spec{Offset: 6}, begins: 100,
			from: 100, position: 100, lazy: true,
		},
		"without a commit, at its record, and the position with it": {
			records: []*progress{rec(1, 1, 300)}, begins: 100,
			from: 300, position: 300,
		},
		"a log that was cut off: at the cut, and the position with it": {
			commit: commitAt(500, 200, 7), records: []*progress{rec(1, 1, 450)}, cut: new(int64(400)), begins: 100,
			from: 400, position: 400, noted: true,
		},
		"a log that was cut off above the lane": {
			commit: commitAt(500, 200, 7), records: []*progress{rec(1, 1, 300)}, cut: new(int64(400)), begins: 100,
			from: 300, position: 400, noted: true,
		},
		"a log that was cut off above the commit, by the record alone": {
			commit: commitAt(500, 200, 7), records: []*progress{rec(1, 1, 700)}, cuts: map[progressKey]int64{{"u", 1, 1}: 600}, begins: 100,
			from: 600, position: 500, noted: true,
		},
		"a log that was cut off below the record of a former epoch, from which a move goes on": {
			records: []*progress{rec(1, 1, 450)}, cuts: map[progressKey]int64{{"u", 1, 1}: 400}, begins: 300,
			spec: Spec{Offset: 6, Epoch: 2, BaseEpoch: 2, Forward: true, Start: StartNow, FormerOffset: new(int64(3))},
			from: 400, position: 400, lazy: true,
		},
		"a log that was cut off below where a stream without a record stands": {
			commit: commitAt(500, 200, 7), spec: Spec{Offset: 6}, cut: new(int64(400)), begins: 100,
			from: 400, position: 400, lazy: true, noted: true,
		},
		"an events topic made anew: everything from its beginning": {
			commit: changed(commitAt(500, 200, 7), func(m *commitMeta) { m.Events = "former" }), begins: 900,
			records: []*progress{{UID: "u", Epoch: 1, Revision: 1, Cursor: 300, TopicID: "former"}},
			from:    10, position: 10, noted: true, // not lazy: it has a gap to record
		},
		"an events topic made anew, gone on with before a crash": {
			commit: changed(commitAt(500, 200, 7), func(m *commitMeta) { m.Events = "former" }), begins: 900,
			records: []*progress{rec(1, 1, 40)},
			from:    40, position: 10, noted: true,
		},
		"invalid records without a commit: what is read for the streams": {
			invalid: true, begins: 10,
			from: logEnd, position: logEnd, lazy: true,
		},
		"invalid records with a commit: like a stream that is known": {
			invalid: true, commit: commitAt(500, 200, 7), begins: 10, spec: Spec{EpochOffset: new(int64(-1))},
			from: 500, position: 500, lazy: true,
		},
		"what Kafka no longer has is left in, for the gap to be recorded": {
			commit: commitAt(5, 2, 7), records: []*progress{rec(1, 1, 2)}, begins: 10,
			from: 2, position: 5,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			spec := test.spec
			spec.ID, spec.UID = "u", "u"
			spec.Epoch, spec.BaseEpoch, spec.Revision = max(1, spec.Epoch), max(1, spec.BaseEpoch), max(1, spec.Revision)
			f := found{
				commit: test.commit, records: table{}, logStart: logStart, logEnd: logEnd,
				events: "events", progress: "progress", streams: "streams",
				started: func(Spec) (int64, error) { return test.begins, nil }, cut: test.cut, cuts: test.cuts,
			}
			for _, r := range test.records {
				f.records[r.key()] = r
			}
			got, err := place(f, []*stream{{spec: spec, invalid: test.invalid}})
			if err != nil {
				t.Fatal(err)
			}
			l := got.lanes[0]
			if l.from != test.from || got.position != test.position || l.lazy != test.lazy || len(got.notes) > 0 != test.noted {
				t.Errorf("from %d, position %d, lazy %t, notes %q; want %d, %d, %t, a note: %t",
					l.from, got.position, l.lazy, got.notes, test.from, test.position, test.lazy, test.noted)
			}
		})
	}
}

func TestWithoutACommitTheLowestStartOfAllStreamsIsThePosition(t *testing.T) {
	starts := map[string]int64{"a": 300, "b": 100, "c": 900}
	f := found{
		records: table{}, logStart: 10, logEnd: 1000, events: "events",
		started: func(s Spec) (int64, error) { return starts[s.UID], nil },
	}
	f.records[progressKey{"c", 1, 1}] = &progress{UID: "c", Epoch: 1, Revision: 1, Cursor: 950, TopicID: "events"}
	var streams []*stream
	for _, uid := range []string{"a", "b", "c"} {
		streams = append(streams, &stream{spec: Spec{ID: uid, UID: uid, Epoch: 1, BaseEpoch: 1, Revision: 1}})
	}
	streams = append(streams, &stream{spec: Spec{UID: invalidUID, Epoch: 1, BaseEpoch: 1, Revision: 1}, invalid: true})
	got, err := place(f, streams)
	if err != nil {
		t.Fatal(err)
	}
	var from []int64
	for _, l := range got.lanes {
		from = append(from, l.from)
	}
	if diff := cmp.Diff([]int64{300, 100, 950, 100}, from); diff != "" || got.position != 100 {
		t.Errorf("position %d, want 100; lanes (-want +got):\n%s", got.position, diff)
	}
}

func TestAStartThatCannotBeResolvedPlacesNothing(t *testing.T) {
	want := errors.New("Kafka is away")
	f := found{records: table{}, started: func(Spec) (int64, error) { return 0, want }}
	if _, err := place(f, []*stream{{spec: Spec{Epoch: 1, BaseEpoch: 1}}}); !errors.Is(err, want) {
		t.Errorf("%v, want %v", err, want)
	}
}

func TestRecordsThatNewerOnesReplaceAreObsolete(t *testing.T) {
	keys := func(ks ...progressKey) table {
		tab := table{}
		for _, k := range ks {
			tab[k] = &progress{UID: k.uid, Epoch: k.epoch, Revision: k.revision, TopicID: "events"}
		}
		return tab
	}
	tests := map[string]struct {
		have         table
		base, epoch  int64
		best         progressKey
		wantObsolete map[progressKey]bool
	}{
		"the only one is kept": {keys(progressKey{"u", 1, 1}), 1, 1, progressKey{"u", 1, 1}, nil},
		"former revisions": {
			keys(progressKey{"u", 1, 1}, progressKey{"u", 1, 3}, progressKey{"u", 1, 2}), 1, 1,
			progressKey{"u", 1, 3},
			map[progressKey]bool{{"u", 1, 1}: true, {"u", 1, 2}: true},
		},
		"epochs before the base, also with nothing in their place": {
			keys(progressKey{"u", 1, 1}), 2, 2, progressKey{}, map[progressKey]bool{{"u", 1, 1}: true},
		},
		"a newer epoch is another process's": {
			keys(progressKey{"u", 1, 1}, progressKey{"u", 2, 2}), 1, 1, progressKey{"u", 1, 1}, nil,
		},
		"where there is no other, one of a newer epoch counts": {
			keys(progressKey{"u", 2, 2}, progressKey{"u", 3, 3}, progressKey{"u", 3, 4}), 1, 1, progressKey{"u", 3, 4}, nil,
		},
		"likewise, and epochs before the base are obsolete": {
			keys(progressKey{"u", 1, 1}, progressKey{"u", 3, 3}), 2, 2, progressKey{"u", 3, 3}, map[progressKey]bool{{"u", 1, 1}: true},
		},
		"another stream's": {keys(progressKey{"v", 1, 1}, progressKey{"u", 1, 2}), 1, 1, progressKey{"u", 1, 2}, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			best, obsolete := test.have.of(Spec{UID: "u", BaseEpoch: test.base, Epoch: test.epoch}, "events")
			if best == nil != (test.best == progressKey{}) || best != nil && best.key() != test.best {
				t.Errorf("best %v, want %v", best, test.best)
			}
			var got map[progressKey]bool
			for _, k := range obsolete {
				if got == nil {
					got = map[progressKey]bool{}
				}
				got[k] = true
			}
			if diff := cmp.Diff(test.wantObsolete, got, cmp.AllowUnexported(progressKey{})); diff != "" {
				t.Errorf("obsolete (-want +got):\n%s", diff)
			}
		})
	}
}
