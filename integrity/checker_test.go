package integrity

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// honest is a feed as it was delivered, with the checkpoints made of it.
type honest struct {
	origin      string
	items       []Item // number n at n-1
	tree        Tree
	head        Head
	checkpoints []Checkpoint
	withheld    []Withheld
}

func newHonest(begin int64) *honest {
	h := &honest{origin: testOrigin(begin)}
	h.head = Begin(h.origin)
	return h
}

var noon = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

// add delivers n events more.
func (h *honest) add(n int) *honest {
	for range n {
		i := h.head.Size + 1
		id := fmt.Sprintf("audit_event_%05d", i)
		link := h.head.Link(Digest([]byte(h.origin + id)))
		h.head = link.Head()
		h.tree.Append(link.Digest)
		h.items = append(h.items, Item{Feed: FeedID(h.origin), Number: i, Digest: link.Digest, Chain: link.Hash, ID: []byte(id), Where: fmt.Sprintf("line %d", i)})
	}
	return h
}

// withhold sends n events to the dead letters.
func (h *honest) withhold(n int) *honest {
	before := h.head
	h.add(n)
	w := Withheld{From: before.Size + 1, To: h.head.Size, Before: before.Hash, Hash: h.head.Hash, Reason: "rejected"}
	if n == 1 {
		w.Before, w.Hash = Hash{}, h.items[before.Size].Digest
	}
	h.withheld = append(h.withheld, w)
	return h
}

// seal makes a checkpoint, ten minutes behind the one before.
func (h *honest) seal() *honest {
	c := Checkpoint{Origin: h.origin, Size: h.head.Size, Root: h.tree.Root(), Chain: h.head.Hash, Offset: 1000 + h.head.Size, Time: noon.Add(time.Duration(len(h.checkpoints)) * 10 * time.Minute)}
	if n := len(h.checkpoints); n > 0 {
		c.After = h.checkpoints[n-1].Size
		c.Previous = h.checkpoints[n-1].Previous
	}
	c.Withheld, h.withheld = h.withheld, nil
	h.checkpoints = append(h.checkpoints, c)
	return h
}

// received are the events that the feed carried: all that were not withheld.
func (h *honest) received() []Item {
	var out []Item
	for _, item := range h.items {
		if !slices.ContainsFunc(h.checkpoints, func(c Checkpoint) bool {
			return slices.ContainsFunc(c.Withheld, func(w Withheld) bool { return w.From <= item.Number && item.Number <= w.To })
		}) {
			out = append(out, item)
		}
	}
	return out
}

func testKeys(tb testing.TB) *Keys {
	tb.Helper()
	keys, err := NewKeys(publicOf(tb, firstSecret))
	if err != nil {
		tb.Fatal(err)
	}
	return keys
}

// check holds items against the checkpoints of feeds, all of which the first key has signed.
func check(tb testing.TB, o Options, items []Item, feeds ...*honest) *Report {
	tb.Helper()
	if o.Keys == nil {
		o.Keys = testKeys(tb)
	}
	c := NewChecker(o)
	for _, h := range feeds {
		for i := range h.checkpoints {
			signed, err := h.checkpoints[i].Sign(signerOf(tb, firstSecret))
			if err != nil {
				tb.Fatal(err)
			}
			if err := c.Checkpoint(signed); err != nil {
				tb.Fatal(err)
			}
		}
	}
	for _, item := range items {
		if err := c.Event(item); err != nil {
			tb.Fatal(err)
		}
	}
	return c.Finish()
}

// findings are those of a report, without their details.
func findings(r *Report) string {
	var out []string
	all := slices.Clone(r.Findings)
	for _, f := range r.Feeds {
		all = append(all, f.Findings...)
	}
	for _, x := range all {
		text := string(x.Kind) + x.numbers()
		if len(x.IDs) > 0 {
			text += " " + strings.ReplaceAll(strings.Join(x.IDs, " "), "audit_event_", "")
		}
		out = append(out, text)
	}
	return strings.Join(out, "; ")
}

// swap exchanges the events of two numbers, and leaves numbers and hashes where they were.
func swap(items []Item, i, j int) []Item {
	items[i].Digest, items[j].Digest = items[j].Digest, items[i].Digest
	items[i].ID, items[j].ID = items[j].ID, items[i].ID
	return items
}

