package consumer

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/auditstream/auditstream/integrity"
)

// fed is the chain of a feed with what its destination got.
type fed struct {
	t      *testing.T
	origin string
	proof  proof
	got    []integrity.Link
	sealed []*integrity.Checkpoint
}

func newFed(t *testing.T) *fed {
	t.Helper()
	origin := integrity.Origin{Stream: "s", UID: "str_s", TopicID: "t", Epoch: 1, Revision: 1}.String()
	return &fed{t: t, origin: origin, proof: proof{head: integrity.Begin(origin)}}
}

// settle has the next n events delivered, or withheld for a reason.
func (f *fed) settle(n int, reason string) *fed {
	head := f.proof.head
	var links []integrity.Link
	for range n {
		link := head.Link(integrity.Digest([]byte(fmt.Sprint(head.Size))))
		head, links = link.Head(), append(links, link)
		f.proof.tree.Append(link.Digest)
	}
	if reason == "" {
		f.got = append(f.got, links...)
	} else {
		f.proof.withhold(links, reason)
	}
	f.proof.head = head
	return f
}

// scatter refuses n events, between each of which one is delivered.
func (f *fed) scatter(n int) *fed {
	for range n {
		f.settle(1, classRejected).settle(1, "")
	}
	return f
}

// feed is what the record says.
func (f *fed) feed() *Feed {
	l := &lane{stream: &stream{}}
	rec := &chainRecord{Origin: f.origin, Head: f.proof.head, Edge: f.proof.tree.Edge(), Withheld: f.proof.withheld, Checkpoint: f.proof.checkpoint}
	return l.feed(rec, f.proof.head.Size, false)
}

// seal makes a checkpoint that somebody can read.
func (f *fed) seal() *fed {
	f.t.Helper()
	feed := f.feed()
	c := feed.Checkpoint(time.Unix(int64(1_700_000_000+len(f.sealed)), 0).UTC())
	if _, err := integrity.ParseCheckpoint(c.Text()); err != nil {
		f.t.Fatalf("%v:\n%s", err, c.Text())
	}
	f.sealed = append(f.sealed, &c)
	return f
}

// taken has the checkpoint on record that was made at a size, when more was settled since.
func (f *fed) taken(feed *Feed) *fed {
	l := &lane{stream: &stream{}, chains: []*chain{{origin: f.origin}}, proof: f.proof}
	l.checkpointed(feed, time.Unix(1_700_000_000, 0))
	f.proof = l.proof
	return f
}

// verdict is what a receiver comes to who checks everything.
func (f *fed) verdict() integrity.Verdict {
	f.t.Helper()
	_, public, err := integrity.GenerateKey("audit.example.com")
	if err != nil {
		f.t.Fatal(err)
	}
	keys, err := integrity.NewKeys(public)
	if err != nil {
		f.t.Fatal(err)
	}
	c := integrity.NewChecker(integrity.Options{Keys: keys})
	for _, p := range f.sealed {
		if err := c.Trust(p, true); err != nil {
			f.t.Fatal(err)
		}
	}
	for _, l := range f.got {
		if err := c.Event(integrity.Item{Feed: integrity.FeedID(f.origin), Number: l.Number, Digest: l.Digest, Chain: l.Hash}); err != nil {
			f.t.Fatal(err)
		}
	}
	return c.Finish().Verdict
}

func TestWithheldEventsAreListedOneByOneWhileThereIsRoom(t *testing.T) {
	f := newFed(t).settle(3, "").settle(40, classRejected).settle(1, "").settle(24, classExpiring).seal()
	if n := len(f.proof.withheld); n != maxWithheld || slices.ContainsFunc(f.proof.withheld, withheld.several) {
		t.Errorf("%d lines for %d events: %+v", n, maxWithheld, f.proof.withheld)
	}
	// Then the oldest that go on from each other become runs.
	f.settle(2, classExpiring).seal()
	w := f.proof.withheld
	if len(w) != maxWithheld || w[0].From != 4 || w[0].To != 6 || w[0].Reason != classRejected || slices.ContainsFunc(w[1:], withheld.several) {
		t.Errorf("two events more: %d lines, of which the first is %+v", len(w), w[0])
	}
	if v := f.verdict(); v != integrity.Complete {
		t.Errorf("the feed is %s", v)
	}
}

