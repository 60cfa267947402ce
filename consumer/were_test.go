package consumer

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/auditstream/auditstream/integrity"
)

// A batch of a job has events of one feed, with growing numbers, in so many runs at most.
func TestWhatMayStandInABatchOfAJob(t *testing.T) {
	const feed, other = "r7jcj5gqvmhyyzrs", "kd2yyyc7zxoovlvc"
	var w were
	for _, n := range []int64{4, 5, 9} {
		w.add(integrity.Original{Feed: feed, Number: n}, "")
	}
	for name, c := range map[string]struct {
		original integrity.Original
		unknown  string
		runs     int
		want     bool
	}{
		"the next":                    {integrity.Original{Feed: feed, Number: 10}, "", 2, true},
		"one more run":                {integrity.Original{Feed: feed, Number: 12}, "", 3, true},
		"one run too many":            {integrity.Original{Feed: feed, Number: 12}, "", 2, false},
		"as many runs as there are":   {integrity.Original{Feed: feed, Number: 12}, "", 0, true},
		"one before":                  {integrity.Original{Feed: feed, Number: 8}, "", 0, false},
		"of another feed":             {integrity.Original{Feed: other, Number: 10}, "", 0, false},
		"of which nobody knows which": {integrity.Original{}, OriginalRules, 0, false},
	} {
		if got := w.takes(c.original, c.unknown, c.runs); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
	links := []integrity.Link{{Number: 1}, {Number: 2}, {Number: 3}}
	want := []integrity.Again{{From: 1, To: 2, Feed: feed, First: 4, Last: 5}, {From: 3, To: 3, Feed: feed, First: 9, Last: 9}}
	list := w.again(nil, links)
	if diff := cmp.Diff(want, list); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]integrity.Again{{From: 2, To: 2, Feed: feed, First: 5, Last: 5}, want[1]}, since(list, 1)); diff != "" {
		t.Errorf("behind the first (-want +got):\n%s", diff)
	}
}