// remade are items with numbers and hashes as if they were the feed's from item i on.
func remade(items []Item, i int) []Item {
	for ; i < len(items); i++ {
		before := Head{items[i-1].Number, items[i-1].Chain}
		link := before.Link(items[i].Digest)
		items[i].Number, items[i].Chain = link.Number, link.Hash
	}
	return items
}

func TestCheckerTellsWhatHasBecomeOfAFeed(t *testing.T) {
	forged := func(items []Item, i int) []Item {
		items[i].Digest = Digest([]byte("forged"))
		return items
	}
	for _, tt := range []struct {
		name    string
		doctor  func(items []Item) []Item
		verdict Verdict
		want    string
	}{
		{"untouched", func(items []Item) []Item { return items }, Complete, ""},
		{"backwards", func(items []Item) []Item { slices.Reverse(items); return items }, Complete, ""},
		{"every second first", func(items []Item) []Item {
			slices.SortStableFunc(items, func(a, b Item) int { return int(a.Number%2 - b.Number%2) })
			return items
		}, Complete, ""},
		{"all of it twice", func(items []Item) []Item { return append(items, items...) }, Complete, ""},
		{"the first is missing", func(items []Item) []Item { return items[1:] }, Lacking, "missing number 1"},
		{"one in the middle is missing", func(items []Item) []Item { return slices.Delete(items, 9, 10) }, Lacking, "missing number 10"},
		{"a run is missing", func(items []Item) []Item { return slices.Delete(items, 9, 14) }, Lacking, "missing numbers 10 to 14"},
		{"the last are missing", func(items []Item) []Item { return items[:25] }, Lacking, "missing numbers 26 to 30"},
		{"all are missing", func([]Item) []Item { return nil }, Lacking, "missing numbers 1 to 30"},
		{"one is another", func(items []Item) []Item { return forged(items, 9) }, Tampered, "altered number 10 00010"},
		{"the first is another", func(items []Item) []Item { return forged(items, 0) }, Tampered, "altered number 1 00001"},
		{"the last is another", func(items []Item) []Item { return forged(items, 29) }, Tampered, "altered number 30 00030"},
		{"two in a row are others", func(items []Item) []Item { return forged(forged(items, 9), 10) }, Tampered, "altered number 10 00010; altered number 11 00011"},
		{"one is another, with its hash", func(items []Item) []Item {
			forged(items, 9)
			items[9].Chain = step(items[8].Chain, items[9].Digest)
			return items
		}, Tampered, "altered numbers 1 to 10"},
		{"one has another hash", func(items []Item) []Item { items[14].Chain = Hash{}; return items }, Tampered, "altered number 15 00015"},
		{"the last of a checkpoint has another hash", func(items []Item) []Item { items[9].Chain = Hash{}; return items }, Tampered, "altered number 10 00010"},
		{"the very last has another hash", func(items []Item) []Item { items[29].Chain = Hash{}; return items }, Tampered, "altered number 30 00030"},
		{"one is another, and all hashes behind are made anew", func(items []Item) []Item { return remade(forged(items, 14), 14) }, Tampered, "altered numbers 11 to 30"},
		{"one is taken out, and all behind are made anew", func(items []Item) []Item { return remade(slices.Delete(items, 14, 15), 14) }, Tampered, "altered numbers 11 to 20; missing number 30"},
		{"one is put in, with a number that there is", func(items []Item) []Item {
			return append(items, Item{Feed: items[0].Feed, Number: 12, Digest: Digest([]byte("new")), Chain: items[11].Chain, ID: []byte("audit_event_x")})
		}, Tampered, "inserted number 12 x"},
		{"one is put in, before the one whose number it has", func(items []Item) []Item {
			return slices.Insert(items, 11, Item{Feed: items[0].Feed, Number: 12, Digest: Digest([]byte("new")), Chain: Hash{1}, ID: []byte("audit_event_x")})
		}, Tampered, "inserted number 12 x"},
		{"one is put in with the hash of the other, before it", func(items []Item) []Item {
			return slices.Insert(items, 11, Item{Feed: items[0].Feed, Number: 12, Digest: Digest([]byte("new")), Chain: items[11].Chain, ID: []byte("audit_event_x")})
		}, Tampered, "inserted number 12 x"},
		{"one is put in, and all behind are made anew", func(items []Item) []Item {
			return remade(slices.Insert(items, 14, Item{Feed: items[0].Feed, Digest: Digest([]byte("new")), ID: []byte("audit_event_x")}), 14)
		}, Tampered, "altered numbers 11 to 30"},
		{"one is put in behind the last", func(items []Item) []Item {
			return append(items, Item{Feed: items[0].Feed, Number: 31, Digest: Digest([]byte("new")), Chain: step(items[29].Chain, Digest([]byte("new"))), ID: []byte("audit_event_x")})
		}, Complete, ""}, // the next checkpoint says so: it is behind the last one, and the sentence tells
		{"two change places", func(items []Item) []Item { return swap(items, 6, 22) }, Shuffled, "reordered number 7 00023; reordered number 23 00007"},
		{"two neighbours change places", func(items []Item) []Item { return swap(items, 6, 7) }, Shuffled, "reordered number 7 00008; reordered number 8 00007"},
		{"two change numbers", func(items []Item) []Item {
			items[6].Number, items[22].Number = 23, 7
			return items
		}, Shuffled, "reordered number 7 00023; reordered number 23 00007"},
		{"one has a number behind the last", func(items []Item) []Item { items[6].Number = 90; return items }, Shuffled, "reordered number 7 00007"},
		{"one has the number of another", func(items []Item) []Item { items[6].Number = 21; return items }, Shuffled, "reordered number 7 00007"},
		{"one is of another feed", func(items []Item) []Item {
			other := newHonest(99).add(30)
			items[6].Digest, items[6].Chain, items[6].ID = other.items[6].Digest, other.items[6].Chain, []byte("audit_event_other")
			return items
		}, Tampered, "altered numbers 7 to 8 other 00008"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHonest(40).add(10).seal().add(10).seal().add(10).seal()
			r := check(t, Options{}, tt.doctor(slices.Clone(h.items)), h)
			if got := findings(r); r.Verdict != tt.verdict || got != tt.want {
				t.Errorf("verdict %s, findings %q, want %s, %q\n%s\n%+v", r.Verdict, got, tt.verdict, tt.want, r.Feeds[0].Sentence, r.Feeds[0].Findings)
			}
			if tt.want == "" && r.Feeds[0].Covered != 30 {
				t.Errorf("checkpoints cover %d events, want all 30", r.Feeds[0].Covered)
			}
		})
	}
}

