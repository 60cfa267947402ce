package integrity

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// Two checkpoints are consistent if all events between them are there, and as they were.
func TestEventsLeadFromOneCheckpointToAnother(t *testing.T) {
	for _, tt := range []struct {
		name   string
		doctor func(items []Item) []Item
		want   bool
	}{
		{"untouched", func(items []Item) []Item { return items }, true},
		{"nothing before the last of the first", func(items []Item) []Item { return items[4:] }, true},
		{"one altered before the first of the two", func(items []Item) []Item { items[1].Digest = Hash{1}; return items }, true},
		{"one missing between", func(items []Item) []Item { return slices.Delete(items, 6, 7) }, false},
		{"one altered between", func(items []Item) []Item { items[6].Digest = Hash{1}; return items }, false},
		{"one put in between", func(items []Item) []Item {
			return append(items, Item{Feed: items[6].Feed, Number: 7, Digest: Hash{1}, Chain: Hash{1}, ID: []byte("audit_event_x")})
		}, false},
		{"the last missing", func(items []Item) []Item { return slices.Delete(items, 14, 15) }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHonest(40).add(5).seal().add(10).seal().add(5).seal()
			c := NewChecker(Options{Keys: testKeys(t)})
			for i := range h.checkpoints {
				if err := c.Trust(&h.checkpoints[i], true); err != nil {
					t.Fatal(err)
				}
			}
			for _, item := range tt.doctor(slices.Clone(h.items)) {
				if err := c.Event(item); err != nil {
					t.Fatal(err)
				}
			}
			r := c.Finish()
			if got := c.Leads(h.origin, 5, 15); got != tt.want {
				t.Errorf("%t, want %t: %s", got, tt.want, r.Feeds[0].Sentence)
			}
		})
	}
}

// Who asks every night for what came since yesterday has to see that a feed has gone silent.
func TestCheckpointsHaveToReachTheTimeThatIsAskedFor(t *testing.T) {
	h := newHonest(40).add(10).seal().add(10).seal()
	for name, o := range map[string]Options{
		"from a time on":     {From: noon.Add(time.Hour)},
		"to a time":          {Until: noon.Add(time.Hour)},
		"a time to get to":   {Reach: noon.Add(time.Hour)},
		"just behind it all": {From: noon.Add(10*time.Minute + time.Second)},
	} {
		if r := check(t, o, h.items, h); r.Verdict != NotCovered || !strings.Contains(r.Feeds[0].Sentence, "nothing covers what came after 2026-01-31T12:10:00Z") {
			t.Errorf("%s: %s: %s", name, r.Verdict, r.Feeds[0].Sentence)
		}
	}
	if r := check(t, Options{From: noon.Add(10 * time.Minute)}, h.items, h); r.Verdict != Complete {
		t.Errorf("from the last checkpoint on: %s", r.Feeds[0].Sentence)
	}
}

// What is there of the time before is checked as well, although nobody misses any of it.
func TestEventsBeforeWhatIsAskedForAreChecked(t *testing.T) {
	h := newHonest(40).add(10).seal().add(10).seal()
	o := Options{From: noon}
	forged := slices.Clone(h.items)
	forged[4].Digest = Hash{1}
	forged = append(remade(forged[:10], 4), h.items[10:]...)
	if r := check(t, o, forged, h); r.Verdict != Tampered {
		t.Errorf("altered before it, and the hashes made anew: %s: %s", r.Verdict, r.Feeds[0].Sentence)
	}
	if r := check(t, o, h.items[7:], h); r.Verdict != Complete {
		t.Errorf("some of what lies before it: %s", r.Feeds[0].Sentence)
	}
}
