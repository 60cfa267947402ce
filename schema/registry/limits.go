package registry

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/auditstream/auditstream/schema"
)

// Limits bound metadata: that of an event, of its actor and of each target. The zero
// value bounds nothing and refuses objects and arrays.
type Limits struct {
	Keys   int            // members; 0: no bound
	Key    *regexp.Regexp // that each name matches; nil: any name
	Text   int            // characters of a text; 0: no bound
	Nested bool           // objects and arrays are allowed; else only in members that the action's schema names
}

// WorkOSLimits are the limits that WorkOS has: 50 members, names of up to 40 letters,
// digits, _ and -, texts of up to 500 characters, no objects and arrays.
func WorkOSLimits() Limits {
	return Limits{Keys: 50, Key: regexp.MustCompile(`^[a-zA-Z0-9_-]{0,40}$`), Text: 500}
}

// check adds what in metadata, which stands at pointer, is beyond the limits.
func (l *Limits) check(f *findings, pointer string, metadata map[string]any, c *part) {
	if l.Keys > 0 && len(metadata) > l.Keys {
		f.violate(pointer, CodeLimit, strconv.Itoa(len(metadata))+" members, the limit is "+strconv.Itoa(l.Keys)+"; put what belongs together into one, or leave some out")
	}
	for _, name := range slices.Sorted(maps.Keys(metadata)) {
		at := pointer + "/" + escape(name)
		if l.Key != nil && !l.Key.MatchString(name) {
			f.violate(at, CodeLimit, "the name must match "+l.Key.String())
		}
		switch v := metadata[name].(type) {
		case string:
			if l.Text > 0 && len(v) > l.Text {
				if n := utf8.RuneCountInString(v); n > l.Text {
					f.violate(at, CodeLimit, strconv.Itoa(n)+" characters, the limit is "+strconv.Itoa(l.Text)+"; shorten it")
				}
			}
		case map[string]any, []any:
			if !l.Nested && !c.names(name) {
				f.violate(at, CodeLimit, "must be a string, a number or a boolean; send it as JSON in a string, or name it in the action's schema")
			}
		}
	}
}

// findings are what is wrong with an event, and what is only odd.
type findings struct{ violations, warnings schema.Violations }

func (f *findings) violate(pointer, code, message string) {
	f.violations = add(f.violations, schema.Violation{Pointer: pointer, Code: code, Message: message})
}

func (f *findings) warn(pointer, code, message string) {
	f.warnings = add(f.warnings, schema.Violation{Pointer: pointer, Code: code, Message: message})
}

// add appends a violation up to schema.MaxViolations, then one that says there are more.
func add(list schema.Violations, v schema.Violation) schema.Violations {
	const bound = schema.MaxViolations
	switch {
	case len(list) < bound:
		return append(list, v)
	case len(list) == bound:
		return append(list, schema.Violation{Code: schema.CodeMore, Message: "there are more than the " + strconv.Itoa(bound) + " listed"})
	}
	return list
}
