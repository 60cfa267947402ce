package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// canonicalEvent is an event of the size that services publish, about 600 bytes.
const canonicalEvent = `{"action":"sso.delete_connection","actor":{"id":"user_01JGXYZ123","metadata":{"email":"alice@example.com","first_name":"Alice","last_name":"Johnson"},"name":"Alice Johnson","type":"user"},"context":{"location":"192.0.2.1","user_agent":"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)"},"id":"audit_event_01JGXYZ0000000000000000000","metadata":{"source":"/organizations/sso"},"occurred_at":"2025-01-15T14:30:00.000Z","organization_id":"org_01JAAAAAAAAAAAAAAAAAAAAAAA","targets":[{"id":"conn_01JGXYZ789","metadata":{"connection_type":"GoogleSAML"},"name":"GoogleSAML Connection","type":"sso_connection"}],"version":1}`

func TestScanFindsTheFields(t *testing.T) {
	tests := []struct {
		name, value string
		want        Fields
	}{
		{"canonical event", canonicalEvent, Fields{
			Action:         []byte("sso.delete_connection"),
			ID:             []byte("audit_event_01JGXYZ0000000000000000000"),
			OccurredAt:     []byte("2025-01-15T14:30:00.000Z"),
			OrganizationID: []byte("org_01JAAAAAAAAAAAAAAAAAAAAAAA"),
			Canonical:      true,
		}},
		{"none of them", `{}`, Fields{Canonical: true}},
		{"an empty one is not nil", `{"action":""}`, Fields{Action: []byte{}, Canonical: true}},
		{"only at the top level", `{"a":{"action":"x","id":"y"},"b":[{"id":"z"}],"action":"u"}`, Fields{Action: []byte("u")}},
		{"not after a nested object either", `{"a":[[{"b":{}}]],"id":"1"}`, Fields{ID: []byte("1"), Canonical: true}},
		{"a value that looks like a name", `{"x":"action","y":"id"}`, Fields{Canonical: true}},
		{"a name written with escapes", `{"\u0061cti\u006Fn":"a"}`, Fields{Action: []byte("a")}},
		{"the longest name wholly of escapes", `{"` + escapeAll("organization_id") + `":"o"}`, Fields{OrganizationID: []byte("o")}},
		{"a text with escapes", `{"id":"a\"\\\/\b\f\n\r\té\ud83d\ude00"}`, Fields{ID: []byte("a\"\\/\b\f\n\r\té😀")}},
		{"a lone surrogate as encoding/json reads it", `{"id":"\ud800x"}`, Fields{ID: []byte("\ufffdx")}},
		{"white space everywhere", " \t\r\n{ \n\"id\" :\t\"1\" , \"x\" : [ 1 , 2 ] , \"y\" : { } } \n", Fields{ID: []byte("1")}},
		{"white space without line feeds", " {\t\"id\" : \"1\"\r}", Fields{ID: []byte("1")}},
		{"another spelling is another member", `{"Action":"a","ID":"i","occurredAt":"t"}`, Fields{Canonical: true}},
		{"other members may repeat", `{"x":1,"x":2,"id":"1"}`, Fields{ID: []byte("1")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := Fields{Action: []byte("left over")}
			if err := Scan([]byte(tt.value), &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("fields (-want +got):\n%s", diff)
			}
		})
	}
}

