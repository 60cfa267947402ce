package schema

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"
)

// MaxDepth is how deep objects and arrays may nest; an event's own object is the
// first level. The levels of one scan are the bits of one word. Every reader of this
// package has the same bound, so that what one of them takes no other refuses.
const MaxDepth = 64

// Fields are the four top-level fields that delivery needs. Each is the text of the
// JSON string, unescaped; without escapes it aliases the scanned value. A field that
// the value lacks is nil, one that is the empty string is empty but not nil.
type Fields struct {
	Action         []byte
	ID             []byte
	OccurredAt     []byte
	OrganizationID []byte

	Canonical bool // the value is spelled as [Canonicalize] spells it
}

// SyntaxError says why bytes are not the JSON that was asked for.
type SyntaxError struct {
	Offset int    // of the offending byte, from 0; the length of the input if that ended too early
	Reason string // in plain words

	deep bool // it is nested too deep, and nothing else is known to be wrong
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("%s at byte %d", e.Reason, e.Offset) }

// Scan proves that value is exactly one JSON object (RFC 8259) in UTF-8 and finds its
// Fields. White space around it is allowed, anything else before or after it is not.
// It refuses a Field that is not a string and a second member of the same name, also
// where the name is written with escapes: what it finds is what every JSON reader
// behind it will find. Other members may repeat, and strings may hold lone surrogate
// escapes, read as U+FFFD as encoding/json does: [Decode] refuses both before an event
// is made canonical. Nesting is bounded by [MaxDepth].
//
// On the way it finds out whether the value is canonical, so that nobody who hands events on
// has to believe it.
//
// It allocates only to unescape a Field, to order names with escapes, and to report an
// error, a *[SyntaxError].
func Scan(value []byte, f *Fields) error {
	*f = Fields{}
	if start := skipSpace(value, 0); start == len(value) || value[start] != '{' {
		return syntaxError(value, start, "expected an object")
	}
	return scan(value, f)
}

// Words with the same byte eight times, for looking at eight bytes at once.
const (
	ones   = 0x0101010101010101
	highs  = 0x80 * ones
	quotes = '"' * ones
	slants = '\\' * ones
	blanks = ' ' * ones
)

