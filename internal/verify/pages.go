package verify

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// pages reads JSON that is not one object a line, in bounded memory: a list, a page of results
// ({"results":[…]} of Splunk, {"data":[…]} of Datadog), objects over several lines, and any
// of these one behind another.
type pages struct {
	in     *bufio.Reader
	buf    []byte
	whole  []byte // what was read of an object, without its list
	inside bool   // an object whose end is not there yet
	inList bool
	listed bool // the object has a list: it is a page, and no event
	count  int64
}

// isPaged says whether text begins with JSON that is not one object a line.
func isPaged(text []byte) bool {
	text = bytes.TrimLeft(bytes.TrimPrefix(text, []byte("\ufeff")), " \t\r\n")
	if len(text) == 0 || text[0] == '[' {
		return len(text) > 0
	}
	if first, _, _ := bytes.Cut(text, []byte{'\n'}); string(bytes.TrimSpace(first)) == "{" {
		return true
	}
	for {
		name, value, behind := nextMember(text)
		if len(name) == 0 {
			return false
		}
		if isListOfResults(name) && len(value) > 0 && value[0] == '[' {
			return true
		}
		text = behind
	}
}

// isListOfResults says whether pages have their results in a member of the name.
func isListOfResults(name []byte) bool { return string(name) == "results" || string(name) == "data" }

// errNoJSON says that reading cannot go on: where the next value begins is not known.
var errNoJSON = errors.New("from here on this is no JSON")

// next is the text of the next object, or of what stands in its place.
func (p *pages) next() ([]byte, error) {
	for {
		c, err := p.peek()
		if err != nil {
			if errors.Is(err, io.EOF) && (p.inside || p.inList) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		switch {
		case c == ',' && (p.inside || p.inList):
			p.skip()
		case p.inList && c == ']':
			p.skip()
			p.inList = false
		case p.inList:
			p.count++
			return p.value()
		case p.inside && c == '}':
			p.skip()
			if p.inside = false; !p.listed {
				p.count++
				return append(p.whole, '}'), nil
			}
		case p.inside:
			if err := p.member(); err != nil {
				return nil, err
			}
		case c == '[':
			p.skip()
			p.inList = true
		case c == '{':
			p.skip()
			p.inside, p.listed, p.whole = true, false, append(p.whole[:0], '{')
		default:
			return nil, errNoJSON
		}
	}
}

// member reads one of an object's, up to the beginning of its list.
func (p *pages) member() error {
	name, err := p.value()
	if err != nil {
		return err
	}
	if stringEnd(name) != len(name) {
		return errNoJSON
	}
	isList := isListOfResults(name[1 : len(name)-1])
	if len(p.whole) > 1 {
		p.whole = append(p.whole, ',')
	}
	p.whole = append(append(p.whole, name...), ':')
	if c, err := p.peek(); err != nil || c != ':' {
		return cutOr(err, errNoJSON)
	}
	p.skip()
	c, err := p.peek()
	if err != nil {
		return cutOr(err, errNoJSON)
	}
	if c == '[' && isList {
		p.skip()
		p.inList, p.listed = true, true
		p.whole = append(p.whole, '0')
		return nil
	}
	value, err := p.value()
	if err != nil {
		return err
	}
	if len(p.whole)+len(value) > maxEntry {
		return fmt.Errorf("an object has more than %d bytes", maxEntry)
	}
	p.whole = append(p.whole, value...)
	return nil
}

func cutOr(err, other error) error {
	switch {
	case errors.Is(err, io.EOF):
		return io.ErrUnexpectedEOF
	case err != nil:
		return err
	}
	return other
}

// peek is the next byte that is no white space.
func (p *pages) peek() (byte, error) {
	for {
		c, err := p.in.ReadByte()
		if err != nil {
			return 0, err
		}
		if c != ' ' && c != '\t' && c != '\r' && c != '\n' {
			return c, p.in.UnreadByte()
		}
	}
}

func (p *pages) skip() { _, _ = p.in.Discard(1) }

// value reads one value. Whether it is JSON is for others to say. Of one that is too long it
// says so, and the next begins behind it.
func (p *pages) value() ([]byte, error) {
	p.buf = p.buf[:0]
	depth, inString, escaped, tooLong := 0, false, false, false
	for first := true; ; first = false {
		c, err := p.in.ReadByte()
		if err != nil {
			return nil, cutOr(err, nil)
		}
		plain := !inString && depth == 0
		if plain && !first && bytes.IndexByte([]byte(",:]} \t\r\n"), c) >= 0 {
			if err := p.in.UnreadByte(); err != nil {
				return nil, err
			}
			break
		}
		if tooLong = tooLong || len(p.buf) == maxEntry; !tooLong {
			p.buf = append(p.buf, c)
		}
		switch {
		case escaped:
			escaped = false
		case inString:
			escaped, inString = c == '\\', c != '"'
		case c == '"':
			inString = true
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			depth--
		case c == ':' && depth == 0, c == ',' && depth == 0:
			return nil, errNoJSON // it stands in place of a value
		default:
			continue
		}
		if depth < 0 {
			return nil, errNoJSON
		}
		if depth == 0 && !inString && !escaped {
			break
		}
	}
	if tooLong {
		return nil, &badEntryError{fmt.Errorf("an entry has more than %d bytes", maxEntry)}
	}
	return p.buf, nil
}
