package schema

import (
	"bytes"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// firstByte is the index of the first byte whose high bit is set in m, which is not 0.
func firstByte(m uint64) int { return bits.TrailingZeros64(m) >> 3 }

// invalidUTF8 is the offset of the first byte of b that begins no UTF-8 sequence.
func invalidUTF8(b []byte) int {
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return len(b)
}

// escapeLen is the length of the escape that b begins with, 0 if it is none.
func escapeLen(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(b) >= 6 && hex4(b[2:6]) >= 0 {
			return 6
		}
	}
	return 0
}

// isCanonicalEscape says whether an escape is the one spelling that RFC 8785 section 3.2.2.2
// has of a character: of those alone that must be escaped, and short where there is a short one.
func isCanonicalEscape(escape []byte) bool {
	if len(escape) == 2 {
		return escape[1] != '/'
	}
	c := hex4(escape[2:])
	return c < ' ' && bytes.IndexByte([]byte("\b\t\n\f\r"), byte(c)) < 0 && (isDigit(escape[5]) || escape[5] >= 'a')
}

// hex4 is the value of four hexadecimal digits, -1 if they are not.
func hex4(b []byte) rune {
	var r rune
	for _, c := range b[:4] {
		switch {
		case isDigit(c):
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}

// unescape returns the text of a string whose grammar has been checked.
func unescape(raw []byte) []byte {
	return appendUnescaped(make([]byte, 0, len(raw)), raw)
}

// appendUnescaped appends the text of raw, the inside of a string whose grammar has been
// checked. It is never longer than raw. A lone surrogate becomes U+FFFD.
func appendUnescaped(dst, raw []byte) []byte {
	for i := 0; i < len(raw); {
		c := raw[i]
		if c != '\\' {
			dst = append(dst, c)
			i++
			continue
		}
		switch c = raw[i+1]; c {
		case 'u':
			r, n := decodeEscape(raw[i:])
			dst = utf8.AppendRune(dst, r)
			i += n
			continue
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		}
		dst = append(dst, c)
		i += 2
	}
	return dst
}

// decodeEscape reads the \u escape, or the pair of them, that raw begins with.
func decodeEscape(raw []byte) (r rune, n int) {
	r = hex4(raw[2:])
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	if len(raw) >= 12 && raw[6] == '\\' && raw[7] == 'u' {
		if r = utf16.DecodeRune(r, hex4(raw[8:])); r != utf8.RuneError {
			return r, 12
		}
	}
	return utf8.RuneError, 6
}

// loneSurrogate is the offset in raw, the inside of a string whose grammar has been
// checked, of the first escaped surrogate that has no partner, -1 if there is none.
func loneSurrogate(raw []byte) int {
	for i := 0; i < len(raw); {
		switch {
		case raw[i] != '\\':
			i++
		case raw[i+1] != 'u':
			i += 2
		default:
			r, n := decodeEscape(raw[i:])
			if r == utf8.RuneError && utf16.IsSurrogate(hex4(raw[i+2:])) {
				return i
			}
			i += n
		}
	}
	return -1
}
