package verify

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
)

// table reads rows of CSV in bounded memory: the usual reader keeps a field however long it
// is, and one quote that nobody closes makes everything behind it a field.
type table struct {
	in    *bufio.Reader
	names []string // of the columns
	buf   []byte
	line  int64
}

// newTable reads the names of the columns.
func newTable(in *bufio.Reader) (*table, error) {
	t := &table{in: in}
	if mark, err := in.Peek(3); err == nil && string(mark) == "\ufeff" {
		_, _ = in.Discard(3)
	}
	row, err := t.row()
	if err != nil {
		return nil, fmt.Errorf("the names of the columns cannot be read: %w", err)
	}
	for _, name := range row {
		t.names = append(t.names, column(name))
	}
	return t, nil
}

// column is what a column is called here: searches write a path before a name.
func column(name string) string {
	name = strings.ToLower(strings.TrimSpace(name))
	if i := strings.LastIndexAny(name, ".@"); i >= 0 {
		name = name[i+1:]
	}
	return strings.TrimPrefix(name, prefixed)
}

// next reads the next row.
func (t *table) next() (entry, error) {
	row, err := t.row()
	if err != nil {
		return entry{}, err
	}
	p := place{}
	for i, value := range row {
		if i >= len(t.names) || value == "" {
			continue
		}
		switch t.names[i] {
		case nameFeed:
			p.feed = value
		case nameNumber:
			p.number = value
		case nameChain:
			p.chain = value
		case nameDigest:
			p.digest = value
		case nameOriginalFeed:
			p.originalFeed = value
		case nameOriginalNumber:
			p.originalNumber = value
		case nameCheckpoint:
			p.foundText([]byte(value))
			if p.checkpoint == nil {
				p.event = nil
			}
		case "_raw", "event", "message", "body":
			p.foundText([]byte(value))
		}
	}
	if p.feed == "" && p.checkpoint == nil && p.event == nil {
		return entry{}, &badEntryError{errors.New("the row has neither an event nor a checkpoint: export the columns _raw, feed, seq and chain")}
	}
	e, err := p.entry(nil)
	if err != nil {
		return e, &badEntryError{err}
	}
	return e, nil
}

// badEntryError is about one entry; those behind it can be read.
type badEntryError struct{ error }

func (e *badEntryError) Unwrap() error { return e.error }

// row is the next one. Lines belong to it until its quotes are closed.
func (t *table) row() ([]string, error) {
	for {
		t.buf = t.buf[:0]
		quotes, tooLong := 0, false
		for {
			chunk, err := t.in.ReadSlice('\n')
			quotes += bytes.Count(chunk, []byte{'"'})
			if tooLong = tooLong || len(t.buf)+len(chunk) > maxEntry; !tooLong {
				t.buf = append(t.buf, chunk...)
			}
			if errors.Is(err, bufio.ErrBufferFull) {
				continue
			}
			t.line++
			if errors.Is(err, io.EOF) {
				if len(t.buf) == 0 && !tooLong {
					return nil, io.EOF
				}
				break
			}
			if err != nil {
				return nil, err
			}
			if quotes%2 == 0 {
				break
			}
		}
		switch {
		case tooLong:
			return nil, &badEntryError{fmt.Errorf("a row has more than %d bytes", maxEntry)}
		case len(bytes.TrimSpace(t.buf)) == 0:
			continue
		}
		r := csv.NewReader(bytes.NewReader(t.buf))
		r.FieldsPerRecord = -1
		row, err := r.Read()
		if err != nil {
			return nil, &badEntryError{err}
		}
		return row, nil
	}
}
