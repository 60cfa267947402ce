package bench

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestWhatAChainTakesIsTheMedianOfPairs has a machine that becomes slower, and one measurement that
// something else disturbed.
func TestWhatAChainTakesIsTheMedianOfPairs(t *testing.T) {
	results := func(chained bool, cpu ...float64) []Result {
		var out []Result
		for _, c := range cpu {
			out = append(out, Result{Integrity: chained, CPUSecondsPerMillion: c})
		}
		return out
	}
	got := newChained(results(false, 2, 3, 4), results(true, 2.5, 9, 5))
	want := Chained{
		Without: Result{CPUSecondsPerMillion: 3}, With: Result{Integrity: true, CPUSecondsPerMillion: 5},
		Micros: 1, Ratio: 1.25, Pairs: []ChainedPair{{2, 2.5}, {3, 9}, {4, 5}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	var table strings.Builder
	if err := got.WriteTable(&table); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"chained                               false", "chained                               true",
		"a chain takes, µs of CPU an event  1.00 (each pair: 0.50, 6.00, 1.00)", "CPU with chains, to that without   1.25",
	} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("%q is not in\n%s", want, table.String())
		}
	}
}
