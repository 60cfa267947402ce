package file

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/internal/units"
	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/sinktest"
)

func TestConformance(t *testing.T) {
	sinktest.Conformance(t, sinktest.Harness{
		Kind: Kind(), Local: true,
		Start: func(t *testing.T) *sinktest.Target {
			t.Helper()
			dir := t.TempDir()
			return &sinktest.Target{
				Handler:  http.NotFoundHandler(),
				Settings: func(string) sinks.Settings { return testSettings(dir) },
				Arrived: func() [][]byte {
					values, _ := arrived(t, dir)
					return bare(values)
				},
				Proofs: func() []sinktest.Proof { return proofs(t, dir) },
				Notes:  func() [][]byte { return notes(t, dir) },
				Replays: func() []string {
					_, jobs := arrived(t, dir)
					return jobs
				},
			}
		},
	})
}

const ownMember = `,"integrity":{`

// bare are the lines that are no checkpoints, without what says where their events stand.
func bare(lines [][]byte) (values [][]byte) {
	for _, line := range lines {
		if bytes.HasPrefix(line, []byte(`{"checkpoint":`)) {
			continue
		}
		if i := bytes.LastIndex(line, []byte(ownMember)); i >= 0 {
			line = append(slices.Clone(line[:i]), '}')
		}
		values = append(values, line)
	}
	return values
}

func proofs(t *testing.T, dir string) (list []sinktest.Proof) {
	t.Helper()
	lines, _ := arrived(t, dir)
	for _, line := range lines {
		var e struct {
			Integrity struct {
				Feed   string         `json:"feed"`
				Number int64          `json:"seq"`
				Chain  integrity.Hash `json:"chain"`
			} `json:"integrity"`
			Checkpoint string `json:"checkpoint"`
		}
		if err := json.Unmarshal(line, &e); err != nil {
			t.Error(err)
		}
		if e.Checkpoint == "" {
			list = append(list, sinktest.Proof(e.Integrity))
		}
	}
	return list
}

func notes(t *testing.T, dir string) (list [][]byte) {
	t.Helper()
	lines, _ := arrived(t, dir)
	for _, line := range lines {
		var e struct {
			Checkpoint string `json:"checkpoint"`
		}
		if err := json.Unmarshal(line, &e); err == nil && e.Checkpoint != "" {
			list = append(list, []byte(e.Checkpoint))
		}
	}
	return list
}

func testSettings(dir string) *Settings {
	s := defaults().(*Settings)
	s.Dir = dir
	return s
}

// arrived reads every line below dir: first the files that were put aside, in their order,
// then those that are written to, and of which job each line is.
func arrived(t *testing.T, dir string) (values [][]byte, jobs []string) {
	t.Helper()
	var files []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	// 00000-2026….ndjson was put aside before 00000.ndjson was begun.
	slices.SortFunc(files, func(a, b string) int {
		return strings.Compare(strings.Replace(a, ".ndjson", "~", 1), strings.Replace(b, ".ndjson", "~", 1))
	})
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		job := ""
		if _, after, ok := strings.Cut(filepath.Dir(path), "replay="); ok {
			job = after
		}
		for line := range bytes.Lines(data) {
			if !bytes.HasSuffix(line, []byte("\n")) || !json.Valid(line) {
				t.Errorf("%s has the line %q", path, line)
			}
			values, jobs = append(values, bytes.TrimSuffix(line, []byte("\n"))), append(jobs, job)
		}
	}
	return values, jobs
}

func newSink(t *testing.T, dir string, change func(*Settings)) *Sink {
	t.Helper()
	s := testSettings(dir)
	if change != nil {
		change(s)
	}
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	return open(s, sinks.Options{Log: zap.NewNop(), Owner: sinks.OwnerFile})
}

// batchOf is a batch of events with these values, each a JSON text.
func batchOf(values ...string) *sinks.Batch {
	b := &sinks.Batch{Lane: sinks.Lane{Stream: "acme-file", Partition: 3}}
	for i, v := range values {
		b.Body = append(append(b.Body, v...), '\n')
		b.Events = append(b.Events, sinks.Entry{Offset: int64(i), End: len(b.Body)})
	}
	return b
}

