package bench

import (
	"bytes"
	"errors"
)

// objectCounter counts the JSON objects that stand one after another in a stream. It
// looks at brackets and strings only: enough to tell objects apart, whatever their
// strings hold, and to notice a cut one.
type objectCounter struct {
	objects  int64
	depth    int
	inString bool
	escaped  bool // the last byte was a backslash within a string

	begins func(object []byte) // if not nil, told of each object: as much of it as is there yet
}

var (
	errBetweenObjects = errors.New("something other than an object at the top level")
	errCutObject      = errors.New("the last object is cut off")
)

// add takes the next bytes of the stream.
func (c *objectCounter) add(p []byte) error {
	for len(p) > 0 {
		if c.inString {
			p = c.skipString(p)
			continue
		}
		b := p[0]
		if b == '{' && c.depth == 0 && c.begins != nil {
			c.begins(p)
		}
		p = p[1:]
		switch b {
		case '{', '[':
			if c.depth == 0 && b == '[' {
				return errBetweenObjects
			}
			c.depth++
		case '}', ']':
			if c.depth == 0 {
				return errBetweenObjects
			}
			if c.depth--; c.depth == 0 {
				c.objects++
			}
		case ' ', '\t', '\r', '\n':
		default:
			if c.depth == 0 {
				return errBetweenObjects
			}
			c.inString = b == '"'
		}
	}
	return nil
}

// skipString returns what follows the string's end, or nothing if it goes on.
func (c *objectCounter) skipString(p []byte) []byte {
	if c.escaped {
		c.escaped = false
		return p[1:]
	}
	i := bytes.IndexByte(p, '"')
	if i < 0 {
		i = len(p)
	}
	if j := bytes.IndexByte(p[:i], '\\'); j >= 0 {
		c.escaped = true
		return p[j+1:]
	}
	if i == len(p) {
		return nil
	}
	c.inString = false
	return p[i+1:]
}

// end is the number of objects, or the reason why the stream is not a run of them.
func (c *objectCounter) end() (int64, error) {
	if c.depth != 0 || c.inString {
		return 0, errCutObject
	}
	return c.objects, nil
}
