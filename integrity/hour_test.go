package integrity

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func testHour() *Hour {
	h := newHonest(40).add(10)
	return &Hour{
		Origin: h.origin, Hour: noon, Time: noon.Add(61 * time.Minute), Before: Begin(h.origin), After: h.head, Previous: Hash{1},
		Objects: []Object{
			{Key: "audit/day=2026-01-31/a.ndjson.gz", Size: 100, SHA256: Hash{2}, First: 1, Last: 4, Before: Begin(h.origin).Hash, After: h.items[3].Chain, Seen: true},
			{Key: "audit/day=2026-01-31/<b>.ndjson.gz", Size: 50, SHA256: Hash{3}, First: 5, Last: 10, Before: h.items[3].Chain, After: h.head.Hash},
		},
	}
}

func TestHourIsReadAsItWasSigned(t *testing.T) {
	keys := testKeys(t)
	empty := testHour()
	empty.Objects, empty.After, empty.Previous = nil, empty.Before, Hash{}
	for _, h := range []*Hour{testHour(), empty} {
		stored, err := h.Sign(signerOf(t, firstSecret))
		if err != nil {
			t.Fatal(err)
		}
		got, err := keys.OpenHour(stored)
		if err != nil {
			t.Fatalf("%v\n%s", err, stored)
		}
		if diff := cmp.Diff(h, got); diff != "" {
			t.Error(diff)
		}
		if got, err := (*Keys)(nil).OpenHour(stored); err != nil || got.Origin != h.Origin {
			t.Errorf("without keys: %v", err)
		}
	}
}

// What went to the dead letters is in no object.
func TestHourWithAGapBetweenObjects(t *testing.T) {
	h := testHour()
	h.Objects[1].First++
	h.Objects[1].Before = Hash{9}
	stored, err := h.Sign(signerOf(t, firstSecret))
	if err != nil {
		t.Fatal(err)
	}
	got, err := testKeys(t).OpenHour(stored)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(h, got); diff != "" {
		t.Error(diff)
	}
}

func TestHourThatSomebodyDoctored(t *testing.T) {
	stored, err := testHour().Sign(signerOf(t, firstSecret))
	if err != nil {
		t.Fatal(err)
	}
	keys := testKeys(t)
	for i := range stored {
		doctored := slices.Clone(stored)
		doctored[i] ^= 1
		if _, err := keys.OpenHour(doctored); err == nil && !bytes.Contains(stored[:i], []byte("\n— ")) {
			t.Errorf("byte %d (%q) was altered, and nobody noticed", i, stored[i])
		}
		if _, err := keys.OpenHour(stored[:i]); err == nil {
			t.Errorf("only %d bytes were there, and nobody noticed", i)
		}
	}
	other, err := testHour().Sign(signerOf(t, secondSecret))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keys.OpenHour(other); err == nil {
		t.Error("a digest of another key was taken")
	}
	for what, do := range map[string]func(h *Hour){
		"a chain that breaks":  func(h *Hour) { h.Objects[1].Before = Hash{} },
		"numbers twice":        func(h *Hour) { h.Objects[1].First = h.Objects[0].Last },
		"another order":        func(h *Hour) { slices.Reverse(h.Objects) },
		"not an hour's begin":  func(h *Hour) { h.Hour = h.Hour.Add(time.Minute) },
		"no origin":            func(h *Hour) { h.Origin = strings.ToUpper(h.Origin) },
		"another end":          func(h *Hour) { h.After.Size++ },
		"an object of nothing": func(h *Hour) { h.Objects[0].Last = 0 },
	} {
		h := testHour()
		do(h)
		if _, err := h.Sign(signerOf(t, firstSecret)); err == nil {
			t.Errorf("%s was signed", what)
		}
	}
}

// What is read as a digest says the same when it is signed again.
func FuzzOpenHour(f *testing.F) {
	empty := testHour()
	empty.Objects, empty.After, empty.Previous = nil, empty.Before, Hash{}
	for _, h := range []*Hour{testHour(), empty} {
		stored, err := h.Sign(signerOf(f, firstSecret))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(stored)
	}
	f.Fuzz(func(t *testing.T, stored []byte) {
		h, err := (*Keys)(nil).OpenHour(stored)
		if err != nil {
			return
		}
		again, err := h.Sign(signerOf(t, firstSecret))
		if err != nil {
			t.Fatalf("what was read cannot be signed: %v\n%q", err, stored)
		}
		got, err := (*Keys)(nil).OpenHour(again)
		if err != nil {
			t.Fatalf("%v\n%q", err, again)
		}
		if diff := cmp.Diff(h, got); diff != "" {
			t.Error(diff)
		}
	})
}
