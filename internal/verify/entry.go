package verify

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"github.com/auditstream/auditstream/integrity"
)

// entry is what one line or row turned out to be.
type entry struct {
	checkpoint []byte // signed; nil: it is an event
	item       integrity.Item
	stray      bool   // an event without a place in a chain
	digestOnly bool   // the event itself is not there, only its digest
	text       []byte // of the event
}

// members are one object's, undecoded.
type members map[string]json.RawMessage

// Names under which exports have what feeds carry.
const (
	nameFeed       = "feed"
	nameNumber     = "seq"
	nameChain      = "chain"
	nameDigest     = "digest"
	nameCheckpoint = "checkpoint"

	nameOriginalFeed   = "original_feed"
	nameOriginalNumber = "original_seq"
)

// prefixed is the beginning that names of fields may have.
const prefixed = "auditstream_"

// maxEnvelopes bounds how many objects stand around an event: results of a search, and what
// their service adds.
const maxEnvelopes = 4

// readEntry reads one object: a line of the sink for files, an event in the envelope of
// Splunk or Datadog, or a result of their searches.
func readEntry(line []byte) (entry, error) {
	line = bytes.TrimSpace(line)
	if bytes.HasPrefix(line, []byte(beginCEF)) {
		return readCEF(line)
	}
	if e, ok, err := readLine(line); ok || err != nil {
		return e, err
	}
	var m members
	if err := json.Unmarshal(line, &m); err != nil {
		return entry{}, errors.New("this is no JSON object")
	}
	p := place{}
	p.look(m, maxEnvelopes)
	return p.entry(m)
}

// beginCEF begins the lines of the one format of text.
const beginCEF = "CEF:"

// readCEF reads a line of CEF: the proof is its last extensions, and the event is what
// stands before them.
func readCEF(line []byte) (entry, error) {
	at := bytes.LastIndex(line, []byte(" auditstreamFeed="))
	if at < 0 {
		return entry{stray: true, item: integrity.Item{ID: idOf(line)}}, nil
	}
	p := place{event: line[:at]}
	for pair := range strings.FieldsSeq(string(line[at:])) {
		name, value, _ := strings.Cut(pair, "=")
		value = strings.ReplaceAll(value, `\=`, "=")
		switch name {
		case "auditstreamFeed":
			p.feed = value
		case "auditstreamSeq":
			p.number = value
		case "auditstreamChain":
			p.chain = value
		case "auditstreamOriginalFeed":
			p.originalFeed = value
		case "auditstreamOriginalSeq":
			p.originalNumber = value
		}
	}
	return p.entry(nil)
}

// ownMember begins the last member of a line that the sink for files has written.
const ownMember = `,"integrity":{`

// readLine reads the lines of the sink for files the quick way: the proof is the last
// member, and the event is what stands before it.
func readLine(line []byte) (entry, bool, error) {
	at := bytes.LastIndex(line, []byte(ownMember))
	if at < 0 || !bytes.HasSuffix(line, []byte("}}")) {
		return entry{}, false, nil
	}
	proof := line[at+len(ownMember)-1 : len(line)-1]
	if bytes.IndexByte(proof[1:], '{') >= 0 || bytes.IndexByte(proof, '}') != len(proof)-1 {
		return entry{}, false, nil // it stands deeper, within the event
	}
	var m members
	if err := json.Unmarshal(proof, &m); err != nil {
		return entry{}, false, nil //nolint:nilerr // it is not ours: the other way says what it is
	}
	p := place{}
	p.take(m)
	if p.feed == "" {
		return entry{}, false, nil
	}
	// The event ends with a brace of its own, in place of the comma.
	event := append(line[:at:at], '}')
	p.event = event
	e, err := p.entry(nil)
	return e, true, err
}

// place is what is found in an object and those within it.
type place struct {
	feed, number, chain, digest string
	checkpoint                  []byte
	event                       []byte // text of the event; nil: not found
	originalFeed                string // of what a job has sent: which event it was at first
	originalNumber              string
	within                      bool // the proof is a member of the event itself
}

// look goes through m and the envelopes in it.
func (p *place) look(m members, depth int) {
	if c, ok := m.text(nameCheckpoint); ok && strings.Contains(c, "\u2014 ") {
		p.checkpoint = []byte(c)
		return
	}
	p.take(m)
	for _, name := range [...]string{"_raw", "event", "message", "body"} {
		if p.event == nil {
			p.found(m[name])
		}
	}
	if p.checkpoint != nil || depth == 0 {
		return
	}
	for _, name := range [...]string{"result", "fields", "attributes", "integrity", "auditstream", "custom"} {
		var inner members
		if raw := m[name]; len(raw) > 0 && raw[0] == '{' && json.Unmarshal(raw, &inner) == nil {
			before := p.feed
			p.look(inner, depth-1)
			p.within = p.within || name == "integrity" && before == "" && p.feed != ""
		}
	}
}

// take takes the proof from m, if it is there.
func (p *place) take(m members) {
	feed, ok := m.text(nameFeed)
	if !ok || p.feed != "" {
		return
	}
	number, _ := m.text(nameNumber)
	chain, _ := m.text(nameChain)
	if number == "" || chain == "" {
		return // a member of this name that is another thing
	}
	digest, _ := m.text(nameDigest)
	p.feed, p.number, p.chain, p.digest = feed, number, chain, digest
	p.originalFeed, _ = m.text(nameOriginalFeed)
	p.originalNumber, _ = m.text(nameOriginalNumber)
}

