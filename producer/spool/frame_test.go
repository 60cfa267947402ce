package spool

import (
	"bytes"
	"encoding/hex"
	"flag"
	"os"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden file of a new format version")

func goldenSegment() []byte {
	b := append([]byte(headerMagic), version)
	for n := range uint64(2) {
		b = queued{
			seq: 7 + n, at: time.UnixMilli(1_795_346_700_123), organization: "org_01JAAAAAAAAAAAAAAAAAAAAAAA",
			value: []byte(`{"action":"user.signed_in","id":"audit_event_01JAAAAAAAAAAAAAAAAAAAAAAA"}`),
		}.append(b)
	}
	b = appendDone(b, []span{{1, 5}, {7, 7}})
	return appendEnd(b)
}

// A difference is not to be mended by -update: files of the former form are in use.
func TestSegmentFormat(t *testing.T) {
	t.Parallel()
	const path = "testdata/segment-1.golden"
	if *update {
		if err := os.WriteFile(path, []byte(hex.Dump(goldenSegment())), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.Dump(goldenSegment()); got != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	c, err := parse(goldenSegment())
	if err != nil || len(c.events) != 2 || len(c.done) != 2 || !c.ended || len(c.damaged) != 0 {
		t.Fatalf("read back: %+v, %v", c, err)
	}
	if e := c.events[1]; e.seq != 8 || e.at.UnixMilli() != 1_795_346_700_123 || e.organization != "org_01JAAAAAAAAAAAAAAAAAAAAAAA" || !strings.HasPrefix(string(e.value), `{"action"`) {
		t.Errorf("event: %+v", e)
	}
}

// An event may hold what looks like a frame: only check sums count.
func TestAnEventThatHoldsAFrame(t *testing.T) {
	t.Parallel()
	inner := queued{seq: 99, organization: "evil", value: []byte("x")}.append(nil)
	b := append([]byte(headerMagic), version)
	b = queued{seq: 1, organization: "org", value: inner}.append(b)
	c, err := parse(b)
	if err != nil || len(c.events) != 1 || c.events[0].seq != 1 {
		t.Errorf("%+v, %v", c, err)
	}
}

// Whatever stands in a file, it is read without a panic, all of it is accounted for, and
// nothing asks for more memory than there are bytes.
func FuzzParse(f *testing.F) {
	f.Add(goldenSegment())
	f.Add([]byte{})
	f.Add([]byte(headerMagic))
	f.Add(bytes.Repeat([]byte(marker), 20))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := parse(b)
		if err != nil {
			return
		}
		var bad int64
		for _, d := range c.damaged {
			if d.offset < 0 || d.size <= 0 || d.offset+d.size > int64(len(b)) {
				t.Fatalf("damage %+v in %d bytes", d, len(b))
			}
			bad += d.size
		}
		if c.good+bad > int64(len(b))+bad || c.good > int64(len(b)) {
			t.Fatalf("good up to %d of %d", c.good, len(b))
		}
		s := &segment{}
		for _, e := range c.events {
			s.add(e.seq)
		}
		if len(s.left) > segmentSpan/64 {
			t.Fatal("numbers ask for memory")
		}
	})
}