func TestScanRefuses(t *testing.T) {
	tests := []struct {
		name, value string
		want        SyntaxError
	}{
		{"nothing", "", SyntaxError{Offset: 0, Reason: "unexpected end"}},
		{"white space only", " \n", SyntaxError{Offset: 2, Reason: "unexpected end"}},
		{"an array", `[{}]`, SyntaxError{Offset: 0, Reason: "expected an object"}},
		{"a string", `"x"`, SyntaxError{Offset: 0, Reason: "expected an object"}},
		{"two objects", `{}{}`, SyntaxError{Offset: 2, Reason: "more than one value"}},
		{"two objects apart", "{}\n{}", SyntaxError{Offset: 3, Reason: "more than one value"}},
		{"text after", `{"a":1}x`, SyntaxError{Offset: 7, Reason: "more than one value"}},
		{"a second action", `{"action":"a","action":"b"}`, SyntaxError{Offset: 14, Reason: "a second action"}},
		{"a second id by escapes", `{"id":"a","\u0069d":"b"}`, SyntaxError{Offset: 10, Reason: "a second id"}},
		{"a second organization_id", `{"organization_id":"","organization_id":""}`, SyntaxError{Offset: 22, Reason: "a second organization_id"}},
		{"a second occurred_at", `{"occurred_at":"","x":[],"occurred_at":""}`, SyntaxError{Offset: 25, Reason: "a second occurred_at"}},
		{"action a number", `{"action":1}`, SyntaxError{Offset: 10, Reason: "action, id, occurred_at or organization_id is not a string"}},
		{"id null", `{"id":null}`, SyntaxError{Offset: 6, Reason: "action, id, occurred_at or organization_id is not a string"}},
		{"id an object", `{"id": {}}`, SyntaxError{Offset: 7, Reason: "action, id, occurred_at or organization_id is not a string"}},
		{"id an array", `{"id":["a"]}`, SyntaxError{Offset: 6, Reason: "action, id, occurred_at or organization_id is not a string"}},
		{"open object", `{"a":1`, SyntaxError{Offset: 6, Reason: "unexpected end"}},
		{"open string", `{"a":"bcdefghijkl`, SyntaxError{Offset: 17, Reason: "unexpected end"}},
		{"closed by the wrong kind", `{"a":[1}`, SyntaxError{Offset: 7, Reason: "expected a comma or a closing bracket"}},
		{"object closed by a bracket", `{"a":1]`, SyntaxError{Offset: 6, Reason: "expected a comma or a closing brace"}},
		{"comma before a brace", `{"a":1,}`, SyntaxError{Offset: 7, Reason: "expected a member's name in double quotes"}},
		{"comma before a bracket", `{"a":[1,]}`, SyntaxError{Offset: 8, Reason: "invalid value"}},
		{"leading comma", `{,"a":1}`, SyntaxError{Offset: 1, Reason: "expected a member's name in double quotes"}},
		{"no colon", `{"a" 1}`, SyntaxError{Offset: 5, Reason: "expected a colon after a member's name"}},
		{"two colons", `{"a"::1}`, SyntaxError{Offset: 5, Reason: "invalid value"}},
		{"name without quotes", `{a:1}`, SyntaxError{Offset: 1, Reason: "expected a member's name in double quotes"}},
		{"leading zero", `{"a":01}`, SyntaxError{Offset: 6, Reason: "expected a comma or a closing brace"}},
		{"plus", `{"a":+1}`, SyntaxError{Offset: 5, Reason: "invalid value"}},
		{"bare minus", `{"a":-}`, SyntaxError{Offset: 6, Reason: "invalid value"}},
		{"no fraction", `{"a":1.}`, SyntaxError{Offset: 7, Reason: "invalid number"}},
		{"no exponent", `{"a":1e+}`, SyntaxError{Offset: 8, Reason: "invalid number"}},
		{"misspelt literal", `{"a":trve}`, SyntaxError{Offset: 5, Reason: "invalid value"}},
		{"control character", "{\"a\":\"b\nc\"}", SyntaxError{Offset: 7, Reason: "control character in a string"}},
		{"control character among eight", "{\"a\":\"bcdefgh\x1fijklmnop\"}", SyntaxError{Offset: 13, Reason: "control character in a string"}},
		{"unknown escape", `{"a":"\x"}`, SyntaxError{Offset: 6, Reason: "invalid escape in a string"}},
		{"short escape", `{"a":"\u12"}`, SyntaxError{Offset: 6, Reason: "invalid escape in a string"}},
		{"not UTF-8", "{\"a\":\"b\xffc\"}", SyntaxError{Offset: 7, Reason: "invalid UTF-8"}},
		{"overlong UTF-8 among eight", "{\"a\":\"01234567\xc0\xaf0123456789\"}", SyntaxError{Offset: 14, Reason: "invalid UTF-8"}},
		{"surrogate in UTF-8", "{\"a\":\"\xed\xa0\x80\"}", SyntaxError{Offset: 6, Reason: "invalid UTF-8"}},
		{"byte order mark", "\ufeff{}", SyntaxError{Offset: 0, Reason: "expected an object"}},
		{"form feed as space", "{\f}", SyntaxError{Offset: 1, Reason: "expected a member's name in double quotes"}},
		{"too deep", nested(MaxDepth + 1), SyntaxError{Offset: 5 * MaxDepth, Reason: "nested deeper than 64 levels"}},
		{"too deep in arrays", `{"a":` + strings.Repeat("[", MaxDepth), SyntaxError{Offset: 5 + MaxDepth - 1, Reason: "nested deeper than 64 levels"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := Scan([]byte(tt.value), new(Fields))
			got, ok := errors.AsType[*SyntaxError](err)
			if !ok {
				t.Fatalf("got %v, want a syntax error", err)
			}
			if diff := cmp.Diff(tt.want, *got, cmpopts.IgnoreUnexported(SyntaxError{})); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

func TestScanTakesTheDeepestNesting(t *testing.T) {
	if err := Scan([]byte(nested(MaxDepth)), new(Fields)); err != nil {
		t.Error(err)
	}
}

// Every string length and every place of the special byte crosses the border between
// words of eight bytes and the rest.
func TestScanStringsOfAnyLength(t *testing.T) {
	for n := range 40 {
		for tail := range 12 {
			text := strings.Repeat("x", n)
			value := fmt.Sprintf(`{"id":"%s","a":[%s1]}`, text, strings.Repeat(" ", tail))
			var f Fields
			if err := Scan([]byte(value), &f); err != nil {
				t.Fatalf("%s: %v", value, err)
			}
			if string(f.ID) != text {
				t.Fatalf("%s: id is %q", value, f.ID)
			}
			for at := range n {
				broken := []byte(value)
				broken[len(`{"id":"`)+at] = 0x1f
				if err := Scan(broken, &f); err == nil {
					t.Fatalf("%q: accepted", broken)
				}
				broken[len(`{"id":"`)+at] = 0x80
				if err := Scan(broken, &f); err == nil {
					t.Fatalf("%q: accepted", broken)
				}
			}
		}
	}
}

func TestScanDoesNotAllocate(t *testing.T) {
	value := []byte(canonicalEvent)
	var f Fields
	if n := testing.AllocsPerRun(100, func() {
		if err := Scan(value, &f); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func FuzzScan(f *testing.F) {
	for _, seed := range []string{
		canonicalEvent, `{}`, `{}{}`, `[]`, `{"id":"a","\u0069d":"b"}`, `{"action":1}`, `{"a":[1,-2.5e3,true,false,null,{"b":""}]}`,
		"{\"a\":\"\xff\"}", `{"id":"\ud83d\ude00\ud800"}`, ` { "id" : "1" , "x":[ ] } `, nested(MaxDepth), nested(MaxDepth + 1), `{"a":"\u00"}`, `{"":0}`,
		`{"a":-0}`, `{"a":1.50}`, `{"a":1e21}`, `{"a":1e+21}`, `{"a":1e400}`, `{"a":9007199254740993}`, `{"a":"\u001F"}`, `{"a":"\u000a\/"}`, `{"b":1,"a":2}`,
		`{"a":{"b":1,"b":1}}`, "{\"\U0001f600\":1,\"\ufb33\":2}", "{\"\ufb33\":1,\"\U0001f600\":2}", `{"\n":1,"\t":2}`, `{"\t":1,"\n":2}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		want, ok := slowScan(value)
		var got Fields
		err := Scan(value, &got)
		if (err == nil) != ok {
			t.Fatalf("%q: error %v, but the slow way says %v", value, err, ok)
		}
		if diff := cmp.Diff(want, got); ok && diff != "" {
			t.Fatalf("%q: fields (-slow +fast):\n%s", value, diff)
		}
	})
}

// slowScan does with encoding/json what Scan promises.
func slowScan(value []byte) (Fields, bool) {
	var f Fields
	if !utf8.Valid(value) || !json.Valid(value) || depth(value) > MaxDepth {
		return f, false
	}
	dec := json.NewDecoder(bytes.NewReader(value))
	if tok, err := dec.Token(); err != nil || tok != json.Delim('{') {
		return f, false
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return f, false
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return f, false
		}
		field := map[string]*[]byte{"action": &f.Action, "id": &f.ID, "occurred_at": &f.OccurredAt, "organization_id": &f.OrganizationID}[key.(string)]
		if field == nil {
			continue
		}
		var text *string
		if err := json.Unmarshal(raw, &text); err != nil || text == nil || *field != nil {
			return f, false
		}
		*field = append([]byte{}, *text...)
	}
	spelled, err := Canonicalize(nil, value)
	f.Canonical = err == nil && bytes.Equal(spelled, value)
	return f, true
}

func depth(value []byte) int {
	dec := json.NewDecoder(bytes.NewReader(value))
	deepest, now := 0, 0
	for {
		tok, err := dec.Token()
		if err != nil {
			return deepest
		}
		switch tok {
		case json.Delim('{'), json.Delim('['):
			now++
			deepest = max(deepest, now)
		case json.Delim('}'), json.Delim(']'):
			now--
		}
	}
}

func nested(levels int) string {
	return strings.Repeat(`{"a":`, levels-1) + "{}" + strings.Repeat("}", levels-1)
}

func escapeAll(s string) string {
	var b strings.Builder
	for _, r := range s {
		fmt.Fprintf(&b, `\u%04x`, r)
	}
	return b.String()
}

func BenchmarkScan(b *testing.B) {
	value := []byte(canonicalEvent)
	b.SetBytes(int64(len(value)))
	b.ReportAllocs()
	var f Fields
	for b.Loop() {
		if err := Scan(value, &f); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkJSONValid(b *testing.B) {
	value := []byte(canonicalEvent)
	b.SetBytes(int64(len(value)))
	for b.Loop() {
		if !json.Valid(value) {
			b.Fatal("not valid")
		}
	}
}
