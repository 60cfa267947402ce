package verify

import (
	"bytes"
	"encoding/json"
)

// maxID bounds the ids that findings name.
const maxID = 100

// idOf finds the id of an event: where the canonical form has it, ECS, OCSF and CEF. Nothing
// but the place says that a text is the event's id, for whoever publishes can give an actor
// or a target the id of another event. The event may be anything.
func idOf(event []byte) []byte {
	if bytes.HasPrefix(event, []byte(beginCEF)) {
		return idOfCEF(event)
	}
	var inEvent, inMetadata []byte
	for rest := event; ; {
		name, value, behind := nextMember(rest)
		switch rest = behind; string(name) {
		case "":
			if id := idIn(inEvent, "id"); id != nil {
				return id
			}
			return idIn(inMetadata, "uid")
		case "id":
			return idText(value)
		case "event":
			inEvent = value
		case "metadata":
			inMetadata = value
		}
	}
}

// idIn is the member of an object that has an id.
func idIn(object []byte, member string) []byte {
	for len(object) > 0 {
		name, value, behind := nextMember(object)
		if object = behind; string(name) == member {
			return idText(value)
		}
	}
	return nil
}

// idText is an id that a member has as its text.
func idText(value []byte) []byte {
	if len(value) < 3 || value[0] != '"' || len(value) > maxID+2 {
		return nil
	}
	if bytes.IndexByte(value, '\\') < 0 {
		return value[1 : len(value)-1]
	}
	var text string
	if json.Unmarshal(value, &text) != nil {
		return nil
	}
	return []byte(text)
}

// nextMember is the first member of what is left of an object: from its brace on, or from
// behind a member. No name: there is none, or it is no JSON. Escapes in names stay; a name of
// ours has none.
func nextMember(rest []byte) (name, value, behind []byte) {
	rest = bytes.TrimLeft(rest, " \t\r\n")
	if len(rest) == 0 || rest[0] != '{' && rest[0] != ',' {
		return nil, nil, nil
	}
	rest = bytes.TrimLeft(rest[1:], " \t\r\n")
	end := stringEnd(rest)
	if end < 3 {
		return nil, nil, nil
	}
	name = rest[1 : end-1]
	rest = bytes.TrimLeft(rest[end:], " \t\r\n")
	if len(rest) == 0 || rest[0] != ':' {
		return nil, nil, nil
	}
	rest = bytes.TrimLeft(rest[1:], " \t\r\n")
	end = valueEnd(rest)
	return name, rest[:end], rest[end:]
}

// stringEnd is where the string ends that text begins with; 0: it does not.
func stringEnd(text []byte) int {
	if len(text) == 0 || text[0] != '"' {
		return 0
	}
	for at := 1; ; {
		quote := bytes.IndexByte(text[at:], '"')
		if quote < 0 {
			return 0
		}
		at += quote + 1
		escapes := 0
		for text[at-2-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return at
		}
	}
}

// valueEnd is where the value ends that text begins with.
func valueEnd(text []byte) int {
	depth := 0
	for at := 0; at < len(text); at++ {
		switch text[at] {
		case '"':
			end := stringEnd(text[at:])
			if end == 0 {
				return len(text)
			}
			at += end - 1
		case '{', '[':
			depth++
			continue
		case '}', ']':
			if depth--; depth < 0 {
				return at
			}
		case ',':
			if depth == 0 {
				return at
			}
			continue
		default:
			continue
		}
		if depth == 0 {
			return at + 1
		}
	}
	return len(text)
}

// idOfCEF is the extension that has the id. In the fields before the extensions equals signs
// stand as they are, in values of extensions never.
func idOfCEF(line []byte) []byte {
	for fields, at := 0, 0; at < len(line); at++ {
		switch line[at] {
		case '\\':
			at++
		case '|':
			if fields++; fields < 7 {
				continue
			}
			_, id, ok := bytes.Cut(append([]byte{' '}, line[at+1:]...), []byte(" externalId="))
			if !ok {
				return nil
			}
			id, _, _ = bytes.Cut(id, []byte{' '})
			return id[:min(len(id), maxID)]
		}
	}
	return nil
}
