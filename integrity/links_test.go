package integrity

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// grown are the feeds of a stream whose topic got a partition more: two old ones, and that of
// the new one, whose checkpoints name the two as they stood then.
func grown() (one, two, young *honest) {
	at := func(partition int32, begin int64) *honest {
		h := &honest{origin: Origin{Stream: "acme", UID: "u1", TopicID: "t1", Partition: partition, Epoch: 1, Revision: 2, Begin: begin}.String()}
		h.head = Begin(h.origin)
		return h
	}
	one, two, young = at(0, 40).add(10).seal(), at(1, 7).add(4).seal(), at(2, 0)
	beside := []Beside{
		{Origin: one.origin, Head: one.head, Time: one.checkpoints[0].Time},
		{Origin: two.origin, Head: two.head, Time: two.checkpoints[0].Time},
	}
	young.add(3).seal().add(3).seal()
	for i := range young.checkpoints {
		young.checkpoints[i].Beside = beside
	}
	return one.add(5).seal(), two, young
}

func together(feeds ...*honest) []Item {
	var all []Item
	for _, h := range feeds {
		all = append(all, h.items...)
	}
	return all
}

func TestCheckerFollowsTheGrowthOfATopic(t *testing.T) {
	one, two, young := grown()
	r := check(t, Options{}, together(one, two, young), one, two, young)
	if r.Verdict != Complete || len(r.Feeds) != 3 || len(r.Feeds[2].Beside) != 2 || r.Feeds[0].NamedBy != young.origin {
		t.Fatalf("%s: %+v", r.Sentence, r.Feeds)
	}
	if want := "when it began its stream had got to number 10 in " + one.origin + ", to 4 in " + two.origin; !strings.Contains(r.Feeds[2].Sentence, want) {
		t.Errorf("it does not say %q: %s", want, r.Feeds[2].Sentence)
	}
	r = check(t, Options{}, together(one, young), one, young)
	if findings(r) != "missing numbers 1 to 4" || !strings.Contains(r.Feeds[1].Sentence, young.origin+" says that its stream had it before") {
		t.Errorf("an old feed is not there, nor its checkpoints: %s: %s", findings(r), r.Feeds[1].Sentence)
	}
	short := *one
	short.checkpoints = nil
	if r := check(t, Options{}, together(&honest{items: one.items[:8]}, two, young), &short, two, young); findings(r) != "missing numbers 9 to 10" {
		t.Errorf("an old feed ends before where it stood: %s", findings(r))
	}
	// What is said to have been is no checkpoint of a later time, however late it is said.
	late := Options{Until: young.checkpoints[1].Time}
	if r := check(t, late, together(&honest{items: one.items[:10]}, young), &short, young); !strings.Contains(r.Feeds[0].Sentence, "nothing covers what came after 2026-01-31T12:00:00Z") {
		t.Errorf("its end and its checkpoints are not there: %s", r.Feeds[0].Sentence)
	}
}

func TestWhatStoodBesideAChainMayBeSaidTwice(t *testing.T) {
	one, two, young := grown()
	// The first was not taken down as made: whoever took over has made it again, with what had come since.
	young.checkpoints[1].Beside = slices.Clone(young.checkpoints[1].Beside)
	young.checkpoints[1].Beside[0] = Beside{Origin: one.origin, Head: one.head, Time: one.checkpoints[1].Time}
	r := check(t, Options{}, together(one, two, young), one, two, young)
	if r.Verdict != Complete || r.Feeds[2].Beside[0].Size != 15 {
		t.Errorf("%s: %+v", r.Sentence, r.Feeds[2])
	}
	young.checkpoints[1].Beside[0].Hash = Hash{1}
	if r := check(t, Options{}, together(one, two, young), one, two, young); r.Verdict != Tampered {
		t.Errorf("with another hash than the feed's own checkpoint: %s", findings(r))
	}
}

func TestCheckerKnowsOfLostProgress(t *testing.T) {
	first := newHonest(40).add(10).seal().add(3)
	second := newHonest(47).seal()
	second.checkpoints[0].Previous = &Former{Origin: first.origin, Head: Head{10, first.items[9].Chain}, Reason: ProgressLost}
	second.add(5).seal()
	r := check(t, Options{}, together(first, second), first, second)
	if findings(r) != "uncovered numbers 11 to 13" || r.Verdict != NotCovered || !strings.Contains(r.Feeds[0].Sentence, "has lost where this feed stood") {
		t.Errorf("what came behind the last checkpoint is vouched for by nobody: %s", r.Feeds[0].Sentence)
	}
	if !strings.Contains(r.Feeds[1].Sentence, "it goes on from "+first.origin+", which had got to number 10 at least (progress_lost)") {
		t.Error(r.Feeds[1].Sentence)
	}
	if r := check(t, Options{}, together(&honest{items: first.items[:10]}, second), first, second); r.Verdict != Complete {
		t.Errorf("where nothing came behind it: %s", findings(r))
	}
	if r := check(t, Options{}, together(&honest{items: first.items[:9]}, second), first, second); findings(r) != "missing number 10" {
		t.Errorf("the end of the first is not there: %s", findings(r))
	}
}

