package integrity

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// Whoever buries a grave finding under light ones has it found all the same, in whatever order
// they come.
func TestManyFindingsHideNoGraverOne(t *testing.T) {
	const many = 3 * maxFindings
	renamed := func(c *Checker, origin string) error {
		for i := range many {
			if err := c.Find(origin, Finding{Kind: Renamed, Where: "a name", Detail: fmt.Sprintf("it is object %d", i)}); err != nil {
				return err
			}
		}
		return nil
	}
	for _, tt := range []struct {
		name    string
		ordered bool
		doctor  func(items []Item) []Item
		bury    func(c *Checker, origin string) error
		verdict Verdict
		says    string
	}{
		{"renamed objects and a missing event", false, func(items []Item) []Item { return slices.Delete(items, 9, 10) }, renamed, Lacking, "missing number 10"},
		{"renamed objects and an altered event", false, func(items []Item) []Item { items[9].Digest = Hash{1}; return items }, renamed, Tampered, "altered number 10"},
		{"renamed objects and nothing else", false, func(items []Item) []Item { return items }, renamed, Complete, fmt.Sprintf("%d objects lie under another name", many)},
		{"reordered events and a missing one", true, func(items []Item) []Item {
			items = slices.Delete(items, 9, 10)
			slices.Reverse(items)
			return items
		}, nil, Lacking, "missing number 10"},
		{"reordered events and an altered one", true, func(items []Item) []Item {
			items[9].Digest = Hash{1}
			slices.Reverse(items)
			return items
		}, nil, Tampered, "altered number 10"},
		{"missing events and an altered one", false, func(items []Item) []Item {
			items[len(items)-2].Digest = Hash{1}
			return slices.DeleteFunc(items, func(i Item) bool { return i.Number < many*2 && i.Number%2 == 0 })
		}, nil, Tampered, fmt.Sprintf("altered number %d", many*2+9)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHonest(40).add(many).add(many + 10).seal()
			c := NewChecker(Options{Keys: testKeys(t), Ordered: tt.ordered})
			signed, err := h.checkpoints[0].Sign(signerOf(t, firstSecret))
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Checkpoint(signed); err != nil {
				t.Fatal(err)
			}
			if tt.bury != nil {
				if err := tt.bury(c, h.origin); err != nil {
					t.Fatal(err)
				}
			}
			for _, item := range tt.doctor(slices.Clone(h.items)) {
				if err := c.Event(item); err != nil {
					t.Fatal(err)
				}
			}
			r := c.Finish()
			f := r.Feeds[0]
			if r.Verdict != tt.verdict || f.Verdict != tt.verdict || !strings.Contains(f.Sentence, tt.says) {
				t.Errorf("%s: %s, want %s with %q", r.Verdict, f.Sentence, tt.verdict, tt.says)
			}
			if len(f.Findings) != maxFindings || f.More < many-maxFindings {
				t.Errorf("%d findings, and %d more", len(f.Findings), f.More)
			}
		})
	}
}

// Findings that are not kept may be about any event: nothing that a feed has counts as vouched
// for then, when another feed is held against it.
func TestFindingsThatAreNotKeptVouchForNothing(t *testing.T) {
	h := newHonest(40).add(10).seal()
	c := NewChecker(Options{Keys: testKeys(t)})
	if err := c.Trust(&h.checkpoints[0], true); err != nil {
		t.Fatal(err)
	}
	for i := range maxFindings + 1 {
		if err := c.Find(h.origin, Finding{Kind: Inserted, From: 5, To: 5, Where: fmt.Sprint(i), Detail: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	for _, item := range h.items {
		if err := c.Event(item); err != nil {
			t.Fatal(err)
		}
	}
	r := c.Finish()
	f := &r.Feeds[0]
	if f.Covered != 10 || f.More != 1 || f.accused(6) {
		t.Errorf("covered to %d, %d more findings", f.Covered, f.More)
	}
	if f.vouchedFor(6) {
		t.Error("an event is vouched for of a feed in which one more was altered, nobody knows which")
	}
}

// However many feeds there are, findings take bounded room, and each feed has one that says why.
func TestFindingsOfAllFeedsAreBounded(t *testing.T) {
	c := NewChecker(Options{})
	kept := 0
	for i := range 100 {
		f, err := c.feed(fmt.Sprintf("feed%012d", i))
		if err != nil {
			t.Fatal(err)
		}
		f.events = 1
		for n := range int64(maxFindings) {
			f.find(Finding{Kind: Unclear, From: n + 1, To: n + 1})
		}
		f.find(Finding{Kind: Missing, From: 1, To: 1})
	}
	r := c.Finish()
	for i := range r.Feeds {
		f := &r.Feeds[i]
		kept += len(f.Findings)
		if f.Verdict != Lacking || !slices.ContainsFunc(f.Findings, func(x Finding) bool { return x.Kind == Missing }) {
			t.Fatalf("%s: %s, and it does not say why", f.Feed, f.Verdict)
		}
	}
	if kept > maxAllFindings+len(r.Feeds) {
		t.Errorf("%d findings are kept", kept)
	}
}
