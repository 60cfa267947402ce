package consumer_test

import (
	"slices"
	"testing"
	"time"

	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/integrity"
)

// feeds is what a group shows of its feeds, by stream; a checkpoint is made of each if check
// says so.
func feeds(t *testing.T, g *consumer.Group, check bool) map[string]consumer.Feed {
	t.Helper()
	out := map[string]consumer.Feed{}
	g.Feeds(t.Context(), func(f *consumer.Feed) time.Time {
		c := f.Checkpoint(time.Now())
		if got, err := integrity.ParseCheckpoint(c.Text()); err != nil || got.Size != f.Head.Size {
			t.Errorf("%v:\n%s", err, c.Text())
		}
		if !f.Ended {
			out[f.Lane.Stream] = *f
		} else {
			out[f.Lane.Stream+" before"] = *f
		}
		if !check {
			return time.Time{}
		}
		return c.Time
	})
	return out
}

// chainOf is the chain of a feed as anybody makes it who has its events.
func chainOf(origin string, ids ...string) (integrity.Head, integrity.Tree) {
	head, tree := integrity.Begin(origin), integrity.Tree{}
	for _, id := range ids {
		digest := integrity.Digest(event(orgA, id, "user.login"))
		head = head.Next(digest)
		tree.Append(digest)
	}
	return head, tree
}

func TestAFeedIsNumberedAndChained(t *testing.T) {
	r := newRig(t, 1)
	r.stream("s", orgA)
	r.stream("quiet", orgB)
	r.stream("plain", orgA, func(s *consumer.Spec) { s.Unchained = true })
	for i := range 25 {
		r.produce(record(r.topics.Events(), orgA, eventID(i), "user.login"))
	}
	huge := record(r.topics.Events(), orgA, eventID(25), "user.huge")
	r.produce(huge)
	g := r.group()
	stop := r.run(g)
	r.eventually("26 events and the quiet feed on record", func() bool {
		f := feeds(t, g, false)
		return f["s"].Head.Size == 26 && f["s"].Offset == 26 && f["quiet"].Offset == 26
	})
	f := feeds(t, g, true)
	s := f["s"]
	want, tree := chainOf(s.Origin, wantIDs(0, 25)...)
	digest := integrity.Digest(huge.Value)
	want = want.Next(digest)
	tree.Append(digest)
	if s.Head != want || s.Tree.Root() != tree.Root() || s.After != 0 || s.Previous != nil {
		t.Errorf("%+v, want %+v", s, want)
	}
	if w := []integrity.Withheld{{From: 26, To: 26, Hash: digest, Reason: "rejected"}}; !slices.Equal(s.Withheld, w) {
		t.Errorf("withheld %+v, want %+v", s.Withheld, w)
	}
	if q := f["quiet"]; q.Head != integrity.Begin(q.Origin) || q.Offset != 26 {
		t.Errorf("the quiet feed: %+v", q)
	}
	if _, ok := f["plain"]; ok {
		t.Error("a stream that is not chained has a feed")
	}
	r.eventually("the checkpoint on record", func() bool { return feeds(t, g, false)["s"].After == 26 })
	if w := feeds(t, g, false)["s"].Withheld; w != nil {
		t.Errorf("withheld after the checkpoint: %+v", w)
	}
	r.dest.chained(t, "s", s.Origin, 25)
	r.dest.unchained(t, "plain")
	stop()

	// Another process goes on, and then with another revision.
	r.publish(orgA, 26, 10)
	g = r.group()
	stop = r.run(g)
	r.eventually("36 events", func() bool { return feeds(t, g, false)["s"].Head.Size == 36 })
	s = feeds(t, g, false)["s"]
	stop()
	r.dest.chained(t, "s", s.Origin, 35)
	if s.After != 26 {
		t.Errorf("the last checkpoint is forgotten: %+v", s)
	}
	r.stream("s", orgA, func(s *consumer.Spec) { s.Revision = 2 })
	r.publish(orgA, 36, 5)
	g = r.group()
	stop = r.run(g)
	defer stop()
	r.eventually("5 events of the new revision", func() bool { return feeds(t, g, false)["s"].Head.Size == 5 })
	f = feeds(t, g, true)
	next, tail := f["s"], f["s before"]
	if want, _ := chainOf(next.Origin, wantIDs(36, 5)...); next.Head != want || next.Origin == s.Origin {
		t.Errorf("%+v, want %+v", next, want)
	}
	if p := (integrity.Former{Origin: s.Origin, Head: s.Head, Reason: "revision"}); next.Previous == nil || *next.Previous != p {
		t.Errorf("previous %+v, want %+v", next.Previous, p)
	}
	if tail.Origin != s.Origin || tail.Head != s.Head || tail.After != 26 || tail.Offset != 36 {
		t.Errorf("the chain that has ended: %+v", tail)
	}
	r.eventually("its last checkpoint", func() bool { _, ok := feeds(t, g, false)["s before"]; return !ok })
}

// chained judges what arrived of a stream as events of a chain: n, one batch after the other.
func (d *destination) chained(t *testing.T, stream, origin string, n int64) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	seen := map[int64]integrity.Link{}
	for _, b := range d.batches {
		if b.Lane.Stream != stream {
			continue
		}
		if b.Chain == nil || b.Chain.Origin != origin || len(b.Chain.Links) != len(b.Events) {
			t.Fatalf("a batch of %d events: %+v", len(b.Events), b.Chain)
		}
		head := b.Chain.Before
		for _, l := range b.Chain.Links {
			if want := head.Link(l.Digest); l != want {
				t.Errorf("%+v, want %+v", l, want)
			}
			head = l.Head()
			seen[l.Number] = l
		}
	}
	if int64(len(seen)) != n {
		t.Errorf("%d numbers arrived, want %d", len(seen), n)
	}
}

func (d *destination) unchained(t *testing.T, stream string) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, b := range d.batches {
		if b.Lane.Stream == stream && b.Chain != nil {
			t.Errorf("%+v", b.Chain)
		}
	}
}
