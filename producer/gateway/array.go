package gateway

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// arrayReader splits a JSON array into the texts of its items, in the memory of one. It looks
// only at what tells one item from the next: whoever reads an item finds out what it is.
type arrayReader struct {
	r     *bufio.Reader
	limit int
	buf   []byte
	begun bool
	index int
}

func newArrayReader(r io.Reader, limit int) *arrayReader {
	return &arrayReader{r: bufio.NewReaderSize(r, 16<<10), limit: limit}
}

// next is the next item; it is valid until the next call. io.EOF is the end of the array, and of
// the body. After any other error there is nothing more to be read.
func (a *arrayReader) next() ([]byte, error) {
	c, err := a.skip()
	switch {
	case err != nil:
		return nil, a.ends(err)
	case !a.begun && c != '[':
		return nil, a.malformed("the body has to be a JSON array")
	case !a.begun:
		a.begun = true
		if c, err = a.skip(); err != nil {
			return nil, a.ends(err)
		}
		if c == ']' {
			return nil, a.end()
		}
	case c == ']':
		return nil, a.end()
	case c == ',':
		if c, err = a.skip(); err != nil {
			return nil, a.ends(err)
		}
	default:
		return nil, a.malformed("a comma is missing")
	}
	if c != '{' {
		return nil, a.malformed("each item has to be an object")
	}
	a.buf = append(a.buf[:0], c)
	depth, text, escaped := 1, false, false
	for depth > 0 {
		c, err := a.r.ReadByte()
		if err != nil {
			return nil, a.ends(err)
		}
		if len(a.buf) == a.limit {
			return nil, tooLarge(a.limit)
		}
		a.buf = append(a.buf, c)
		switch {
		case escaped:
			escaped = false
		case text:
			escaped, text = c == '\\', c != '"'
		case c == '"':
			text = true
		case c == '{', c == '[':
			depth++
		case c == '}', c == ']':
			depth--
		}
	}
	a.index++
	return a.buf, nil
}

// skip is the next byte that is no white space.
func (a *arrayReader) skip() (byte, error) {
	for {
		c, err := a.r.ReadByte()
		if err != nil || c != ' ' && c != '\t' && c != '\n' && c != '\r' {
			return c, err
		}
	}
}

// end is io.EOF if nothing but white space follows the array.
func (a *arrayReader) end() error {
	_, err := a.skip()
	if err == nil {
		return a.malformed("something follows the array")
	}
	return err
}

// ends is what a body that ends too early is refused with.
func (a *arrayReader) ends(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return a.malformed("the body ends within the array")
	}
	return err
}

func (a *arrayReader) malformed(why string) *Error {
	e := Errorf(http.StatusBadRequest, CodeMalformed, "The body is not a JSON array of objects, from item %d on.", a.index)
	e.Errors = []Detail{{Code: "syntax", Message: why, Pointer: fmt.Sprintf("/%d", a.index)}}
	return e
}
