package gateway

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/auditstream/auditstream/schema"
)

// item is an event of a request, on its way.
type item struct {
	event *schema.Event
	key   string // for idempotency, as it was sent; "": none
	claim Claim  // nil until it is made

	encoded  *schema.Encoded // nil until it was found valid
	repeated bool            // it was accepted before
	err      *Error          // it was refused, or has failed

	published bool // and Kafka has it
	settled   bool // the claim is
}

// settle says of the claim what became of the item. The second time it does nothing.
func (it *item) settle() {
	if it.claim == nil || it.repeated || it.settled {
		return
	}
	it.settled = true
	if it.published {
		it.claim.Accepted()
	} else {
		it.claim.Failed()
	}
}

// decode reads an item: {"organization_id": …, "event": {…}}, and "idempotency_key" where keyed.
// at is where in the body it stands, as a JSON pointer.
func (s *server) decode(text []byte, at string, keyed bool) (*item, error) {
	members, err := schema.Members(text)
	if found, ok := errors.AsType[schema.Violations](err); ok {
		return nil, unread(found, at)
	}
	it := &item{}
	var wrong []Detail
	bad := func(code, field, message string) {
		wrong = append(wrong, Detail{Code: code, Message: message, Field: field, Pointer: at + "/" + strings.ReplaceAll(field, ".", "/")})
	}
	text = nil
	organization, seen := "", map[string]bool{}
	for _, m := range members {
		name := m.Name
		if name == "organizationId" {
			name = "organization_id"
		}
		if seen[name] {
			bad(schema.CodeDuplicate, name, "the body has this member in its other spelling, too; send one of them")
		}
		seen[name] = true
		switch {
		case name == "organization_id":
			if json.Unmarshal(m.Value, &organization) != nil || m.Value[0] != '"' {
				bad(schema.CodeType, name, "must be a string")
			}
		case name == "event":
			text = m.Value
		case name == "idempotency_key" && keyed:
			if json.Unmarshal(m.Value, &it.key) != nil || m.Value[0] != '"' || len(it.key) > maxKey {
				bad(schema.CodeType, name, "must be a string of at most 512 bytes")
			}
		default:
			wrong = append(wrong, Detail{Code: "unknown", Message: "there is no such member here; what belongs to the event stands in event", Field: cut(name), Pointer: at})
		}
	}
	for _, name := range []string{"organization_id", "event"} {
		if !seen[name] {
			bad(schema.CodeRequired, name, schema.CodeRequired)
		}
	}
	var invalid []Detail
	if text != nil {
		valid := s.cfg.Validator
		valid.OrganizationOptional = true // it stands beside the event
		var found schema.Violations
		it.event, found = valid.Decode(text)
		for _, v := range found {
			switch v.Code {
			case schema.CodeTooLarge:
				e := Errorf(http.StatusRequestEntityTooLarge, CodeTooLarge, "The event is too large.")
				e.Errors, e.Remedy = []Detail{instance(v, at)}, "Shorten its metadata."
				return nil, e
			case schema.CodeRequired, schema.CodeType, schema.CodeDuplicate:
				d := instance(v, at)
				d.Field = "event" + strings.ReplaceAll(v.Pointer, "/", ".")
				wrong = append(wrong, d)
			default:
				invalid = append(invalid, instance(v, at))
			}
		}
		if e := it.event; e != nil {
			if e.OrganizationID != "" && e.OrganizationID != organization {
				bad("mismatch", "event.organization_id", "is not the one of the body")
			}
			e.OrganizationID = organization
		}
	}
	switch {
	case len(wrong) > 0:
		e := Errorf(http.StatusUnprocessableEntity, CodeValidation, "Validation failed.")
		e.Errors = append(wrong, invalid...)
		return nil, e
	case len(invalid) > 0:
		return nil, invalidEvent(invalid)
	}
	return it, nil
}

// unread is the error of a text that is no JSON object that could be read in one way only.
func unread(found schema.Violations, at string) *Error {
	e := Errorf(http.StatusBadRequest, CodeMalformed, "The body is not one JSON object that can be read in one way only.")
	if found[0].Code == schema.CodeType {
		e = Errorf(http.StatusUnprocessableEntity, CodeValidation, "Validation failed.")
	}
	for _, v := range found {
		e.Errors = append(e.Errors, Detail{Code: v.Code, Message: v.Message, Pointer: at + v.Pointer})
	}
	return e
}

// instance is a violation of an event that stands in an item at a place of the body.
func instance(v schema.Violation, at string) Detail {
	return Detail{Code: v.Code, Message: v.Message, InstancePath: &v.Pointer, Pointer: at + "/event" + v.Pointer}
}

func invalidEvent(details []Detail) *Error {
	e := Errorf(http.StatusBadRequest, CodeInvalidEvent, "Invalid Audit Log event.")
	e.Errors = details
	return e
}

// cut bounds a text of a caller's in an answer.
func cut(text string) string {
	const bound = 128
	if len(text) <= bound {
		return text
	}
	end := bound
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}
