package filter_test

import (
	"os"
	"regexp"
	"testing"
)

// Every expression of the page compiles, and has a verdict on an event that has little.
func TestExamplesOfThePage(t *testing.T) {
	page, err := os.ReadFile("../../docs/filters.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := regexp.MustCompile("(?s)```cel\n(.*?)```").FindAllSubmatch(page, -1)
	if len(examples) < 4 {
		t.Fatalf("%d examples", len(examples))
	}
	bare := decode(t, `{"action":"a","occurred_at":"2026-01-02T03:04:05Z"}`)
	for _, e := range examples {
		x := compile(t, string(e[1]))
		if _, err := x.Match(bare); err != nil {
			t.Errorf("%s: %v", x, err)
		}
		if _, err := x.Match(decode(t, login)); err != nil {
			t.Errorf("%s: %v", x, err)
		}
	}
}
