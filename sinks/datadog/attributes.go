package datadog

import (
	"bytes"
	"net/netip"
	"sync"

	"github.com/auditstream/auditstream/schema/catalogue"
	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/internal/member"
)

// outcome is what the catalogue says about the success of an action.
type outcome struct {
	always string // success or failure; empty: not known
	from   string // metadata that says it, true or false; empty: none
}

// outcomes are those of the actions that the catalogue knows.
var outcomes = sync.OnceValue(func() map[string]outcome { //nolint:gochecknoglobals // read once, never changed
	known, err := catalogue.Embedded()
	if err != nil {
		panic(err) // a test of the catalogue reads it too
	}
	byAction := map[string]outcome{}
	for _, a := range known.Actions() {
		o := outcome{from: a.OutcomeFrom}
		if a.Outcome != catalogue.Unknown {
			o.always = string(a.Outcome)
		}
		if o != (outcome{}) {
			byAction[a.Name] = o
		}
	}
	return byAction
})

// appendAttributes appends what e says under the names that Datadog's standard attributes
// have, each member with a comma behind it. An event in another format than ours has fewer
// of them, or none.
func (f *framer) appendAttributes(dst []byte, e *sinks.Event) []byte {
	var action, id, name, location, said []byte
	result := f.outcomes[string(e.Action)]
	member.Each(e.Value, func(key, value []byte) bool {
		switch string(key) {
		case "action":
			action = value
		case "actor":
			member.Each(value, func(key, value []byte) bool {
				switch {
				case !member.IsText(value):
				case string(key) == "id":
					id = value
				case string(key) == "name":
					name = value
				}
				return true
			})
		case "context":
			location = find(value, "location")
		case "metadata":
			if result.from != "" {
				said = find(value, result.from)
			}
		}
		return string(key) < "metadata" // names are sorted: there is nothing for us behind it
	})
	if id != nil || name != nil {
		dst = append(dst, `"usr":{`...)
		dst = appendMember(dst, "id", id)
		dst = appendMember(dst, "name", name)
		dst = append(bytes.TrimSuffix(dst, []byte(",")), "},"...)
	}
	if isAddress(location) {
		dst = append(dst, `"network":{"client":{"ip":`...)
		dst = append(dst, location...)
		dst = append(dst, "}},"...)
	}
	dst = append(dst, `"evt":{"name":`...)
	if member.IsText(action) {
		dst = append(dst, action...)
	} else {
		dst = append(appendTag(append(dst, '"'), e.Action), '"')
	}
	switch {
	case string(said) == "true":
		result.always = string(catalogue.Success)
	case string(said) == "false":
		result.always = string(catalogue.Failure)
	}
	if result.always != "" {
		dst = append(dst, `,"outcome":"`...)
		dst = append(dst, result.always...)
		dst = append(dst, '"')
	}
	return append(dst, "},"...)
}

func appendMember(dst []byte, name string, value []byte) []byte {
	if value == nil {
		return dst
	}
	dst = append(append(append(dst, '"'), name...), `":`...)
	return append(append(dst, value...), ',')
}

// find is the value of a member of object, nil if it has none.
func find(object []byte, name string) (value []byte) {
	member.Each(object, func(key, v []byte) bool {
		if string(key) == name {
			value = v
			return false
		}
		return true
	})
	return value
}

// isAddress reports that text, a JSON string with its quotes, is an IP address. Datadog
// makes the attribute of one, and a place such as "Berlin" there is a wrong one.
func isAddress(text []byte) bool {
	const longest = len(`"0000:0000:0000:0000:0000:ffff:255.255.255.255"`)
	if !member.IsText(text) || len(text) > longest {
		return false
	}
	text = text[1 : len(text)-1]
	for _, c := range text {
		if c != '.' && c != ':' && (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
			return false
		}
	}
	_, err := netip.ParseAddr(string(text))
	return err == nil
}