// text is a member as text: a string, a number, or the first of a list of these, which is
// how some searches return fields.
func (m members) text(name string) (string, bool) {
	raw, ok := m[name]
	if !ok {
		raw, ok = m[prefixed+name]
	}
	if !ok || len(raw) == 0 {
		return "", false
	}
	switch raw[0] {
	case '"':
		var s string
		return s, json.Unmarshal(raw, &s) == nil
	case '[':
		var list []string
		if json.Unmarshal(raw, &list) != nil || len(list) == 0 {
			return "", false
		}
		for _, s := range list[1:] {
			if s != list[0] {
				return "", false
			}
		}
		return list[0], true
	}
	return string(raw), raw[0] != '{' && raw[0] != 'n'
}

// found takes the event, or a checkpoint in its place: an object, or its text.
func (p *place) found(raw json.RawMessage) {
	if len(raw) == 0 {
		return
	}
	text := []byte(raw)
	if raw[0] == '"' {
		var s string
		if json.Unmarshal(raw, &s) != nil {
			return
		}
		text = []byte(s)
	} else if raw[0] != '{' {
		return
	}
	p.foundText(text)
}

func (p *place) foundText(text []byte) {
	if trimmed := bytes.TrimSpace(text); len(trimmed) > 0 && trimmed[0] == '{' && bytes.Contains(trimmed, []byte(`"checkpoint"`)) {
		var m members
		if json.Unmarshal(trimmed, &m) == nil {
			if c, ok := m.text(nameCheckpoint); ok && strings.Contains(c, "\u2014 ") {
				p.checkpoint = []byte(c)
				return
			}
		}
	}
	if bytes.HasPrefix(text, []byte("auditstream/")) && bytes.Contains(text, []byte("\n\u2014 ")) {
		p.checkpoint = text
		return
	}
	p.event = text
}

// entry is what the object m is, after all that was found in it.
func (p *place) entry(m members) (entry, error) {
	if p.checkpoint != nil {
		if !bytes.HasSuffix(p.checkpoint, []byte("\n")) {
			p.checkpoint = append(p.checkpoint, '\n') // searches cut off the last line's end
		}
		return entry{checkpoint: p.checkpoint}, nil
	}
	if p.event == nil && p.within {
		delete(m, "integrity")
		text, err := json.Marshal(m)
		if err != nil {
			return entry{}, err
		}
		p.event = text
	}
	if p.feed == "" {
		if p.event == nil && m != nil {
			return entry{stray: true, item: integrity.Item{ID: eventID(m)}}, nil
		}
		return entry{stray: true, item: integrity.Item{ID: idOf(p.event)}}, nil
	}
	e := entry{item: integrity.Item{Feed: p.feed}}
	var err error
	if e.item.Number, err = strconv.ParseInt(p.number, 10, 64); err != nil || e.item.Number < 1 || e.item.Number > integrity.MaxNumber {
		return e, fmt.Errorf("%.40q is no number of an event", p.number)
	}
	if e.item.Chain, err = integrity.ParseHash(p.chain); err != nil {
		return e, fmt.Errorf("%s: %w", nameChain, err)
	}
	if !isFeed(p.feed) {
		return e, fmt.Errorf("%.40q is no id of a feed", p.feed)
	}
	if p.originalFeed != "" {
		o := &e.item.Original
		if o.Number, err = strconv.ParseInt(p.originalNumber, 10, 64); err != nil || o.Number < 1 || !isFeed(p.originalFeed) {
			return e, fmt.Errorf("%.40q of %.40q is no event of a feed", p.originalNumber, p.originalFeed)
		}
		o.Feed = p.originalFeed
	}
	if p.event == nil {
		e.digestOnly = true
		if e.item.Digest, err = integrity.ParseHash(p.digest); err != nil {
			return e, errors.New("neither the event nor its digest is there")
		}
		return e, nil
	}
	e.item.ID, e.text = idOf(p.event), p.event
	if e.item.Digest, err = integrity.DigestOf(p.event); err != nil {
		// What has no canonical form was not delivered so: it is another event than the
		// chain has.
		e.item.Digest = integrity.Digest(p.event)
	}
	return e, nil
}

// isFeed says whether text is spelled as ids of feeds are.
func isFeed(text string) bool {
	return len(text) == 16 && strings.IndexFunc(text, func(c rune) bool {
		return !unicode.In(c, unicode.Ll, unicode.Nd) || c > unicode.MaxASCII
	}) < 0
}

// idOf finds the id of an event for findings: of the canonical form, of OCSF, of ECS.
func idOf(event []byte) []byte {
	at := bytes.Index(event, []byte("audit_event_"))
	if at < 1 || !strings.ContainsRune(`"=`, rune(event[at-1])) {
		return nil
	}
	id := event[at:]
	if end := bytes.IndexAny(id, "\" "); end >= 0 {
		id = id[:end]
	}
	return id[:min(len(id), 100)]
}

func eventID(m members) []byte {
	if id, ok := m.text("id"); ok && len(id) <= 100 {
		return []byte(id)
	}
	return nil
}
