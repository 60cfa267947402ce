package verify

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/auditstream/auditstream/integrity"
)

// shown is something that stands beside an event or a checkpoint: a member of an envelope, a
// field that a search has taken out of the event, a column.
type shown struct {
	name  string
	value json.RawMessage
	own   bool // of the service, whatever its name
}

// gather takes down what stands beside what was found.
func (p *place) gather() {
	for _, o := range p.around {
		wrapped := inner(o.get("attributes")) != nil
		for _, m := range o.members {
			switch {
			case isProof(m.name), o == p.heldBy && m.name == p.holder:
			case isEnvelope(m.name) && inner(m.value) != nil: // it was looked at itself
			default:
				// Logs of Datadog, and checkpoints at Splunk Cloud Services, have ids of their own.
				own := m.name == "id" && wrapped && (o != p.heldBy || p.checkpoint != nil)
				p.beside = append(p.beside, shown{m.name, m.value, own})
			}
		}
	}
}

// compare looks at what stands beside what was found. A person who reads the export, or a
// search, may take it for the event's: what has the name of a member of the event has to be
// what the event has there. What has another name (host, index, tags) is not the event's,
// and no hash covers it.
func (p *place) compare() {
	if p.checkpoint != nil {
		p.compareCheckpoint()
		return
	}
	if p.event == nil || len(p.beside) == 0 {
		return
	}
	whole := json.RawMessage(bytes.TrimSpace(p.event))
	event, _, err := parseObject(whole)
	if err != nil {
		whole = quoted(whole) // a line of text has no members, and what has no canonical form is altered
	}
	c := comparison{budget: maxCompared}
	for _, s := range p.beside {
		if s.own || isOfService(s.name) {
			continue
		}
		base := s.name
		if end := strings.IndexAny(base, ".{"); end > 0 {
			base = base[:end]
		}
		has := event.get(base) != nil || event.get(s.name) != nil
		switch {
		case isHolder(s.name) && (isNothing(s.value) || c.same(s.value, whole)):
		case s.name == "id" && p.holder == "body" && c.same(s.value, quoted(idOf(p.event))):
		case p.holder == "event" && (s.name == "id" || s.name == "action"):
			p.stands(s.name)
		case has:
			if !c.shows(s, whole) {
				p.stands(s.name)
			}
		case isHolder(s.name), p.holder == "body" && (s.name == "id" || s.name == "action"):
			p.stands(s.name)
		}
	}
}

// stands says that something beside the event is taken for the event's, and is not. In what
// services are sent there is nothing of the kind; fields of searches are theirs, which may
// give them other values.
func (p *place) stands(name string) {
	if p.holder == "event" || p.holder == "body" {
		p.blame("%.40q stands beside the event, and readers take it for the event's", name)
		return
	}
	if p.doubt == "" {
		p.doubt = fmt.Sprintf("%.40q stands beside the event, and is not what the event has there: look at %s alone, and export no more than that, feed, seq and chain", name, p.holder)
	}
}

// compareCheckpoint finds what passes for a checkpoint, so that nobody misses it, and shows
// something else to those who look.
func (p *place) compareCheckpoint() {
	text, _, _ := strings.Cut(string(p.checkpoint), "\n\n")
	summary := ""
	if c, err := integrity.ParseCheckpoint(text + "\n"); err == nil {
		summary = fmt.Sprintf("Checkpoint of feed %s: %d events", integrity.FeedID(c.Origin), c.Size)
	}
	c := comparison{budget: maxCompared}
	note := quoted(bytes.TrimSpace(p.checkpoint))
	for _, s := range p.beside {
		known := s.own || isOfService(s.name) || isNothing(s.value)
		if isHolder(s.name) {
			known = isNothing(s.value) || c.same(s.value, quoted([]byte(summary))) || c.same(s.value, note)
		}
		if !known && p.doubt == "" {
			p.doubt = fmt.Sprintf("%.40q stands beside a checkpoint, which has no such member", s.name)
		}
	}
}

func isHolder(name string) bool {
	for _, holder := range holders() {
		if name == holder {
			return true
		}
	}
	return false
}

func isEnvelope(name string) bool {
	for _, envelope := range envelopes() {
		if name == envelope {
			return true
		}
	}
	return false
}

// isOfService says whether services put something of their own under the name: where and when
// they got an event, and what they made of it.
func isOfService(name string) bool {
	switch name {
	case "time", "timestamp", "nanos", "host", "hostname", "source", "sourcetype", "index", "kind",
		"preview", "offset", "lastrow", "linecount", "punct", "splunk_server", "splunk_server_group",
		"eventtype", "tag", "timestartpos", "timeendpos",
		"service", "status", "tags", "type", "ddsource", "ddtags", "date":
		return true
	}
	return strings.HasPrefix(name, "_") && name != "_raw" || strings.HasPrefix(name, "date_") || strings.HasPrefix(name, "tag::") || strings.HasPrefix(name, "auditstream.")
}

