package schema

// Encoded is an event in canonical form, which a [Validator] has found valid. There is none
// that was not: whoever is handed one need not encode and check the event again. Its bytes do
// not change with the event that it was made of. It is not to be used by several goroutines at
// once while SetID is.
type Encoded struct {
	event        *Event
	by           Validator
	value        []byte
	id           string
	organization string
	at           int // where in value the id goes: behind the member before it; 0: at another place than that, or it is there
}

// Encoded is Encode for an event that is handed on; it may get its id later.
func (v *Validator) Encoded(e *Event) (*Encoded, Violations) {
	value, at, violations := v.encode(nil, e)
	if len(violations) > 0 {
		return nil, violations
	}
	return &Encoded{event: e, by: *v, value: value, id: e.ID, organization: e.OrganizationID, at: at}, nil
}

// Event is what e was made of.
func (e *Encoded) Event() *Event { return e.event }

// ID is the id of the event; "": it has none yet.
func (e *Encoded) ID() string { return e.id }

// OrganizationID is the organization of the event.
func (e *Encoded) OrganizationID() string { return e.organization }

// Value is the canonical form. It is not to be changed.
func (e *Encoded) Value() []byte { return e.value }

// SetID gives an event that has none its id, and the event that it was made of as well. What is
// wrong with the id, or with the size that it makes, is returned as Encode returns it, and
// changes the canonical form in nothing.
func (e *Encoded) SetID(id string) Violations {
	e.event.ID = id
	if e.id != "" || e.at == 0 || !isID(id, idPrefix) {
		return e.encodeAgain()
	}
	const name = `,"id":"`
	var r report
	if e.by.tooLarge(len(e.value)+len(name)+len(id)+len(`"`), &r) {
		return r.list
	}
	value := make([]byte, 0, len(e.value)+len(name)+len(id)+len(`"`))
	value = append(value, e.value[:e.at]...)
	value = append(append(append(value, name...), id...), '"') // an id needs no escapes
	e.value, e.id, e.at = append(value, e.value[e.at:]...), id, 0
	return nil
}

// encodeAgain encodes the event as it is now.
func (e *Encoded) encodeAgain() Violations {
	again, violations := e.by.Encoded(e.event)
	if len(violations) == 0 {
		*e = *again
	}
	return violations
}

// For is the canonical form for somebody who validates with v: nothing is left to check if that
// is the Validator by which e was made.
func (e *Encoded) For(v *Validator) ([]byte, Violations) {
	if e.by != *v {
		if violations := v.Check(e.value); len(violations) > 0 {
			return nil, violations
		}
	}
	return e.value, nil
}
