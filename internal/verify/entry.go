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
	doubt      string // what is not as it should be with how it is written down; empty: nothing
}

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
	o, twice, err := parseObject(line)
	if err != nil {
		return entry{}, err
	}
	p := place{}
	if twice != "" {
		p.blame("it has the member %.40q twice, and readers differ in which they show", twice)
	}
	p.look(&o, maxEnvelopes)
	p.gather()
	p.compare()
	return p.entry(line)
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
	p := place{}
	if !p.takeOwn(proof) {
		return entry{}, false, nil // it is not as we write it: the other way says what it is
	}
	// The event ends with a brace of its own, in place of the comma.
	p.event = append(line[:at:at], '}')
	e, err := p.entry(line)
	return e, true, err
}

// takeOwn takes a proof that is spelled as the sink for files spells it, and has nothing else
// in it.
func (p *place) takeOwn(proof []byte) bool {
	rest, ok := bytes.CutPrefix(proof, []byte(`{"feed":"`))
	if !ok {
		return false
	}
	for _, m := range [...]struct {
		into *string
		end  string
	}{{&p.feed, `","seq":`}, {&p.number, `,"chain":"`}, {&p.chain, `"`}} {
		value, behind, found := bytes.Cut(rest, []byte(m.end))
		if !found || bytes.IndexByte(value, '"') >= 0 || bytes.IndexByte(value, '\\') >= 0 {
			return false
		}
		*m.into, rest = string(value), behind
	}
	if behind, found := bytes.CutPrefix(rest, []byte(`,"original_feed":"`)); found {
		feed, number, _ := bytes.Cut(behind, []byte(`","original_seq":`))
		at := bytes.IndexByte(number, '}')
		if at < 0 || bytes.IndexByte(feed, '"') >= 0 {
			return false
		}
		p.originalFeed, p.originalNumber, rest = string(feed), string(number[:at]), number[at:]
	}
	return string(rest) == "}"
}

// place is what is found in an object and those within it.
type place struct {
	feed, number, chain, digest string
	checkpoint                  []byte
	event                       []byte  // text of the event; nil: not found
	holder                      string  // the member or column that it, or a checkpoint, was found in
	heldBy                      *object // that has the holder
	originalFeed                string  // of what a job has sent: which event it was at first
	originalNumber              string

	around []*object // objects that stand around the event
	beside []shown   // what is shown beside it
	fault  string    // why what is shown is not the event that was delivered; empty: it may be
	doubt  string    // what is shown beside it and is not of it; empty: nothing
}

// blame says that what is there is not what was delivered. The first reason counts.
func (p *place) blame(format string, args ...any) {
	if p.fault == "" {
		p.fault = fmt.Sprintf(format, args...)
	}
}

// look goes through o and the envelopes in it.
func (p *place) look(o *object, depth int) {
	p.around = append(p.around, o)
	if c, ok := o.textOf(nameCheckpoint); ok && isNote(c) {
		p.checkpoint, p.holder, p.heldBy = []byte(c), "", nil // what was taken for an event stands beside it
		return
	}
	if proof := inner(o.get(nameProof)); proof != nil && p.event == nil && p.feed == "" {
		if p.take(proof); p.feed != "" {
			// The proof is a member of the event itself, whatever that has else.
			p.around = p.around[:len(p.around)-1]
			p.event, p.holder = o.without(nameProof), nameProof
			for _, m := range proof.members {
				if !isProof(m.name) {
					p.blame("the member %.40q stands beside the proof, which no hash covers", m.name)
				}
			}
			return
		}
	}
	p.take(o)
	for _, name := range holders() {
		if p.event == nil && p.checkpoint == nil {
			if p.found(name, o.get(name)); p.holder != "" {
				p.heldBy = o
			}
		}
	}
	if p.checkpoint != nil || depth == 0 {
		return
	}
	for _, name := range envelopes() {
		if within := inner(o.get(name)); within != nil {
			p.look(within, depth-1)
		}
	}
}

// nameProof is the member of an event that has its proof, as the sink for files writes it.
const nameProof = "integrity"

// holders are the members that an event may stand in, as it is or as text.
func holders() [4]string { return [...]string{"_raw", "event", "message", "body"} }

// envelopes are the members that more may stand in.
func envelopes() [6]string {
	return [...]string{"result", "fields", "attributes", nameProof, "auditstream", "custom"}
}

