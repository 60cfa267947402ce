package config

import (
	"unicode"

	"go.yaml.in/yaml/v3"
)

// locate is the place in the file of the character at offset in the text n, where that can
// be told: YAML may write a text in many ways, over several lines, indented and with escapes.
// Else it is the place of n.
//
// It goes along the text and the file at once, past white space in either, which is what YAML
// folds and indents with.
func (d *decoder) locate(n *yaml.Node, offset int) (line, column int) {
	c := cursor{lines: d.lines, line: n.Line, column: n.Column}
	switch {
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		c.line, c.column = n.Line+1, 1
	case n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0:
		c.column++
	}
	for i, r := range []rune(n.Value) {
		if unicode.IsSpace(r) && i < offset {
			continue
		}
		c.skipSpace()
		if i >= offset {
			return c.line, c.column
		}
		if !c.next(r, n.Style) {
			return n.Line, n.Column
		}
	}
	return c.line, c.column
}

// cursor is a place in a file.
type cursor struct {
	lines        [][]rune
	line, column int // from 1
}

// peek is the character i places behind the cursor, in its line.
func (c *cursor) peek(i int) (rune, bool) {
	if c.line > len(c.lines) || c.column-1+i >= len(c.lines[c.line-1]) {
		return 0, false
	}
	return c.lines[c.line-1][c.column-1+i], true
}

func (c *cursor) skipSpace() {
	for c.line <= len(c.lines) {
		r, ok := c.peek(0)
		switch {
		case ok && unicode.IsSpace(r):
			c.column++
		case !ok && c.line < len(c.lines):
			c.line, c.column = c.line+1, 1
		default:
			return
		}
	}
}

// next moves past the character r, as a text of that style has it. It reports false where the
// file has another one.
func (c *cursor) next(r rune, style yaml.Style) bool {
	have, ok := c.peek(0)
	escape := rune(0)
	switch {
	case style&yaml.DoubleQuotedStyle != 0:
		escape = '\\'
	case style&yaml.SingleQuotedStyle != 0:
		escape = '\''
	}
	if ok && escape != 0 && have == escape {
		c.column++
		have, ok = c.peek(0)
	}
	if !ok || have != r {
		return false
	}
	c.column++
	return true
}