// scan reads exactly one JSON value of any kind. Without f it looks at grammar and
// encoding only.
//
// It is one loop with jumps between its states because delivery runs it once an event:
// calls for each string, or a stack of states, cost more than the work itself.
func scan(b []byte, f *Fields) error {
	var (
		i        int    // the byte looked at
		start    int    // of the string last read, after its quote
		depth    int    // of open objects and arrays
		objects  uint64 // bit 0 says whether the innermost open level is an object, bit 1 the next one out
		isKey    bool   // whether the string being read is a member's name
		escaped  bool   // whether the string last read holds escapes
		nonASCII uint64 // whether it holds other characters than ASCII
		want     *[]byte
		c        byte
		next     int
		odd      bool             // whether anything was seen that canonical JSON has not
		plain    = true           // whether the names so far are ASCII without escapes, in the order of their bytes
		names    [MaxDepth]uint32 // where the last name of each open object begins; 0: it has none yet
	)

value:
	if i >= len(b) {
		return syntaxError(b, i, "")
	}
	c = b[i]
	switch {
	case c == '"':
		isKey = false
		goto text
	case c == '{':
		if want != nil {
			return notString(i)
		}
		if depth == MaxDepth {
			return tooDeep(i)
		}
		names[depth] = 0
		depth++
		objects = objects<<1 | 1
		i++
		if i < len(b) && b[i] == '"' {
			isKey = true
			goto text
		}
		if next = skipSpace(b, i); next != i {
			odd, i = true, next
		}
		if i < len(b) && b[i] == '}' {
			i++
			goto closed
		}
		goto key
	case c == '[':
		if want != nil {
			return notString(i)
		}
		if depth == MaxDepth {
			return tooDeep(i)
		}
		depth++
		objects <<= 1
		i++
		if next = skipSpace(b, i); next != i {
			odd, i = true, next
		}
		if i < len(b) && b[i] == ']' {
			i++
			goto closed
		}
		goto value
	case c <= ' ':
		if next = skipSpace(b, i); next == i {
			return syntaxError(b, i, "")
		}
		odd, i = true, next
		goto value
	default:
		if want != nil {
			return notString(i)
		}
		end, bad := scanScalar(b, i)
		if bad != "" {
			return syntaxError(b, end, bad)
		}
		odd = odd || c <= '9' && !isCanonicalNumber(b[i:end])
		i = end
		goto after
	}

key:
	if next = skipSpace(b, i); next != i {
		odd, i = true, next
	}
	if i >= len(b) || b[i] != '"' {
		return syntaxError(b, i, "expected a member's name in double quotes")
	}
	isKey = true

text: // b[i] is the opening quote
	i++
	start = i
	escaped = false
	nonASCII = 0
	{
		for {
			if len(b)-i < 8 {
				// The last bytes of the value, one at a time.
				for ; i < len(b) && b[i] != '"' && b[i] != '\\' && b[i] >= ' '; i++ {
					nonASCII |= uint64(b[i]) & highs
				}
				if i == len(b) {
					return syntaxError(b, i, "")
				}
			} else {
				w := binary.LittleEndian.Uint64(b[i:])
				// The lowest bit set marks the first byte that is a quote, a backslash or a control
				// character. The bits above it may be wrong, by the borrow of the subtractions.
				stop := (((w ^ quotes) - ones) | ((w ^ slants) - ones) | (w - blanks)) &^ w & highs
				if stop == 0 {
					nonASCII |= w & highs
					i += 8
					continue
				}
				nonASCII |= w & highs & ((stop & -stop) - 1)
				i += firstByte(stop)
			}
			if c = b[i]; c == '"' {
				break
			}
			if c != '\\' {
				return syntaxError(b, i, "control character in a string")
			}
			escaped = true
			n := escapeLen(b[i:])
			if n == 0 {
				return syntaxError(b, i, "invalid escape in a string")
			}
			odd = odd || !isCanonicalEscape(b[i:i+n])
			i += n
		}
		if nonASCII != 0 && !utf8.Valid(b[start:i]) {
			return syntaxError(b, start+invalidUTF8(b[start:i]), "invalid UTF-8")
		}
	}
	i++

	if isKey {
		plain = plain && !escaped && nonASCII == 0
		last := &names[depth-1]
		if c = b[start]; c <= '"' || c <= b[*last] || !plain { // else the first byte tells that they are in order
			odd = odd || *last > 0 && !inOrder(b, int(*last), start, plain)
		}
		*last = uint32(start)
		if depth == 1 && f != nil {
			if want = f.named(b[start:i-1], escaped); want != nil && *want != nil {
				return &SyntaxError{Offset: start - 1, Reason: "a second " + f.name(want)}
			}
		}
		if i >= len(b) || b[i] != ':' {
			if next = skipSpace(b, i); next != i {
				odd, i = true, next
			}
			if i >= len(b) || b[i] != ':' {
				return syntaxError(b, i, "expected a colon after a member's name")
			}
		}
		i++
		goto value
	}
	if want != nil {
		*want = b[start : i-1 : i-1]
		if escaped {
			*want = unescape(*want)
		}
		want = nil
	}

after: // a value is complete
	if depth == 0 {
		if next = skipSpace(b, i); next != len(b) {
			return &SyntaxError{Offset: next, Reason: "more than one value"}
		}
		if f != nil {
			f.Canonical = !odd && next == i
		}
		return nil
	}
	if i >= len(b) {
		return syntaxError(b, i, "")
	}
	switch c = b[i]; {
	case c == ',':
		i++
		if objects&1 == 0 {
			goto value
		}
		if i < len(b) && b[i] == '"' {
			isKey = true
			goto text
		}
		goto key
	case c == '}' && objects&1 == 1, c == ']' && objects&1 == 0:
		i++
		goto closed
	case c <= ' ':
		if next = skipSpace(b, i); next != i {
			odd, i = true, next
			goto after
		}
	}
	if objects&1 == 1 {
		return syntaxError(b, i, "expected a comma or a closing brace")
	}
	return syntaxError(b, i, "expected a comma or a closing bracket")

closed:
	depth--
	objects >>= 1
	goto after
}

