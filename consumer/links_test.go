package consumer_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/internal/kafka"
)

// refuse has the signer make no more checkpoints, or again.
func (v *vouching) refuse(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.refused = err
}

// lose deletes everything on record about a stream in partition 0, as somebody with access to
// Kafka would.
func (r *rig) lose(uid string) {
	r.t.Helper()
	keys := map[string]bool{}
	reader := &kafka.Reader{Client: r.client}
	if _, err := reader.ReadToEnd(r.t.Context(), r.topics.Progress(), 0, func(rec *kgo.Record) {
		if strings.HasPrefix(string(rec.Key), uid+"/") {
			keys[string(rec.Key)] = true
		}
	}); err != nil {
		r.t.Fatal(err)
	}
	for key := range keys {
		r.writeProgress([]byte(key), nil)
	}
}

// half delivers 50 events, of which the last 20 came behind the last checkpoint, and loses
// the progress.
func (r *rig) half(v *vouching) {
	r.t.Helper()
	r.publish(orgA, 0, 30)
	stop := r.start()
	r.eventually("30 events vouched for", func() bool { all := v.of("s"); return len(all) > 0 && all[len(all)-1].Size == 30 })
	v.refuse(errors.New("the key cannot be read"))
	r.publish(orgA, 30, 20)
	r.eventually("50 events", func() bool { return r.dest.count("s") >= 50 })
	stop()
	v.refuse(nil)
	for n := range v.of("s") {
		if got := v.of("s")[n].Size; got > 30 {
			r.t.Fatalf("a checkpoint of %d events was made", got)
		}
	}
	r.lose("str_s")
	r.publish(orgA, 50, 5)
}

