package schema

import "bytes"

// Respell gives the JSON value at the end of b, from offset from on, its canonical form (RFC
// 8785) and returns b, longer or shorter. The value was written by encoding/json, without the
// escapes for HTML, of texts, and of parts that are canonical themselves; the members of its
// structs are in the order of their names. Then there are two differences, of which most
// events have none: two line separators that need no escapes in JSON, and the order of names
// with characters beyond U+DFFF.
//
// A value that is nested deeper than [MaxDepth] stays as it is.
func Respell(b []byte, from int) []byte {
	if !mayDiffer(b[from:]) {
		return b
	}
	value := bytes.Clone(b[from:])
	out, err := Canonicalize(b[:from], value)
	if err != nil {
		return append(b[:from], value...)
	}
	return out
}

// mayDiffer says whether the value has an escape \u2… , or a character beyond U+DFFF.
func mayDiffer(value []byte) bool {
	for i, c := range value {
		switch {
		case c >= 0xee:
			return true
		case c == '2' && i > 1 && value[i-1] == 'u' && value[i-2] == '\\':
			return true
		}
	}
	return false
}
