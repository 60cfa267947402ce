package idempotency

import (
	"encoding/hex"
	"flag"
	"os"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden file of a new format version")

func goldenNote() note {
	n := note{at: time.UnixMilli(1_795_346_700_123)}
	n.known, n.content = fingerprints("org_01JAAAAAAAAAAAAAAAAAAAAAAA", "884793cd-bef4-46cf-8790-ed49257a09c6", []byte(`{"action":"user.signed_in"}`))
	return n
}

// A difference is not to be mended by -update: records of the former form are in use.
func TestNoteFormat(t *testing.T) {
	t.Parallel()
	const path = "testdata/note-1.golden"
	got := goldenNote().encode()
	if *update {
		if err := os.WriteFile(path, []byte(hex.EncodeToString(got)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want, err := hex.DecodeString(strings.TrimSpace(string(golden)))
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("got  %x\nwant %x", got, want)
	}
	n, err := decodeNote(want)
	if err != nil || n != goldenNote() && !n.at.Equal(goldenNote().at) {
		t.Errorf("read back: %+v, %v", n, err)
	}
}

func FuzzDecodeNote(f *testing.F) {
	f.Add(goldenNote().encode())
	f.Add([]byte{})
	f.Add([]byte{2})
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := decodeNote(b)
		if err == nil && string(n.encode()) != string(b) {
			t.Errorf("%x is read as %x", b, n.encode())
		}
	})
}
