package verify

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/auditstream/auditstream/internal/ndjson"
)

// maxEntry bounds one line or row: several times the largest event, with its envelope, and
// every byte of it escaped.
const maxEntry = 16 << 20

// maxWindow bounds what unpacking zstd keeps.
const maxWindow = 64 << 20

// unpacked reads what is packed by gzip or zstd, as its first bytes say, and else what is
// there.
func unpacked(r io.Reader) (io.ReadCloser, error) {
	in := bufio.NewReaderSize(r, 64<<10)
	head, err := in.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		return gzip.NewReader(in)
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderMaxMemory(maxWindow))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	}
	return io.NopCloser(in), nil
}

// entries reads everything of one export: lines of JSON, or CSV. each gets every entry, or
// what is wrong with it, and its place.
func entries(r io.Reader, name string, only func(line []byte) bool, each func(e *entry, where func() string, bad error) error) error {
	plain, err := unpacked(r)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	defer plain.Close() //nolint:errcheck // it was only read
	in := bufio.NewReaderSize(plain, 64<<10)
	isTable, err := looksLikeTable(in)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if isTable {
		return rows(in, name, each)
	}
	lines := ndjson.NewReader(in, maxEntry)
	where := func() string { return fmt.Sprintf("%s:%d", name, lines.Line()) }
	for {
		line, err := lines.Next()
		long, isLong := errors.AsType[*ndjson.TooLongError](err)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case isLong:
			err = each(nil, where, long)
		case err != nil:
			return fmt.Errorf("%s: %w", where(), err)
		case only != nil && !only(line):
			continue
		default:
			var e entry
			if e, err = readEntry(line); err != nil {
				err = each(nil, where, err)
			} else {
				e.item.Line = int64(lines.Line())
				err = each(&e, where, nil)
			}
		}
		if err != nil {
			return err
		}
	}
}

func rows(in *bufio.Reader, name string, each func(e *entry, where func() string, bad error) error) error {
	t, err := newTable(in)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	where := func() string { return fmt.Sprintf("%s:%d", name, t.line) }
	for {
		e, err := t.next()
		bad, isBad := errors.AsType[*badEntryError](err)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case isBad:
			err = each(nil, where, bad)
		case err != nil:
			return fmt.Errorf("%s: %w", where(), err)
		default:
			e.item.Line = t.line
			err = each(&e, where, nil)
		}
		if err != nil {
			return err
		}
	}
}

// looksLikeTable says whether what is read is CSV: lines of JSON begin with a brace, those of
// CEF with its name.
func looksLikeTable(in *bufio.Reader) (bool, error) {
	head, err := in.Peek(512)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
		return false, err
	}
	head = bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\ufeff")), " \t\r\n")
	return len(head) > 0 && head[0] != '{' && head[0] != '[' && !bytes.HasPrefix(head, []byte(beginCEF)), nil
}

// mayHoldCheckpoint says whether it is worth reading a line for a checkpoint: each has the
// dash of its signature.
func mayHoldCheckpoint(line []byte) bool {
	return bytes.Contains(line, []byte("\u2014 ")) || bytes.Contains(line, []byte(`\u2014`))
}
