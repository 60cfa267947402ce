package schema

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"unicode/utf8"
)

// Canonicalize appends the canonical form (RFC 8785) of value, one JSON value of any
// kind, to dst and returns the longer slice. What has no canonical form, or one that
// readers could understand differently, is refused with [Violations] and dst returned as
// it was: repeated names, lone surrogates, integers beyond ±(2^53-1), numbers beyond a
// double, nesting deeper than [MaxDepth].
func Canonicalize(dst, value []byte) ([]byte, error) {
	w := newWorkspace()
	if bad := w.parse(value); bad != nil {
		w.done()
		return dst, Violations{*bad}
	}
	e := encoder{dst: dst, report: &w.report}
	e.node(&w.root, &w.top)
	if err := w.found().Err(); err != nil {
		return dst, err
	}
	return e.dst, nil
}

// AppendCanonical appends the canonical form (RFC 8785) of e to dst and returns the
// longer slice. It does not validate e, but refuses with [Violations] what cannot be
// encoded, dst then being returned as it was: text that is not UTF-8, integers beyond
// ±(2^53-1), numbers that are not finite, nesting deeper than [MaxDepth], values that
// encoding/json cannot marshal, and whatever [Decode] would refuse in Extra.
func (e *Event) AppendCanonical(dst []byte) ([]byte, error) {
	var r report
	enc := encoder{dst: dst, report: &r}
	enc.event(e, rootPlace())
	if err := r.list.Err(); err != nil {
		return dst, err
	}
	return enc.dst, nil
}

// AppendMetadata appends the canonical form (RFC 8785) of metadata to dst and returns the
// longer slice. It refuses what AppendCanonical refuses.
func AppendMetadata(dst []byte, metadata map[string]any) ([]byte, error) {
	var r report
	enc := encoder{dst: dst, report: &r}
	enc.metadata(metadata, rootPlace())
	if err := r.list.Err(); err != nil {
		return dst, err
	}
	return enc.dst, nil
}

// encoder appends canonical JSON to dst and reports what has none; after the first report
// dst is no longer of use, but the rest is still looked at.
type encoder struct {
	dst    []byte
	depth  int // of open objects and arrays
	idAt   int // of dst: behind this an event without an id has its place for one; 0: not known
	report *report
}

// open begins an object or array, or reports that it is nested too deep.
func (e *encoder) open(c byte, at *place) bool {
	if e.depth == MaxDepth {
		e.report.add(at, CodeTooDeep, "nested deeper than %d levels; flatten the value or send it as a string", MaxDepth)
		return false
	}
	e.depth++
	e.dst = append(e.dst, c)
	return true
}

func (e *encoder) close(c byte) {
	e.depth--
	e.dst = append(e.dst, c)
}

func (e *encoder) node(n *node, at *place) {
	switch n.kind {
	case '{':
		if !e.open('{', at) {
			return
		}
		members := n.children
		if byName := func(a, b node) int { return compareUTF16(a.name, b.name) }; !slices.IsSortedFunc(members, byName) {
			members = slices.SortedFunc(slices.Values(members), byName)
		}
		for i := range members {
			if i > 0 {
				e.dst = append(e.dst, ',')
			}
			e.dst = append(appendText(e.dst, members[i].name), ':')
			e.node(&members[i], at.member(members[i].name))
		}
		e.close('}')
	case '[':
		if !e.open('[', at) {
			return
		}
		for i := range n.children {
			if i > 0 {
				e.dst = append(e.dst, ',')
			}
			e.node(&n.children[i], at.item(i))
		}
		e.close(']')
	case '"':
		e.dst = appendText(e.dst, n.text)
	case number:
		e.number(n.text, at)
	default:
		e.dst = append(e.dst, n.raw...)
	}
}

func (e *encoder) number(text []byte, at *place) {
	if isPlainInteger(text) {
		e.dst = append(e.dst, text...)
		return
	}
	f, bad := readNumber(text)
	if bad != "" {
		e.report.add(at, CodeRange, "%s", bad)
		return
	}
	e.dst = appendNumber(e.dst, f)
}

