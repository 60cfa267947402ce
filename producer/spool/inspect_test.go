package spool

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestInspect(t *testing.T) {
	t.Parallel()
	if _, err := Inspect(filepath.Join(t.TempDir(), "nothing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	began := time.Now().Truncate(time.Millisecond)
	r := open(t, t.TempDir(), &kafka{}, small)
	look := func(want Contents) {
		t.Helper()
		got, err := Inspect(r.dir)
		if err != nil {
			t.Fatal(err)
		}
		if size := onDisk(t, r.dir); got.Bytes != size {
			t.Errorf("%d bytes, there are %d", got.Bytes, size)
		}
		if got.Events != want.Events || got.Refused != want.Refused || got.Damaged != want.Damaged ||
			got.Oldest.IsZero() == (want.Events > 0) || got.First.IsZero() == (want.Refused > 0) {
			t.Errorf("got %+v, want %+v", got, want)
		}
		if !got.Oldest.IsZero() && (got.Oldest.Before(began) || got.Oldest.After(time.Now())) {
			t.Errorf("the oldest is of %s", got.Oldest)
		}
	}
	look(Contents{})
	r.kafka.set(away, false)
	const events = 500 // of several segments
	for n := range events {
		r.publish(t, event(n%3, n))
	}
	look(Contents{Events: events})
	for range 2 {
		if err := r.refuse(queued{at: time.Now(), value: []byte("{}")}, errors.New("no")); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(r.dir, "damaged-0000000000000001-8.bin"), []byte("?"), 0o600); err != nil {
		t.Fatal(err)
	}
	look(Contents{Events: events, Refused: 2, Damaged: 1})

	// What has left is not counted, in whichever segment that is said.
	r.kafka.set(nil, false)
	r.drains(t).empty(t)
	r.stop()
	if err := r.Close(); err != nil { // that something left is noted and freed a moment after it has
		t.Fatal(err)
	}
	look(Contents{Refused: 2, Damaged: 1})
	if err := os.WriteFile(segmentPath(r.dir, 9999), []byte(headerMagic+"\x09"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Inspect(r.dir); err == nil {
		t.Error("a segment of a newer version was read")
	}
}