func TestCheckerKnowsWhatWasWithheld(t *testing.T) {
	h := newHonest(40).withhold(1).add(5).withhold(1).withhold(3).add(2).seal().add(1).withhold(1).seal()
	got := h.received()
	r := check(t, Options{}, got, h)
	if r.Verdict != Complete || r.Feeds[0].Withheld != 6 || r.Feeds[0].Covered != 14 {
		t.Errorf("%s: %+v", r.Sentence, r.Feeds[0])
	}
	slices.Reverse(got)
	if r := check(t, Options{}, got, h); r.Verdict != Complete {
		t.Errorf("backwards: %s", r.Feeds[0].Sentence)
	}
	// One that arrived all the same is the same event, or somebody put it in.
	if r := check(t, Options{}, append(got, h.items[0]), h); r.Verdict != Complete || r.Feeds[0].Repeats != 1 {
		t.Errorf("withheld, and there: %s", r.Feeds[0].Sentence)
	}
	fake := h.items[0]
	fake.Digest = Hash{1}
	if r := check(t, Options{}, append(got, fake), h); findings(r) != "inserted number 1 00001" {
		t.Errorf("put in place of one that was withheld: %s", findings(r))
	}
	// Without the checkpoint that says so they are missing, and it is said where to look.
	h.checkpoints = h.checkpoints[1:]
	if r := check(t, Options{}, got, h); findings(r) != "missing number 1; missing numbers 7 to 10" || !strings.Contains(r.Feeds[0].Findings[1].Detail, "checkpoint of size 12") {
		t.Errorf("without the first checkpoint: %s: %+v", findings(r), r.Feeds[0].Findings)
	}
}

// Who has a part of a feed has nothing before it that its first event could go on from, if one
// was withheld between the checkpoint and that.
func TestWhatStandsBehindAWithheldEventIsHeldAgainstIt(t *testing.T) {
	h := newHonest(40).add(10).seal().withhold(1).add(9).seal()
	o := Options{From: noon}
	if r := check(t, o, h.items[11:], h); r.Verdict != Complete || r.Feeds[0].First != 11 {
		t.Errorf("as it was delivered: %s", r.Feeds[0].Sentence)
	}
	got := slices.Clone(h.items[11:])
	got[0].Digest = Digest([]byte("forged"))
	if r := check(t, o, got, h); findings(r) != "altered number 12 00012" {
		t.Errorf("with another event there: %s", findings(r))
	}
}

