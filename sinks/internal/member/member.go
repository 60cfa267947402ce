// Package member reads single members of an event's JSON on the delivery path, where
// decoding it would cost more than all the rest.
package member

import "bytes"

// Each calls visit for each member of object, a JSON object that was found valid, in order
// and until visit returns false. name is the text between the quotes, as written: in
// canonical JSON a name that needs no escapes has none. value is the member's value. Both
// alias object. It allocates nothing; of bytes that are no valid JSON it visits some prefix.
func Each(object []byte, visit func(name, value []byte) bool) {
	i := space(object, 0)
	if i == len(object) || object[i] != '{' {
		return
	}
	i++
	for {
		i = space(object, i)
		if i == len(object) || object[i] != '"' {
			return
		}
		end := text(object, i)
		if end < 0 {
			return
		}
		name := object[i+1 : end-1]
		i = space(object, end)
		if i == len(object) || object[i] != ':' {
			return
		}
		i = space(object, i+1)
		end = value(object, i)
		if end < 0 || !visit(name, object[i:end]) {
			return
		}
		i = space(object, end)
		if i == len(object) || object[i] != ',' {
			return
		}
		i++
	}
}

// IsText reports that value is a string.
func IsText(value []byte) bool { return len(value) >= 2 && value[0] == '"' }

func space(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// text returns the end of the string that begins at i, -1 if it has none.
func text(b []byte, i int) int {
	for i++; ; i++ {
		next := bytes.IndexByte(b[min(i, len(b)):], '"')
		if next < 0 {
			return -1
		}
		i += next
		slants := 0
		for b[i-1-slants] == '\\' {
			slants++
		}
		if slants%2 == 0 {
			return i + 1
		}
	}
}

// value returns the end of the value that begins at i, -1 if it has none.
func value(b []byte, i int) int {
	if i < len(b) && b[i] == '"' {
		return text(b, i)
	}
	depth := 0
	for begin := i; i < len(b); {
		switch b[i] {
		case '"':
			if i = text(b, i); i < 0 {
				return -1
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return end(begin, i)
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',', ' ', '\n', '\t', '\r':
			if depth == 0 {
				return end(begin, i)
			}
		}
		i++
	}
	return -1
}

// end is i, or -1 for a value of no bytes.
func end(begin, i int) int {
	if begin == i {
		return -1
	}
	return i
}
