package spool

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/auditstream/auditstream/schema"
)

// says holds what the metric and readiness say of the disk against what it is.
func (r *rig) says(t *testing.T, when string, failing bool) {
	t.Helper()
	if got := r.figure(t, "failing", "") == 1; got != failing {
		t.Errorf("%s: the metric says that the disk fails: %v", when, got)
	}
	if err := r.Ready(); errors.Is(err, ErrDisk) != failing {
		t.Errorf("%s: ready: %v", when, err)
	}
}

// fails publishes an event, of which the disk is to take nothing.
func (r *rig) fails(t *testing.T, e *schema.Event) {
	t.Helper()
	if err := r.Publish(t.Context(), e); !errors.Is(err, ErrDisk) {
		t.Fatalf("got %v, want ErrDisk", err)
	}
}

// A gateway that is not ready gets no events, so no event may be needed to find out that the
// disk works again.
func TestADiskThatWorksAgainIsNoticedWithoutAnEvent(t *testing.T) {
	t.Parallel()
	for name, broken := range map[string]func(*disk){
		"no space": func(d *disk) { d.set(syscall.ENOSPC, nil) },
		"sync":     func(d *disk) { d.set(nil, syscall.EIO) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := open(t, t.TempDir(), &kafka{})
				d := &disk{}
				var made atomic.Int32
				r.queue.create = func(path string) (file, error) {
					made.Add(1)
					return d.create(path)
				}
				r.kafka.set(away, false)
				r.publish(t, event(1, 1))
				r.says(t, "before", false)
				time.Sleep(time.Hour)
				if n := made.Load(); n != 1 {
					t.Errorf("%d files are made although the disk works", n)
				}
				broken(d)
				r.fails(t, event(1, 2))
				made.Store(0)
				time.Sleep(time.Hour)
				synctest.Wait()
				r.says(t, "an hour later", true)
				if n := made.Load(); n < 200 || n > 250 {
					t.Errorf("%d probes in an hour", n)
				}
				if got := r.figure(t, "disk_failures_total", ""); got != 1 {
					t.Errorf("%v events are counted that the disk failed, want 1", got)
				}
				d.set(nil, nil)
				time.Sleep(probeMost)
				synctest.Wait()
				r.says(t, "when it works again", false)
				if left := files(t, r.dir, probeName); left != nil {
					t.Errorf("%v is left", left)
				}
				if size := onDisk(t, r.dir); float64(size) != r.figure(t, "bytes", "") {
					t.Errorf("%d bytes are on disk, the metric says %v", size, r.figure(t, "bytes", ""))
				}
				made.Store(0)
				time.Sleep(time.Hour)
				if n := made.Load(); n != 0 {
					t.Errorf("%d files are made although it works", n)
				}
				r.publish(t, event(1, 3))
				r.kafka.set(nil, false)
				r.sweepOnce(t)
				if diff := cmp.Diff([]string{event(1, 1).ID, event(1, 3).ID}, r.kafka.first(1)); diff != "" {
					t.Errorf("(-want +got)\n%s", diff)
				}
			})
		})
	}
}

// What left is noted without a sync, or not at all when nothing is left: that says nothing of
// the disk.
func TestOnlyASyncSaysThatTheDiskWorks(t *testing.T) {
	t.Parallel()
	for name, stay := range map[string]int{"a note is in memory": 1, "nothing is left to note": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := open(t, t.TempDir(), &kafka{})
				d := &disk{}
				r.queue.create = d.create
				r.kafka.set(away, false)
				r.publish(t, event(1, 1))
				for range stay {
					r.publish(t, event(2, 1))
				}
				d.set(nil, syscall.EIO)
				r.fails(t, event(1, 2))
				r.kafka.set(func(e *schema.Event) error {
					if e.OrganizationID == orgID(2) {
						return errAway
					}
					return nil
				}, false)
				r.sweepOnce(t)
				synctest.Wait()
				if r.waiting() != stay {
					t.Fatalf("%d events wait, want %d", r.waiting(), stay)
				}
				r.says(t, name, true)
			})
		})
	}
}

