package schema

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Codes of violations. They are part of the public contract: dead letters and the
// output of commands carry them.
const (
	CodeSyntax    = "syntax"    // not one JSON value in UTF-8; nothing else could be checked
	CodeRequired  = "required"  // a member is missing
	CodeType      = "type"      // a value of the wrong JSON type
	CodePattern   = "pattern"   // a string that does not match its pattern
	CodeFormat    = "format"    // a string that is not of its format
	CodeDuplicate = "duplicate" // a name for the second time, or in both spellings
	CodeRange     = "range"     // a number that not every JSON reader would read alike
	CodeTooLarge  = "too_large" // more bytes than an event may have
	CodeTooDeep   = "too_deep"  // nested deeper than MaxDepth
	CodeMore      = "more"      // violations beyond MaxViolations were found and are not listed
)

const (
	// MaxViolations bounds how many violations of one event are listed.
	MaxViolations = 100
	// maxPointer bounds a violation's pointer, in bytes: names in an event can be as long
	// as the event.
	maxPointer = 512
)

// Violation is one thing that is wrong with an event. It never holds a value of the
// event, only names.
type Violation struct {
	Pointer string `json:"pointer"` // RFC 6901, with names as the input spells them; empty for the whole event; cut with … beyond 512 bytes
	Code    string `json:"code"`    // one of the Code constants
	Message string `json:"message"` // what is wrong and what to do, in plain words
}

// String is "pointer: code: message", without the pointer where the whole event is meant,
// and without a message that says no more than the code.
func (v Violation) String() string {
	text := v.Code
	if v.Message != v.Code {
		text += ": " + v.Message
	}
	if v.Pointer != "" {
		text = v.Pointer + ": " + text
	}
	return text
}

// Violations is everything that is wrong with an event, in the order in which it was
// found; at most MaxViolations, then one of CodeMore. It is an error only when it is not
// empty: return it through Err.
type Violations []Violation

// Err is v as an error, nil if there is no violation.
func (v Violations) Err() error {
	if len(v) == 0 {
		return nil
	}
	return v
}

func (v Violations) Error() string {
	texts := make([]string, len(v))
	for i, violation := range v {
		texts[i] = violation.String()
	}
	return strings.Join(texts, "; ")
}

// place is where in an event a value stands, as a list from the value to the root.
type place struct {
	parent *place
	name   []byte   // of a member, where label is empty
	label  string   // likewise
	index  int      // of an array's item, or -1
	arena  *[]place // whence the places below come: a walk makes one for every value
}

// rootPlace is the place of a whole value.
func rootPlace() *place {
	arena := make([]place, 0, 32)
	return &place{index: -1, arena: &arena}
}

func (p *place) member(name []byte) *place { return p.below(place{name: name, index: -1}) }

func (p *place) named(label string) *place { return p.below(place{label: label, index: -1}) }

func (p *place) item(index int) *place { return p.below(place{index: index}) }

func (p *place) below(child place) *place {
	child.parent, child.arena = p, p.arena
	a := p.arena
	if len(*a) == cap(*a) {
		*a = make([]place, 0, cap(*a)) // the former ones live as long as they are pointed to
	}
	*a = append(*a, child)
	return &(*a)[len(*a)-1]
}

// pointer is p as a JSON pointer.
func (p *place) pointer() string {
	pointer := p.append(nil)
	if len(pointer) <= maxPointer {
		return string(pointer)
	}
	cut := maxPointer
	for !utf8.RuneStart(pointer[cut]) {
		cut--
	}
	return string(pointer[:cut]) + "…"
}

// append appends the steps from the root to p.
func (p *place) append(dst []byte) []byte {
	if p == nil || p.parent == nil {
		return dst
	}
	dst = append(p.parent.append(dst), '/')
	if p.index >= 0 {
		return strconv.AppendInt(dst, int64(p.index), 10)
	}
	if p.label != "" {
		return appendToken(dst, p.label)
	}
	return appendToken(dst, p.name)
}

// appendToken appends a name as a step of a JSON pointer, or as much of it as is needed to
// see that the pointer has to be cut.
func appendToken[T string | []byte](dst []byte, name T) []byte {
	for i := 0; i < len(name) && len(dst) <= maxPointer; i++ {
		switch c := name[i]; c {
		case '~':
			dst = append(dst, "~0"...)
		case '/':
			dst = append(dst, "~1"...)
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// report collects violations up to MaxViolations.
type report struct{ list Violations }

func (r *report) add(at *place, code, format string, args ...any) {
	r.addViolation(Violation{at.pointer(), code, fmt.Sprintf(format, args...)})
}

func (r *report) addViolation(v Violation) {
	switch {
	case len(r.list) < MaxViolations:
		r.list = append(r.list, v)
	case len(r.list) == MaxViolations:
		r.list = append(r.list, Violation{"", CodeMore, fmt.Sprintf("there are more than the %d violations listed", MaxViolations)})
	}
}
