package consumer_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/sinks"
)

// ofJob are the checkpoints of the job's chains.
func (v *vouching) ofJob() []*integrity.Checkpoint {
	v.r.t.Helper()
	var out []*integrity.Checkpoint
	for origin, list := range v.written() {
		if strings.HasPrefix(origin, "auditstream/a/"+jobUID+"/") {
			out = append(out, list...)
		}
	}
	return out
}

func TestAJobEndsWithACheckpointOfAllThatItHasSent(t *testing.T) {
	r := newRig(t, 1)
	v := r.vouch(time.Hour)
	r.stream("a", orgA)
	r.publish(orgA, 0, 50)
	r.do(r.task(10, 30))
	got := v.ofJob()
	if len(got) != 1 || got[0].Size != 20 || got[0].After != 0 || got[0].Offset != 30 {
		t.Fatalf("checkpoints %+v", got)
	}
	if len(v.archive) != 1 {
		t.Errorf("%d checkpoints in the archive", len(v.archive))
	}
}

// No other checkpoint says what the last one does, so a destination is asked for it again.
func TestADestinationIsAskedAgainToTakeAJobsLastCheckpoint(t *testing.T) {
	r := newRig(t, 1)
	v := r.vouch(time.Hour)
	r.stream("a", orgA)
	r.publish(orgA, 0, 5)
	asked := 0
	r.dest.witnesses(func(context.Context, string) error {
		if asked++; asked < 3 {
			return errors.New("not now")
		}
		return nil
	})
	r.do(r.task(0, 5))
	if len(v.ofJob()) != 1 || asked != 3 {
		t.Errorf("%d checkpoints; the destination was asked %d times", len(v.ofJob()), asked)
	}
}

// A job whose last checkpoint is not written is not done: it is gone on with.
func TestAJobIsNotDoneBeforeItsLastCheckpointIsWritten(t *testing.T) {
	r := newRig(t, 1)
	v := r.vouch(time.Hour)
	r.stream("a", orgA)
	r.publish(orgA, 0, 5)
	v.refused = errors.New("the key is away")
	j, err := r.job(r.task(0, 5))
	if err != nil {
		t.Fatal(err)
	}
	if done, err := j.Run(t.Context()); done || err == nil || !strings.Contains(err.Error(), "last checkpoint") {
		t.Fatalf("done %t, %v", done, err)
	}
	v.refused = nil
	if got := r.do(r.task(0, 5)); got.Delivered != 5 || r.dest.count(replayed) != 5 || len(v.ofJob()) != 1 {
		t.Errorf("standing %+v, %d arrived, %d checkpoints", got, r.dest.count(replayed), len(v.ofJob()))
	}
}

// stoppedAt has the destination refuse event 9 for good, and a run end at event 20.
func (r *rig) stoppedAt(stop func()) {
	r.dest.program(func(_ string, ids []string) (int, sinks.Receipt, error) {
		if slices.Contains(ids, eventID(20)) {
			stop()
			return 0, sinks.Receipt{}, &sinks.Error{Class: sinks.Unavailable, Err: errors.New("not now")}
		}
		if i := slices.Index(ids, eventID(9)); i >= 0 {
			return i, sinks.Receipt{Settled: i}, &sinks.Error{Class: sinks.Rejected, Event: i, Named: true, Err: errors.New("bad event")}
		}
		return len(ids), sinks.Receipt{}, nil
	})
}

// opened is a job that can be run.
func (r *rig) opened(task consumer.Task) *consumer.Job {
	r.t.Helper()
	j, err := r.job(task)
	if err != nil {
		r.t.Fatal(err)
	}
	return j
}

// goOn carries a job on until ctx ends, before it is done.
func (r *rig) goOn(ctx context.Context, j *consumer.Job) {
	r.t.Helper()
	if done, err := j.Run(ctx); done || err != nil {
		r.t.Fatalf("done %t, %v", done, err)
	}
}

