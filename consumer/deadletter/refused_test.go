package deadletter

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/auditstream/auditstream/schema"
)

func TestALetterAboutWhatCameFromOutside(t *testing.T) {
	refused := &Refused{
		ID: "audit_event_61S8DWA5RAQHHS4KTPDK8SJGAG", Kind: "workos", Source: "workos.webhook",
		Key: []byte(orgA), Value: []byte(`{"id":"event_1"}`), Received: noon.Add(123 * time.Millisecond),
		Violations: schema.Violations{{Pointer: "/event", Code: "required", Message: "required"}},
	}
	r, err := refused.Record("audit.dead_letters")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "topic: %s\nkey: %s\nvalue: %s\n", r.Topic, r.Key, r.Value)
	for _, h := range r.Headers {
		fmt.Fprintf(&b, "%s: %s\n", h.Key, h.Value)
	}
	const golden = "testdata/refused-1.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pinned, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(pinned), b.String()); diff != "" {
		t.Errorf("the persisted format has changed (-want +got):\n%s", diff)
	}
	r.Partition, r.Offset, r.Timestamp = 4, 7, noon
	got, mark, err := decode(r)
	if err != nil || mark != nil {
		t.Fatal(mark, err)
	}
	want := &Letter{
		Position: Position{4, 7}, Time: noon,
		ID: "outside.workos.audit_event_61S8DWA5RAQHHS4KTPDK8SJGAG.invalid", Class: "invalid", Reason: "/event: required",
		Streams: []Stream{}, Kind: "workos", Attempts: 1, FirstFailure: refused.Received, LastFailure: refused.Received,
		Source:     Source{Topic: "workos.webhook", TopicID: Outside, Time: refused.Received},
		Violations: []Violation{{Pointer: "/event", Code: "required", Message: "required"}},
		Key:        refused.Key, Value: refused.Value,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestALetterAboutSomethingWithEverythingWrongIsBounded(t *testing.T) {
	refused := &Refused{ID: "x", Kind: "workos", Source: "workos.webhook", Received: noon}
	for range 10_000 {
		refused.Violations = append(refused.Violations, schema.Violation{Pointer: "/a/b", Code: "type", Message: strings.Repeat("wrong ", 1000)})
	}
	r, err := refused.Record("audit.dead_letters")
	if err != nil {
		t.Fatal(err)
	}
	size := 0
	for _, h := range r.Headers {
		size += len(h.Value)
	}
	if l, _, err := decode(r); err != nil || len(l.Violations) != maxListed || size > 64<<10 {
		t.Errorf("%d bytes of headers, error %v", size, err)
	}
}
