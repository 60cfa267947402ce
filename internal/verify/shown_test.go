package verify

import (
	"encoding/csv"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/auditstream/auditstream/integrity"
)

// line is one event of a feed, as an export may have it.
func (f *feed) line(members string, s sent) string {
	return fmt.Sprintf(`{%s,"feed":%q,"seq":%d,"chain":%q}`, members, f.id(), s.link.Number, s.link.Hash)
}

// own is one event as the sink for files writes it, up to spelling.
func (f *feed) own(event []byte, more, space string, s sent) string {
	return fmt.Sprintf(`%s,%s"integrity":%s{"feed":%q,"seq":%d,"chain":%q%s}}`, event[:len(event)-1], space, space, f.id(), s.link.Number, s.link.Hash, more)
}

// exported is a whole export, whose event 7 one function writes, and the others another.
func (f *feed) exported(seventh, others func(s sent) string) []byte {
	var b strings.Builder
	for _, n := range f.notes {
		b.WriteString(marshal(map[string]string{"checkpoint": string(n)}) + "\n")
	}
	for _, s := range f.sent {
		if s.link.Number == 7 {
			b.WriteString(seventh(s) + "\n")
		} else {
			b.WriteString(others(s) + "\n")
		}
	}
	return []byte(b.String())
}

// What a person or a search shows of a line is what was hashed: none of these lines passes,
// although the event that was delivered is in each.
func TestWhatIsShownIsWhatWasHashed(t *testing.T) {
	f := newFeed().seal(t).add(10).seal(t)
	forged := func(s sent) string {
		return strings.Replace(string(s.event), "user.signed_in", "user.deleted", 1)
	}
	asOwn := func(space string, event func(s sent) string) func(s sent) string {
		return func(s sent) string { return f.own([]byte(event(s)), "", space, s) }
	}
	beside := func(format string) func(s sent) string {
		return func(s sent) string {
			return f.line(strings.NewReplacer("EVENT", string(s.event), "TEXT", marshal(string(s.event)), "FORGED", forged(s)).Replace(format), s)
		}
	}
	honest := func(s sent) string { return f.own(s.event, "", "", s) }
	twice := func(s sent) string { return `{"action":"user.deleted",` + string(s.event[1:]) }
	deep := func(s sent) string { return strings.Replace(string(s.event), `"n":7`, `"n":8,"n":7`, 1) }
	for name, tt := range map[string]struct {
		line func(s sent) string
		want integrity.Verdict
	}{
		"a member twice":                       {asOwn("", twice), integrity.Tampered},
		"a member twice, spelled another way":  {asOwn(" ", twice), integrity.Tampered},
		"a member twice, further in":           {asOwn(" ", deep), integrity.Tampered},
		"a member twice, one of them escaped":  {asOwn(" ", func(s sent) string { return `{"\u0061ction":"user.deleted",` + string(s.event[1:]) }), integrity.Tampered},
		"a member twice, in an event within":   {beside(`"event":{"action":"user.deleted","x":EVENT}`), integrity.Tampered},
		"a member twice, in text of an event":  {func(s sent) string { return f.line(`"_raw":`+marshal(twice(s)), s) }, integrity.Tampered},
		"a member twice, in the object of one": {func(s sent) string { return f.line(`"event":`+deep(s), s) }, integrity.Tampered},
		"the event twice":                      {beside(`"event":FORGED,"event":EVENT`), integrity.Tampered},
		"the text of the event twice":          {beside(`"_raw":"user.deleted","_raw":TEXT`), integrity.Tampered},
		"the true event within the forged one": {func(s sent) string {
			return f.own(fmt.Appendf(nil, `{"action":"user.deleted","event":%s}`, s.event), "", "", s)
		}, integrity.Tampered},
		"likewise, with nothing else altered": {func(s sent) string {
			return f.own(fmt.Appendf(nil, `{"action":"user.signed_in","event":%s}`, s.event), "", " ", s)
		}, integrity.Tampered},
		"an action beside the event":              {beside(`"action":"user.deleted","event":EVENT`), integrity.Tampered},
		"an actor beside the event":               {beside(`"actor":{"id":"mallory"},"event":EVENT`), integrity.Tampered},
		"an id beside a body":                     {beside(`"id":"audit_event_1","body":EVENT`), integrity.Tampered},
		"an action beside a result":               {beside(`"action":"user.deleted","_raw":TEXT`), integrity.Unchecked},
		"an actor's id beside a result":           {beside(`"actor.id":"mallory","_raw":TEXT`), integrity.Unchecked},
		"a value that the event has not":          {beside(`"actor.id":["user_7","mallory"],"_raw":TEXT`), integrity.Unchecked},
		"a path that the event has not":           {beside(`"actor.email":"mallory@example.com","_raw":TEXT`), integrity.Unchecked},
		"another event beside a result":           {beside(`"event":FORGED,"_raw":TEXT`), integrity.Unchecked},
		"another message beside a result":         {beside(`"message":"user.deleted","_raw":TEXT`), integrity.Unchecked},
		"an action around a result":               {beside(`"action":"user.deleted","result":{"_raw":TEXT}`), integrity.Unchecked},
		"more beside the proof":                   {func(s sent) string { return f.own(s.event, `,"approved_by":"mallory"`, "", s) }, integrity.Tampered},
		"another place, beside the proof":         {beside(`"event":EVENT,"fields":{"feed":"aaaaaaaaaaaaaaaa","seq":"1","chain":"x"}`), integrity.Tampered},
		"a list in place of the event":            {beside(`"event":[EVENT]`), integrity.Tampered},
		"text behind the event":                   {func(s sent) string { return f.own([]byte(string(s.event)+`{"action":"user.deleted"}`), "", "", s) }, integrity.Tampered},
		"text that is no event, and the true one": {beside(`"_raw":"{oops","event":EVENT`), integrity.Tampered},
		"likewise, with what ends too soon":       {beside(`"_raw":"{\"a","event":{"a":1},"a.b":"c","x":EVENT`), integrity.Tampered},
		"a parsed attribute that is altered":      {func(s sent) string { return logOf(f, s, `"actor":{"id":"mallory"}`) }, integrity.Unchecked},
		"an event that calls itself a checkpoint": {func(s sent) string {
			return `{"action":"user.deleted","checkpoint":` + marshal(string(f.notes[0])) + "}\n" + honest(s)
		}, integrity.Unchecked},
		"likewise, in a result": {func(s sent) string {
			return `{"_raw":` + marshal(`{"action":"user.deleted","checkpoint":`+marshal(string(f.notes[0]))+"}") + "}\n" + honest(s)
		}, integrity.Unchecked},
		"likewise, with a dash alone": {func(s sent) string { return "{\"action\":\"user.deleted\",\"checkpoint\":\"\u2014 \"}\n" + honest(s) }, integrity.NotCovered},
		"likewise, in a log":          {func(s sent) string { return logOfCheckpoint(f, "user_1 was deleted") + "\n" + honest(s) }, integrity.Unchecked},
	} {
		t.Run(name, func(t *testing.T) {
			r := checked(t, Options{}, f.exported(tt.line, honest))
			if r.Verdict != tt.want {
				t.Fatalf("verdict %s, want %s: %s %+v", r.Verdict, tt.want, r.Sentence, r.Findings)
			}
			if tt.want == integrity.Tampered && r.Feeds[0].Findings[0].From != 7 {
				t.Errorf("it is event 7: %+v", r.Feeds[0].Findings)
			}
		})
	}
}

