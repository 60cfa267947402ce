package export

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"

	"github.com/auditstream/auditstream/schema"
)

// ErrChanged says that Kafka gives another file now than the one that was counted.
var ErrChanged = errors.New("the events are not those that were counted")

// writeBytes is how much of a file is handed on at once.
const writeBytes = 64 << 10

// Write writes the file of a ready export from a byte on. The last bytes are written only
// when everything was found to be what was counted: whoever gets as many bytes as the export
// has, has its file.
func (s *Source) Write(ctx context.Context, e *Export, w io.Writer, from int64) error {
	if from < 0 || from > e.Bytes {
		return fmt.Errorf("export %s has %d bytes: none is at %d", e.ID, e.Bytes, from)
	}
	f := &file{w: w, skip: from, sum: sha256.New()}
	ranges := e.Ranges
	if m := e.mark(from); m != nil {
		f.at, f.crc, f.skip, f.sum = m.At, m.CRC, from-m.At, nil
		ranges = behind(ranges, *m)
	} else {
		f.buf = appendHeader(f.buf)
	}
	err := s.visit(ctx, e, ranges, visitor{
		event: func(_ int32, _ int64, event *schema.Event) (err error) {
			if f.buf, err = appendRow(f.buf, event); err != nil {
				return err
			}
			if len(f.buf) >= writeBytes {
				return f.flush(e.Bytes)
			}
			return nil
		},
		unreadable: func() {},
		passed:     func(int64) error { return nil },
	})
	if err != nil {
		return err
	}
	return f.finish(e)
}

// mark is the last one at or before a byte of the file, nil where there is none.
func (e *Export) mark(at int64) *Mark {
	for i := len(e.Marks) - 1; i >= 0; i-- {
		if e.Marks[i].At <= at {
			return &e.Marks[i]
		}
	}
	return nil
}

// behind are the ranges from a mark on.
func behind(ranges []Range, m Mark) []Range {
	for i, r := range ranges {
		if r.Partition == m.Partition && r.From <= m.Offset && m.Offset < r.To {
			rest := append([]Range(nil), ranges[i:]...)
			rest[0].From = m.Offset
			return rest
		}
	}
	return nil
}

// file is a file under way.
type file struct {
	w    io.Writer
	buf  []byte // rows that were not handed on
	at   int64  // bytes of the file before buf
	skip int64  // of the bytes that come, those that are not wanted
	crc  uint32
	sum  hash.Hash // nil where the file does not begin at its beginning
}

// flush hands on what there is, unless it reaches the end of the file: that waits for finish.
func (f *file) flush(end int64) error {
	if f.at+int64(len(f.buf)) >= end {
		if f.at+int64(len(f.buf)) > end {
			return fmt.Errorf("there is more: %w", ErrChanged)
		}
		return nil
	}
	f.note()
	return f.hand()
}

func (f *file) note() {
	f.crc = crc32.Update(f.crc, castagnoli(), f.buf)
	if f.sum != nil {
		_, _ = f.sum.Write(f.buf) // a hash takes everything
	}
	f.at += int64(len(f.buf))
}

func (f *file) hand() error {
	out := f.buf
	skipped := min(f.skip, int64(len(out)))
	f.skip -= skipped
	f.buf = f.buf[:0]
	if out = out[skipped:]; len(out) == 0 {
		return nil
	}
	_, err := f.w.Write(out)
	return err
}

// finish hands on the end of the file, if it is the end that was counted.
func (f *file) finish(e *Export) error {
	f.note()
	switch {
	case f.at != e.Bytes:
		return fmt.Errorf("%d bytes, counted were %d: %w", f.at, e.Bytes, ErrChanged)
	case f.crc != e.CRC, f.sum != nil && hex.EncodeToString(f.sum.Sum(nil)) != e.SHA256:
		return fmt.Errorf("its check sum is another one: %w", ErrChanged)
	}
	return f.hand()
}
