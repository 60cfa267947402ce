package splunk

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/internal/proof"
)

// What a template may name: what is known of an event without parsing it.
const (
	byAction       = "{action}"
	byID           = "{id}"
	byOrganization = "{organization_id}"
)

// byPlace is where the event's place in its chain stands, in fields. No template names it.
const byPlace = "place"

// maxValue bounds what an event puts in for a name, in bytes: what is longer is cut. Splunk
// keeps these values in its index, for every event.
const maxValue = 256

// maxTemplate bounds a template, in bytes.
const maxTemplate = 512

// piece is a part of an envelope: text as it is written, or what an event has for a name.
type piece struct {
	text string // inside JSON, escaped
	name string // one of those above; empty: text
}

// parse reads a template as what stands between the quotes of a JSON string.
func parse(template string) ([]piece, error) {
	if len(template) > maxTemplate {
		return nil, fmt.Errorf("is longer than %d bytes", maxTemplate)
	}
	if !utf8.ValidString(template) {
		return nil, errors.New("is not UTF-8")
	}
	var pieces []piece
	for rest := template; rest != ""; {
		before, after, found := strings.Cut(rest, "{")
		if strings.Contains(before, "}") {
			return nil, errors.New("has a } without its {")
		}
		if before != "" {
			pieces = append(pieces, piece{text: escaped(before)})
		}
		if !found {
			break
		}
		name, behind, closed := strings.Cut(after, "}")
		switch name = "{" + name + "}"; {
		case !closed:
			return nil, errors.New("has a { without its }")
		case name != byAction && name != byID && name != byOrganization:
			return nil, fmt.Errorf("names %.64q, which is none of %s, %s and %s", name, byAction, byID, byOrganization)
		}
		pieces = append(pieces, piece{name: name})
		rest = behind
	}
	return pieces, nil
}

// escaped is text as it stands in a JSON string.
func escaped(text string) string {
	quoted, err := json.Marshal(text)
	if err != nil {
		panic(err) // a string always encodes
	}
	return string(quoted[1 : len(quoted)-1])
}

// join puts text after pieces, into the last of them where that is text too.
func join(pieces []piece, more ...piece) []piece {
	for _, p := range more {
		if n := len(pieces); n > 0 && pieces[n-1].name == "" && p.name == "" {
			pieces[n-1].text += p.text
		} else {
			pieces = append(pieces, p)
		}
	}
	return pieces
}

// append appends the piece for an event.
func (p *piece) append(dst []byte, e *sinks.Event) []byte {
	switch p.name {
	case byAction:
		return appendEscaped(dst, e.Action)
	case byID:
		return appendEscaped(dst, e.ID)
	case byOrganization:
		return appendEscaped(dst, e.OrganizationID)
	case byPlace:
		return proof.AppendFields(dst, e)
	}
	return append(dst, p.text...)
}

// appendEscaped appends a value, of which nobody knows what it holds, as it stands in a
// JSON string, cut to maxValue.
func appendEscaped(dst, value []byte) []byte {
	if len(value) > maxValue {
		value = value[:maxValue]
		for i := 0; i < utf8.UTFMax && len(value) > 0; i++ { // the cut may go through a character
			if r, n := utf8.DecodeLastRune(value); r != utf8.RuneError || n != 1 {
				break
			}
			value = value[:len(value)-1]
		}
	}
	for len(value) > 0 {
		c := value[0]
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < ' ' || c == 0x7f:
			const digits = "0123456789abcdef"
			dst = append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		case c < utf8.RuneSelf:
			dst = append(dst, c)
		default:
			r, n := utf8.DecodeRune(value)
			dst = utf8.AppendRune(dst, r) // U+FFFD for what is no UTF-8
			value = value[n:]
			continue
		}
		value = value[1:]
	}
	return dst
}
