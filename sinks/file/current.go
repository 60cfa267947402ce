package file

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"github.com/auditstream/auditstream/sinks"
)

// handle is what is needed of an *os.File.
type handle interface {
	io.ReaderAt
	io.WriteCloser
	Stat() (fs.FileInfo, error)
	Sync() error
	Truncate(size int64) error
	Fd() uintptr
}

// current is the file that a lane's events are appended to, locked and ending with a line end.
type current struct {
	handle

	path  string
	size  int64
	fresh bool // the directory may not know of it yet
}

// Close frees the file. It is unlocked and not only closed: a program that another goroutine
// starts has a descriptor of it, and with that the lock, until its exec.
func (f *current) Close() error { return errors.Join(unlockFile(f.Fd()), f.handle.Close()) }

var errBusy = errors.New("somebody else writes the file")

// openAttempts bounds how often a file is opened that is renamed meanwhile: each time by
// another process that writes the same partition, of which there should be none.
const openAttempts = 5

// openCurrent opens the file of a lane. A file that more bytes would make too large, or that
// is of an earlier period, is put aside first.
func (s *Sink) openCurrent(dir string, l *sinks.Lane, more int) (*current, error) {
	path := filepath.Join(dir, fmt.Sprintf("%05d.ndjson", l.Partition))
	for range openAttempts {
		f, err := s.lock(path)
		if err != nil {
			return nil, err
		}
		if f == nil {
			continue // it was renamed before we had the lock
		}
		aside, err := s.prepare(f, more)
		if err == nil && !aside {
			return f, nil
		}
		if err == nil {
			err = s.putAside(dir, f)
		}
		if err = errors.Join(err, f.Close()); err != nil {
			return nil, err
		}
	}
	return nil, errBusy
}

// lock opens path and locks it; nil without an error if path has come to name another file.
func (s *Sink) lock(path string) (*current, error) {
	h, err := s.open(path)
	if err != nil {
		return nil, err
	}
	f := &current{handle: h, path: path}
	if err := lockFile(h.Fd()); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), h.Close())
	}
	ours, err := h.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if named, err := os.Stat(path); err != nil || !os.SameFile(ours, named) {
		return nil, f.Close()
	}
	f.size, f.fresh = ours.Size(), ours.Size() == 0
	return f, nil
}

// prepare cuts off what a crash has left of a line, and says whether f is to be put aside.
func (s *Sink) prepare(f *current, more int) (aside bool, err error) {
	whole, err := wholeLines(f, f.size)
	if err != nil {
		return false, err
	}
	if whole < f.size {
		s.log.Warn("a crash has left a part of a line in the file, it is cut off; the event is written again",
			zap.String("file", f.path), zap.Int64("bytes", f.size-whole))
		if err := errors.Join(f.Truncate(whole), f.Sync()); err != nil {
			return false, err
		}
		f.size = whole
	}
	if f.size == 0 {
		return false, nil
	}
	info, err := f.Stat()
	if err != nil {
		return false, err
	}
	return f.size+int64(more) > int64(s.settings.RotateSize) || s.period(info.ModTime()) != s.period(s.now()), nil
}

// period numbers the periods of RotateEvery: a file holds what was written in one of them.
// The time of the last write says which; so nothing has to be remembered over a restart.
func (s *Sink) period(t time.Time) int64 {
	every := s.settings.RotateEvery.Std()
	if every == 0 {
		return 0
	}
	return t.UnixNano() / int64(every)
}

// putAside gives f the name of a file that is finished. The caller has the lock, and so is
// the only one who renames.
func (s *Sink) putAside(dir string, f *current) error {
	base := f.path[:len(f.path)-len(filepath.Ext(f.path))]
	stamp := s.now().UTC().Format("20060102T150405.000000000Z")
	for i := 0; ; i++ {
		name := fmt.Sprintf("%s-%s.ndjson", base, stamp)
		if i > 0 {
			name = fmt.Sprintf("%s-%s-%d.ndjson", base, stamp, i)
		}
		if _, err := os.Lstat(name); err == nil {
			continue // rename would replace it
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := os.Rename(f.path, name); err != nil {
			return err
		}
		return syncDir(dir)
	}
}

// wholeLines is how many of the first size bytes are lines with their ends.
func wholeLines(f io.ReaderAt, size int64) (int64, error) {
	const step = 64 << 10
	block := make([]byte, min(step, size))
	for end := size; end > 0; {
		begin := max(0, end-step)
		part := block[:end-begin]
		if _, err := f.ReadAt(part, begin); err != nil {
			return 0, err
		}
		if i := bytes.LastIndexByte(part, '\n'); i >= 0 {
			return begin + int64(i) + 1, nil
		}
		end = begin
	}
	return 0, nil
}

// makeDir makes the directories of a stream below Dir, which must be there: a disk that is
// not mounted would else be filled below its mount point.
func (s *Sink) makeDir(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	base := filepath.Clean(s.settings.Dir)
	info, err := os.Stat(base)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return &fs.PathError{Op: "open", Path: base, Err: fs.ErrNotExist}
	}
	if err := os.MkdirAll(dir, s.settings.Mode.dir()); err != nil {
		return err
	}
	for ; dir != base; dir = filepath.Dir(dir) {
		if err := syncDir(filepath.Dir(dir)); err != nil {
			return err
		}
	}
	return nil
}

// syncDir makes the names in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