func mustDeliver(t *testing.T, s *Sink, values ...string) {
	t.Helper()
	if _, err := s.Deliver(t.Context(), batchOf(values...)); err != nil {
		t.Fatal(err)
	}
}

func mustHold(t *testing.T, dir string, want ...string) {
	t.Helper()
	values, _ := arrived(t, dir)
	var got []string
	for _, v := range values {
		got = append(got, string(v))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

func TestFormatOfTextIsALineOfText(t *testing.T) {
	s := newSink(t, t.TempDir(), nil)
	got, err := s.Frame([]byte("before\n"), &sinks.Event{Value: []byte(`"CEF:0|a\\n"`), Line: []byte(`CEF:0|a\n`)})
	if err != nil || string(got) != "before\nCEF:0|a\\n\n" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestFileAndItsMode(t *testing.T) {
	dir := t.TempDir()
	mustDeliver(t, newSink(t, dir, func(s *Settings) { s.Mode = 0o640 }), `{"n":1}`)
	for path, want := range map[string]fs.FileMode{"acme-file": fs.ModeDir | 0o750, "acme-file/00003.ndjson": 0o640} {
		info, err := os.Stat(filepath.Join(dir, path))
		if err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v; want %v", path, info.Mode(), err, want)
		}
	}
}

// A crash leaves any part of the last write; what is behind the last line end goes.
func TestTornTailIsCutOffWhereverTheCrashWas(t *testing.T) {
	whole := batchOf(`{"n":1,"text":"first"}`, `{"n":2,"text":"second"}`).Body
	for cut := range len(whole) + 1 {
		dir := t.TempDir()
		s := newSink(t, dir, nil)
		mustDeliver(t, s, `{"n":0}`)
		path := filepath.Join(dir, "acme-file", "00003.ndjson")
		f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(whole[:cut]); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		mustDeliver(t, s, `{"n":1,"text":"first"}`, `{"n":2,"text":"second"}`)
		want := []string{`{"n":0}`}
		for range bytes.Count(whole[:cut], []byte("\n")) {
			want = append(want, []string{`{"n":1,"text":"first"}`, `{"n":2,"text":"second"}`}[len(want)-1])
		}
		mustHold(t, dir, append(want, `{"n":1,"text":"first"}`, `{"n":2,"text":"second"}`)...)
	}
}

func TestLongTornTail(t *testing.T) {
	dir := t.TempDir()
	s := newSink(t, dir, nil)
	mustDeliver(t, s, `{"n":0}`)
	path := filepath.Join(dir, "acme-file", "00003.ndjson")
	for _, tail := range []int{64<<10 - 8, 64 << 10, 300_000} {
		f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(strings.Repeat("x", tail)); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		mustDeliver(t, s, `{}`)
	}
	mustHold(t, dir, `{"n":0}`, `{}`, `{}`, `{}`)
}

func TestRotation(t *testing.T) {
	dir := t.TempDir()
	s := newSink(t, dir, func(s *Settings) { s.RotateSize, s.RotateEvery = 20, units.Duration(time.Hour) })
	for _, v := range []string{`{"n":1}`, `{"n":2}`, `{"n":3}`, `{"n":4,"much":"longer than a file"}`, `{"n":5}`} {
		mustDeliver(t, s, v)
	}
	mustHold(t, dir, `{"n":1}`, `{"n":2}`, `{"n":3}`, `{"n":4,"much":"longer than a file"}`, `{"n":5}`)
	files := func() int {
		entries, err := os.ReadDir(filepath.Join(dir, "acme-file"))
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	if n := files(); n != 4 {
		t.Errorf("%d files, want 4: two events, one, one and one", n)
	}
	// The hour passes. The time of the last write is that of the file, so move our clock.
	s.now = func() time.Time { return time.Now().Add(time.Hour) }
	mustDeliver(t, s, `{"n":6}`)
	if n := files(); n != 5 {
		t.Errorf("%d files after an hour, want 5", n)
	}
	mustHold(t, dir, `{"n":1}`, `{"n":2}`, `{"n":3}`, `{"n":4,"much":"longer than a file"}`, `{"n":5}`, `{"n":6}`)
}

// Who tests may be another user than who delivers.
func TestTestLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	s := newSink(t, dir, nil)
	var steps []string
	note := func(step sinks.Step) {
		name := step.Name
		if step.Err != nil {
			name += "!"
		}
		steps = append(steps, name)
	}
	if err := s.Test(t.Context(), batchOf(`{}`), note); err != nil {
		t.Error(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("%v, %v are left", entries, err)
	}
	honest := s.open
	s.open = func(path string) (handle, error) {
		h, err := honest(path)
		return &broken{handle: h, write: syscall.ENOSPC, takes: 1}, err
	}
	if err := s.Test(t.Context(), batchOf(`{}`), note); sinks.ClassOf(err) != sinks.Unavailable || err == nil {
		t.Errorf("on a full disk: %v", err)
	}
	if err := newSink(t, filepath.Join(dir, "absent"), nil).Test(t.Context(), batchOf(`{}`), note); sinks.ClassOf(err) != sinks.Misconfigured || err == nil {
		t.Errorf("without the directory: %v", err)
	}
	if diff := cmp.Diff([]string{"open", "write", "acknowledge", "open", "write!", "open!"}, steps); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("%v, %v are left", entries, err)
	}
}

// Two owners of a partition, each sure of being the only one, write whole lines.
func TestTwoOwners(t *testing.T) {
	dir := t.TempDir()
	const writes = 50
	var wg sync.WaitGroup
	for range 2 {
		s := newSink(t, dir, func(s *Settings) { s.RotateSize = 100 })
		wg.Go(func() {
			for n := 0; n < writes; {
				_, err := s.Deliver(t.Context(), batchOf(`{"n":1}`, `{"n":2}`))
				switch {
				case err == nil:
					n++
				case sinks.ClassOf(err) != sinks.Unavailable:
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if values, _ := arrived(t, dir); len(values) != 2*writes*2 {
		t.Errorf("%d lines, want %d", len(values), 2*writes*2)
	}
}

// broken is a file that fails in the ways of disks.
type broken struct {
	handle

	takes int   // bytes that a write takes before it fails
	write error // nil: writes succeed
	sync  error
}

func (b *broken) Write(p []byte) (int, error) {
	if b.write == nil {
		return b.handle.Write(p)
	}
	n, err := b.handle.Write(p[:min(b.takes, len(p))])
	return n, errors.Join(err, b.write)
}

func (b *broken) Sync() error { return errors.Join(b.handle.Sync(), b.sync) }

func TestDiskThatFails(t *testing.T) {
	full := &fs.PathError{Op: "write", Path: "p", Err: syscall.ENOSPC}
	for name, c := range map[string]struct {
		broken broken
		words  string
	}{
		"full at once":          {broken{write: full}, "the disk is full"},
		"full in a line":        {broken{write: full, takes: 3}, "the disk is full"},
		"full behind a line":    {broken{write: full, takes: 8}, "the disk is full"},
		"over the user's quota": {broken{write: syscall.EDQUOT}, "the disk is full"},
		"an error of the disk":  {broken{write: syscall.EIO, takes: 3}, "input/output error"},
		"an error of the sync":  {broken{sync: syscall.EIO}, "input/output error"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := newSink(t, dir, nil)
			mustDeliver(t, s, `{"n":0}`)
			honest := s.open
			s.open = func(path string) (handle, error) {
				h, err := honest(path)
				b := c.broken
				b.handle = h
				return &b, err
			}
			receipt, err := s.Deliver(t.Context(), batchOf(`{"n":1}`, `{"n":2}`))
			if err == nil || sinks.ClassOf(err) != sinks.Unavailable || !strings.Contains(err.Error(), c.words) || receipt.Settled != 0 {
				t.Errorf("%v, settled %d", err, receipt.Settled)
			}
			mustHold(t, dir, `{"n":0}`)
			s.open = honest
			mustDeliver(t, s, `{"n":1}`, `{"n":2}`)
			mustHold(t, dir, `{"n":0}`, `{"n":1}`, `{"n":2}`)
		})
	}
}

func TestDirectoryThatIsNotThereOrNotOurs(t *testing.T) {
	dir := t.TempDir()
	_, err := newSink(t, filepath.Join(dir, "absent"), nil).Deliver(t.Context(), batchOf(`{}`))
	if err == nil || sinks.ClassOf(err) != sinks.Misconfigured || !strings.Contains(err.Error(), "is dir a directory that exists?") {
		t.Errorf("absent: %v", err)
	}
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = newSink(t, plain, nil).Deliver(t.Context(), batchOf(`{}`))
	if err == nil || sinks.ClassOf(err) != sinks.Misconfigured {
		t.Errorf("a file: %v", err)
	}
	s := newSink(t, dir, nil)
	s.open = func(path string) (handle, error) {
		return nil, &fs.PathError{Op: "open", Path: path, Err: syscall.EACCES}
	}
	_, err = s.Deliver(t.Context(), batchOf(`{}`))
	if err == nil || sinks.ClassOf(err) != sinks.Misconfigured || !strings.Contains(err.Error(), "let the user that auditstream runs as write there") {
		t.Errorf("somebody else's: %v", err)
	}
}

func TestSomebodysStreamWritesNoFile(t *testing.T) {
	dir := t.TempDir()
	s := open(testSettings(dir), sinks.Options{Log: zap.NewNop(), Owner: "acme"})
	if _, err := s.Deliver(t.Context(), batchOf(`{}`)); err == nil || sinks.ClassOf(err) != sinks.Misconfigured {
		t.Errorf("%v", err)
	}
	mustHold(t, dir)
}

func TestContextThatHasEnded(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := newSink(t, dir, nil).Deliver(ctx, batchOf(`{}`)); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	mustHold(t, dir)
}

func TestValidate(t *testing.T) {
	cases := []struct {
		name   string
		change func(*Settings)
		want   []string // fields with a violation
	}{
		{"a directory", func(*Settings) {}, nil},
		{"nothing at all", func(s *Settings) { *s = Settings{} }, []string{"dir", "mode", "rotate_size", "max_bytes"}},
		{"a relative directory", func(s *Settings) { s.Dir = "logs" }, []string{"dir"}},
		{"a mode to execute", func(s *Settings) { s.Mode = 0o755 }, []string{"mode"}},
		{"a mode not to write", func(s *Settings) { s.Mode = 0o400 }, []string{"mode"}},
		{"a short period", func(s *Settings) { s.RotateEvery = units.Duration(time.Second) }, []string{"rotate_every"}},
		{"no period", func(s *Settings) { s.RotateEvery = 0 }, nil},
		{"less than no events", func(s *Settings) { s.MaxEvents = -1 }, []string{"max_events"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := testSettings("/var/log/auditstream")
			c.change(s)
			var got []string
			if joined, ok := s.Validate().(interface{ Unwrap() []error }); ok {
				for _, err := range joined.Unwrap() {
					if f, ok := errors.AsType[*sinks.FieldError](err); ok {
						got = append(got, f.Field)
					}
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("violations (-want +got):\n%s", diff)
			}
		})
	}
}

func TestModeReadsAndWritesOctal(t *testing.T) {
	var m Mode
	if err := m.UnmarshalText([]byte("0640")); err != nil || m != 0o640 {
		t.Errorf("%o, %v", m, err)
	}
	if text, err := m.MarshalText(); err != nil || string(text) != "0640" {
		t.Errorf("%s, %v", text, err)
	}
	for _, bad := range []string{"", "rw", "0999", "99999999"} {
		if err := m.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q is a mode", bad)
		}
	}
}
