package consumer

import (
	"context"
	"testing"
	"time"

	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/sinks"
)

// The log was cut off below where a feed's chain began. Another one goes on, whose origin says
// no offset, for the same have other records now; and the last checkpoint of the former is
// about the log as it was, so that whoever reads it can take it for true.
func TestAChainEndsWhereTheLogWasCutOff(t *testing.T) {
	p := newTestPartition(t, lineSink{}, sinks.Batching{MaxBytes: 1 << 20})
	s := p.streams[0]
	id := laneID(s.spec, &p.g.cfg, p.number)
	origin := newChain(&id, 30, 30, "", nil).origin
	var tree integrity.Tree
	head := integrity.Begin(origin)
	for _, text := range []string{`{"n":1}`, `{"n":2}`} {
		digest := integrity.Digest([]byte(text))
		head = head.Next(digest)
		tree.Append(digest)
	}
	rec := &progress{
		Stream: id.Stream, UID: id.UID, Epoch: id.Epoch, Revision: id.Revision, TopicID: id.TopicID, Begin: 30, Cursor: 60,
		Chain: &chainRecord{Origin: origin, Begin: 30, Head: head, Edge: tree.Edge()},
	}
	p.place(laneStart{stream: s, record: rec, from: 10, recount: true}, 0, 100)
	l := p.lanes[s.index]
	l.mu.Lock()
	defer l.mu.Unlock()
	o, err := integrity.ParseOrigin(l.chains[0].origin)
	if err != nil || o.Begin >= 0 || l.chains[0].begin != 10 {
		t.Errorf("%s from %d on (%v), want one that begins at 10 and does not say so", l.chains[0].origin, l.chains[0].begin, err)
	}
	if f := l.chains[0].previous; f == nil || f.Origin != origin || f.Head != head || f.Reason != chainCutOff {
		t.Errorf("it goes on from %+v", f)
	}
	if !l.dirty {
		t.Error("its record is not written anew: a commit from behind the cut would make it look as if 10 to 60 were delivered")
	}
	if len(l.ended) != 1 {
		t.Fatalf("%d chains wait for their last checkpoint, want 1", len(l.ended))
	}
	last := l.feed(l.ended[0], l.ended[0].Offset, true).Checkpoint(time.Now().UTC().Truncate(time.Second))
	if got, err := integrity.ParseCheckpoint(last.Text()); err != nil || got.Offset != 60 || got.Size != 2 {
		t.Errorf("the last checkpoint of the former: %v\n%s", err, last.Text())
	}
}

// endsAt is Kafka that knows where leaders' epochs end, and which were asked about.
type endsAt struct {
	offsets
	ends  map[int32]int64
	asked []int32
}

func (e *endsAt) EpochEnd(_ context.Context, _ string, _, epoch int32) (int64, error) {
	e.asked = append(e.asked, epoch)
	return e.ends[epoch], nil
}

// A lane's record may be from later than the commit: then it shows a cut that the commit does
// not. Of others nobody is asked.
func TestACutAboveTheCommitShowsInTheRecords(t *testing.T) {
	p := newTestPartition(t, lineSink{}, sinks.Batching{MaxBytes: 1 << 20})
	kafka := &endsAt{ends: map[int32]int64{3: 70, 4: 90}}
	p.g.offsets = kafka
	rec := func(uid string, position int64, epoch int32, topic string) *progress {
		return &progress{UID: uid, Epoch: 1, Revision: 1, TopicID: topic, Position: position, LeaderEpoch: new(epoch)}
	}
	f := found{events: "events", commit: &commit{offset: 40, meta: commitMeta{Events: "events", Position: 60, LeaderEpoch: new(int32(3))}}, records: table{}}
	for _, r := range []*progress{
		rec("ahead", 80, 3, "events"), rec("level", 70, 3, "events"), rec("older", 50, 2, "events"), rec("whole", 90, 4, "events"), rec("gone", 99, 5, "former"),
		{UID: "silent", Epoch: 1, Revision: 1, TopicID: "events"},
	} {
		f.records[r.key()] = r
	}
	if err := p.g.findCuts(t.Context(), &f); err != nil {
		t.Fatal(err)
	}
	if cut, ok := f.cuts[progressKey{"ahead", 1, 1}]; f.cut != nil || len(f.cuts) != 1 || !ok || cut != 70 {
		t.Errorf("cuts %v and %v, want one at 70, below the record that is ahead", f.cut, f.cuts)
	}
	if len(kafka.asked) != 2 {
		t.Errorf("asked about the epochs %v, want 3 and 4, once each", kafka.asked)
	}
}
