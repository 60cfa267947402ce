package consumer

import (
	"slices"
	"testing"
	"time"
)

// Many transactions, one after another, leave the stable end always a little behind: that is
// no reason to wake anybody.
func TestAStableEndThatMovesIsNotStuck(t *testing.T) {
	start := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
	cases := []struct {
		name  string
		looks [][2]int64 // stable and high, every ten seconds
		want  time.Duration
	}{
		{"nothing is open", [][2]int64{{5, 5}, {9, 9}}, 0},
		{"always behind, always moving", [][2]int64{{5, 8}, {9, 12}, {13, 20}}, 0},
		{"stands still with nothing behind it", [][2]int64{{5, 5}, {5, 5}, {5, 5}}, 0},
		{"stands still", [][2]int64{{5, 8}, {5, 9}, {5, 12}}, 20 * time.Second},
		{"stands still although nothing more comes", [][2]int64{{5, 8}, {5, 8}}, 10 * time.Second},
		{"moves once", [][2]int64{{5, 8}, {5, 9}, {6, 9}, {6, 9}}, 10 * time.Second},
		{"stood still, and is over", [][2]int64{{5, 8}, {5, 9}, {9, 9}}, 0},
		{"stands still again", [][2]int64{{5, 8}, {8, 8}, {8, 9}, {8, 9}}, 10 * time.Second},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var e endsSeen
			if _, _, ok := e.now(start); ok {
				t.Error("something is known before the first look")
			}
			for i, l := range c.looks {
				e.look(ends{stable: l[0], high: l[1]}, at(10*i))
			}
			if _, stuck, _ := e.now(at(10 * (len(c.looks) - 1))); stuck != c.want {
				t.Errorf("stuck for %v, not %v", stuck, c.want)
			}
		})
	}
}

// Ten thousand streams must not bring Prometheus down; and what is added up stays so, lest a
// counter jump.
func TestSoManyStreamsHaveFiguresOfTheirOwn(t *testing.T) {
	s := newShown(2)
	var labels []string
	for _, id := range []string{"a", "b", "c", "a", "d"} {
		labels = append(labels, s.add(id))
	}
	if want := []string{"a", "b", OtherStreams, "a", OtherStreams}; !slices.Equal(labels, want) {
		t.Errorf("labels %q, not %q", labels, want)
	}
	if all, others := s.count(); all != 4 || others != 2 {
		t.Errorf("%d streams, %d of them among the others", all, others)
	}
	if s.remove("c") {
		t.Error("c had figures of its own")
	}
	if !s.remove("a") {
		t.Error("a had no figures of its own")
	}
	for _, c := range []struct{ id, want string }{
		{"a", OtherStreams}, // a figure that comes late
		{"b", "b"},
		{"d", OtherStreams}, // although a place is free
		{invalidUID, invalidUID},
	} {
		if got := s.label(c.id); got != c.want {
			t.Errorf("%s is shown as %q, not %q", c.id, got, c.want)
		}
	}
	if got := s.add("e"); got != "e" {
		t.Errorf("the free place is not used: %q", got)
	}
	if got := newShown(0).add("a"); got != OtherStreams {
		t.Errorf("with room for none a is shown as %q", got)
	}
}
