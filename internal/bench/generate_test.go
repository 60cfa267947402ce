package bench

import (
	"bytes"
	"testing"
	"time"

	"github.com/gowebpki/jcs"

	"github.com/auditstream/auditstream/schema"
)

func testGenerator(seed uint64) *Generator {
	return NewGenerator(GeneratorConfig{Seed: seed, Organizations: 200, Start: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)})
}

func TestEventsAreCanonicalAndScan(t *testing.T) {
	g := testGenerator(1)
	ids := map[string]bool{}
	for range 500 {
		value, organization := g.Event(nil)
		canonical, err := jcs.Transform(value)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(canonical, value) {
			t.Fatalf("not canonical:\n%s\nwant\n%s", value, canonical)
		}
		var f schema.Fields
		if err := schema.Scan(value, &f); err != nil {
			t.Fatalf("%v: %s", err, value)
		}
		if string(f.OrganizationID) != OrganizationID(organization) {
			t.Fatalf("organization %s, want %s", f.OrganizationID, OrganizationID(organization))
		}
		if ids[string(f.ID)] {
			t.Fatalf("id %s twice", f.ID)
		}
		ids[string(f.ID)] = true
	}
}

func TestEventsHaveAbout600Bytes(t *testing.T) {
	g := testGenerator(1)
	const n = 5000
	total := 0
	for range n {
		value, _ := g.Event(nil)
		total += len(value)
	}
	if mean := total / n; mean < 560 || mean > 640 {
		t.Errorf("events have %d bytes on average, want about 600", mean)
	}
}

func TestSameSeedSameEvents(t *testing.T) {
	a, b, other := testGenerator(7), testGenerator(7), testGenerator(8)
	for range 100 {
		x, _ := a.Event(nil)
		y, _ := b.Event(nil)
		z, _ := other.Event(nil)
		if !bytes.Equal(x, y) {
			t.Fatalf("seed 7 gave\n%s\nand\n%s", x, y)
		}
		if bytes.Equal(x, z) {
			t.Fatalf("seeds 7 and 8 both gave\n%s", x)
		}
	}
}

func TestOrganizationsAreUnequalAndAllThere(t *testing.T) {
	g := testGenerator(1)
	const n = 100_000
	counts := make([]int, 200)
	for range n {
		_, organization := g.Event(nil)
		counts[organization]++
	}
	if share := float64(counts[0]) / n; share < 0.1 || share > 0.4 {
		t.Errorf("the largest organization has %.0f%% of the events, want 10 to 40", 100*share)
	}
	ids := map[string]bool{}
	for i, c := range counts {
		if c == 0 {
			t.Errorf("organization %d has no event", i)
		}
		ids[OrganizationID(i)] = true
	}
	if len(ids) != len(counts) {
		t.Errorf("%d organizations share %d ids", len(counts), len(ids))
	}
}
