package schema

import (
	"cmp"
	"regexp"
	"slices"
)

// DefaultMaxBytes is the size above which events are refused unless a Validator says
// otherwise, in bytes. It is the largest round figure that leaves a record's overhead and
// headers room below Kafka's default max.message.bytes, 1,048,588.
const DefaultMaxBytes = 1_000_000

// Validator checks events against the envelope schema ([EnvelopeSchema]). Beyond it, and
// beyond its own options, it refuses only what has no canonical form that every reader
// understands alike: repeated names, a name in both spellings, lone surrogates, integers
// beyond ±(2^53-1) and numbers beyond a double, nesting deeper than [MaxDepth].
//
// The zero value is how events are checked for publishing. A Validator may be used by
// many goroutines at once.
type Validator struct {
	// OrganizationPattern is what an organization_id has to match; nil means
	// ^org_[A-Z0-9]{26}$, the schema's. It is not anchored unless it says so.
	OrganizationPattern *regexp.Regexp
	// OrganizationOptional lets an event be without an organization_id, as the schema does.
	OrganizationOptional bool
	// MaxBytes bounds the bytes of an event, as given to Check and as encoded; 0 means
	// DefaultMaxBytes.
	MaxBytes int
}

// Check returns every violation in value, the JSON text of an event with names in
// snake_case or camelCase. Malformed JSON, text that is not UTF-8 and lone surrogates are
// one violation that names the byte, counted from 0, and end the check.
func (v *Validator) Check(value []byte) Violations {
	w := newWorkspace()
	if v.tooLarge(len(value), &w.report) {
		return w.found()
	}
	if bad := w.parse(value); bad != nil {
		w.done()
		return Violations{*bad}
	}
	w.checker = checker{Validator: v, report: &w.report}
	w.checker.event(&w.root, &w.top)
	return w.found()
}

// Decode is Check and [Decode] at the cost of one reading. The event is nil if value holds
// something that an Event cannot; one with other violations is returned beside them.
func (v *Validator) Decode(value []byte) (*Event, Violations) {
	w := newWorkspace()
	if v.tooLarge(len(value), &w.report) {
		return nil, w.found()
	}
	if bad := w.parse(value); bad != nil {
		w.done()
		return nil, Violations{*bad}
	}
	types := report{list: slices.Clone(w.report.list)}
	w.checker = checker{Validator: v, report: &w.report}
	if w.checker.event(&w.root, &w.top); len(w.report.list) > 0 {
		w.checker = checker{Validator: v, report: &types, typesOnly: true}
		w.checker.event(&w.root, &w.top)
	}
	var e *Event
	if len(types.list) == 0 {
		e = decodeEvent(&w.root)
	}
	return e, w.found()
}

// Validate returns every violation in e. Pointers use the schema's spelling.
func (v *Validator) Validate(e *Event) Violations {
	_, violations := v.Encode(nil, e)
	return violations
}

// Encode validates e and appends its canonical form to dst, at the cost of one encoding.
// With violations dst is returned as it was.
func (v *Validator) Encode(dst []byte, e *Event) ([]byte, Violations) {
	dst, _, violations := v.encode(dst, e)
	return dst, violations
}

// encode also returns where in what it has appended the id of an event without one goes, 0 if
// that is not known.
func (v *Validator) encode(dst []byte, e *Event) (value []byte, idAt int, found Violations) {
	w := newWorkspace()
	w.checker = checker{Validator: v, report: &w.report, skipNumbers: true} // the encoder reports them
	w.checker.fields(e, &w.top)
	w.encoder = encoder{dst: w.encoded[:0], report: &w.report}
	w.encoder.event(e, &w.top)
	w.encoded = w.encoder.dst
	if len(w.report.list) == 0 && !v.tooLarge(len(w.encoded), &w.report) {
		idAt = w.encoder.idAt
		dst = append(slices.Grow(dst, len(w.encoded)), w.encoded...)
	}
	return dst, idAt, w.found()
}

// Validate returns every violation in e, as the zero [Validator] sees it.
func (e *Event) Validate() Violations { return new(Validator).Validate(e) }

func (v *Validator) tooLarge(size int, r *report) bool {
	limit := cmp.Or(v.MaxBytes, DefaultMaxBytes)
	if size > limit {
		r.add(nil, CodeTooLarge, "the event has %d bytes, the limit is %d; shorten its metadata", size, limit)
	}
	return size > limit
}

func matchesOrganization[T string | []byte](v *Validator, id T) bool {
	if v.OrganizationPattern != nil {
		return v.OrganizationPattern.MatchString(string(id))
	}
	return isID(id, "org_")
}

func (v *Validator) organizationPattern() string {
	if v.OrganizationPattern != nil {
		return v.OrganizationPattern.String()
	}
	return "^org_[A-Z0-9]{26}$"
}

// isID says whether id is prefix and 26 characters of [A-Z0-9].
func isID[T string | []byte](id T, prefix string) bool {
	if len(id) != len(prefix)+idLength || string(id[:len(prefix)]) != prefix {
		return false
	}
	for i := len(prefix); i < len(id); i++ {
		if c := id[i]; !isDigit(c) && c-'A' > 'Z'-'A' {
			return false
		}
	}
	return true
}