// isProof says whether proofs have members of the name.
func isProof(name string) bool {
	switch strings.TrimPrefix(name, prefixed) {
	case nameFeed, nameNumber, nameChain, nameDigest, nameCheckpoint, nameOriginalFeed, nameOriginalNumber:
		return true
	}
	return false
}

// isNote says whether a text is a checkpoint by its form.
func isNote(text string) bool {
	return strings.HasPrefix(text, "auditstream/") && strings.Contains(text, "\n\u2014 ")
}

// take takes the proof from o, if it is there.
func (p *place) take(o *object) {
	feed, ok := o.textOf(nameFeed)
	if !ok {
		return
	}
	number, _ := o.textOf(nameNumber)
	chain, _ := o.textOf(nameChain)
	if number == "" || chain == "" {
		return // a member of this name that is another thing
	}
	if p.feed != "" {
		if feed != p.feed || number != p.number || chain != p.chain {
			p.blame("two places in a feed are named: %.40q of %.40q and %.40q of %.40q", p.number, p.feed, number, feed)
		}
		return
	}
	digest, _ := o.textOf(nameDigest)
	p.feed, p.number, p.chain, p.digest = feed, number, chain, digest
	p.originalFeed, _ = o.textOf(nameOriginalFeed)
	p.originalNumber, _ = o.textOf(nameOriginalNumber)
}

// textOf is a member as text: a string, a number, or the first of a list of these, which is
// how some searches return fields. The name that is ours alone goes first: an event may have
// members of the other.
func (o *object) textOf(name string) (string, bool) {
	raw := o.get(prefixed + name)
	if raw == nil {
		raw = o.get(name)
	}
	if len(raw) == 0 {
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
func (p *place) found(holder string, raw json.RawMessage) {
	text := []byte(raw)
	if len(raw) > 0 && raw[0] == '"' {
		var s string
		if json.Unmarshal(raw, &s) != nil {
			return
		}
		text = []byte(s)
	}
	if len(text) == 0 || string(raw) == "null" {
		return
	}
	p.foundText(holder, text)
}

func (p *place) foundText(holder string, text []byte) {
	p.holder = holder
	if trimmed := bytes.TrimSpace(text); bytes.Contains(trimmed, []byte(`"checkpoint"`)) {
		if o, twice, err := parseObject(trimmed); err == nil && twice == "" {
			if c, ok := o.textOf(nameCheckpoint); ok && isNote(c) {
				p.checkpoint, p.around = []byte(c), append(p.around, &o)
				return
			}
		}
	}
	if isNote(string(text[:min(len(text), maxNote)])) {
		p.checkpoint = text
		return
	}
	p.event = text
}

// maxNote bounds the text in which a signature is looked for.
const maxNote = 64 << 10

// entry is what a line is, after all that was found in it.
func (p *place) entry(line []byte) (entry, error) {
	doubt := p.fault
	if doubt == "" {
		doubt = p.doubt
	}
	if p.checkpoint != nil {
		if !bytes.HasSuffix(p.checkpoint, []byte("\n")) {
			p.checkpoint = append(p.checkpoint, '\n') // searches cut off the last line's end
		}
		return entry{checkpoint: p.checkpoint, doubt: doubt}, nil
	}
	if p.feed == "" {
		event := p.event
		if event == nil {
			event = line
		}
		return entry{stray: true, item: integrity.Item{ID: idOf(event)}}, nil
	}
	e := entry{item: integrity.Item{Feed: p.feed}, doubt: doubt}
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
		if p.fault != "" {
			e.item.Digest = integrity.Digest(line)
		}
		return e, nil
	}
	e.item.ID, e.text = idOf(p.event), p.event
	if e.item.Digest, err = integrity.DigestOf(p.event); err != nil {
		// What has no canonical form was not delivered so: it is another event than the
		// chain has.
		e.item.Digest = integrity.Digest(p.event)
	}
	if p.fault != "" {
		e.item.Digest = integrity.Digest(line)
	}
	return e, nil
}

// isFeed says whether text is spelled as ids of feeds are.
func isFeed(text string) bool {
	return len(text) == 16 && strings.IndexFunc(text, func(c rune) bool {
		return !unicode.In(c, unicode.Ll, unicode.Nd) || c > unicode.MaxASCII
	}) < 0
}