// A run within a checkpoint says nothing about how far the feed was at a time.
func TestARunDoesNotCutShortWhatIsAskedFor(t *testing.T) {
	h := newHonest(40).add(5).seal().withhold(3).add(5).seal()
	o := Options{Until: noon.Add(5 * time.Minute)}
	if r := check(t, o, h.received()[:5], h); findings(r) != "missing numbers 9 to 13" {
		t.Errorf("what the checkpoint at or behind the time covers is gone: %s", findings(r))
	}
}

// Events may be delivered behind one that was withheld before a checkpoint says that it was: an
// honest feed, looked at then, must not look as if somebody had taken it out.
func TestCheckerMissesNothingBehindTheLastCheckpoint(t *testing.T) {
	h := newHonest(40).add(10).seal().add(2).withhold(1).add(3)
	got := slices.DeleteFunc(slices.Clone(h.items), func(item Item) bool { return item.Number == 13 })
	r := check(t, Options{}, got, h)
	if f := r.Feeds[0]; r.Verdict != NotCovered || findings(r) != "uncovered number 13" || f.Covered != 10 || f.Tail != 6 {
		t.Errorf("before the next checkpoint: %s %q %+v", r.Verdict, findings(r), f)
	}
	if r := check(t, Options{}, slices.Delete(slices.Clone(got), 8, 10), h); r.Verdict != Lacking || findings(r) != "missing numbers 9 to 10; uncovered number 13" {
		t.Errorf("with others missing before it: %s %q", r.Verdict, findings(r))
	}
	if r := check(t, Options{}, slices.Delete(slices.Clone(got), 8, 11), h); r.Verdict != Lacking || findings(r) != "missing numbers 9 to 10; uncovered number 11; uncovered number 13" {
		t.Errorf("with a run missing that begins before it: %s %q", r.Verdict, findings(r))
	}
	h.seal()
	if r := check(t, Options{}, got, h); r.Verdict != Complete || r.Feeds[0].Withheld != 1 {
		t.Errorf("the checkpoint says that it was withheld: %s", r.Feeds[0].Sentence)
	}
	h.checkpoints[1].Withheld = nil
	if r := check(t, Options{}, got, h); findings(r) != "missing number 13" {
		t.Errorf("the checkpoint does not say so: %s", findings(r))
	}
	// Of a feed that has ended nothing says more than the one that follows.
	ended := newHonest(40).add(10).seal().add(4)
	next := newHonest(54).seal()
	next.checkpoints[0].Previous = &Former{Origin: ended.origin, Head: ended.head, Reason: "revision"}
	if r := check(t, Options{}, slices.Delete(slices.Clone(ended.items), 11, 12), ended, next); findings(r) != "missing number 12" {
		t.Errorf("a feed that has ended: %s", findings(r))
	}
}

func TestCheckerSaysWhatNoCheckpointCovers(t *testing.T) {
	h := newHonest(40).add(10).seal().add(10).seal().add(10)
	r := check(t, Options{}, h.items, h)
	if f := r.Feeds[0]; r.Verdict != Complete || f.Covered != 20 || f.Tail != 10 || f.Last != 30 {
		t.Errorf("a feed that goes on: %s %+v", r.Verdict, f)
	}
	late := Options{Until: noon.Add(time.Hour)}
	if r := check(t, late, h.items, h); r.Verdict != NotCovered || !strings.Contains(r.Feeds[0].Sentence, "nothing covers what came after 2026-01-31T12:10:00Z") {
		t.Errorf("asked about a later time: %s", r.Feeds[0].Sentence)
	}
	if r := check(t, Options{}, h.items); r.Verdict != NotCovered || !strings.Contains(r.Feeds[0].Sentence, "no checkpoint is about this feed") {
		t.Errorf("without checkpoints: %s", r.Feeds[0].Sentence)
	}
	other, err := NewKeys(publicOf(t, secondSecret))
	if err != nil {
		t.Fatal(err)
	}
	c := NewChecker(Options{Keys: other})
	signed, err := h.checkpoints[0].Sign(signerOf(t, firstSecret))
	if err != nil {
		t.Fatal(err)
	}
	if c.Checkpoint(signed) == nil {
		t.Error("a checkpoint of another key was taken")
	}
	if r := c.Finish(); r.Verdict != NotCovered {
		t.Errorf("a checkpoint of another key: %s", r.Verdict)
	}
	// Without a key the events go with each other, which nobody has signed.
	c = NewChecker(Options{})
	if err := c.Checkpoint(signed); err != nil {
		t.Fatal(err)
	}
	for _, item := range h.items[:10] {
		if err := c.Event(item); err != nil {
			t.Fatal(err)
		}
	}
	if r := c.Finish(); r.Verdict != NotCovered || r.Feeds[0].Covered != 0 {
		t.Errorf("without a key: %s %+v", r.Verdict, r.Feeds[0])
	}
}