// What expires of a stream that is paused goes by the thousand, and goes on.
func TestManyWithheldEventsAreOneRun(t *testing.T) {
	f := newFed(t).settle(1, "").settle(500, classExpiring).settle(5000, classExpiring).settle(1, "").seal()
	want := []withheld{{From: 2, To: 5501}}
	if w := f.proof.withheld; len(w) != 1 || w[0].From != want[0].From || w[0].To != want[0].To || w[0].Reason != classExpiring {
		t.Errorf("%+v, want %+v", w, want)
	}
	if v := f.verdict(); v != integrity.Complete {
		t.Errorf("the feed is %s", v)
	}
}

func TestBeyondTheBoundNobodyCanTellWhichOfTheOldestWereDelivered(t *testing.T) {
	f := newFed(t).scatter(maxWithheld).seal()
	if v := f.verdict(); v != integrity.Complete {
		t.Errorf("as many as there is room for: the feed is %s", v)
	}
	f = newFed(t).scatter(maxWithheld + 1).seal()
	if w := f.proof.withheld; len(w) != maxWithheld || w[0].Reason != withheldSome || w[0].From != 1 || w[0].To != 3 {
		t.Errorf("one more: %d lines, of which the first is %+v", len(w), w[0])
	}
	if v := f.verdict(); v != integrity.Unchecked {
		t.Errorf("one more: the feed is %s", v)
	}
	f.got = slices.DeleteFunc(f.got, func(l integrity.Link) bool { return l.Number == 2 })
	if v := f.verdict(); v != integrity.Unchecked {
		t.Errorf("one more, and what was delivered in between is gone: the feed is %s", v)
	}
}

// A checkpoint that is due at once keeps it from coming to that.
func TestManyWithheldEventsHereAndThereMakeACheckpointDue(t *testing.T) {
	c, now := &checkpointer{cfg: &Checkpoints{Interval: time.Hour}}, time.Now()
	due := func(f *fed, v *vouched) bool {
		f.proof.checkpoint = &checkpointRecord{At: now.Add(-time.Minute)}
		return c.due(f.feed(), v, now)
	}
	if due(newFed(t).scatter(checkpointLines-1), &vouched{}) {
		t.Error("a checkpoint is due before there are many")
	}
	if !due(newFed(t).scatter(checkpointLines), &vouched{}) {
		t.Error("none is due when there are many")
	}
	if due(newFed(t).settle(maxWithheld, classRejected), &vouched{}) {
		t.Error("one is due for events that one line can tell of")
	}
	if due(newFed(t).scatter(checkpointLines), &vouched{made: now.Add(-time.Second)}) {
		t.Error("one is due whose record that it was made is under way")
	}
	if first := newFed(t).scatter(checkpointLines).feed(); !c.due(first, &vouched{since: now}, now) {
		t.Error("the first one is not due")
	}
}

// What came while a checkpoint was made is left, and may have grown together with what it says.
func TestWhatIsWithheldBehindACheckpointIsLeftForTheNext(t *testing.T) {
	for seed := range uint64(300) {
		dice := rand.New(rand.NewPCG(seed, 17))
		f := newFed(t)
		partly := false
		for range 1 + dice.IntN(5) {
			settle := func(most int) {
				for range dice.IntN(most) {
					reason := []string{"", "", classRejected, classRejected, classExpiring}[dice.IntN(5)]
					f.settle(1+dice.IntN(3), reason)
				}
			}
			settle(150)
			feed := f.seal().feed()
			settle(150)
			f.taken(feed)
		}
		f.seal()
		for _, c := range f.sealed {
			partly = partly || slices.ContainsFunc(c.Withheld, func(w integrity.Withheld) bool { return w.Reason == withheldSome && w.From < w.To })
		}
		want := integrity.Complete
		if partly {
			want = integrity.Unchecked
		}
		if v := f.verdict(); v != want {
			t.Fatalf("seed %d: the feed is %s, want %s", seed, v, want)
		}
	}
}
