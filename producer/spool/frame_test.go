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

// golden are segments as each version of the format writes them.
func golden(v byte) []byte {
	b := append([]byte(headerMagic), v)
	for n := range uint64(2) {
		q := queued{
			seq: 7 + n, at: time.UnixMilli(1_795_346_700_123), organization: "org_01JAAAAAAAAAAAAAAAAAAAAAAA",
			value: []byte(`{"action":"user.signed_in","id":"audit_event_01JAAAAAAAAAAAAAAAAAAAAAAA"}`),
		}
		if v > 1 && n == 1 {
			q.traced = goldenTrace()
		}
		b = q.append(b)
	}
	b = appendDone(b, []span{{1, 5}, {7, 7}})
	return appendEnd(b)
}

func goldenTrace() traced {
	return traced{"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "vendor=opaque"}
}

// A difference is not to be mended by -update: files of each form are in use.
func TestSegmentFormat(t *testing.T) {
	t.Parallel()
	for v, path := range map[byte]string{1: "testdata/segment-1.golden", 2: "testdata/segment-2.golden"} {
		if *update && v == version {
			if err := os.WriteFile(path, []byte(hex.Dump(golden(v))), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.Dump(golden(v)); got != string(want) {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
		c, err := parse(golden(v))
		if err != nil || len(c.events) != 2 || len(c.done) != 2 || !c.ended || len(c.damaged) != 0 {
			t.Fatalf("read back: %+v, %v", c, err)
		}
		e := c.events[1]
		if e.seq != 8 || e.at.UnixMilli() != 1_795_346_700_123 || e.organization != "org_01JAAAAAAAAAAAAAAAAAAAAAAA" || !strings.HasPrefix(string(e.value), `{"action"`) {
			t.Errorf("event: %+v", e)
		}
		if want := (traced{}); v > 1 && e.traced != goldenTrace() || v == 1 && e.traced != want || c.events[0].traced != want {
			t.Errorf("version %d: traces %+v and %+v", v, c.events[0].traced, e.traced)
		}
		if n := int64(len(e.append(nil))); e.size() != n {
			t.Errorf("version %d: it counts as %d bytes, and takes %d", v, e.size(), n)
		}
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
	f.Add(golden(1))
	f.Add(golden(2))
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
