package verify

import (
	"bytes"
	"encoding/json"
	"errors"
	"unicode/utf8"
)

// object is a JSON object as it stands in a text, its members in their order.
type object struct {
	members []member
}

// member is one of an object's.
type member struct {
	name  string
	value json.RawMessage
	text  []byte // name and value as they are spelled
}

// parseObject reads an object. twice is the name of a member that some object in it has more
// than once: readers of JSON differ in which of them they show.
func parseObject(text []byte) (o object, twice string, err error) {
	text = bytes.TrimSpace(text)
	if len(text) == 0 || text[0] != '{' || !json.Valid(text) || !utf8.Valid(text) {
		return object{}, "", errors.New("this is no JSON object")
	}
	w := walk{text: text}
	w.object(func(m member) { o.members = append(o.members, m) })
	return o, w.twice, nil
}

// inner reads a member's value that is an object; nil: it is none. What holds it was read by
// parseObject.
func inner(value json.RawMessage) *object {
	if len(value) == 0 || value[0] != '{' {
		return nil
	}
	o := &object{}
	w := walk{text: value}
	w.object(func(m member) { o.members = append(o.members, m) })
	return o
}

// get is the value of a member; nil: there is none of that name.
func (o *object) get(name string) json.RawMessage {
	for i := range o.members {
		if o.members[i].name == name {
			return o.members[i].value
		}
	}
	return nil
}

// without is the object's text without the members of a name.
func (o *object) without(name string) []byte {
	text := []byte{'{'}
	for _, m := range o.members {
		if m.name == name {
			continue
		}
		if len(text) > 1 {
			text = append(text, ',')
		}
		text = append(text, m.text...)
	}
	return append(text, '}')
}

// walk goes through valid JSON.
type walk struct {
	text  []byte
	at    int
	twice string
}

// manyMembers is how many members an object has whose names are looked up in a map: of
// fewer it is quicker to go through them.
const manyMembers = 24

func (w *walk) object(each func(m member)) {
	var few [manyMembers]string
	names := few[:0]
	var many map[string]bool
	w.at++
	for w.space(); w.text[w.at] != '}'; w.space() {
		if w.text[w.at] == ',' {
			w.at++
			continue
		}
		begin := w.at
		name := w.name()
		repeated := many[name]
		for _, n := range names {
			repeated = repeated || n == name
		}
		if repeated && w.twice == "" {
			w.twice = name
		}
		if many == nil && len(names) == manyMembers {
			many = map[string]bool{}
			for _, n := range names {
				many[n] = true
			}
			names = nil
		}
		if many != nil {
			many[name] = true
		} else {
			names = append(names, name)
		}
		w.space()
		w.at++ // the colon
		w.space()
		from := w.at
		w.value()
		if each != nil {
			each(member{name, w.text[from:w.at:w.at], w.text[begin:w.at:w.at]})
		}
	}
	w.at++
}

func (w *walk) value() {
	switch w.text[w.at] {
	case '{':
		w.object(nil)
	case '[':
		w.at++
		for w.space(); w.text[w.at] != ']'; w.space() {
			if w.text[w.at] == ',' {
				w.at++
				continue
			}
			w.value()
		}
		w.at++
	case '"':
		w.string()
	default:
		for w.at < len(w.text) && bytes.IndexByte([]byte(",]} \t\r\n"), w.text[w.at]) < 0 {
			w.at++
		}
	}
}

func (w *walk) space() {
	for w.text[w.at] == ' ' || w.text[w.at] == '\t' || w.text[w.at] == '\r' || w.text[w.at] == '\n' {
		w.at++
	}
}

// string passes over one, and says whether something in it is escaped.
func (w *walk) string() (escaped bool) {
	for w.at++; w.text[w.at] != '"'; w.at++ {
		if w.text[w.at] == '\\' {
			escaped = true
			w.at++
		}
	}
	w.at++
	return escaped
}

func (w *walk) name() string {
	from := w.at
	if !w.string() {
		return string(w.text[from+1 : w.at-1])
	}
	var name string
	_ = json.Unmarshal(w.text[from:w.at], &name) // it is valid
	return name
}