// What services put beside an event, and what searches take out of it, is no tampering.
func TestWhatServicesAdd(t *testing.T) {
	f := newFeed().seal(t).add(10).seal(t)
	for name, line := range map[string]func(s sent) string{
		"fields that a search has taken out": func(s sent) string {
			return f.line(fmt.Sprintf(`"_raw":%s,"_time":"2026-01-31","host":"h","source":"auditstream","sourcetype":"_json","index":"audit","linecount":"1","action":["user.signed_in","user.signed_in"],"actor.id":"user_%d","actor.type":"user","id":%q,"metadata.n":"%d","metadata.ok":"true","metadata.none":"null"`,
				marshal(string(s.event)), s.link.Number, id(s.link.Number), s.link.Number), s)
		},
		"attributes that were parsed": func(s sent) string {
			return logOf(f, s, fmt.Sprintf(`"action":"user.signed_in","actor":{"id":"user_%d","type":"user"},"id":%q,"metadata":{"n":%d.0}`, s.link.Number, id(s.link.Number), s.link.Number))
		},
		"an event at Splunk Cloud Services": func(s sent) string {
			return fmt.Sprintf(`{"id":%q,"timestamp":1,"host":"h","source":"s","sourcetype":"t","attributes":{"auditstream_feed":%q,"auditstream_seq":"%d","auditstream_chain":%q},"body":%s}`, id(s.link.Number), f.id(), s.link.Number, s.link.Hash, s.event)
		},
		"names of ours within the event": func(s sent) string {
			return fmt.Sprintf(`{"_raw":%s,"feed":"news","seq":"1","chain":"x","auditstream_feed":%q,"auditstream_seq":"%d","auditstream_chain":%q}`, marshal(string(s.event)), f.id(), s.link.Number, s.link.Hash)
		},
	} {
		t.Run(name, func(t *testing.T) {
			if r := checked(t, Options{}, append(f.exported(line, line), logOfCheckpoint(f, "Checkpoint of feed "+f.id()+": 10 events")...)); r.Verdict != integrity.Complete {
				t.Errorf("%s %+v", r.Sentence, r)
			}
		})
	}
}