func TestCheckerChecksAPartOfAFeed(t *testing.T) {
	h := newHonest(40).add(10).seal().add(10).seal().add(10).seal().add(5).seal()
	o := Options{From: noon.Add(15 * time.Minute), Until: noon.Add(20 * time.Minute)}
	if r := check(t, o, h.items[20:30], h); r.Verdict != Complete || r.Feeds[0].First != 21 || r.Feeds[0].Last != 30 {
		t.Errorf("exactly the part: %s %+v", r.Verdict, r.Feeds[0])
	}
	if r := check(t, o, h.items[15:33], h); r.Verdict != Complete {
		t.Errorf("more than the part: %s", r.Feeds[0].Sentence)
	}
	if r := check(t, o, h.items[21:30], h); findings(r) != "missing number 21" {
		t.Errorf("without its first: %s", findings(r))
	}
	forged := slices.Clone(h.items[20:30])
	forged[0].Digest = Hash{1}
	if r := check(t, o, forged, h); findings(r) != "altered number 21 00021" {
		t.Errorf("with another first: %s", findings(r))
	}
}

func TestCheckerFollowsChains(t *testing.T) {
	first := newHonest(40).add(10).seal().add(3)
	second := newHonest(53)
	former := &Former{Origin: first.origin, Head: first.head, Reason: "revision"}
	second.seal()
	second.checkpoints[0].Previous = former
	second.add(5).seal()
	all := append(slices.Clone(first.items), second.items...)
	r := check(t, Options{}, all, first, second)
	if r.Verdict != Complete || len(r.Feeds) != 2 || r.Feeds[0].Covered != 13 || r.Feeds[1].Previous == nil {
		t.Errorf("%s: %+v", r.Sentence, r.Feeds)
	}
	if r := check(t, Options{}, all[:12], first, second); findings(r) != "missing number 13; missing numbers 1 to 5" {
		t.Errorf("the end of the first and all of the second missing: %s", findings(r))
	}
	if r := check(t, Options{}, second.items, second); findings(r) != "missing numbers 1 to 13" {
		t.Errorf("the first missing, checkpoints and all: %s", findings(r))
	}
	if r := check(t, Options{From: noon}, second.items, second); r.Verdict != Complete {
		t.Errorf("asked about the second only: %s", r.Sentence)
	}
	// What somebody who was replaced still sent, or somebody put in, is covered by nobody.
	if r := check(t, Options{}, append(all, first.add(1).items[13]), first, second); findings(r) != "uncovered number 14" {
		t.Errorf("behind the end of the first: %s", findings(r))
	}
}

func TestCheckerSeesTwoStories(t *testing.T) {
	h, other := newHonest(40).add(10).seal(), newHonest(40).add(9)
	other.head = other.head.Next(Hash{1})
	other.tree.Append(Hash{1})
	other.seal()
	if r := check(t, Options{}, h.items, h, other); r.Verdict != Tampered || !strings.HasPrefix(findings(r), "forked number 10") {
		t.Errorf("two checkpoints of one size: %s", findings(r))
	}
	lying := newHonest(40).add(10).seal()
	lying.checkpoints[0].Root = Hash{1}
	if r := check(t, Options{}, lying.items, lying); findings(r) != "forked number 10" {
		t.Errorf("a root that is not that of the events: %s", findings(r))
	}
	before := newHonest(40).add(3).seal()
	next := newHonest(43).seal().seal()
	next.checkpoints[0].Previous = &Former{Origin: before.origin, Head: before.head, Reason: "revision"}
	next.checkpoints[1].Previous = &Former{Origin: before.origin, Head: Head{2, Hash{1}}, Reason: "revision"}
	if r := check(t, Options{}, before.items, before, next); r.Verdict != Tampered {
		t.Errorf("two chains before: %s", findings(r))
	}
}