// A lane whose record is lost begins where its last checkpoint says that it stood, in the same
// chain: what it sends again has the numbers that it had.
func TestALaneWhoseProgressIsLostGoesOnInItsChain(t *testing.T) {
	r := newRig(t, 1)
	v := r.vouch(20 * time.Millisecond)
	r.stream("s", orgA)
	r.half(v)
	stop := r.start()
	r.eventually("55 events vouched for", func() bool { all := v.of("s"); return all[len(all)-1].Size == 55 })
	stop()
	all := v.of("s")
	last := all[len(all)-1]
	want, tree := chainOf(last.Origin, wantIDs(0, 55)...)
	if last.Head() != want || last.Root != tree.Root() || last.Origin != all[0].Origin || last.Previous != nil {
		t.Errorf("%s\nis not of %+v", last.Text(), want)
	}
	r.dest.chained(t, "s", last.Origin, 55)
	if diff := cmp.Diff(slices.Concat(wantIDs(0, 50), wantIDs(30, 25)), r.dest.ids("s")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The edge of the tree is in a header that nobody has signed. With another one a lane begins
// another chain, where the checkpoint says.
func TestALaneGoesOnInNoChainWhoseTreeIsNotTheSignedOne(t *testing.T) {
	r := newRig(t, 1)
	v := r.vouch(20 * time.Millisecond)
	r.stream("s", orgA)
	r.half(v)
	last := v.of("s")[len(v.of("s"))-1]
	r.copyCheckpoint(last, func(rec *kgo.Record) { rec.Headers[0].Value[3]++ })
	defer r.start()()
	r.goesOnIn(v, last, 25)
}

// A stream that was changed since begins another chain in any case.
func TestTheChainBehindALostRecordNamesTheLastThatIsKnown(t *testing.T) {
	r := newRig(t, 1)
	v := r.vouch(20 * time.Millisecond)
	r.stream("s", orgA)
	r.half(v)
	last := v.of("s")[len(v.of("s"))-1]
	r.stream("s", orgA, func(s *consumer.Spec) { s.Revision, s.EpochOffset = 2, new(int64(0)) })
	stop := r.start()
	r.goesOnIn(v, last, 25)
	stop()
	if diff := cmp.Diff(slices.Concat(wantIDs(0, 50), wantIDs(30, 25)), r.dest.ids("s")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// goesOnIn waits for a chain of n events that names the one of a checkpoint as the one before.
func (r *rig) goesOnIn(v *vouching, last *integrity.Checkpoint, n int64) {
	r.t.Helper()
	want := integrity.Former{Origin: last.Origin, Head: last.Head(), Reason: integrity.ProgressLost}
	r.eventually("a chain that names the one before", func() bool {
		return slices.ContainsFunc(v.of("s"), func(c *integrity.Checkpoint) bool {
			return c.Size == n && c.Previous != nil && *c.Previous == want
		})
	})
}

// copyCheckpoint writes a checkpoint's record another time, changed.
func (r *rig) copyCheckpoint(c *integrity.Checkpoint, change func(*kgo.Record)) {
	r.t.Helper()
	var last *kgo.Record
	reader := &kafka.Reader{Client: r.client}
	if _, err := reader.ReadToEnd(r.t.Context(), r.topics.Checkpoints(), kafka.CheckpointsPartition, func(rec *kgo.Record) {
		if string(rec.Key) == c.Origin {
			last = rec
		}
	}); err != nil {
		r.t.Fatal(err)
	}
	again := &kgo.Record{Topic: r.topics.Checkpoints(), Partition: kafka.CheckpointsPartition, Key: last.Key, Value: slices.Clone(last.Value), Headers: last.Headers}
	change(again)
	r.produceAt(again)
}

// Somebody who can write to the topic of checkpoints moves no cursor: what he writes there
// nobody has signed.
func TestForgedCheckpointsMoveNoCursor(t *testing.T) {
	r := newRig(t, 1)
	v := r.vouch(20 * time.Millisecond)
	r.stream("s", orgA)
	r.half(v)
	last := v.of("s")[len(v.of("s"))-1]
	r.copyCheckpoint(last, func(rec *kgo.Record) {
		rec.Value = []byte(strings.Replace(string(rec.Value), "\noffset 30\n", "\noffset 55\n", 1))
	})
	o, err := integrity.ParseOrigin(last.Origin)
	if err != nil {
		t.Fatal(err)
	}
	o.Revision = 9
	r.copyCheckpoint(last, func(rec *kgo.Record) { rec.Key = []byte(o.String()) })
	defer r.start()()
	r.eventually("everything", func() bool { return len(missing(wantIDs(0, 55), r.dest.ids("s"))) == 0 })
}

// A feed that begins in a partition which the topic did not have before says what feeds its
// stream had in the others, in every checkpoint, whoever makes it.
func TestTheFeedOfANewPartitionNamesTheOthers(t *testing.T) {
	r := newRig(t, 2)
	v := r.vouch(20 * time.Millisecond)
	r.stream("s", consumer.AllOrganizations)
	r.stream("other", consumer.AllOrganizations)
	r.publish(orgA, 0, 30)
	r.publish(orgB, 30, 10)
	stop := r.start()
	r.eventually("40 events vouched for", func() bool { return v.sum("s") == 40 })
	old := v.latest("s")
	if len(old) != 2 {
		t.Fatalf("%d feeds, want 2", len(old))
	}
	for _, all := range v.written() {
		for _, c := range all {
			if len(c.Beside) > 0 {
				t.Errorf("feeds that began together name each other:\n%s", c.Text())
			}
		}
	}
	admin := kadm.NewClient(r.client)
	for _, topic := range []string{r.topics.Progress(), r.topics.Events()} {
		if _, err := admin.UpdatePartitions(context.WithoutCancel(t.Context()), 4, topic); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	for p := range int32(4) {
		rec := record(r.topics.Events(), orgB, eventID(1000+int(p)), "user.login")
		rec.Partition = p
		r.produceAt(rec)
	}
	for range 2 { // the second owner goes on with what the first has said
		before := len(v.of("s"))
		stop = r.start()
		r.eventually("44 events vouched for", func() bool { return v.sum("s") == 44 && len(v.of("s")) > before+40 })
		stop()
		young := 0
		for _, all := range v.written() {
			for i, c := range all {
				o, err := integrity.ParseOrigin(c.Origin)
				switch {
				case err != nil:
					t.Error(err)
				case o.Partition < 2 && len(c.Beside) > 0:
					t.Errorf("a feed that was there before names others:\n%s", c.Text())
				case o.Partition < 2:
				case len(c.Beside) != 2:
					t.Errorf("checkpoint %d of a feed that came with its partition:\n%s", i, c.Text())
				default:
					young++
				}
				for _, b := range c.Beside {
					if o.UID == "str_s" && b.Size < old[b.Origin].Size {
						t.Errorf("%s had %d events, and is said to have had %d", b.Origin, old[b.Origin].Size, b.Size)
					}
				}
			}
		}
		if young == 0 {
			t.Error("there is no checkpoint of a new feed")
		}
	}
}

// latest are the last checkpoints of a stream's chains.
func (v *vouching) latest(stream string) map[string]*integrity.Checkpoint {
	v.r.t.Helper()
	out := map[string]*integrity.Checkpoint{}
	for _, c := range v.of(stream) {
		out[c.Origin] = c
	}
	return out
}

// sum is how many events the last checkpoints of a stream vouch for.
func (v *vouching) sum(stream string) (n int64) {
	for _, c := range v.latest(stream) {
		n += c.Size
	}
	return n
}
