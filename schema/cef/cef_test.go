package cef

import (
	"errors"
	"flag"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/auditstream/auditstream/schema"
	"github.com/auditstream/auditstream/schema/catalogue"
	"github.com/auditstream/auditstream/schema/internal/formattest"
)

var update = flag.Bool("update", false, "write the golden files anew")

func format(tb testing.TB) *Format {
	tb.Helper()
	return New(Config{Action: formattest.Catalogue(tb).Action})
}

func TestGolden(t *testing.T) { formattest.Golden(t, *update, format(t).Append) }

func TestAppend(t *testing.T) {
	const actor = `"occurred_at":"2026-01-02T03:04:05.678Z","actor":{"id":"u","type":"user"},`
	const end = " cs4=user cs4Label=actorType"
	tests := []struct{ name, event, want string }{
		{"little", `"action":"a.b","targets":[]`, `CEF:0|auditstream|auditstream|1|a.b|a.b|1|rt=1767323045678 act=a.b outcome=unknown suid=u` + end},
		{"the catalogue names it", `"action":"org.delete","targets":[]`, `CEF:0|auditstream|auditstream|1|org.delete|Organization deleted|10|rt=1767323045678 act=org.delete cat=org outcome=success suid=u` + end},
		{
			"bars and backslashes in the head", `"action":"a|b\\c=d\n","targets":[]`,
			`CEF:0|auditstream|auditstream|1|a\|b\\c=d |a\|b\\c=d |1|rt=1767323045678 act=a|b\\c\=d\n outcome=unknown suid=u` + end,
		},
		{
			"targets, a user among them", `"action":"a","targets":[{"id":"p","type":"project"},{"id":"x=y","type":"user","name":"Bob\r\nEve"}]`,
			`CEF:0|auditstream|auditstream|1|a|a|1|rt=1767323045678 act=a outcome=unknown suid=u duid=x\=y duser=Bob\r\nEve cs2=project:p,user:x\=y cs2Label=targets` + end,
		},
		{
			"an address of version 6", `"action":"a","targets":[],"context":{"location":"2001:db8::1","user_agent":"curl/8"},"version":3`,
			`CEF:0|auditstream|auditstream|1|a|a|1|rt=1767323045678 act=a outcome=unknown suid=u c6a2=2001:db8::1 c6a2Label=sourceIPv6Address requestClientApplication=curl/8 cn1=3 cn1Label=version` + end,
		},
		{
			"one of version 4, metadata and a reason", `"action":"a","targets":[],"context":{"location":"192.0.2.1"},"metadata":{"reason":"no = never","n":1.0}`,
			`CEF:0|auditstream|auditstream|1|a|a|1|rt=1767323045678 act=a outcome=unknown reason=no \= never suid=u src=192.0.2.1 cs3={"n":1,"reason":"no \= never"} cs3Label=metadata` + end,
		},
		{
			"no address", `"action":"a","targets":[],"context":{"location":"Berlin"}`,
			`CEF:0|auditstream|auditstream|1|a|a|1|rt=1767323045678 act=a outcome=unknown suid=u cs6=Berlin cs6Label=location` + end,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e, err := schema.Decode([]byte(`{` + actor + tt.event + `}`))
			if err != nil {
				t.Fatal(err)
			}
			got, err := format(t).Append([]byte("before"), e)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff("before"+tt.want, string(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	tests := map[string]*schema.Event{
		"no time":                   {Action: "a", OccurredAt: "noon"},
		"metadata without any JSON": {Action: "a", OccurredAt: "2026-01-02T03:04:05Z", Metadata: map[string]any{"f": func() {}}},
	}
	for name, e := range tests {
		out, err := format(t).Append([]byte("before"), e)
		if violations, ok := errors.AsType[schema.Violations](err); !ok || len(violations) != 1 || string(out) != "before" {
			t.Errorf("%s: %q, %v", name, out, err)
		}
	}
}

// read takes a line apart as the format's description says: the head at bars that are not
// escaped, then keys, which are words before an equal sign that is not escaped.
func read(line string) (head []string, extension map[string]string, ok bool) {
	line, ok = strings.CutPrefix(line, "CEF:")
	if !ok {
		return nil, nil, false
	}
	var part strings.Builder
	for len(head) < 7 {
		if line == "" {
			return nil, nil, false
		}
		c := line[0]
		line = line[1:]
		switch {
		case c == '\\' && line != "":
			part.WriteByte(line[0])
			line = line[1:]
		case c == '|':
			head = append(head, part.String())
			part.Reset()
		default:
			part.WriteByte(c)
		}
	}
	extension = map[string]string{}
	key, value := "", []byte{}
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '\\' && i+1 < len(line):
			i++
			switch line[i] {
			case 'n':
				value = append(value, '\n')
			case 'r':
				value = append(value, '\r')
			default:
				value = append(value, line[i])
			}
		case c == '=':
			next := string(value)
			if space := strings.LastIndexByte(next, ' '); space >= 0 {
				extension[key], next = next[:space], next[space+1:]
			}
			key, value = next, nil
			if _, twice := extension[key]; twice || key == "" {
				return nil, nil, false
			}
		default:
			value = append(value, c)
		}
	}
	extension[key] = string(value)
	return head, extension, true
}

// Whatever stands in an event, a reader finds seven fields, our keys only, and the values
// as they were but for control characters.
func FuzzAppend(f *testing.F) {
	formattest.Events(f)
	c := format(f)
	ours := map[string]bool{}
	for name := range strings.FieldsSeq("rt externalId act cat outcome reason suid suser duid duser src c6a2 c6a2Label requestClientApplication cn1 cn1Label " +
		"cs1 cs1Label cs2 cs2Label cs3 cs3Label cs4 cs4Label cs5 cs5Label cs6 cs6Label") {
		ours[name] = true
	}
	plain := func(text string, lineEnds bool) string {
		return strings.Map(func(r rune) rune {
			if (r < ' ' || r == 0x7f) && (!lineEnds || r != '\n' && r != '\r') {
				return ' '
			}
			return r
		}, text)
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		e, err := schema.Decode(value)
		if err != nil {
			return
		}
		out, err := c.Append(nil, e)
		if err != nil {
			return
		}
		if strings.ContainsFunc(string(out), func(r rune) bool { return r < ' ' || r == 0x7f }) {
			t.Fatalf("%q: a control character in %q", value, out)
		}
		head, extension, ok := read(string(out))
		if !ok || len(head) != 7 || head[4] != plain(e.Action, false) {
			t.Fatalf("%q: %q does not read: %q", value, out, head)
		}
		for name := range extension {
			if !ours[name] {
				t.Fatalf("%q: the key %q in %q is none of ours", value, name, out)
			}
		}
		for name, want := range map[string]string{"act": e.Action, "externalId": e.ID, "suid": e.Actor.ID, "suser": e.Actor.Name, "cs1": e.OrganizationID, "cs4": e.Actor.Type} {
			if got := extension[name]; got != plain(want, true) {
				t.Fatalf("%q: %s is %q, want %q in %q", value, name, got, want, out)
			}
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	f := format(b)
	e, err := catalogue.Example(formattest.Catalogue(b).Action("user.roleChange", 0))
	if err != nil {
		b.Fatal(err)
	}
	dst := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.Append(dst, e); err != nil {
			b.Fatal(err)
		}
	}
}
