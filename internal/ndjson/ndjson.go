// Package ndjson reads text of one JSON value a line in bounded memory. It splits
// lines and counts them; what stands in them is for others to judge.
package ndjson

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// MaxLine is a bound that suits audit events: twice the size of the largest event, in
// bytes, for those who send them with white space or escapes.
const MaxLine = 2_000_000

// TooLongError says that a line had more bytes than the reader takes. The line has been
// passed over; reading goes on behind it.
type TooLongError struct {
	Line  int   // its number, from 1
	Size  int64 // its bytes without the line's end
	Limit int   // what the reader takes
}

func (e *TooLongError) Error() string {
	return fmt.Sprintf("the line has %d bytes, the limit is %d", e.Size, e.Limit)
}

// Reader reads lines. They end with a line feed, or with the input; a carriage return
// before it, and a byte order mark at the beginning of the input, do not belong to them.
type Reader struct {
	r     *bufio.Reader
	limit int
	buf   []byte
	line  int
	taken int64 // bytes of the input that the lines so far take, with their ends
}

// NewReader returns a reader of lines of at most limit bytes each.
func NewReader(r io.Reader, limit int) *Reader {
	return &Reader{r: bufio.NewReaderSize(r, 64<<10), limit: limit}
}

// NewReaderAt reads on behind a number of lines, which took so many bytes of the whole input:
// r begins there.
func NewReaderAt(r io.Reader, limit, line int, offset int64) *Reader {
	reader := NewReader(r, limit)
	reader.line, reader.taken = line, offset
	return reader
}

// Offset is where in the input the line ends that Next last spoke of, its line feed included.
func (r *Reader) Offset() int64 { return r.taken }

// Line is the number of the line that Next last spoke of, from 1.
func (r *Reader) Line() int { return r.line }

// Next returns the next line that holds more than white space. The bytes are valid until
// the next call. A *[TooLongError] speaks of one line only: call Next again for those
// behind it. io.EOF is the end; any other error is the input's.
func (r *Reader) Next() ([]byte, error) {
	for {
		line, size, err := r.next()
		if err != nil {
			return nil, err
		}
		if size > int64(r.limit) {
			return nil, &TooLongError{Line: r.line, Size: size, Limit: r.limit}
		}
		if len(bytes.Trim(line, " \t\r")) > 0 {
			return line, nil
		}
	}
}

// next returns a line of whatever size, of which it keeps no more than limit and a few
// bytes.
func (r *Reader) next() (line []byte, size int64, err error) {
	r.buf = r.buf[:0]
	r.line++
	var last byte // before the line feed
	for {
		chunk, err := r.r.ReadSlice('\n')
		r.taken += int64(len(chunk))
		if r.line == 1 && size == 0 {
			chunk = bytes.TrimPrefix(chunk, []byte("\ufeff"))
		}
		ended := err == nil
		if ended {
			chunk = chunk[:len(chunk)-1]
		}
		if len(chunk) > 0 {
			size += int64(len(chunk))
			last = chunk[len(chunk)-1]
			// One byte more than the limit, for a carriage return that does not count.
			r.buf = append(r.buf, chunk[:min(len(chunk), max(r.limit+1-len(r.buf), 0))]...)
		}
		switch {
		case ended || errors.Is(err, io.EOF) && size > 0:
			if ended && last == '\r' && size > 0 {
				size--
				r.buf = r.buf[:min(int64(len(r.buf)), size)]
			}
			return r.buf, size, nil
		case errors.Is(err, bufio.ErrBufferFull):
		default:
			r.line--
			return nil, 0, err
		}
	}
}
