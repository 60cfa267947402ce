package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/mod/sumdb/note"

	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/auditstream/auditstream/sinks"
)

// vouching is what makes the checkpoints of a rig.
type vouching struct {
	r    *rig
	keys *integrity.Keys

	mu       sync.Mutex
	refused  error              // by the signer; guarded by mu
	archive  map[string]string  // what is in the archive; guarded by mu
	archived func(string) error // asked before; nil: yes; guarded by mu
}

// vouch has the rig's processes make checkpoints at an interval.
func (r *rig) vouch(interval time.Duration) *vouching {
	r.t.Helper()
	secret, public, err := integrity.GenerateKey("audit.example.com")
	if err != nil {
		r.t.Fatal(err)
	}
	signer, err := note.NewSigner(secret)
	if err != nil {
		r.t.Fatal(err)
	}
	v := &vouching{r: r, archive: map[string]string{}}
	if v.keys, err = integrity.NewKeys(public); err != nil {
		r.t.Fatal(err)
	}
	r.checkpoints = &consumer.Checkpoints{
		Topic: r.topics.Checkpoints(), Partition: kafka.CheckpointsPartition, Interval: interval,
		Sign: func(c *integrity.Checkpoint) ([]byte, error) {
			v.mu.Lock()
			defer v.mu.Unlock()
			if v.refused != nil {
				return nil, v.refused
			}
			return c.Sign(signer)
		},
		Archive: func(_ context.Context, key string, signed []byte) error {
			v.mu.Lock()
			defer v.mu.Unlock()
			if v.archived != nil {
				if err := v.archived(key); err != nil {
					return err
				}
			}
			v.archive[key] = string(signed)
			return nil
		},
		ArchiveInterval: time.Hour,
		Open:            v.keys.Open,
		SignHour:        func(h *integrity.Hour) ([]byte, error) { return h.Sign(signer) },
		OpenHour:        v.keys.OpenHour,
	}
	return v
}

// written are the checkpoints in the topic, by origin, in the order in which they came. Each
// is signed, has its chain's origin as key, and says nothing that another one contradicts.
func (v *vouching) written() map[string][]*integrity.Checkpoint {
	v.r.t.Helper()
	out := map[string][]*integrity.Checkpoint{}
	heads := map[string]integrity.Checkpoint{}
	reader := &kafka.Reader{Client: v.r.client}
	if _, err := reader.ReadToEnd(v.r.t.Context(), v.r.topics.Checkpoints(), kafka.CheckpointsPartition, func(rec *kgo.Record) {
		c, err := v.keys.Open(rec.Value)
		if err != nil || c.Origin != string(rec.Key) {
			v.r.t.Errorf("%s: %v\n%s", rec.Key, err, rec.Value)
			return
		}
		out[c.Origin] = append(out[c.Origin], c)
		place := fmt.Sprintf("%s at %d", c.Origin, c.Size)
		if other, ok := heads[place]; ok && (other.Root != c.Root || other.Chain != c.Chain) {
			v.r.t.Errorf("%s: two views of one chain", place)
		}
		heads[place] = *c
	}); err != nil {
		v.r.t.Fatal(err)
	}
	return out
}

// of are those of a stream's chains.
func (v *vouching) of(stream string) []*integrity.Checkpoint {
	v.r.t.Helper()
	var out []*integrity.Checkpoint
	all := v.written()
	for _, origin := range slices.Sorted(maps.Keys(all)) {
		if strings.HasPrefix(origin, "auditstream/"+stream+"/") {
			out = append(out, all[origin]...)
		}
	}
	return out
}

func (d *destination) witnesses(f func(ctx context.Context, stream string) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.witness = f
}

// vouched are the checkpoints that a stream's destination has, and how often one was brought.
func (d *destination) vouched(stream string) (notes []string, attempts int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.notes[stream]), d.attempts[stream]
}

