package schema

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gowebpki/jcs"
)

// The table of RFC 8785, appendix B: doubles by their bits.
func TestNumbersOfRFC8785(t *testing.T) {
	tests := []struct {
		bits uint64
		want string
	}{
		{0x0000000000000000, "0"},
		{0x8000000000000000, "0"},
		{0x0000000000000001, "5e-324"},
		{0x8000000000000001, "-5e-324"},
		{0x7fefffffffffffff, "1.7976931348623157e+308"},
		{0xffefffffffffffff, "-1.7976931348623157e+308"},
		{0x4340000000000000, "9007199254740992"},
		{0xc340000000000000, "-9007199254740992"},
		{0x4430000000000000, "295147905179352830000"},
		{0x44b52d02c7e14af5, "9.999999999999997e+22"},
		{0x44b52d02c7e14af6, "1e+23"},
		{0x44b52d02c7e14af7, "1.0000000000000001e+23"},
		{0x444b1ae4d6e2ef4e, "999999999999999700000"},
		{0x444b1ae4d6e2ef4f, "999999999999999900000"},
		{0x444b1ae4d6e2ef50, "1e+21"},
		{0x3eb0c6f7a0b5ed8c, "9.999999999999997e-7"},
		{0x3eb0c6f7a0b5ed8d, "0.000001"},
		{0x41b3de4355555553, "333333333.3333332"},
		{0x41b3de4355555554, "333333333.33333325"},
		{0x41b3de4355555555, "333333333.3333333"},
		{0x41b3de4355555556, "333333333.3333334"},
		{0x41b3de4355555557, "333333333.33333343"},
		{0xbecbf647612f3696, "-0.0000033333333333333333"},
		{0x43143ff3c1cb0959, "1424953923781206.2"},
	}
	for _, tt := range tests {
		if got := string(appendNumber(nil, math.Float64frombits(tt.bits))); got != tt.want {
			t.Errorf("%016x: got %s, want %s", tt.bits, got, tt.want)
		}
	}
}

