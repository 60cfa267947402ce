package schema

import "slices"

// Member is a member of a JSON object.
type Member struct {
	Name  string
	Value []byte // its JSON text
}

// Members are the members of value, the JSON text of one object, in its order. What Decode
// refuses of any event is refused here, with [Violations]: malformed JSON, text that is not
// UTF-8, lone surrogates, repeated names, nesting deeper than [MaxDepth]. It is for what holds
// an event among other things; the texts of the members keep nothing of value.
func Members(value []byte) ([]Member, error) {
	w := newWorkspace()
	if bad := w.parse(value); bad != nil {
		w.done()
		return nil, Violations{*bad}
	}
	c := checker{report: &w.report}
	var members []Member
	if c.is(&w.root, '{', &w.top, "an object") {
		members = make([]Member, 0, len(w.root.children))
		for i := range w.root.children {
			n := &w.root.children[i]
			members = append(members, Member{string(n.name), slices.Clone(n.raw)})
		}
	}
	if err := w.found().Err(); err != nil {
		return nil, err
	}
	return members, nil
}
