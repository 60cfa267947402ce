package integrity

import "testing"

// A checkpoint that was made, and not taken down as made, is made again: what has grown together
// with what it said counts whole.
func TestRunsThatOverlapAreReadWhole(t *testing.T) {
	c := NewChecker(Options{})
	job, err := c.feed("aaaaaaaaaaaaaaaa")
	if err != nil {
		t.Fatal(err)
	}
	const first = "bbbbbbbbbbbbbbbb"
	for _, a := range []Again{
		{From: 11, To: 20, Feed: first, First: 111, Last: 120},
		{From: 1, To: 40, Feed: first, First: 101, Last: 140},
	} {
		if err := c.repeated(job, []Again{a}); err != nil {
			t.Fatal(err)
		}
	}
	for n := int64(1); n <= 40; n++ {
		if a := job.said(n); a == nil || !a.allows(n, Original{first, 100 + n}) {
			t.Errorf("of number %d it is known: %+v", n, a)
		}
	}
	if job.said(41) != nil {
		t.Error("something is known of an event of which nothing was said")
	}
}