func TestCanonicalize(t *testing.T) {
	tests := []struct{ name, value, want string }{
		{
			"the example of RFC 8785, section 3.2.2 but for its integer beyond 2^53-1",
			`{
  "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
  "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
  "literals": [null, true, false]
}`,
			`{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}`,
		},
		{
			"the names of RFC 8785, section 3.2.3, by their UTF-16 code units",
			`{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh","1":"One","\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis"}`,
			`{"\r":"Carriage Return","1":"One","` + "\u0080" + `":"Control","ö":"Latin Small Letter O With Diaeresis","€":"Euro Sign","😀":"Emoji: Grinning Face","` + "\ufb33" + `":"Hebrew Letter Dalet With Dagesh"}`,
		},
		{"a prefix comes first", `{"ab":1,"a":2,"":3}`, `{"":3,"a":2,"ab":1}`},
		{"every short escape", `"\b\t\n\f\r\"\\"`, `"\b\t\n\f\r\"\\"`},
		{"other control characters in lower case", `"\u0000\u001F\u007f"`, `"\u0000\u001f` + "\x7f" + `"`},
		{"minus zero", `[-0,-0.0,-0e5]`, `[0,0,0]`},
		{"the largest integers", `[9007199254740991,-9007199254740991]`, `[9007199254740991,-9007199254740991]`},
		{"an integer with a fraction", `[1.0,10e-1,1e2]`, `[1,1,100]`},
		{"a number too small for a double", `1e-400`, `0`},
		{"no white space", " [ 1 , { } , [ ] ] \n", `[1,{},[]]`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Canonicalize([]byte("before "), []byte(tt.value))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff("before "+tt.want, string(got)); diff != "" {
				t.Errorf("canonical form (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCanonicalizeRefuses(t *testing.T) {
	tests := []struct {
		name, value string
		want        Violations
	}{
		{"integer beyond 2^53-1", `{"a":[1,9007199254740992]}`, Violations{{"/a/1", CodeRange, adviceInteger}}},
		{"negative integer beyond", `-9007199254740993`, Violations{{"", CodeRange, adviceInteger}}},
		{"integer of 22 digits", `1000000000000000000000`, Violations{{"", CodeRange, adviceInteger}}},
		{"what would be written as such an integer", `1e20`, Violations{{"", CodeRange, adviceInteger}}},
		{"beyond a double", `1e400`, Violations{{"", CodeRange, adviceNumber}}},
		{"every repeated name", `{"a":{"b":1,"b":2},"a":3}`, Violations{
			{"/a/b", CodeDuplicate, "the name stands here for the second time; send it once"},
			{"/a", CodeDuplicate, "the name stands here for the second time; send it once"},
		}},
		{"names repeated by escapes", `{"~/":1,"~\u002f":2}`, Violations{
			{"/~0~1", CodeDuplicate, "the name stands here for the second time; send it once"},
		}},
		{"lone high surrogate", `{"a":"\ud800"}`, Violations{{"/a", CodeSyntax, lone(6).Error()}}},
		{"lone low surrogate in a name", `{"\udc00":1}`, Violations{{"", CodeSyntax, lone(2).Error()}}},
		{"surrogates the wrong way round", `["x\udc00\ud800"]`, Violations{{"/0", CodeSyntax, lone(3).Error()}}},
		{"two values", `1 2`, Violations{{"", CodeSyntax, "more than one value at byte 2"}}},
		{"byte order mark", "\ufeff{}", Violations{{"", CodeSyntax, "starts with a byte order mark; remove it"}}},
		{"too deep", nested(MaxDepth + 1), Violations{{"", CodeTooDeep, "nested deeper than 64 levels at byte 320; flatten the value or send it as a string"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Canonicalize([]byte("before"), []byte(tt.value))
			if diff := cmp.Diff(error(tt.want), err); diff != "" {
				t.Errorf("violations (-want +got):\n%s", diff)
			}
			if string(got) != "before" {
				t.Errorf("dst came back as %q", got)
			}
		})
	}
}

func TestViolationsAreBounded(t *testing.T) {
	value := "[" + strings.Repeat("1e400,", 10*MaxViolations) + "0]"
	_, err := Canonicalize(nil, []byte(value))
	violations, _ := err.(Violations) //nolint:errorlint // it is returned unwrapped
	if len(violations) != MaxViolations+1 || violations[MaxViolations].Code != CodeMore {
		t.Errorf("got %d violations, the last %v", len(violations), violations[len(violations)-1])
	}

	name := strings.Repeat("é", 10*maxPointer)
	_, err = Canonicalize(nil, fmt.Appendf(nil, `{"x%s":1e400}`, name))
	violations, _ = err.(Violations) //nolint:errorlint // it is returned unwrapped
	if want := "/x" + strings.Repeat("é", maxPointer/2-1) + "…"; violations[0].Pointer != want {
		t.Errorf("pointer is %d bytes: %q", len(violations[0].Pointer), violations[0].Pointer)
	}
}

func TestRepeatedNamesAmongMany(t *testing.T) {
	var b strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&b, `"k%d":0,`, i)
	}
	for _, repeated := range []string{"k0", "k15", "k16", "k999"} {
		_, err := Canonicalize(nil, fmt.Appendf(nil, `{%s"%s":1}`, b.String(), repeated))
		want := Violations{{"/" + repeated, CodeDuplicate, "the name stands here for the second time; send it once"}}
		if diff := cmp.Diff(error(want), err); diff != "" {
			t.Errorf("%s (-want +got):\n%s", repeated, diff)
		}
	}
}

func TestAppendCanonicalWritesEveryField(t *testing.T) {
	version := 3
	e := &Event{
		ID: "audit_event_01JGXYZ0000000000000000000", OrganizationID: "org_01JAAAAAAAAAAAAAAAAAAAAAAA",
		Action: "user.invite", Version: &version, OccurredAt: "2026-01-02T03:04:05Z",
		Actor: Actor{
			ID: "user_1", Type: "user", Name: "Zoë \"Z\" <z@example.com>",
			Metadata: map[string]any{
				"string": "s", "bool": true, "nil": nil, "int": 7, "int64": int64(-8), "float": 1.5, "number": json.Number("1.50"),
				"raw": json.RawMessage(`{ "b":1, "a":2 }`), "map": map[string]any{"z": 1, "a": []any{}}, "list": []any{1, "x", nil},
				"strings": []string{"a"}, "time": time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), "nilmap": map[string]any(nil), "nillist": []any(nil),
			},
			Extra: map[string]json.RawMessage{"email": json.RawMessage(`"z@example.com"`), "aaa": json.RawMessage(` 1e0 `), "zzz": json.RawMessage("null")},
		},
		Targets:  []Target{{ID: "t", Type: "user"}, {ID: "u", Type: "user", Metadata: map[string]any{}}},
		Context:  &Context{Location: "192.0.2.1", UserAgent: "curl", Extra: map[string]json.RawMessage{"p": json.RawMessage("[]")}},
		Metadata: map[string]any{"source": "api"},
		Extra:    map[string]json.RawMessage{"b": json.RawMessage("1"), "zz": json.RawMessage("2"), "action": json.RawMessage(`"gives way to the field"`)},
	}
	want := `{"action":"user.invite",` +
		`"actor":{"aaa":1,"email":"z@example.com","id":"user_1","metadata":{"bool":true,"float":1.5,"int":7,"int64":-8,"list":[1,"x",null],"map":{"a":[],"z":1},"nil":null,"nillist":null,"nilmap":null,"number":1.5,"raw":{"a":2,"b":1},"string":"s","strings":["a"],"time":"2026-01-02T03:04:05Z"},"name":"Zoë \"Z\" <z@example.com>","type":"user","zzz":null},` +
		`"b":1,"context":{"location":"192.0.2.1","p":[],"user_agent":"curl"},` +
		`"id":"audit_event_01JGXYZ0000000000000000000","metadata":{"source":"api"},"occurred_at":"2026-01-02T03:04:05Z","organization_id":"org_01JAAAAAAAAAAAAAAAAAAAAAAA",` +
		`"targets":[{"id":"t","type":"user"},{"id":"u","metadata":{},"type":"user"}],"version":3,"zz":2}`
	got, err := e.AppendCanonical(nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("canonical form (-want +got):\n%s", diff)
	}
	if err := Scan(got, new(Fields)); err != nil {
		t.Errorf("the scan refuses it: %v", err)
	}
	marshalled, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	var again Event
	if err := json.Unmarshal(marshalled, &again); err != nil {
		t.Fatal(err)
	}
	if got, err = again.AppendCanonical(nil); err != nil || string(got) != want {
		t.Errorf("after encoding/json and back: %s, %v", got, err)
	}
}

func TestAppendCanonicalReportsEverything(t *testing.T) {
	deep := any("x")
	for range MaxDepth {
		deep = []any{deep}
	}
	e := &Event{
		Action: "a\xff", Actor: Actor{Name: "\xc0", Metadata: map[string]any{"int": int64(1) << 53, "float": math.Inf(1), "uint": uint64(1) << 63, "chan": make(chan int), "\xff": 1}},
		Targets:  []Target{{Extra: map[string]json.RawMessage{"x": json.RawMessage(`{`), "y": nil}}},
		Context:  &Context{Extra: map[string]json.RawMessage{"userAgent": json.RawMessage(`"x"`)}},
		Metadata: map[string]any{"deep": deep, "twice": json.RawMessage(`{"a":1,"a":1}`), "named": named("\xff")},
		Extra:    map[string]json.RawMessage{"occurredAt": json.RawMessage(`""`), "organizationId": json.RawMessage(`""`)},
	}
	got, err := e.AppendCanonical([]byte("before"))
	if string(got) != "before" {
		t.Errorf("dst came back as %q", got)
	}
	var pointers []string
	violations, _ := err.(Violations) //nolint:errorlint // it is returned unwrapped
	for _, v := range violations {
		pointers = append(pointers, v.Pointer+" "+v.Code)
	}
	want := []string{
		"/occurredAt duplicate", "/organizationId duplicate", "/action syntax",
		"/actor/metadata/chan type", "/actor/metadata/float range", "/actor/metadata/int range", "/actor/metadata/uint range", "/actor/metadata/\xff syntax", "/actor/name syntax",
		"/context/userAgent duplicate",
		"/metadata/deep" + strings.Repeat("/0", MaxDepth-2) + " too_deep", "/metadata/named syntax", "/metadata/twice/a duplicate",
		"/targets/0/x syntax", "/targets/0/y syntax",
	}
	if diff := cmp.Diff(want, pointers); diff != "" {
		t.Errorf("violations (-want +got):\n%s", diff)
	}
}

type named string

// FuzzCanonicalize compares with another implementation, and demands that a canonical
// form is its own canonical form and passes the scan's grammar.
func FuzzCanonicalize(f *testing.F) {
	for _, seed := range []string{
		canonicalEvent, `[1.0,1e20,1e21,-0,5e-324,0.1e-6,123456789012345678]`, `{"\ufb33":1,"\ud83d\ude00":2}`, `"\u0000\u007f\/"`, `{"b":[{"z":1,"a":2}],"a":""}`, `1e400`, `{"a":1,"a":2}`, `"\ud800"`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		got, err := Canonicalize(nil, value)
		if err != nil {
			return
		}
		if scan(value, nil) != nil || !json.Valid(value) {
			t.Fatalf("%q: accepted", value)
		}
		again, err := Canonicalize(nil, got)
		if err != nil || !bytes.Equal(got, again) {
			t.Fatalf("%q: canonical %q, whose own is %q, %v", value, got, again, err)
		}
		var a, b any
		if json.Unmarshal(value, &a) != nil || json.Unmarshal(got, &b) != nil || !cmp.Equal(a, b) {
			t.Fatalf("%q: canonical %q means something else", value, got)
		}
		// The other implementation reads only objects and arrays reliably.
		if got[0] != '{' && got[0] != '[' {
			return
		}
		want, err := jcs.Transform(value)
		if err == nil && !bytes.Equal(want, got) {
			t.Fatalf("%q: got %q, another implementation says %q", value, got, want)
		}
	})
}

func BenchmarkAppendCanonical(b *testing.B) {
	e, err := Decode([]byte(canonicalEvent))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	var buf []byte
	for b.Loop() {
		if buf, err = e.AppendCanonical(buf[:0]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCanonicalize(b *testing.B) {
	b.ReportAllocs()
	var buf []byte
	var err error
	for b.Loop() {
		if buf, err = Canonicalize(buf[:0], []byte(canonicalEvent)); err != nil {
			b.Fatal(err)
		}
	}
}
