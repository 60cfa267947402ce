package export

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/auditstream/auditstream/schema"
)

// parse is an event of a JSON text.
func parse(tb testing.TB, text string) *schema.Event {
	tb.Helper()
	e, err := schema.Decode([]byte(text))
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

const (
	plainEvent  = `{"action":"user.signed_in","actor":{"id":"user_1","type":"user"},"id":"audit_event_01JAAAAAAAAAAAAAAAAAAAAAAA","occurred_at":"2026-11-22T09:30:00Z","organization_id":"` + acme + `","targets":[]}`
	fullerEvent = `{"action":"team.renamed","actor":{"id":"user_1","metadata":{"role":"admin"},"name":"Ada \"the\" Admin","shoe_size":39,"type":"user"},` +
		`"context":{"location":"192.0.2.7","planet":"earth","user_agent":"curl/8; (x,y)"},"id":"audit_event_01JAAAAAAAAAAAAAAAAAAAAAAB","metadata":{"from":"=cmd|' /C calc'!A0","line":"one\ntwo"},` +
		`"mood":"good","occurred_at":"2026-11-22T09:31:00.123+01:00","organization_id":"` + acme + `","targets":[{"id":"team_1","name":null,"type":"team"},{"id":"user_2","metadata":{"n":1},"type":"user"}],"version":2}`
	hostileEvent = `{"action":"-2+3","actor":{"id":"@SUM(A1)","name":"\t=1","type":"+1"},"context":{"location":"'quoted","user_agent":"＝1"},"id":"audit_event_01JAAAAAAAAAAAAAAAAAAAAAAC","occurred_at":"=noon","organization_id":"` + acme + `","targets":[],"version":-1}`
)

func TestFileFormat(t *testing.T) {
	file := appendHeader(nil)
	for _, text := range []string{plainEvent, fullerEvent, hostileEvent} {
		var err error
		if file, err = appendRow(file, parse(t, text)); err != nil {
			t.Fatal(err)
		}
	}
	golden(t, "file-1", string(file))
}

// A cell that begins as a formula does is text to a spreadsheet, and nothing else is changed.
func TestNoCellIsAFormula(t *testing.T) {
	for _, text := range []string{"=1+1", "+1", "-1", "@a", "\t=1", "\r=1", "\n=1", "＝1", "＋1", "－1", "＠1", "'=1", "'"} {
		if got, want := string(appendCell(nil, 0, text)), `"'`+text+`"`; got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
	for _, text := range []string{"", "1=1", "a", " =1", `{"a":"=1"}`, "audit_event_1", "日本"} {
		if got, want := string(appendCell(nil, 0, text)), `"`+strings.ReplaceAll(text, `"`, `""`)+`"`; got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

// restored is the event that the cells of a row hold.
func restored(tb testing.TB, row []string) map[string]any {
	tb.Helper()
	cell := map[string]string{}
	for i, name := range columns() {
		cell[name] = strings.TrimPrefix(row[i], "'")
	}
	event := map[string]any{}
	if text := cell["other"]; text != "" {
		if err := json.Unmarshal([]byte(text), &event); err != nil {
			tb.Fatal(err)
		}
	}
	inner := func(name string) map[string]any {
		if event[name] == nil {
			event[name] = map[string]any{}
		}
		return event[name].(map[string]any)
	}
	text := func(into map[string]any, name, column string) {
		if cell[column] != "" {
			into[name] = cell[column]
		}
	}
	structure := func(into map[string]any, name, column string) {
		if cell[column] != "" {
			var v any
			if err := json.Unmarshal([]byte(cell[column]), &v); err != nil {
				tb.Fatal(err)
			}
			into[name] = v
		}
	}
	for _, name := range []string{"id", "organization_id", "occurred_at", "action"} {
		text(event, name, name)
	}
	structure(event, "version", "version")
	for _, name := range []string{"type", "id", "name"} {
		if cell["actor_"+name] != "" {
			text(inner("actor"), name, "actor_"+name)
		}
	}
	if cell["actor_metadata"] != "" {
		structure(inner("actor"), "metadata", "actor_metadata")
	}
	for _, name := range []string{"location", "user_agent"} {
		if cell[name] != "" {
			text(inner("context"), name, name)
		}
	}
	structure(event, "targets", "targets")
	structure(event, "metadata", "metadata")
	return event
}

// Whatever an event holds is in its row, and can be told from everything else.
func FuzzNothingIsLostInARow(f *testing.F) {
	for _, text := range []string{plainEvent, fullerEvent, hostileEvent, `{"a":1,"actor":{"x":"y"},"context":{"z":""}}`, `{"targets":[],"version":1e400}`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		event, err := schema.Decode([]byte(text))
		if err != nil {
			return
		}
		canonical, err := event.AppendCanonical(nil)
		if err != nil {
			return // such an event is in no topic
		}
		row, err := appendRow(nil, event)
		if err != nil {
			t.Fatalf("%s: %v", canonical, err)
		}
		if !utf8.Valid(row) {
			t.Fatal("the row is not UTF-8")
		}
		if bytes.Contains(canonical, []byte(`\r`)) {
			return // the reader of package csv makes one line feed of CR LF, within quotes too
		}
		rows, err := csv.NewReader(bytes.NewReader(row)).ReadAll()
		if err != nil || len(rows) != 1 || len(rows[0]) != len(columns()) {
			t.Fatalf("%s: %v, %d rows", row, err, len(rows))
		}
		var want map[string]any
		if err := json.Unmarshal(canonical, &want); err != nil {
			t.Fatal(err)
		}
		got := restored(t, rows[0])
		for _, name := range []string{"context", "actor"} { // an empty one has no column
			if m, ok := want[name].(map[string]any); ok && len(m) == 0 {
				delete(want, name)
				if m, ok := got[name].(map[string]any); ok && len(m) == 0 {
					delete(got, name)
				}
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s\n%s(-want +got):\n%s", canonical, row, diff)
		}
	})
}
