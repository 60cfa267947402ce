package schema

import (
	"math"
	"strconv"
)

// maxInteger is the largest integer up to which a double holds every one: 2^53-1, the
// bound of RFC 7493 (I-JSON), which RFC 8785 builds on.
const maxInteger = 1<<53 - 1

const (
	adviceInteger = "an integer beyond ±(2^53-1), which JSON readers round; send it as a string"
	adviceNumber  = "not a number that a double can hold; send it as a string"
)

// appendNumber appends f as ECMAScript writes it, which is what RFC 8785 section 3.2.2.3
// asks for: the shortest digits that give f again, an exponent from 1e21 on and below 1e-6.
// f is finite.
func appendNumber(dst []byte, f float64) []byte {
	if f == 0 {
		return append(dst, '0') // also for -0
	}
	if abs := math.Abs(f); abs >= 1e-6 && abs < 1e21 {
		return strconv.AppendFloat(dst, f, 'f', -1, 64)
	}
	dst = strconv.AppendFloat(dst, f, 'e', -1, 64)
	// strconv writes at least two digits of exponent, ECMAScript as many as it needs.
	if n := len(dst); dst[n-2] == '0' && !isDigit(dst[n-3]) {
		dst[n-2] = dst[n-1]
		dst = dst[:n-1]
	}
	return dst
}

// readNumber is the double that the JSON number text means, or the reason why an event
// cannot carry it. The bound for integers looks at the canonical spelling: 1e20 would be
// written as an integer of 21 digits, and would be refused when read again.
func readNumber(text []byte) (f float64, bad string) {
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		return 0, adviceNumber
	}
	if math.Abs(f) > maxInteger && skipDigits(text, sign(text)) == len(text) {
		return 0, adviceInteger
	}
	return f, numberAdvice(f)
}

// sign is the length of the sign that text begins with.
func sign(text []byte) int {
	if len(text) > 0 && text[0] == '-' {
		return 1
	}
	return 0
}

// numberAdvice is the reason why an event cannot carry f, empty if it can.
func numberAdvice(f float64) string {
	abs := math.Abs(f)
	switch {
	case math.IsNaN(f) || math.IsInf(f, 0):
		return adviceNumber
	case abs > maxInteger && abs < 1e21 && abs == math.Trunc(abs):
		return adviceInteger
	}
	return ""
}

// isPlainInteger says that text is spelled as ECMAScript would spell it and is small enough
// for a double: the common case, which needs no conversion.
func isPlainInteger(text []byte) bool {
	return len(text) <= 15 && string(text) != "-0" && skipDigits(text, sign(text)) == len(text)
}

// isCanonicalNumber says whether the JSON number text is one that an event can carry, as the
// encoder spells it.
func isCanonicalNumber(text []byte) bool {
	if isPlainInteger(text) {
		return true
	}
	f, bad := readNumber(text)
	var b [32]byte
	return bad == "" && string(appendNumber(b[:0], f)) == string(text)
}

// isInteger says whether the JSON number text has an integer as its value, as JSON Schema
// counts: 1.0 and 10e-1 have. It reads digits, because a double would round.
func isInteger(text []byte) bool {
	text = text[sign(text):]
	point, end, digits := -1, len(text), 0
	last := -1 // index among the digits of the last one that is not zero
	for i, c := range text {
		if c == '.' {
			point = digits
			continue
		}
		if !isDigit(c) {
			end = i
			break
		}
		if c != '0' {
			last = digits
		}
		digits++
	}
	if last < 0 {
		return true
	}
	if point < 0 {
		point = digits
	}
	exponent := 0
	if end < len(text) {
		// An exponent beyond int is beyond every number of digits, too.
		n, err := strconv.Atoi(string(text[end+1:]))
		if err != nil {
			return text[end+1] != '-'
		}
		exponent = n
	}
	return last < point+exponent
}
