package schema

import (
	"bytes"
	"errors"
)

// node is a parsed JSON value. Its slices alias the input, except texts with escapes.
type node struct {
	kind     byte   // the value's first byte: n, t, f, ", [, {; 0 for every number
	name     []byte // of a member, unescaped
	text     []byte // of a string, unescaped; of a number as written
	raw      []byte // the value as written
	children []node // of an array or object, in the order of the input
}

const number = '0'

func (n *node) isNull() bool { return n.kind == 'n' }

// typeName is the JSON type of n as JSON Schema names it.
func (n *node) typeName() string {
	switch n.kind {
	case 'n':
		return "null"
	case 't', 'f':
		return "boolean"
	case '"':
		return "string"
	case '[':
		return "array"
	case '{':
		return "object"
	}
	return "number"
}

// parse reads one JSON value, which stands at the place at. What is wrong beyond grammar,
// and yet leaves a tree to go on with, is added to r: repeated names. Everything else is
// the one violation returned.
func parse(value []byte, at *place, r *report) (*node, *Violation) {
	p := parser{report: r}
	root := new(node)
	if bad := p.parse(value, root, at); bad != nil {
		return nil, bad
	}
	return root, nil
}

func syntaxViolation(value []byte, at *place, err error) *Violation {
	v := &Violation{Pointer: at.pointer(), Code: CodeSyntax, Message: err.Error()}
	switch syntax, _ := errors.AsType[*SyntaxError](err); {
	case bytes.HasPrefix(value, []byte("\ufeff")):
		v.Message = "starts with a byte order mark; remove it"
	case syntax != nil && syntax.deep:
		v.Code = CodeTooDeep
		v.Message += "; flatten the value or send it as a string"
	}
	return v
}

// parser builds the tree of a value whose grammar has been checked, so it looks only at
// what tells one value from the next. Its recursion is bounded by MaxDepth.
type parser struct {
	b      []byte
	i      int
	report *report
	bad    *Violation // a text that has no canonical form: the first one
	stack  []node     // children that were read, of the open arrays and objects
	nodes  []node     // whence the children of those that are complete come
}

func (p *parser) parse(value []byte, root *node, at *place) *Violation {
	if err := scan(value, nil); err != nil {
		return syntaxViolation(value, at, err)
	}
	p.b = value
	*root = p.value(at)
	return p.bad
}

func (p *parser) value(at *place) (n node) {
	p.i = skipSpace(p.b, p.i)
	start := p.i
	n.kind = p.b[start]
	switch n.kind {
	case '{':
		n.children = p.object(at)
	case '[':
		p.i++
		base := len(p.stack)
		for p.more(']') {
			item := p.value(at.item(len(p.stack) - base))
			p.stack = append(p.stack, item)
		}
		n.children = p.take(base)
	case '"':
		n.text = p.text(at)
	case 't', 'n':
		p.i += len("true")
	case 'f':
		p.i += len("false")
	default:
		n.kind = number
		p.i, _ = scanScalar(p.b, start)
		n.text = p.b[start:p.i:p.i]
	}
	n.raw = p.b[start:p.i:p.i]
	return n
}

func (p *parser) object(at *place) []node {
	p.i++
	base := len(p.stack)
	var seen map[string]bool
	for p.more('}') {
		p.i = skipSpace(p.b, p.i)
		name := p.text(at)
		p.i = skipSpace(p.b, p.i) + 1 // the colon
		member := at.member(name)
		if repeats(p.stack[base:], name, &seen) {
			p.report.add(member, CodeDuplicate, "the name stands here for the second time; send it once")
		}
		child := p.value(member)
		child.name = name
		p.stack = append(p.stack, child)
	}
	return p.take(base)
}

// take moves the children above base from the stack to where they stay.
func (p *parser) take(base int) []node {
	const chunk = 64
	children := p.stack[base:]
	if len(children) > cap(p.nodes)-len(p.nodes) {
		p.nodes = make([]node, 0, max(chunk, 2*cap(p.nodes), len(children))) // the former ones live as long as they are pointed to
	}
	start := len(p.nodes)
	p.nodes = append(p.nodes, children...)
	p.stack = p.stack[:base]
	return p.nodes[start:len(p.nodes):len(p.nodes)]
}

// repeats says whether one of the members has the name. Few are searched; seen takes over
// for many, lest an object of many names cost the square of its size.
func repeats(members []node, name []byte, seen *map[string]bool) bool {
	const small = 16
	if len(members) < small {
		for i := range members {
			if string(members[i].name) == string(name) {
				return true
			}
		}
		return false
	}
	if *seen == nil {
		*seen = make(map[string]bool, 2*small)
		for i := range members {
			(*seen)[string(members[i].name)] = true
		}
	}
	found := (*seen)[string(name)]
	(*seen)[string(name)] = true
	return found
}

// more moves to the next child of an array or object, or past its end.
func (p *parser) more(end byte) bool {
	p.i = skipSpace(p.b, p.i)
	switch p.b[p.i] {
	case end:
		p.i++
		return false
	case ',':
		p.i++
	}
	return true
}

// text reads the string at the present place.
func (p *parser) text(at *place) []byte {
	start := p.i + 1
	escaped := false
	for p.i = start; p.b[p.i] != '"'; p.i++ {
		if p.b[p.i] == '\\' {
			escaped = true
			p.i++
		}
	}
	raw := p.b[start:p.i:p.i]
	p.i++
	if !escaped {
		return raw
	}
	if i := loneSurrogate(raw); i >= 0 && p.bad == nil {
		p.bad = &Violation{at.pointer(), CodeSyntax, lone(start + i).Error()}
	}
	return unescape(raw)
}

func lone(offset int) error {
	return &SyntaxError{Offset: offset, Reason: "a surrogate escape without its partner, which is no character; leave it out or send U+FFFD"}
}