func TestEachFeedGetsCheckpointsAlsoWhenNothingHappens(t *testing.T) {
	r := newRig(t, 1)
	v := r.vouch(50 * time.Millisecond)
	r.stream("busy", orgA)
	r.stream("quiet", orgB)
	r.stream("paused", orgA, func(s *consumer.Spec) { s.State = consumer.SpecPaused })
	r.stream("plain", orgA, func(s *consumer.Spec) { s.Unchained = true })
	r.publish(orgA, 0, 25)
	r.produce(record(r.topics.Events(), orgA, eventID(25), "user.huge"))
	defer r.start()()
	r.eventually("three checkpoints of each feed, the busy one's of all events", func() bool {
		busy := v.of("busy")
		return len(v.of("quiet")) > 2 && len(v.of("paused")) > 2 && len(busy) > 2 && busy[len(busy)-1].Size == 26
	})
	if n := len(v.of("plain")); n != 0 {
		t.Errorf("a stream whose events are not chained has %d checkpoints", n)
	}
	busy := v.of("busy")
	want, tree := chainOf(busy[0].Origin, wantIDs(0, 25)...)
	digest := integrity.Digest(event(orgA, eventID(25), "user.huge"))
	want = want.Next(digest)
	tree.Append(digest)
	last := busy[len(busy)-1]
	if last.Chain != want.Hash || last.Root != tree.Root() || last.Offset != 26 {
		t.Errorf("%s\nis not the chain of the events that there are: %+v", last.Text(), want)
	}
	withheld := 0
	for i, c := range busy {
		withheld += len(c.Withheld)
		if i > 0 && c.After > busy[i-1].Size {
			t.Errorf("a checkpoint of %d events goes on from one of %d, which there is not", c.Size, c.After)
		}
	}
	if withheld == 0 {
		t.Error("no checkpoint says that an event went to the dead letters")
	}
	for stream, takes := range map[string]bool{"busy": true, "quiet": true, "paused": false} {
		if takes {
			r.eventually("the feed of "+stream+" has one", func() bool { notes, _ := r.dest.vouched(stream); return len(notes) > 0 })
		} else if notes, _ := r.dest.vouched(stream); len(notes) > 0 {
			t.Errorf("the destination of %s got %d checkpoints", stream, len(notes))
		}
	}
	notes, _ := r.dest.vouched("busy")
	if _, err := v.keys.Open([]byte(notes[0])); err != nil {
		t.Errorf("in the feed: %v", err)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.archive) != 3 { // one an hour
		t.Errorf("the archive has %d, want one of each feed: %q", len(v.archive), slices.Sorted(maps.Keys(v.archive)))
	}
	for key := range v.archive {
		if !strings.HasPrefix(key, "auditstream/") || !strings.HasSuffix(key, ".txt") {
			t.Errorf("key %q", key)
		}
	}
}

// A destination that keeps digests is asked for them behind each checkpoint, with the head
// that this one speaks of, and told which is a chain's first.
func TestDigestsAreMadeBehindCheckpoints(t *testing.T) {
	r := newRig(t, 1)
	v := r.vouch(20 * time.Millisecond)
	r.stream("s", orgA)
	r.stream("paused", orgA, func(s *consumer.Spec) { s.State = consumer.SpecPaused })
	r.publish(orgA, 0, 30)
	asked := func(stream string) []sinks.Digest {
		r.dest.mu.Lock()
		defer r.dest.mu.Unlock()
		return slices.Clone(r.dest.digests[stream])
	}
	stop := r.start()
	r.eventually("digests of 30 events", func() bool { all := asked("s"); return len(all) > 1 && all[len(all)-1].Head.Size == 30 })
	stop()
	r.stream("s", orgA, func(s *consumer.Spec) { s.Revision = 2 })
	r.publish(orgA, 30, 5)
	defer r.start()()
	r.eventually("digests of the next chain", func() bool {
		all := asked("s")
		return all[len(all)-1].Lane.Revision == 2 && all[len(all)-1].Head.Size == 5
	})
	heads := map[string]map[integrity.Head]bool{}
	for origin, all := range v.written() {
		heads[origin] = map[integrity.Head]bool{}
		for _, c := range all {
			heads[origin][c.Head()] = true
		}
	}
	seen := map[string]bool{}
	for _, d := range asked("s") {
		if !heads[d.Origin][d.Head] {
			t.Errorf("a digest of %s at %d, which no checkpoint speaks of", d.Origin, d.Head.Size)
		}
		if !seen[d.Origin] && !d.First {
			t.Errorf("nobody says that the first digest of %s is the first", d.Origin)
		}
		seen[d.Origin] = true
		stored, err := d.Sign(&integrity.Hour{Origin: d.Origin, Hour: d.At.Truncate(time.Hour), Time: d.At, Before: d.Head, After: d.Head})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Open(stored); err != nil {
			t.Error(err)
		}
	}
	if len(seen) != 2 {
		t.Errorf("digests of %d chains, want 2", len(seen))
	}
	if n := len(asked("paused")); n != 0 {
		t.Errorf("a paused stream was asked for %d digests", n)
	}
}