// inOrder says whether two names of one object, given by where they begin behind their quotes,
// are in the order of canonical JSON, and not the same.
func inOrder(b []byte, first, second int, plain bool) bool {
	if !plain {
		return compareUTF16(nameAt(b, first), nameAt(b, second)) < 0
	}
	for b[first] == b[second] && b[first] != '"' {
		first, second = first+1, second+1
	}
	x, y := b[first], b[second]
	return y != '"' && (x == '"' || x < y)
}

// nameAt is the name that begins at b[i]. Its grammar has been checked.
func nameAt(b []byte, i int) []byte {
	end, escaped := i, false
	for b[end] != '"' {
		if b[end] != '\\' {
			end++
		} else {
			end, escaped = end+escapeLen(b[end:]), true
		}
	}
	if escaped {
		return unescape(b[i:end])
	}
	return b[i:end]
}

// named returns the field that a member's name means, nil for any other name.
func (f *Fields) named(key []byte, escaped bool) *[]byte {
	if escaped {
		// An escape takes at most six bytes for one of the name. What is longer is no name of
		// ours, what is not is unescaped on the stack.
		if len(key) > 6*len("organization_id") {
			return nil
		}
		var buf [6 * len("organization_id")]byte
		key = appendUnescaped(buf[:0], key)
	}
	switch string(key) {
	case "action":
		return &f.Action
	case "id":
		return &f.ID
	case "occurred_at":
		return &f.OccurredAt
	case "organization_id":
		return &f.OrganizationID
	}
	return nil
}

func (f *Fields) name(field *[]byte) string {
	switch field {
	case &f.Action:
		return "action"
	case &f.ID:
		return "id"
	case &f.OccurredAt:
		return "occurred_at"
	}
	return "organization_id"
}

// scanScalar reads a literal or a number at b[i] and returns where it ends, or where it
// goes wrong and why.
func scanScalar(b []byte, i int) (end int, bad string) {
	switch b[i] {
	case 't':
		return scanLiteral(b, i, "true")
	case 'f':
		return scanLiteral(b, i, "false")
	case 'n':
		return scanLiteral(b, i, "null")
	}
	if b[i] == '-' {
		i++
	}
	switch {
	case i < len(b) && b[i] == '0':
		i++
	case i < len(b) && isDigit(b[i]):
		i = skipDigits(b, i)
	default:
		return i, "invalid value"
	}
	if i < len(b) && b[i] == '.' {
		first := i + 1
		if i = skipDigits(b, first); i == first {
			return i, "invalid number"
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		first := i
		if i = skipDigits(b, first); i == first {
			return i, "invalid number"
		}
	}
	return i, ""
}

func scanLiteral(b []byte, i int, literal string) (end int, bad string) {
	if len(b)-i >= len(literal) && string(b[i:i+len(literal)]) == literal {
		return i + len(literal), ""
	}
	return i, "invalid value"
}

func isDigit(c byte) bool { return c-'0' <= 9 }

func skipDigits(b []byte, i int) int {
	for i < len(b) && isDigit(b[i]) {
		i++
	}
	return i
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// syntaxError words what is wrong at b[i]; that b ends there comes before any reason.
func syntaxError(b []byte, i int, reason string) error {
	switch {
	case i >= len(b):
		return &SyntaxError{Offset: len(b), Reason: "unexpected end"}
	case reason == "":
		reason = "invalid value"
	}
	return &SyntaxError{Offset: i, Reason: reason}
}

func notString(i int) error {
	return &SyntaxError{Offset: i, Reason: "action, id, occurred_at or organization_id is not a string"}
}

func tooDeep(i int) error {
	return &SyntaxError{Offset: i, Reason: fmt.Sprintf("nested deeper than %d levels", MaxDepth), deep: true}
}
