package verify

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/auditstream/auditstream/integrity"
)

// An id is what stands where ids stand. What a publisher has put elsewhere is none.
func TestIDsOfEvents(t *testing.T) {
	for _, tt := range []struct{ event, want string }{
		{`{"action":"a","actor":{"id":"audit_event_X"},"id":"audit_event_1"}`, "audit_event_1"},
		{`{"action":"audit_event_X","actor":{"id":["\"id\":\"audit_event_X\"",{"id":"audit_event_X"}]},"id":"audit_event_1"}`, "audit_event_1"},
		{`{"a\\":"\\","b":"\\\"","c":-1.5e3,"d":null,"id":"audit_event_1"}`, "audit_event_1"},
		{`{"actor":{"id":"audit_event_X"}}`, ""},
		{`{"event":{"action":"a","id":"audit_event_1"},"user":{"id":"audit_event_X"}}`, "audit_event_1"},
		{`{"actor":{"uid":"audit_event_X"},"metadata":{"uid":"audit_event_1"}}`, "audit_event_1"},
		{`{"id":"audit_event_1","metadata":{"uid":"audit_event_X"}}`, "audit_event_1"},
		{`{"event":{"id":"audit_event_X"},"id":"audit_event_1","metadata":{"uid":"audit_event_X"}}`, "audit_event_1"},
		{" { \"x\" : [ ] , \"id\" : \"audit_event_1\" } ", "audit_event_1"},
		{`{"id":"\u0061udit_event_1"}`, "audit_event_1"},
		{`{"id":{"id":"audit_event_X"}}`, ""},
		{`{"id":"` + strings.Repeat("x", 200) + `"}`, ""},
		{`CEF:0|a|b|1|externalId=audit_event_X|c \| externalId=audit_event_X|3|suser=a\=b externalId=audit_event_1 act=x`, "audit_event_1"},
		{`CEF:0|a|b|1|d|e|3|externalId=audit_event_1`, "audit_event_1"},
		{`CEF:0|a|b|1|d|e|3|suser= externalId\=audit_event_X`, ""},
		{`CEF:0|a`, ""},
		{``, ""},
		{`{`, ""},
		{`{"id`, ""},
		{`{"id"`, ""},
		{`{"id":`, ""},
		{`{"id":"`, ""},
		{`{"a":{"id":"audit_event_X"`, ""},
		{`{"a"}`, ""},
		{`[1]`, ""},
		{`{,}`, ""},
		{`{"a":}`, ""},
	} {
		if got := string(idOf([]byte(tt.event))); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.event, got, tt.want)
		}
	}
}

// Of each event in the formats that streams can have, the id is found.
func TestIDsInEachFormat(t *testing.T) {
	for _, format := range []string{"ecs", "ocsf"} {
		files, err := filepath.Glob(filepath.Join("..", "..", "schema", format, "testdata", "*.golden"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v", format, err)
		}
		content, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(content)) {
			if id := string(idOf([]byte(line))); len(id) != len(id1) || !strings.HasPrefix(id, "audit_event_") || !strings.Contains(line, `id":"`+id) {
				t.Errorf("%s: %q is the id of %.200s", format, id, line)
			}
		}
	}
}

const id1 = "audit_event_00000000000000000000000001"

// Whoever may publish can give an actor the id of another event: the proof that somebody asks
// for is of that one all the same.
func TestAnActorWithAnEventsID(t *testing.T) {
	f := newFeed().seal(t)
	for n := int64(1); n <= 3; n++ {
		actor := "user_1"
		if n == 1 {
			actor = id(3)
		}
		event := fmt.Appendf(nil, `{"action":"a","actor":{"id":%q},"id":%q}`, actor, id(n))
		link := f.head.Link(integrity.Digest(event))
		f.head = link.Head()
		f.tree.Append(link.Digest)
		f.sent = append(f.sent, sent{event, link})
	}
	line := func(s sent) string { return f.own(s.event, "", "", s) }
	r := checked(t, Options{Want: id(3)}, f.seal(t).exported(line, line))
	if r.Proof == nil {
		t.Fatal(r.NoProof)
	}
	p, err := integrity.ParseProof(r.Proof.Text())
	if err != nil || p.Number != 3 || string(p.Event) != string(f.sent[2].event) {
		t.Errorf("it proves number %d, %s: %v", p.Number, p.Event, err)
	}
}