func TestAnotherProcessGoesOnWithTheCheckpoints(t *testing.T) {
	r := newRig(t, 1)
	v := r.vouch(20 * time.Millisecond)
	r.stream("s", orgA)
	r.publish(orgA, 0, 30)
	stop := r.start()
	r.eventually("30 events vouched for", func() bool { all := v.of("s"); return len(all) > 0 && all[len(all)-1].Size == 30 })
	stop()
	r.publish(orgA, 30, 30)
	stop = r.start()
	r.eventually("60 events vouched for", func() bool { all := v.of("s"); return all[len(all)-1].Size == 60 })
	stop()

	// And with the next chain, after the last word on this one.
	r.stream("s", orgA, func(s *consumer.Spec) { s.Revision = 2 })
	r.publish(orgA, 60, 5)
	defer r.start()()
	r.eventually("the next chain vouched for", func() bool {
		all := v.of("s")
		return slices.ContainsFunc(all, func(c *integrity.Checkpoint) bool {
			return c.Size == 5 && c.Previous != nil && c.Previous.Size == 60 && c.Previous.Reason == "revision"
		})
	})
}

func TestDestinationsThatHangOrFailKeepNobodyFromItsCheckpoints(t *testing.T) {
	r := newRig(t, 1)
	v := r.vouch(20 * time.Millisecond)
	const hanging = 20 // more than there are places
	for i := range hanging {
		r.stream(fmt.Sprintf("hangs-%d", i), orgA)
	}
	r.stream("fails", orgA)
	r.stream("works", orgA)
	stuck := make(chan struct{})
	r.dest.witnesses(func(ctx context.Context, stream string) error {
		switch {
		case strings.HasPrefix(stream, "hangs"):
			select {
			case <-stuck:
			case <-ctx.Done():
			}
			return errors.New("it hung")
		case stream == "fails":
			return errors.New("it says no")
		}
		return nil
	})
	r.publish(orgA, 0, 3)
	defer r.start()()
	r.eventually("checkpoints of all in the topic, while the destinations hang", func() bool { return len(v.written()) == hanging+2 })
	close(stuck) // they fail from now on
	r.eventually("the one that works has some", func() bool { notes, _ := r.dest.vouched("works"); return len(notes) > 2 })
	r.eventually("the one that fails is asked again", func() bool { _, n := r.dest.vouched("fails"); return n > 1 })
	if notes, _ := r.dest.vouched("fails"); len(notes) > 0 {
		t.Errorf("it took %d", len(notes))
	}
}

func TestWhatCannotBeSignedOrArchivedIsTriedAgain(t *testing.T) {
	r := newRig(t, 1)
	v := r.vouch(20 * time.Millisecond)
	v.refused = errors.New("the signer is away")
	tries := 0
	v.archived = func(string) error {
		if tries++; tries < 3 {
			return errors.New("the archive is away")
		}
		return nil
	}
	r.stream("s", orgA)
	r.publish(orgA, 0, 3)
	defer r.start()()
	r.eventually("a failure is counted", func() bool { return r.counted("topic", "failed") > 0 })
	if n := len(v.written()); n != 0 {
		t.Errorf("%d chains have checkpoints that nobody signed", n)
	}
	v.mu.Lock()
	v.refused = nil
	v.mu.Unlock()
	r.eventually("one in the archive", func() bool {
		v.mu.Lock()
		defer v.mu.Unlock()
		return len(v.archive) == 1
	})
	r.eventually("all of it is counted", func() bool {
		return r.counted("archive", "failed") == 2 && r.counted("archive", "ok") == 1 && r.counted("topic", "ok") > 2 && r.counted("feed", "ok") > 2
	})
	if age := r.gauge("auditstream_stream_checkpoint_age_seconds", "s"); age < 0 || age > time.Minute.Seconds() {
		t.Errorf("the last one is %v s old", age)
	}
}

// counted is how many checkpoints came somewhere, by outcome, of all streams.
func (r *rig) counted(to, outcome string) (n float64) {
	r.t.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "auditstream_stream_checkpoints_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if labels["to"] == to && labels["outcome"] == outcome {
				n += m.GetCounter().GetValue()
			}
		}
	}
	return n
}