// A job that is stopped may never be gone on with. What it has sent, and what was refused of it,
// is vouched for all the same: in the topic, and at the destination, unless the stream is gone.
func TestAJobThatIsStoppedLeavesACheckpointOfWhatItHasSent(t *testing.T) {
	for name, gone := range map[string]bool{"by an operator": false, "for its stream is deleted": true} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 1)
			v := r.vouch(time.Hour)
			r.batching.MaxEvents = 4
			r.stream("a", orgA)
			r.publish(orgA, 0, 40)
			asked := 0
			r.dest.witnesses(func(context.Context, string) error { asked++; return nil })

			ctx, stop := context.WithCancelCause(t.Context())
			cause := error(nil)
			if gone {
				cause = consumer.ErrStreamGone
			}
			r.stoppedAt(func() { stop(cause) })
			r.goOn(ctx, r.opened(r.task(0, 40)))
			sent := int64(r.dest.count(replayed))
			first := v.ofJob()
			// On a machine that is slow enough one was made on the way.
			if n := len(first); n == 0 || first[n-1].Size != sent+1 || first[n-1].Offset != sent+1 {
				t.Fatalf("%d events were sent, and one was refused; checkpoints %+v", sent, first)
			}
			var w []integrity.Withheld
			for _, c := range first {
				w = append(w, c.Withheld...)
			}
			if len(w) != 1 || w[0].From != 10 || w[0].To != 10 || w[0].Reason != "rejected" {
				t.Errorf("withheld %+v", w)
			}
			want := len(first)
			if gone {
				want--
			}
			if asked != want {
				t.Errorf("the destination was asked %d times to take a checkpoint, want %d", asked, want)
			}

			// Stopped before it has sent anything more, it says nothing more.
			again, stop := context.WithCancelCause(t.Context())
			r.stoppedAt(func() { stop(nil) })
			r.goOn(again, r.opened(r.task(0, 40)))
			if got := v.ofJob(); len(got) != len(first) {
				t.Errorf("checkpoints %+v", got)
			}
			r.dest.program(nil)
			r.do(r.task(0, 40))
			if all := v.ofJob(); len(all) != len(first)+1 || all[len(first)].Size != 40 || all[len(first)].After != sent+1 {
				t.Errorf("checkpoints %+v", all)
			}
		})
	}
}

// A job whose stream has changed is gone on with at once, in another chain that names this one:
// its last checkpoint is made then, for the destination as it is by then.
func TestAJobWhoseStreamHasChangedLeavesTheCheckpointToItsNextRun(t *testing.T) {
	r := newRig(t, 1)
	v := r.vouch(time.Hour)
	r.batching.MaxEvents = 4
	r.stream("a", orgA)
	r.publish(orgA, 0, 40)
	ctx, stop := context.WithCancelCause(t.Context())
	r.stoppedAt(func() { stop(consumer.ErrStreamChanged) })
	r.goOn(ctx, r.opened(r.task(0, 40)))
	settled := int64(r.dest.count(replayed)) + 1
	for _, c := range v.ofJob() {
		if c.Size == settled {
			t.Errorf("a checkpoint of all that was sent: %+v", c)
		}
	}
	r.dest.program(nil)
	r.stream("a", orgA, func(s *consumer.Spec) { s.Revision = 2 })
	r.do(r.task(0, 40))
	sizes := map[int64]int64{} // of the last checkpoint, by the offset at which the chain begins
	for _, c := range v.ofJob() {
		o, err := integrity.ParseOrigin(c.Origin)
		if err != nil {
			t.Fatal(err)
		}
		sizes[o.Begin] = c.Size
	}
	if diff := cmp.Diff(map[int64]int64{0: settled, settled: 40 - settled}, sizes); diff != "" {
		t.Errorf("sizes (-want +got):\n%s", diff)
	}
}

// numbersOf says of the events that a destination has of a job which number each has, and which
// it was at first.
func (r *rig) numbersOf() (numbers map[int64]int64, originals map[int64]integrity.Original) {
	r.t.Helper()
	numbers, originals = map[int64]int64{}, map[int64]integrity.Original{}
	for _, b := range r.dest.requests() {
		if b.Lane.UID != jobUID {
			continue
		}
		if b.Chain == nil {
			r.t.Fatalf("a batch without numbers: %+v", b)
		}
		for i, l := range b.Chain.Links {
			offset := b.Events[i].Offset
			if n, ok := numbers[offset]; ok && n != l.Number {
				r.t.Errorf("the letter at %d is number %d, and was number %d", offset, l.Number, n)
			}
			numbers[offset] = l.Number
			if len(b.Chain.Originals) > 0 {
				originals[offset] = integrity.Original{Feed: b.Chain.OriginalFeed, Number: b.Chain.Originals[i]}
			}
		}
	}
	return numbers, originals
}

