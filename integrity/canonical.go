package integrity

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/gowebpki/jcs"
)

// maxDepth bounds the nesting of what is made canonical: far more than events have, and far
// less than a stack bears.
const maxDepth = 1000

// Canonical is JSON in the form of RFC 8785, in which an event is hashed: whoever has stored
// an event in another spelling gets the form back in which it was sent. Text that is
// canonical already, as feeds carry it, is returned as it is, and costs one pass.
func Canonical(text []byte) ([]byte, error) {
	s := spelling{text: text}
	if s.value(0) && s.at == len(text) {
		return text, nil
	}
	if err := nested(text); err != nil {
		return nil, err
	}
	if !utf8.Valid(text) {
		return nil, errors.New("this is no JSON: it is not UTF-8")
	}
	out, err := jcs.Transform(text)
	if err != nil {
		return nil, fmt.Errorf("this has no canonical form: %w", err)
	}
	return out, nil
}

// DigestOf is the digest of an event as a receiver has it: of its canonical form, where it
// is a JSON object, or of its bytes, which are a line of text then.
func DigestOf(text []byte) (Hash, error) {
	trimmed := bytes.TrimSpace(text)
	if len(trimmed) == 0 || trimmed[0] != '{' {
		return Digest(text), nil
	}
	event, err := Canonical(trimmed)
	if err != nil {
		return Hash{}, err
	}
	return Digest(event), nil
}

// nested refuses what nests too deeply, before anything recurses into it.
func nested(text []byte) error {
	depth, inString := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return fmt.Errorf("this is nested more than %d deep", maxDepth)
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil
}

// spelling finds out, in one pass and without memory, that a text is canonical. It is
// content with what audit events are made of; of the rest, fractions and keys beyond
// ASCII among it, it says no, and the slow way decides.
type spelling struct {
	text []byte
	at   int
}

func (s *spelling) next() byte {
	if s.at < len(s.text) {
		return s.text[s.at]
	}
	return 0
}

func (s *spelling) take(c byte) bool {
	if s.next() != c {
		return false
	}
	s.at++
	return true
}

func (s *spelling) value(depth int) bool {
	if depth > maxDepth {
		return false
	}
	switch c := s.next(); {
	case c == '{':
		return s.object(depth)
	case c == '[':
		return s.array(depth)
	case c == '"':
		_, ok := s.string()
		return ok
	case c == '-' || c >= '0' && c <= '9':
		return s.integer()
	}
	for _, word := range [...]string{"true", "false", "null"} {
		if rest := s.text[s.at:]; len(rest) >= len(word) && string(rest[:len(word)]) == word {
			s.at += len(word)
			return true
		}
	}
	return false
}

func (s *spelling) object(depth int) bool {
	s.at++
	if s.take('}') {
		return true
	}
	var before []byte
	for first := true; ; first = false {
		key, ok := s.key()
		if !ok || !first && bytes.Compare(before, key) >= 0 || !s.take(':') || !s.value(depth+1) {
			return false
		}
		before = key
		if s.take('}') {
			return true
		}
		if !s.take(',') {
			return false
		}
	}
}

// key takes a key of printable ASCII without escapes: of these the order of bytes is that
// of UTF-16, which the canonical form has.
func (s *spelling) key() ([]byte, bool) {
	if !s.take('"') {
		return nil, false
	}
	begin := s.at
	for ; s.at < len(s.text); s.at++ {
		switch c := s.text[s.at]; {
		case c == '"':
			s.at++
			return s.text[begin : s.at-1], true
		case c < 0x20 || c >= 0x7f || c == '\\':
			return nil, false
		}
	}
	return nil, false
}

func (s *spelling) array(depth int) bool {
	s.at++
	if s.take(']') {
		return true
	}
	for {
		if !s.value(depth + 1) {
			return false
		}
		if s.take(']') {
			return true
		}
		if !s.take(',') {
			return false
		}
	}
}

func (s *spelling) string() ([]byte, bool) {
	s.at++
	begin := s.at
	for s.at < len(s.text) {
		switch c := s.text[s.at]; {
		case c == '"':
			s.at++
			return s.text[begin : s.at-1], true
		case c < 0x20:
			return nil, false
		case c == '\\':
			if !s.escape() {
				return nil, false
			}
		case c < utf8.RuneSelf:
			s.at++
		default:
			r, size := utf8.DecodeRune(s.text[s.at:])
			if r == utf8.RuneError && size == 1 {
				return nil, false
			}
			s.at += size
		}
	}
	return nil, false
}

// escape takes the one spelling of what has to be escaped.
func (s *spelling) escape() bool {
	rest := s.text[s.at:]
	if len(rest) < 2 {
		return false
	}
	switch rest[1] {
	case '"', '\\', 'b', 'f', 'n', 'r', 't':
		s.at += 2
		return true
	case 'u':
		if len(rest) < 6 || string(rest[2:4]) != "00" || rest[4] != '0' && rest[4] != '1' {
			return false
		}
		low := bytes.IndexByte([]byte("0123456789abcdef"), rest[5])
		if low < 0 || rest[4] == '0' && (low == 8 || low == 9 || low == 10 || low == 12 || low == 13) {
			return false // that has a short form
		}
		s.at += 6
		return true
	}
	return false
}

// integer takes whole numbers of at most 15 digits, which have one spelling.
func (s *spelling) integer() bool {
	negative := s.take('-')
	begin := s.at
	for c := s.next(); c >= '0' && c <= '9'; c = s.next() {
		s.at++
	}
	digits := s.text[begin:s.at]
	if len(digits) == 0 || len(digits) > 15 || digits[0] == '0' && (len(digits) > 1 || negative) {
		return false
	}
	c := s.next()
	return c != '.' && c != 'e' && c != 'E'
}