// A disk that is full has room for a few bytes, but not for what it did not take.
func TestAProbeIsAsLargeAsWhatWasNotTaken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := open(t, t.TempDir(), &kafka{})
		large := event(1, 1)
		large.Metadata = map[string]any{"text": strings.Repeat("x", 20_000)}
		var free atomic.Int32
		r.queue.create = func(path string) (file, error) {
			room := int(free.Load())
			return (&disk{room: &room}).create(path)
		}
		free.Store(10_000)
		r.kafka.set(away, false)
		r.fails(t, large)
		time.Sleep(time.Hour)
		synctest.Wait()
		r.says(t, "a part of it would fit", true)
		free.Store(100_000)
		time.Sleep(probeMost)
		synctest.Wait()
		r.says(t, "there is room", false)
		r.publish(t, large)
	})
}

// A disk that hangs takes nothing either, and returns no error.
func TestADiskThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := open(t, t.TempDir(), &kafka{})
		d := &disk{hold: make(chan struct{}), inSync: make(chan struct{}, 1)}
		r.queue.create = d.create
		r.kafka.set(away, false)
		published := make(chan error)
		go func() { published <- r.Publish(t.Context(), event(1, 1)) }()
		<-d.inSync
		r.says(t, "it has just begun", false)
		time.Sleep(hangs)
		r.says(t, "it hangs", true)
		close(d.hold)
		if err := <-published; err != nil {
			t.Fatal(err)
		}
		r.says(t, "it has come back", false)
	})
}

func TestAProbeThatAKillHasLeft(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, probeName), make([]byte, probeMostBytes), 0o600); err != nil {
		t.Fatal(err)
	}
	r := open(t, dir, &kafka{})
	if left := files(t, dir, probeName); left != nil || r.figure(t, "bytes", "") != 0 {
		t.Errorf("%v is left, and %v bytes are counted", left, r.figure(t, "bytes", ""))
	}
}

// What left of older segments is noted again when a newer one goes. If the disk takes a part of
// that note, what follows stands elsewhere, where all of it is found.
func TestANoteThatIsWrittenInPart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := open(t, t.TempDir(), &kafka{})
		d := &disk{}
		r.queue.create = d.create
		r.queue.each = 1 // each write fills a segment
		r.kafka.set(away, false)
		r.publish(t, event(1, 1), event(2, 1)) // a segment of which one event leaves
		r.publish(t, event(2, 2))              // and one that goes
		r.queue.each = segmentLeast
		r.publish(t, event(1, 2)) // behind which the notes stand
		r.kafka.set(func(e *schema.Event) error {
			if e.OrganizationID == orgID(1) {
				return errAway
			}
			return nil
		}, false)
		note := len(appendDone(nil, []span{{1, 1}}))
		room := note + note/2
		d.mu.Lock()
		d.room = &room
		d.mu.Unlock()
		r.sweepOnce(t)
		synctest.Wait()
		r.says(t, "half a note is written", true)
		if got := r.figure(t, "disk_failures_total", ""); got != 1 {
			t.Errorf("%v failures are counted, want 1", got)
		}
		d.mu.Lock()
		d.room = nil
		d.mu.Unlock()
		r.publish(t, event(1, 3))
		r.says(t, "there is room again", false)
		again := open(t, killed(t, r), &kafka{})
		again.sweepOnce(t)
		if n := len(files(t, again.dir, "damaged-*")); n != 0 {
			t.Errorf("%d damages are found after a restart", n)
		}
		if diff := cmp.Diff(ids(1, 1, 3), again.kafka.first(1)); diff != "" {
			t.Errorf("after a restart (-want +got)\n%s", diff)
		}
		r.kafka.set(nil, false)
		r.sweepOnce(t)
		if diff := cmp.Diff(ids(1, 1, 3), r.kafka.first(1)); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		if r.figure(t, "events_total", outcomeLost) != 0 || r.waiting() != 0 {
			t.Errorf("%v events are lost, %d wait", r.figure(t, "events_total", outcomeLost), r.waiting())
		}
	})
}