// A letter keeps the place that its event has in the feed which does not have it, and the redrive
// names it, beside a number of its own.
func TestARedriveNamesWhatWasWithheld(t *testing.T) {
	r := newRig(t, 1)
	v := r.vouch(time.Hour)
	r.stream("a", orgA)
	r.dest.program(func(stream string, ids []string) (int, sinks.Receipt, error) {
		if i := slices.IndexFunc(ids, func(id string) bool { return id == eventID(3) || id == eventID(6) }); i >= 0 && stream == "a" {
			return i, sinks.Receipt{Settled: i}, &sinks.Error{Class: sinks.Rejected, Event: i, Named: true, Err: errors.New("bad event")}
		}
		return len(ids), sinks.Receipt{}, nil
	})
	r.publish(orgA, 0, 10)
	stop := r.start()
	r.eventually("the others, and the letters", func() bool { return r.dest.count("a") == 8 && len(r.letters()) == 2 })
	stop()
	task, with := r.redriving()
	j, err := r.job(task, with)
	if err != nil {
		t.Fatal(err)
	}
	if done, err := j.Run(t.Context()); err != nil || !done {
		t.Fatalf("done %t, %v", done, err)
	}
	live := integrity.FeedID(r.originOf("a"))
	numbers, originals := r.numbersOf()
	if diff := cmp.Diff(map[int64]int64{0: 1, 1: 2}, numbers); diff != "" {
		t.Errorf("numbers by offset of the letter (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[int64]integrity.Original{0: {Feed: live, Number: 4}, 1: {Feed: live, Number: 7}}, originals); diff != "" {
		t.Errorf("what they were at first (-want +got):\n%s", diff)
	}
	want := []integrity.Again{{From: 1, To: 1, Feed: live, First: 4, Last: 4}, {From: 2, To: 2, Feed: live, First: 7, Last: 7}}
	if got := v.ofJob(); len(got) != 1 || !cmp.Equal(got[0].Again, want) {
		t.Errorf("checkpoints %+v", got)
	}
}

// originOf is the origin of a stream's chain, by what the destination has.
func (r *rig) originOf(stream string) string {
	r.t.Helper()
	for _, b := range r.dest.requests() {
		if b.Lane.Stream == stream && b.Lane.UID == "str_"+stream {
			return b.Chain.Origin
		}
	}
	r.t.Fatal("nothing has arrived")
	return ""
}

// What number a letter gets does not depend on which letters are still open when the redrive is
// gone on with.
func TestARedriveThatIsGoneOnWithGivesTheSameNumbers(t *testing.T) {
	r := newRig(t, 1)
	r.batching.MaxEvents = 1
	r.commit = time.Hour // what is on record lags behind what was sent
	r.stream("a", orgA)
	r.refuseAll()
	r.publish(orgA, 0, 12)
	stop := r.start()
	r.eventually("the letters", func() bool { return len(r.letters()) == 12 })
	stop()
	r.dest.program(nil)
	task, with := r.redriving()
	for _, after := range []int{4, 5} {
		ctx, end := context.WithCancel(t.Context())
		j, err := r.job(task, func(c *consumer.JobConfig) {
			with(c)
			c.Letters = &endsAfter{Letters: c.Letters, left: after, end: end}
		})
		if err != nil {
			t.Fatal(err)
		}
		if done, err := j.Run(ctx); done || err != nil {
			t.Fatalf("done %t, %v", done, err)
		}
		// As after a crash: of what it has sent nothing is on record but the marks.
		if err := r.jobs().Forget(t.Context(), task); err != nil {
			t.Fatal(err)
		}
	}
	j, err := r.job(task, with)
	if err != nil {
		t.Fatal(err)
	}
	if done, err := j.Run(t.Context()); err != nil || !done {
		t.Fatalf("done %t, %v", done, err)
	}
	numbers, _ := r.numbersOf()
	for offset := range int64(12) {
		if numbers[offset] != offset+1 {
			t.Errorf("the letter at %d has the number %d", offset, numbers[offset])
		}
	}
}

// endsAfter are letters of a process that ends after some marks.
type endsAfter struct {
	consumer.Letters
	left int
	end  func()
}

func (l *endsAfter) Mark(ctx context.Context, partition int32, offsets []int64, feed string) error {
	if l.left -= len(offsets); l.left < 0 {
		l.end()
		<-ctx.Done()
		return ctx.Err()
	}
	return l.Letters.Mark(ctx, partition, offsets, feed)
}

// requests are the batches that the destination was given, in order.
func (d *destination) requests() []sinks.Batch {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.batches)
}