// An event in ECS has a member that is called event, and one in OCSF a message.
func TestMembersThatEventsShareWithEnvelopes(t *testing.T) {
	f := newFeed().seal(t)
	for n := range int64(3) {
		event := fmt.Appendf(nil, `{"@timestamp":"2026-01-31T12:00:00.000Z","event":{"action":"user.signed_in","id":%q},"message":"signed in"}`, id(n+1))
		link := f.head.Link(integrity.Digest(event))
		f.head = link.Head()
		f.tree.Append(link.Digest)
		f.sent = append(f.sent, sent{event, link})
	}
	f.seal(t)
	for name, line := range map[string]func(s sent) string{
		"a line":                    func(s sent) string { return f.own(s.event, "", "", s) },
		"a line that was respelled": func(s sent) string { return f.own(s.event, "", " ", s) },
		"an envelope":               func(s sent) string { return f.line(`"event":`+string(s.event), s) },
		"a result with a field message": func(s sent) string {
			return f.line(`"_raw":`+marshal(string(s.event))+`,"message":"signed in","event.action":"user.signed_in"`, s)
		},
	} {
		if r := checked(t, Options{}, f.exported(line, line)); r.Verdict != integrity.Complete {
			t.Errorf("%s: %s %+v", name, r.Sentence, r)
		}
	}
}

// logOf is a log of Datadog, which has parsed the event, or says so.
func logOf(f *feed, s sent, parsed string) string {
	return fmt.Sprintf(`{"id":"AAAB","type":"log","attributes":{"host":"h","status":"info","tags":["a:b"],"message":%s,"attributes":{%s,"auditstream":{"feed":%q,"seq":%d,"chain":%q,"digest":%q}}}}`,
		marshal(string(s.event)), parsed, f.id(), s.link.Number, s.link.Hash, s.link.Digest)
}

func logOfCheckpoint(f *feed, message string) string {
	return fmt.Sprintf(`{"id":"AAAB","type":"log","attributes":{"message":%s,"attributes":{"auditstream":{"feed":%q,"checkpoint":%s}}}}`, marshal(message), f.id(), marshal(string(f.notes[len(f.notes)-1])))
}

