package spool

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/auditstream/auditstream/schema"
)

// small has segments of 64 KiB, in which about 200 events fit.
func small(c *Config) { c.Max = leastMax }

func TestWhatWaitsIsThereAfterARestart(t *testing.T) {
	t.Parallel()
	for _, clean := range []bool{true, false} {
		t.Run(fmt.Sprintf("closed %v", clean), func(t *testing.T) {
			t.Parallel()
			r := open(t, t.TempDir(), &kafka{}, small)
			r.kafka.set(away, false)
			for n := range 1000 {
				r.publish(t, event(n%3, n))
			}
			dir := r.dir
			if clean {
				if err := r.Close(); err != nil {
					t.Fatal(err)
				}
			} else {
				dir = killed(t, r)
			}
			again := open(t, dir, r.kafka, small)
			if of, all := again.queue.holds(orgID(1)); all != 1000 || of != 333 {
				t.Fatalf("%d wait, of them %d of one organization", all, of)
			}
			if n := len(files(t, dir, "damaged-*")); n != 0 {
				t.Errorf("%d damages are found", n)
			}
			again.kafka.set(nil, false)
			again.publish(t, event(1, 1001)) // behind what waits
			again.drains(t).empty(t)
			var want []string
			for n := 1; n < 1000; n += 3 {
				want = append(want, event(1, n).ID)
			}
			if diff := cmp.Diff(append(want, event(1, 1001).ID), again.kafka.first(1)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			again.stop()
			if err := again.Close(); err != nil {
				t.Fatal(err)
			}
			if n := len(files(t, dir, "spool-*")); n > 1 {
				t.Errorf("%d segments are left of an empty spool", n)
			}
		})
	}
}

// killed copies the files as a kill would leave them: the process writes nothing more.
func killed(t *testing.T, r *rig) string {
	t.Helper()
	dir := t.TempDir()
	r.queue.mu.Lock() // no file is removed meanwhile
	defer r.queue.mu.Unlock()
	for _, path := range files(t, r.dir, "*") {
		name := filepath.Base(path)
		if name == probeName {
			continue // it comes and goes while the disk fails
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestItIsBounded(t *testing.T) {
	t.Parallel()
	r := open(t, t.TempDir(), &kafka{}, small)
	r.kafka.set(away, false)
	n := 0
	var err error
	for ; err == nil && n < 100_000; n++ {
		err = r.Publish(t.Context(), event(1, n))
	}
	if !errors.Is(err, ErrFull) || !errors.Is(r.Ready(), ErrFull) {
		t.Fatalf("after %d events: %v; ready: %v", n, err, r.Ready())
	}
	if size := onDisk(t, r.dir); size > leastMax || size < leastMax*9/10 || float64(size) != r.figure(t, "bytes", "") {
		t.Errorf("%d bytes are on disk, of %d; the metric says %v", size, leastMax, r.figure(t, "bytes", ""))
	}
	if r.figure(t, "full", "") != 1 {
		t.Error("the metric does not say that it is full")
	}
	r.kafka.set(nil, false)
	r.drains(t).empty(t)
	r.stop()
	if err := r.Ready(); err != nil {
		t.Errorf("drained: %v", err)
	}
	if diff := cmp.Diff(ids(1, 0, n-2), r.kafka.first(1)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	r.kafka.set(away, false)
	r.publish(t, event(1, n))
}

// Nothing would ever say that there is room again: there is nothing that could leave.
func TestACallThatIsTooLargeDoesNotFillIt(t *testing.T) {
	t.Parallel()
	r := open(t, t.TempDir(), &kafka{}, small)
	r.kafka.set(away, false)
	var batch []*schema.Event
	for n := range leastMax / 250 {
		batch = append(batch, event(1, n))
	}
	if err := r.Publish(t.Context(), batch...); !errors.Is(err, ErrFull) {
		t.Fatalf("got %v, want ErrFull", err)
	}
	if err := r.Ready(); err != nil || r.figure(t, "full", "") != 0 {
		t.Errorf("ready: %v, although the spool is empty", err)
	}
}

func onDisk(t *testing.T, dir string) int64 {
	t.Helper()
	var size int64
	for _, name := range files(t, dir, "*") {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	return size
}

func TestOneProcess(t *testing.T) {
	t.Parallel()
	r := open(t, t.TempDir(), &kafka{})
	if _, err := Open(Config{Dir: r.dir, Kafka: &kafka{}}); err == nil || !strings.Contains(err.Error(), "another process uses "+r.dir) {
		t.Errorf("a second one: %v", err)
	}
}

func TestOnlyItsOwnerReadsIt(t *testing.T) {
	t.Parallel()
	r := open(t, filepath.Join(t.TempDir(), "spool"), &kafka{})
	r.kafka.set(away, false)
	r.publish(t, event(1, 1))
	if err := r.refuse(queued{value: []byte("{}")}, errors.New("no")); err != nil {
		t.Fatal(err)
	}
	for _, name := range append(files(t, r.dir, "*"), r.dir) {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
	}
}

// disk is files that fail when they are told to.
type disk struct {
	mu     sync.Mutex
	write  error         // guarded by mu
	sync   error         // guarded by mu
	short  int           // bytes that are written all the same; guarded by mu
	room   *int          // bytes that it has left; nil: enough; guarded by mu
	hold   chan struct{} // a sync waits for it, unless nil; guarded by mu
	syncs  atomic.Int32
	inSync chan struct{} // told when one begins, unless nil
}

type faulty struct {
	*os.File
	disk *disk
}

func (d *disk) create(path string) (file, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	return faulty{f, d}, err
}

func (d *disk) set(write, sync error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.write, d.sync = write, sync
}

func (f faulty) Write(b []byte) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if f.disk.write != nil && len(b) > headerSize {
		n, _ := f.File.Write(b[:min(f.disk.short, len(b))])
		return n, f.disk.write
	}
	if f.disk.room == nil {
		return f.File.Write(b)
	}
	n, err := f.File.Write(b[:min(*f.disk.room, len(b))])
	if *f.disk.room -= n; err == nil && n < len(b) {
		err = syscall.ENOSPC
	}
	return n, err
}

func (f faulty) Sync() error {
	f.disk.mu.Lock()
	err, hold := f.disk.sync, f.disk.hold
	f.disk.mu.Unlock()
	f.disk.syncs.Add(1)
	if hold != nil {
		f.disk.inSync <- struct{}{}
		<-hold
	}
	if err != nil {
		return err
	}
	return f.File.Sync()
}

// After a sync that failed, nothing more goes to that file, and none of the events that
// were refused is found in it later.
func TestADiskThatFails(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(*disk){
		"no space":           func(d *disk) { d.set(syscall.ENOSPC, nil) },
		"half of it written": func(d *disk) { d.short = 100; d.set(syscall.ENOSPC, nil) },
		"sync":               func(d *disk) { d.set(nil, syscall.EIO) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := open(t, t.TempDir(), &kafka{})
			d := &disk{}
			r.queue.create = d.create
			r.kafka.set(away, false)
			r.publish(t, event(1, 1))
			fail(d)
			for n := 2; n <= 3; n++ {
				if err := r.Publish(t.Context(), event(1, n)); !errors.Is(err, ErrDisk) || !errors.Is(r.Ready(), ErrDisk) {
					t.Fatalf("got %v, ready %v; want ErrDisk", err, r.Ready())
				}
			}
			if r.figure(t, "failing", "") != 1 || r.figure(t, "disk_failures_total", "") != 2 || r.waiting() != 1 {
				t.Errorf("%d wait; the metrics do not say that the disk fails", r.waiting())
			}
			d.set(nil, nil)
			r.publish(t, event(1, 4))
			if err := r.Ready(); err != nil {
				t.Errorf("the disk works again: %v", err)
			}
			if n := len(files(t, r.dir, "spool-*")); n < 2 {
				t.Errorf("%d segments: what follows goes to the file that failed", n)
			}
			again := open(t, killed(t, r), r.kafka)
			again.kafka.set(nil, false)
			again.drains(t).empty(t)
			if diff := cmp.Diff([]string{event(1, 1).ID, event(1, 4).ID}, again.kafka.first(1)); diff != "" {
				t.Errorf("after a restart (-want +got)\n%s", diff)
			}
			if n := len(files(t, again.dir, "damaged-*")); n != 0 {
				t.Errorf("%d damages are found", n)
			}
		})
	}
}

func TestOneSyncForMany(t *testing.T) {
	t.Parallel()
	r := open(t, t.TempDir(), &kafka{})
	d := &disk{hold: make(chan struct{}), inSync: make(chan struct{}, 1000)}
	r.queue.create = d.create
	r.kafka.set(away, false)
	var wg sync.WaitGroup
	for n := range 500 {
		wg.Go(func() {
			if err := r.queue.append([]queued{{at: time.Now(), organization: orgID(n), value: []byte("{}")}}); err != nil {
				t.Error(err)
			}
		})
	}
	<-d.inSync // all others come together while the first is being synced
	for {
		r.queue.mu.Lock()
		n := r.queue.left
		r.queue.mu.Unlock()
		if n == 500 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	close(d.hold)
	wg.Wait()
	if n := d.syncs.Load(); n > 3 {
		t.Errorf("%d syncs for 500 events", n)
	}
}

// Whatever a crash leaves of the last write: what was accepted is there, the rest is cut.
func TestATornWrite(t *testing.T) {
	t.Parallel()
	r := open(t, t.TempDir(), &kafka{})
	r.kafka.set(away, false)
	r.publish(t, event(1, 1))
	path := files(t, r.dir, "spool-*")[0]
	good, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	r.publish(t, event(1, 2))
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, zeros := range []bool{false, true} { // a file system may have grown the file and not written it
		for at := good.Size() + 1; at < int64(len(whole)); at += 7 {
			dir := t.TempDir()
			torn := whole[:at:at]
			if zeros {
				torn = append(torn, make([]byte, 300)...)
			}
			if err := os.WriteFile(filepath.Join(dir, filepath.Base(path)), torn, 0o600); err != nil {
				t.Fatal(err)
			}
			again := open(t, dir, &kafka{})
			if again.waiting() != 1 {
				t.Fatalf("cut at %d: %d wait, want the one that was accepted", at, again.waiting())
			}
			if info, err := os.Stat(filepath.Join(dir, filepath.Base(path))); err != nil || info.Size() != good.Size() {
				t.Fatalf("cut at %d: the file has %d bytes, want %d", at, info.Size(), good.Size())
			}
			if n := len(files(t, dir, "damaged-*")); n != 1 {
				t.Fatalf("cut at %d: %d copies", at, n)
			}
			again.sweepOnce(t)
			if diff := cmp.Diff(ids(1, 1, 1), again.kafka.first(1)); diff != "" {
				t.Fatalf("(-want +got)\n%s", diff)
			}
			_ = again.Close()
		}
	}
}

// A flipped bit costs the event that it is in, is reported with its place, and nothing else.
func TestAFlippedBit(t *testing.T) {
	t.Parallel()
	r := open(t, t.TempDir(), &kafka{})
	r.kafka.set(away, false)
	sizes := []int64{0}
	path := ""
	for n := 1; n <= 3; n++ {
		r.publish(t, event(1, n))
		path = files(t, r.dir, "spool-*")[0]
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, info.Size())
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for at := sizes[1]; at < sizes[2]; at += 3 {
		dir := t.TempDir()
		flipped := append([]byte(nil), whole...)
		flipped[at] ^= 1 << (at % 8)
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(path)), flipped, 0o600); err != nil {
			t.Fatal(err)
		}
		again := open(t, dir, &kafka{})
		again.sweepOnce(t)
		if diff := cmp.Diff([]string{event(1, 1).ID, event(1, 3).ID}, again.kafka.first(1)); diff != "" {
			t.Fatalf("flipped at %d (-want +got)\n%s", at, diff)
		}
		want := filepath.Join(dir, fmt.Sprintf("damaged-%016d-%d.bin", 1, sizes[1]))
		if b, err := os.ReadFile(want); err != nil || int64(len(b)) != sizes[2]-sizes[1] {
			t.Fatalf("flipped at %d: the copy of the damaged bytes: %d bytes, %v", at, len(b), err)
		}
		if again.figure(t, "damaged_bytes_total", "") != float64(sizes[2]-sizes[1]) {
			t.Fatal("the metric does not say it")
		}
		_ = again.Close()
	}
}

// The same, while the process runs.
func TestADiskThatForgets(t *testing.T) {
	t.Parallel()
	r := open(t, t.TempDir(), &kafka{})
	r.kafka.set(away, false)
	r.publish(t, event(1, 1), event(1, 2), event(1, 3))
	path := files(t, r.dir, "spool-*")[0]
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // of a test
	if _, err := f.WriteAt([]byte{0xff}, int64(headerSize)+40); err != nil {
		t.Fatal(err)
	}
	r.kafka.set(nil, false)
	r.drains(t).empty(t)
	if diff := cmp.Diff(ids(1, 2, 3), r.kafka.first(1)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if r.figure(t, "events_total", outcomeLost) != 1 || len(files(t, r.dir, "damaged-*")) != 1 {
		t.Error("the lost event is not reported")
	}
	r.publish(t, event(1, 4))
	if n, _ := r.kafka.count(); n != 3 {
		t.Error("the organization's events go to disk for ever")
	}
}

func TestANewerFormatIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(segmentPath(dir, 1), []byte(headerMagic+"\x03newer"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{Dir: dir, Kafka: &kafka{}}); err == nil || !strings.Contains(err.Error(), "format version 3, known up to 2: written by a newer version") {
		t.Errorf("got %v", err)
	}
	if b, err := os.ReadFile(segmentPath(dir, 1)); err != nil || len(b) != 13 {
		t.Error("the file was touched")
	}
}

// Everything at random: events, outages of Kafka, of some organizations, of the disk,
// sweeps, restarts and kills. Every event that was accepted is in Kafka in the end, the
// first arrivals of each organization in order, and nothing that was refused without doubt.
func TestAnyCourseOfEvents(t *testing.T) {
	t.Parallel()
	for seed := range uint64(10) {
		r := rand.New(rand.NewPCG(seed, 1))
		k := &kafka{}
		s := open(t, t.TempDir(), k, small)
		d := &disk{}
		s.queue.create = d.create
		next := map[int]int{}
		accepted := map[int][]string{}
		for range 600 {
			switch r.IntN(24) {
			case 0:
				k.set(away, r.IntN(2) == 0)
			case 1:
				k.set(nil, false)
			case 2:
				stuck := orgID(r.IntN(4))
				k.set(func(e *schema.Event) error {
					if e.OrganizationID == stuck {
						return errAway
					}
					return nil
				}, false)
			case 3, 4:
				s.sweepOnce(t)
			case 5:
				d.short = r.IntN(400)
				d.set([]error{nil, syscall.ENOSPC}[r.IntN(2)], []error{nil, syscall.EIO}[r.IntN(2)])
			case 6, 7:
				d.set(nil, nil)
			case 8:
				if r.IntN(3) == 0 {
					dir := s.dir
					if r.IntN(2) == 0 {
						dir = killed(t, s)
					}
					if err := s.Close(); err != nil {
						t.Fatal(err)
					}
					s = open(t, dir, k, small)
					d = &disk{}
					s.queue.create = d.create
				}
			default:
				org := r.IntN(4)
				var batch []*schema.Event
				for range 1 + r.IntN(5) {
					next[org]++
					batch = append(batch, event(org, next[org]))
				}
				err := s.Publish(t.Context(), batch...)
				var failed map[int]error
				if err != nil {
					failed = failures(t, err)
				}
				for i, e := range batch {
					if failed[i] == nil {
						accepted[org] = append(accepted[org], e.ID)
					}
				}
			}
		}
		k.set(nil, false)
		d.set(nil, nil)
		s.sweepOnce(t)
		if s.waiting() != 0 {
			t.Fatalf("seed %d: %d events stay", seed, s.waiting())
		}
		for org, want := range accepted {
			got := k.first(org)
			position := map[string]int{}
			for i, id := range got {
				position[id] = i + 1
			}
			last := 0
			for _, id := range want {
				at := position[id]
				if at == 0 {
					t.Fatalf("seed %d: %s was accepted and is lost", seed, id)
				}
				if at < last {
					t.Fatalf("seed %d: %s has overtaken another one", seed, id)
				}
				last = at
			}
		}
		if n := len(files(t, s.dir, "damaged-*")); n != 0 {
			t.Fatalf("seed %d: %d damages", seed, n)
		}
		_ = s.Close()
	}
}

func TestRefusedEventsAreWholeLines(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), RefusedName)
	if err := os.WriteFile(path, []byte(`{"at":"half a li`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"one", "two"} {
		if err := appendLine(path, []byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "{\"at\":\"half a li\none\ntwo\n" {
		t.Errorf("%q, %v", b, err)
	}
}