func TestCheckerOfThingsInOrder(t *testing.T) {
	h := newHonest(40).add(10).seal()
	items := slices.Clone(h.items)
	items[3], items[4] = items[4], items[3]
	if r := check(t, Options{Ordered: true}, items, h); findings(r) != "reordered number 4 00004" {
		t.Errorf("two lines changed places: %s", findings(r))
	}
	if r := check(t, Options{Ordered: true}, append(slices.Clone(h.items), h.items[2:6]...), h); r.Verdict != Complete || r.Feeds[0].Repeats != 4 {
		t.Errorf("some lines again: %s", r.Feeds[0].Sentence)
	}
}

func TestCheckerOfRuns(t *testing.T) {
	h := newHonest(40).add(10).seal().add(20).seal()
	give := func(doctor func(n int, items []Item) []Item) *Report {
		c := NewChecker(Options{Keys: testKeys(t)})
		for i := range h.checkpoints {
			if err := c.Trust(&h.checkpoints[i], true); err != nil {
				t.Fatal(err)
			}
		}
		before := Begin(h.origin)
		for n, end := range []int{7, 15, 30} {
			items := doctor(n, slices.Clone(h.items[before.Size:end]))
			if items != nil {
				p, err := c.Begin(Run{Feed: FeedID(h.origin), First: before.Size + 1, Last: int64(end), Before: before.Hash, After: h.items[end-1].Chain, Where: fmt.Sprintf("object %d", n)})
				if err != nil {
					t.Fatal(err)
				}
				for _, item := range items {
					if err := p.Event(item.Digest, item.ID); err != nil {
						t.Fatal(err)
					}
				}
				if err := p.End(); err != nil {
					t.Fatal(err)
				}
			}
			before = Head{int64(end), h.items[end-1].Chain}
		}
		return c.Finish()
	}
	second := func(do func(items []Item) []Item) func(int, []Item) []Item {
		return func(n int, items []Item) []Item {
			if n == 1 {
				return do(items)
			}
			return items
		}
	}
	for _, tt := range []struct {
		name   string
		doctor func(items []Item) []Item
		want   string
	}{
		{"as it was", func(items []Item) []Item { return items }, ""},
		{"an object is missing", func([]Item) []Item { return nil }, "missing numbers 8 to 15"},
		{"a line is missing", func(items []Item) []Item { return items[1:] }, "missing numbers 8 to 10"},
		{"the last line is missing", func(items []Item) []Item { return items[:7] }, "missing numbers 11 to 15"},
		{"a line more", func(items []Item) []Item { return append(items, items[0]) }, "inserted numbers 11 to 15"},
		{"two lines changed places", func(items []Item) []Item { return swap(items, 4, 5) }, "altered numbers 11 to 15"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := give(second(tt.doctor))
			if got := findings(r); got != tt.want {
				t.Errorf("findings %q, want %q: %s", got, tt.want, r.Feeds[0].Sentence)
			}
			if tt.want == "" && (r.Verdict != Complete || r.Feeds[0].Covered != 30) {
				t.Errorf("%s: %+v", r.Verdict, r.Feeds[0])
			}
		})
	}
}

// Whatever comes, memory is bounded, and what can no longer be told is said.
func TestCheckerIsBounded(t *testing.T) {
	h := newHonest(40).add(1)
	c := NewChecker(Options{})
	var err error
	for n := int64(1); n < 3*maxSegments && err == nil; n++ {
		err = c.Event(Item{Feed: "f", Number: 2 * n, Digest: h.items[0].Digest})
	}
	if err == nil || c.segments > maxSegments+1 {
		t.Errorf("scattered events: %v with %d segments", err, c.segments)
	}
	c = NewChecker(Options{})
	head := Begin(h.origin)
	for range 3 * mostSlots {
		link := head.Link(Hash{1})
		head = link.Head()
		if err := c.Event(Item{Feed: "f", Number: link.Number, Digest: link.Digest, Chain: link.Hash}); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Event(Item{Feed: "f", Number: 1, Digest: Hash{1}}); err != nil {
		t.Fatal(err)
	}
	if r := c.Finish(); !strings.Contains(r.Feeds[0].Findings[1].Detail, "sort by feed and number") && !strings.Contains(r.Feeds[0].Findings[0].Detail, "sort by feed and number") {
		t.Errorf("a repeat from far away: %+v", r.Feeds[0].Findings)
	}
	if got := len(c.feeds["f"].slots); got > mostSlots {
		t.Errorf("%d slots", got)
	}
}