func TestColumnsOfATable(t *testing.T) {
	f := newFeed().seal(t).add(10).seal(t)
	// Every cell but those of the event's place, by the number of the event.
	table := func(columns []string, cells ...func(s sent) string) []byte {
		var b strings.Builder
		w := csv.NewWriter(&b)
		rows := [][]string{append([]string{"auditstream_feed", "auditstream_seq", "auditstream_chain"}, columns...)}
		for _, s := range f.sent {
			row := []string{f.id(), strconv.FormatInt(s.link.Number, 10), s.link.Hash.String()}
			for _, cell := range cells {
				row = append(row, cell(s))
			}
			rows = append(rows, row)
		}
		for _, n := range f.notes {
			row := make([]string, len(rows[0]))
			for i, name := range rows[0] {
				if name == "_raw" || name == "Message" || name == "event" {
					row[i] = string(n)
				}
			}
			rows = append(rows, row)
		}
		if err := w.WriteAll(rows); err != nil {
			t.Fatal(err)
		}
		return []byte(b.String())
	}
	raw := func(s sent) string { return string(s.event) }
	is := func(text string) func(sent) string { return func(sent) string { return text } }
	for name, tt := range map[string]struct {
		content []byte
		want    integrity.Verdict
	}{
		"a path that ends in a name of ours":     {table([]string{"_raw", "metadata.message", "metadata.feed", "metadata.seq"}, raw, is(""), is(""), is("")), integrity.Complete},
		"likewise, with values, in front":        {table([]string{"x.message", "x.body", "x.feed", "x.seq", "x.chain", "_raw"}, is("a"), is("b"), is("c"), is("7"), is("e"), raw), integrity.Complete},
		"likewise, with values, behind":          {table([]string{"_raw", "x.message", "x.body", "x.feed", "x.seq", "x.chain"}, raw, is("a"), is("b"), is("c"), is("7"), is("e")), integrity.Complete},
		"a forged event, and the true one":       {table([]string{"_raw", "x.body"}, is(`{"action":"user.deleted"}`), raw), integrity.Tampered},
		"what a search has taken out":            {table([]string{"_raw", "action", "actor.type", "host"}, raw, is("user.signed_in"), is("user"), is("h")), integrity.Complete},
		"a column that is not what the event is": {table([]string{"_raw", "action"}, raw, is("user.deleted")), integrity.Unchecked},
		"a cell that belongs to no column":       {table([]string{"_raw"}, raw, is("user.deleted")), integrity.Unchecked},
		"a member twice, in a cell":              {table([]string{"_raw"}, func(s sent) string { return `{"action":"user.deleted",` + raw(s)[1:] }), integrity.Tampered},
		"Datadog's names":                        {table([]string{"Date", "Host", "Service", "Message", "@action"}, is("2026"), is("h"), is("s"), raw, is("user.signed_in")), integrity.Complete},
	} {
		t.Run(name, func(t *testing.T) {
			if r := checked(t, Options{}, tt.content); r.Verdict != tt.want {
				t.Errorf("verdict %s, want %s: %s %+v", r.Verdict, tt.want, r.Sentence, r.Findings)
			}
		})
	}
	for name, columns := range map[string][]string{
		"two events":     {"_raw", "message"},
		"one name twice": {"_raw", "_RAW"},
		"two feeds":      {"_raw", "feed"},
		"a path":         {"_raw", "attributes.auditstream.seq"},
	} {
		cells := make([]func(sent) string, len(columns))
		for i := range cells {
			cells[i] = is("x")
		}
		err := refused(t, table(columns, cells...))
		if err == nil || !strings.Contains(err.Error(), strconv.Quote(columns[1])) || !strings.Contains(err.Error(), "mean the same") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// refused is why an export as a whole is not looked at.
func refused(tb testing.TB, content []byte) error {
	tb.Helper()
	return entries(strings.NewReader(string(content)), "table", nil, func(*entry, func() string, error) error { return nil })
}

// A line of CEF has the proof behind the event, and nothing else.
func TestTextBehindALineOfCEF(t *testing.T) {
	f := newFeed().seal(t)
	for n := int64(1); n <= 3; n++ {
		event := fmt.Appendf(nil, `CEF:0|auditstream|audit|1|user.signed_in|signed in|3|externalId=%s suser=ada`, id(n))
		link := f.head.Link(integrity.Digest(event))
		f.head = link.Head()
		f.tree.Append(link.Digest)
		f.sent = append(f.sent, sent{event, link})
	}
	f.seal(t)
	line := func(s sent, more string) string {
		return fmt.Sprintf("%s auditstreamFeed=%s auditstreamSeq=%d auditstreamChain=%s%s", s.event, f.id(), s.link.Number, strings.ReplaceAll(s.link.Hash.String(), "=", `\=`), more)
	}
	for _, more := range []string{
		"", " suser=mallory act=user.deleted", " user.deleted", " auditstreamSeq=2", " auditstreamFeed=" + f.id(), "\tact=user.deleted", " auditstreamNote=ok",
	} {
		var b strings.Builder
		for _, s := range f.sent {
			b.WriteString(line(s, more) + "\n")
		}
		for _, n := range f.notes {
			b.WriteString(marshal(map[string]string{"checkpoint": string(n)}) + "\n")
		}
		r := checked(t, Options{}, []byte(b.String()))
		if more == "" && r.Verdict != integrity.Complete || more != "" && (r.Verdict == integrity.Complete || r.Verdict == integrity.NotCovered) {
			t.Errorf("%q behind the proof: %s", more, r.Sentence)
		}
		if strings.HasPrefix(more, " suser") && (r.Verdict != integrity.Tampered || !strings.Contains(r.Findings[0].Where, `"suser=mallory", which no hash covers`)) {
			t.Errorf("%q behind the proof: %s %+v", more, r.Sentence, r.Findings)
		}
	}
}

// What a doctored line costs is bounded: of one in which there is too much to compare, it is
// not said that it is as it should be.
func TestALineWithTooMuchBesideIt(t *testing.T) {
	f := newFeed().seal(t)
	event := `{"id":"` + id(1) + `","targets":[` + strings.TrimSuffix(strings.Repeat(`{"id":"a"},`, 2000), ",") + `]}`
	link := f.head.Link(integrity.Digest([]byte(event)))
	f.head = link.Head()
	f.tree.Append(link.Digest)
	f.sent = append(f.sent, sent{[]byte(event), link})
	f.seal(t)
	line := func(fields int) func(s sent) string {
		return func(s sent) string {
			var b strings.Builder
			for i := range fields {
				fmt.Fprintf(&b, `"targets{}.id%s":"a",`, strings.Repeat("{}", i))
			}
			return f.line(b.String()+`"_raw":`+marshal(string(s.event)), s)
		}
	}
	if r := checked(t, Options{}, f.exported(line(1), line(1))); r.Verdict != integrity.Complete {
		t.Error(r.Sentence)
	}
	if r := checked(t, Options{}, f.exported(line(1000), line(1000))); r.Verdict != integrity.Unchecked {
		t.Error(r.Sentence)
	}
}
