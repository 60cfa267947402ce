package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestFindings(t *testing.T) {
	for name, c := range map[string]struct {
		output string
		lines  int
	}{
		"what tests assert stands before what processes said":          {"campaign.txt", 40},
		"few lines are shared among the tests, and logs have none":     {"campaign.txt", 12},
		"races and panics are told with where they happened":           {"quiet.txt", 40},
		"linters are told with the lines that they mean":               {"lint.txt", 40},
		"what does not compile is told beside the tests that fail":     {"build.txt", 40},
		"where nothing says that it failed the end has to do":          {"silent.txt", 3},
		"a test that is not over when the process ends has not passed": {"hang.txt", 20},
	} {
		t.Run(name, func(t *testing.T) {
			var got bytes.Buffer
			if err := run([]string{strconv.Itoa(c.lines), filepath.Join("testdata", c.output)}, &got); err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", strings.TrimSuffix(c.output, ".txt")+"-"+strconv.Itoa(c.lines)+".golden")
			if *update {
				if err := os.WriteFile(golden, got.Bytes(), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// However much fails, the lines are not exceeded, and each failing test that is told of has one
// line at least that says why.
func TestFindingsFitInTheirLines(t *testing.T) {
	var out strings.Builder
	for i := range 30 {
		n := strconv.Itoa(i)
		out.WriteString("=== RUN   Test" + n + "\n    a_test.go:1: reason " + n + "\n" +
			"    p.go:1: it said at the end:\n" + strings.Repeat("        2026 warn x\n", 50) + "--- FAIL: Test" + n + " (0.00s)\n")
	}
	for n := 1; n <= 120; n++ {
		o, err := read(strings.NewReader(out.String()))
		if err != nil {
			t.Fatal(err)
		}
		got := o.tell(n)
		if len(got) > n {
			t.Fatalf("%d lines for %d", len(got), n)
		}
		tests := 0
		for i, line := range got {
			if name, ok := strings.CutPrefix(line, "--- FAIL: Test"); ok && n > 2 {
				tests++
				if reason := "reason " + strings.TrimSuffix(name, " (0.00s)"); i+1 == len(got) || !strings.HasSuffix(got[i+1], reason) {
					t.Fatalf("in %d lines nothing says why a test failed:\n%s", n, strings.Join(got, "\n"))
				}
			}
		}
		if tests < min(30, n/3-1) {
			t.Errorf("%d of 30 failing tests in %d lines", tests, n)
		}
	}
}

func TestShare(t *testing.T) {
	for _, c := range []struct {
		n           int
		wants, want []int
	}{
		{10, []int{2, 20, 20}, []int{2, 4, 4}},
		{9, []int{2, 3}, []int{2, 3}},
		{2, []int{5, 5, 5}, []int{1, 1, 0}},
		{0, []int{5}, []int{0}},
		{5, nil, []int{}},
	} {
		if got := share(c.n, c.wants); !slices.Equal(got, c.want) {
			t.Errorf("%d for %v: got %v, want %v", c.n, c.wants, got, c.want)
		}
	}
}

func TestFindingsRefusesWhatItCannotRead(t *testing.T) {
	for _, args := range [][]string{nil, {"0", "testdata/lint.txt"}, {"x", "testdata/lint.txt"}, {"3", "testdata/none.txt"}} {
		if err := run(args, &bytes.Buffer{}); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}
