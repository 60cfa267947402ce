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
	in      *bufio.Reader
	columns []column
	buf     []byte
	line    int64
}

// column is one of a table.
type column struct {
	name    string // as the table has it
	meaning string // of a proof, or a holder of events; empty: it is neither
}

// path is where the column's values stand in an event, or in what is around it.
func (c column) path() string {
	name := strings.TrimPrefix(c.name, "@")
	if lower := strings.ToLower(name); isOfService(lower) {
		return lower
	}
	return strings.TrimPrefix(name, "attributes.")
}

// newTable reads the names of the columns. Two of one meaning are an error: whoever looks at
// the table may look at the other one.
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
		c := column{strings.TrimSpace(name), meaning(name)}
		for _, before := range t.columns {
			if c.meaning != "" && (c.meaning == before.meaning || isHolder(c.meaning) && isHolder(before.meaning)) {
				return nil, fmt.Errorf("the columns %.60q and %.60q mean the same: leave the one out that the feed did not bring", before.name, c.name)
			}
		}
		t.columns = append(t.columns, c)
	}
	return t, nil
}

// meaning is what a column is taken for. Of the paths that searches write before a name,
// those count that lead to what destinations were sent: an event may have members of any
// name, metadata.message and metadata.seq among them.
func meaning(name string) string {
	name = strings.ToLower(strings.TrimSpace(name))
	for {
		rest := name
		for _, path := range [...]string{"attributes.", "@auditstream.", "auditstream."} {
			rest = strings.TrimPrefix(rest, path)
		}
		if rest == name {
			break
		}
		name = rest
	}
	if isProof(name) {
		return strings.TrimPrefix(name, prefixed)
	}
	if isHolder(name) {
		return name
	}
	return ""
}

// next reads the next row.
func (t *table) next() (entry, error) {
	row, err := t.row()
	if err != nil {
		return entry{}, err
	}
	p := place{}
	into := map[string]*string{
		nameFeed: &p.feed, nameNumber: &p.number, nameChain: &p.chain, nameDigest: &p.digest,
		nameOriginalFeed: &p.originalFeed, nameOriginalNumber: &p.originalNumber,
	}
	var note string // a checkpoint in a column of its own
	for i, value := range row {
		switch {
		case value == "":
		case i >= len(t.columns):
			p.doubt = "the row has more cells than the table has columns"
		case t.columns[i].meaning == nameCheckpoint && isNote(value):
			note = value
		case into[t.columns[i].meaning] != nil:
			*into[t.columns[i].meaning] = value
		case isHolder(t.columns[i].meaning):
			p.foundText(t.columns[i].meaning, []byte(value))
		default:
			p.beside = append(p.beside, shown{name: t.columns[i].path(), value: quoted([]byte(value))})
		}
	}
	if note != "" {
		if p.event != nil {
			p.beside = append(p.beside, shown{name: p.holder, value: quoted(p.event)})
		}
		p.checkpoint = []byte(note)
	}
	if p.feed == "" && p.checkpoint == nil && p.event == nil {
		return entry{}, &badEntryError{errors.New("the row has neither an event nor a checkpoint: export the columns _raw, feed, seq and chain, separated by commas")}
	}
	p.gather()
	p.compare()
	e, err := p.entry(bytes.TrimSpace(t.buf))
	if err != nil {
		return e, &badEntryError{err}
	}
	return e, nil
}

// badEntryError is about one entry; those behind it can be read.
type badEntryError struct{ error }

func (e *badEntryError) Unwrap() error { return e.error }

// brokenError says that nothing more can be read.
type brokenError struct{ error }

func (e *brokenError) Unwrap() error { return e.error }

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
				return nil, &brokenError{err}
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