// The same events may be on record as withheld twice, in one form and another: a checkpoint
// that was not taken down as made is made again, with what has come since.
func TestWithheldEventsMayBeOnRecordTwice(t *testing.T) {
	for name, c := range map[string]struct {
		first, again []Withheld
	}{
		"the same":             {[]Withheld{{From: 3, To: 3}}, []Withheld{{From: 3, To: 3}}},
		"one, and a run of it": {[]Withheld{{From: 3, To: 3}}, []Withheld{{From: 3, To: 6}}},
		"a run that grew":      {[]Withheld{{From: 2, To: 4}}, []Withheld{{From: 2, To: 6}}},
		"two that were joined": {[]Withheld{{From: 2, To: 2}, {From: 4, To: 5}}, []Withheld{{From: 2, To: 6}}},
		"a run of single ones": {[]Withheld{{From: 2, To: 2}, {From: 3, To: 3}}, []Withheld{{From: 2, To: 3}}},
	} {
		for _, backwards := range []bool{false, true} {
			h := newHonest(40).add(9)
			held := map[int64]bool{}
			lines := func(ws []Withheld) []Withheld {
				ws = slices.Clone(ws)
				for i := range ws {
					w := &ws[i]
					w.Reason, w.Hash = "rejected", h.items[w.To-1].Chain
					if w.From == w.To {
						w.Hash = h.items[w.To-1].Digest
					} else {
						w.Before = h.items[w.From-2].Chain
					}
					for n := w.From; n <= w.To; n++ {
						held[n] = true
					}
				}
				return ws
			}
			h.seal()
			h.checkpoints = append(h.checkpoints, h.checkpoints[0])
			h.checkpoints[0].Withheld, h.checkpoints[1].Withheld = lines(c.first), lines(c.again)
			h.checkpoints[1].Time = noon.Add(time.Minute)
			if backwards {
				slices.Reverse(h.checkpoints)
			}
			got := slices.DeleteFunc(slices.Clone(h.items), func(i Item) bool { return held[i.Number] })
			r := check(t, Options{}, got, h)
			if r.Verdict != Complete || r.Feeds[0].Withheld != int64(len(held)) {
				t.Errorf("%s (backwards: %t): %d withheld, %s", name, backwards, r.Feeds[0].Withheld, r.Feeds[0].Sentence)
			}
		}
	}
}

func TestContradictingWithheldEventsAreTwoStories(t *testing.T) {
	h := newHonest(40).add(2).withhold(1).add(2).seal()
	other := *h
	other.checkpoints = slices.Clone(h.checkpoints)
	other.checkpoints[0].Withheld = []Withheld{{From: 3, To: 3, Hash: Hash{1}, Reason: "rejected"}}
	if r := check(t, Options{}, h.received(), h, &other); findings(r) != "forked number 3" {
		t.Errorf("another event with the number: %s", findings(r))
	}
	run := other
	run.checkpoints = slices.Clone(other.checkpoints)
	run.checkpoints[0].Withheld = []Withheld{{From: 2, To: 4, Before: h.items[0].Chain, Hash: h.items[3].Chain, Reason: "rejected"}}
	for what, w := range map[string]Withheld{
		"number 4": {From: 2, To: 4, Before: h.items[0].Chain, Hash: Hash{1}, Reason: "rejected"},
		"number 1": {From: 2, To: 4, Before: Hash{1}, Hash: h.items[3].Chain, Reason: "rejected"},
	} {
		other.checkpoints[0].Withheld = []Withheld{w}
		if r := check(t, Options{}, []Item{h.items[0], h.items[4]}, &run, &other); r.Verdict != Tampered || !strings.Contains(findings(r), "forked "+what) {
			t.Errorf("the same run with another hash at %s: %s", what, findings(r))
		}
	}
}

// Nobody finds two origins with one id by chance. Who has them has searched for them.
func TestTwoOriginsOfOneFeedAreTold(t *testing.T) {
	h := newHonest(40).add(3).seal()
	c := NewChecker(Options{Keys: testKeys(t)})
	c.feeds[FeedID(h.origin)] = &feed{id: FeedID(h.origin), origin: testOrigin(7), marks: map[int64]*mark{}, found: found{room: &c.room}}
	if err := c.Trust(&h.checkpoints[0], true); err != nil {
		t.Fatal(err)
	}
	for _, item := range h.items {
		if err := c.Event(item); err != nil {
			t.Fatal(err)
		}
	}
	if r := c.Finish(); r.Verdict != Tampered || !strings.Contains(r.Feeds[0].Sentence, h.origin+" has the same id of a feed") {
		t.Errorf("%s: %s", r.Sentence, r.Feeds[0].Sentence)
	}
}