// value encodes a Go value of metadata. The types that Decode makes, and those that
// services most often put there, take the short way; encoding/json is asked for the rest.
func (e *encoder) value(v any, at *place) {
	switch v := v.(type) {
	case nil:
		e.dst = append(e.dst, "null"...)
	case string:
		e.string(v, at)
	case bool:
		e.dst = strconv.AppendBool(e.dst, v)
	case int:
		e.integer(int64(v), at)
	case int64:
		e.integer(v, at)
	case float64:
		if bad := numberAdvice(v); bad != "" {
			e.report.add(at, CodeRange, "%s", bad)
			return
		}
		e.dst = appendNumber(e.dst, v)
	case json.RawMessage:
		e.raw(v, at)
	case map[string]any:
		if v == nil {
			e.dst = append(e.dst, "null"...)
			return
		}
		e.metadata(v, at)
	case []any:
		switch {
		case v == nil:
			e.dst = append(e.dst, "null"...)
		case e.open('[', at):
			for i := range v {
				if i > 0 {
					e.dst = append(e.dst, ',')
				}
				e.value(v[i], at.item(i))
			}
			e.close(']')
		}
	default:
		if rv := reflect.ValueOf(v); rv.Kind() == reflect.String && rv.Type() != reflect.TypeFor[json.Number]() && !utf8.ValidString(rv.String()) {
			e.notUTF8(at) // encoding/json would replace the bytes without a word
			return
		}
		raw, err := json.Marshal(v)
		if err != nil {
			e.report.add(at, CodeType, "a %T has no JSON form", v)
			return
		}
		e.raw(raw, at)
	}
}

// raw encodes JSON that comes from outside this package. Offsets in what is reported
// count from its own beginning.
func (e *encoder) raw(value []byte, at *place) {
	n, bad := parse(value, at, e.report)
	if bad != nil {
		e.report.addViolation(*bad)
		return
	}
	e.node(n, at)
}

func (e *encoder) integer(v int64, at *place) {
	if v > maxInteger || v < -maxInteger {
		e.report.add(at, CodeRange, "%s", adviceInteger)
		return
	}
	e.dst = strconv.AppendInt(e.dst, v, 10)
}

func (e *encoder) string(s string, at *place) {
	if !utf8.ValidString(s) {
		e.notUTF8(at)
		return
	}
	e.dst = appendText(e.dst, s)
}

func (e *encoder) notUTF8(at *place) {
	e.report.add(at, CodeSyntax, "text that is not UTF-8; convert it before publishing")
}

// metadata encodes a map with its names in order.
func (e *encoder) metadata(m map[string]any, at *place) {
	if !e.open('{', at) {
		return
	}
	names := slices.AppendSeq(make([]string, 0, len(m)), maps.Keys(m))
	slices.SortFunc(names, compareUTF16)
	for i, name := range names {
		if i > 0 {
			e.dst = append(e.dst, ',')
		}
		member := at.named(name)
		e.string(name, member)
		e.dst = append(e.dst, ':')
		e.value(m[name], member)
	}
	e.close('}')
}

// compareUTF16 orders names as RFC 8785 section 3.2.3 does, by their UTF-16 code units.
// That is the order of their UTF-8 bytes but for characters beyond U+FFFF, which UTF-16
// writes with surrogates and so puts before U+E000 to U+FFFF.
func compareUTF16[T string | []byte](a, b T) int {
	for i := range min(len(a), len(b)) {
		if x, y := a[i], b[i]; x != y {
			if x >= 0xEE && y >= 0xEE && (x >= 0xF0) != (y >= 0xF0) {
				return cmp.Compare(y, x)
			}
			return cmp.Compare(x, y)
		}
	}
	return cmp.Compare(len(a), len(b))
}

// AppendText appends text, which is UTF-8, to dst as a canonical JSON string and returns
// the longer slice.
func AppendText(dst, text []byte) []byte { return appendText(dst, text) }

// appendText appends text, which is UTF-8, as a string with the only escapes that RFC 8785
// section 3.2.2.2 knows.
func appendText[T string | []byte](dst []byte, text T) []byte {
	dst = append(dst, '"')
	done := 0
	for i := range len(text) {
		c := text[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, text[done:i]...)
		done = i + 1
		if j := bytes.IndexByte([]byte("\b\t\n\f\r\"\\"), c); j >= 0 {
			dst = append(dst, '\\', `btnfr"\`[j])
			continue
		}
		const hex = "0123456789abcdef"
		dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
	}
	return append(append(dst, text[done:]...), '"')
}
