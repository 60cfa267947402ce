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

// take gets every entry of an export, or what is wrong with it, and its place.
type take func(e *entry, where func() string, bad error) error

// entries reads everything of one export: lines of JSON, pages of it, or CSV. Where its
// content breaks off, as that of a packed file does which was not copied to its end, each is
// told so, and what could be read counts. An error is one of reading.
func entries(r io.Reader, name string, only func(line []byte) bool, each take) error {
	cut := func(where string, err error) error {
		if _, ok := errors.AsType[*wayError](err); ok {
			return fmt.Errorf("%s: %w", where, err)
		}
		return each(nil, func() string { return where }, fmt.Errorf("it is cut off or damaged here, and what should be behind was not read: %w", err))
	}
	plain, err := unpacked(way{r})
	if err != nil {
		return cut(name, err)
	}
	defer plain.Close() //nolint:errcheck // it was only read
	in := bufio.NewReaderSize(plain, 64<<10)
	// Peeking shows what is there; reading meets the error.
	head, _ := in.Peek(in.Size())
	switch {
	case looksLikeTable(head):
		return rows(in, name, cut, each)
	case isPaged(head):
		if bytes.HasPrefix(head, []byte("\ufeff")) {
			_, _ = in.Discard(len("\ufeff"))
		}
		p := &pages{in: in}
		return p.entries(func() (int64, string) { return p.count, fmt.Sprintf("%s:%d", name, p.count) }, only, cut, each)
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
			return cut(where(), err)
		case only != nil && !only(line):
			continue
		default:
			var e entry
			switch e, err = readEntry(line); {
			case (err != nil || e.stray) && isPaged(line):
				p := &pages{in: bufio.NewReader(bytes.NewReader(line))}
				at := int64(lines.Line())
				err = p.entries(func() (int64, string) { return at, where() }, only, func(where string, err error) error {
					return each(nil, func() string { return where }, err)
				}, each)
			case err != nil:
				err = each(nil, where, err)
			default:
				e.item.Line = int64(lines.Line())
				err = each(&e, where, nil)
			}
		}
		if err != nil {
			return err
		}
	}
}

// entries reads everything of pages. at is the place that the last value has.
func (p *pages) entries(at func() (int64, string), only func(line []byte) bool, cut func(where string, err error) error, each take) error {
	where := func() string { _, where := at(); return where }
	for {
		text, err := p.next()
		bad, isBad := errors.AsType[*badEntryError](err)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case isBad:
			err = each(nil, where, bad)
		case err != nil:
			return cut(where(), err)
		case only != nil && !only(text):
			continue
		default:
			var e entry
			if e, err = readEntry(text); err != nil {
				err = each(nil, where, err)
			} else {
				e.item.Line, _ = at()
				err = each(&e, where, nil)
			}
		}
		if err != nil {
			return err
		}
	}
}

func rows(in *bufio.Reader, name string, cut func(where string, err error) error, each take) error {
	t, err := newTable(in)
	if broken, ok := errors.AsType[*brokenError](err); ok {
		return cut(name, broken.error)
	}
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
			return cut(where(), err)
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
func looksLikeTable(head []byte) bool {
	head = bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\ufeff")), " \t\r\n")
	return len(head) > 0 && head[0] != '{' && head[0] != '[' && !bytes.HasPrefix(head, []byte(beginCEF))
}

// mayHoldCheckpoint says whether it is worth reading a line for a checkpoint: each has the
// dash of its signature.
func mayHoldCheckpoint(line []byte) bool {
	return bytes.Contains(line, []byte("\u2014 ")) || bytes.Contains(line, []byte(`\u2014`))
}