func isNothing(value json.RawMessage) bool {
	return len(value) == 0 || string(value) == "null" || string(value) == `""`
}

func quoted(text []byte) json.RawMessage {
	value, err := json.Marshal(string(text))
	if err != nil {
		panic(err) // a string always encodes
	}
	return value
}

// maxCompared bounds how many members are looked at to compare what stands in one line: far
// more than events have, and what a doctored line costs.
const maxCompared = 1 << 20

// comparison is of what stands in one line.
type comparison struct {
	budget int
}

// shows says whether what s shows is what event has there: its name is a path, in the way of
// a search (actor.id, targets{}.id), and of several values it shows some or all.
func (c *comparison) shows(s shown, event json.RawMessage) bool {
	var own []json.RawMessage
	c.find(event, s.name, &own)
	anyOf := func(value json.RawMessage) bool {
		for _, o := range own {
			if c.same(value, o) {
				return true
			}
		}
		return false
	}
	if anyOf(s.value) {
		return true
	}
	values := elements(s.value)
	if len(s.value) > 0 && s.value[0] == '"' {
		var text string
		if json.Unmarshal(s.value, &text) != nil {
			return false
		}
		if text == "" {
			return true // searches leave fields empty that a result does not have
		}
		for line := range strings.SplitSeq(text, "\n") {
			values = append(values, quoted([]byte(line)))
		}
	}
	for _, v := range values {
		if !anyOf(v) {
			return false
		}
	}
	return len(values) > 0
}

// find appends what stands at path in value. Names may have points in them.
func (c *comparison) find(value json.RawMessage, path string, to *[]json.RawMessage) {
	if c.budget--; c.budget < 0 {
		return
	}
	if path == "" {
		*to = append(*to, value)
		return
	}
	if path[0] == '{' {
		_, rest, ok := strings.Cut(path, "}")
		if !ok {
			return
		}
		for _, e := range elements(value) {
			c.find(e, strings.TrimPrefix(rest, "."), to)
		}
		return
	}
	o := inner(value)
	if o == nil {
		return
	}
	c.budget -= len(o.members)
	for _, m := range o.members {
		if rest, ok := strings.CutPrefix(path, m.name); ok && (rest == "" || rest[0] == '.' || rest[0] == '{') {
			c.find(m.value, strings.TrimPrefix(rest, "."), to)
		}
	}
}

// elements are those of a list; nil: it is none.
func elements(value json.RawMessage) []json.RawMessage {
	var list []json.RawMessage
	if len(value) == 0 || value[0] != '[' || json.Unmarshal(value, &list) != nil {
		return nil
	}
	return list
}

// same says whether a value that is shown is the event's own: in any spelling, as text, and
// of an object some of its members.
func (c *comparison) same(value, own json.RawMessage) bool {
	if c.budget--; c.budget < 0 || len(value) == 0 || len(own) == 0 {
		return false
	}
	switch {
	case bytes.Equal(value, own):
		return true
	case value[0] == '"':
		var text, ownText string
		if json.Unmarshal(value, &text) != nil {
			return false
		}
		if own[0] == '"' {
			return json.Unmarshal(own, &ownText) == nil && text == ownText
		}
		return text == string(own) || sameNumber([]byte(text), own) || own[0] == 'n' && text == "" || sameText([]byte(text), own)
	case value[0] == '{':
		o, whole := inner(value), inner(own)
		if whole == nil {
			return false
		}
		for _, m := range o.members {
			c.budget -= len(whole.members)
			if !c.same(m.value, whole.get(m.name)) {
				return false
			}
		}
		return true
	case value[0] == '[':
		list, whole := elements(value), elements(own)
		if len(list) != len(whole) {
			return false
		}
		for i := range list {
			if !c.same(list[i], whole[i]) {
				return false
			}
		}
		return true
	}
	return sameNumber(value, own)
}

// sameText says whether two texts of objects or lists are one in canonical form.
func sameText(a, b []byte) bool {
	if b[0] != '{' && b[0] != '[' {
		return false
	}
	x, err := integrity.Canonical(bytes.TrimSpace(a))
	if err != nil {
		return false
	}
	y, err := integrity.Canonical(b)
	return err == nil && bytes.Equal(x, y)
}

func sameNumber(a, b []byte) bool {
	x, err := strconv.ParseFloat(string(a), 64)
	if err != nil {
		return false
	}
	y, err := strconv.ParseFloat(string(b), 64)
	return err == nil && x == y
}
