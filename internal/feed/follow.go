package feed

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"time"
)

// ErrTruncated says that a file that is followed was cut, or written anew in its place.
var ErrTruncated = errors.New("the file was truncated")

// followEvery is how often a file is looked at that has nothing new.
const followEvery = 200 * time.Millisecond

// Follow reads a file as it grows, until another one stands under its name: then io.EOF, when
// everything in it was read. A file that is shorter than what was read of it, or begins in
// another way, is ErrTruncated.
type Follow struct {
	ctx      context.Context
	path     string
	file     *os.File
	offset   int64
	identity Identity // of what was read, when it was looked at last
	left     int      // looks at a file that is rotated already, before it counts as complete
}

// NewFollow reads file, which stands or stood at path, from an offset on, until ctx ends.
func NewFollow(ctx context.Context, path string, file *os.File, offset int64) *Follow {
	return &Follow{ctx: ctx, path: path, file: file, offset: offset, left: 2}
}

// Read waits until there is something to read.
func (f *Follow) Read(p []byte) (int, error) {
	for {
		if err := f.ctx.Err(); err != nil {
			return 0, context.Cause(f.ctx)
		}
		if err := f.check(); err != nil {
			return 0, err
		}
		n, err := f.file.ReadAt(p, f.offset)
		if n > 0 {
			f.offset += int64(n)
			if f.identity.Bytes < headSize {
				if f.identity, err = Identify(f.file, f.offset); err != nil {
					return 0, err
				}
			}
			return n, nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		// Who writes to a file that was rotated closes it a moment later.
		if rotated, err := f.rotated(); err != nil {
			return 0, err
		} else if rotated {
			if f.left == 0 {
				return 0, io.EOF
			}
			f.left--
		}
		timer := time.NewTimer(followEvery)
		select {
		case <-timer.C:
		case <-f.ctx.Done():
			timer.Stop()
		}
	}
}

// check notices that the file was cut, also when it has grown again since.
func (f *Follow) check() error {
	info, err := f.file.Stat()
	if err != nil {
		return err
	}
	if info.Size() < f.offset {
		return ErrTruncated
	}
	if f.identity.SHA256 == "" && f.offset > 0 { // what was read before us
		f.identity, err = Identify(f.file, f.offset)
		return err
	}
	if f.offset == 0 {
		return nil
	}
	if same, err := f.identity.Same(f.file); err != nil || same {
		return err
	}
	return ErrTruncated
}

// rotated says whether another file stands under the name, or none.
func (f *Follow) rotated() (bool, error) {
	there, err := os.Stat(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil // it is being put in its place; until then this one may still grow
	}
	if err != nil {
		return false, err
	}
	here, err := f.file.Stat()
	return err == nil && !os.SameFile(there, here), err
}
