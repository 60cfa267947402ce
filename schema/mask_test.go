package schema

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var maskKey = []byte("0123456789abcdef0123456789abcdef")

// hmacOf is computed as docs/filters.md tells receivers to.
func hmacOf(text string) string {
	h := hmac.New(sha256.New, maskKey)
	h.Write([]byte(text))
	return "hmac:" + hex.EncodeToString(h.Sum(nil))[:32]
}

func newMask(tb testing.TB, rules ...string) *Mask {
	tb.Helper()
	var list []MaskRule
	for _, r := range rules {
		with, pointer, _ := strings.Cut(r, " ")
		rule := MaskRule{Pointer: pointer, With: with}
		if with == MaskHMAC {
			rule.Key = maskKey
		}
		list = append(list, rule)
	}
	m, err := NewMask(list)
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

const masked = `{"action":"user.login","actor":{"id":"user_1","metadata":{"email":"ada@example.com","levels":[1,true,null]},"name":"Ada \"A\"","type":"user"},` +
	`"context":{"location":"10.1.2.3","user_agent":"curl"},"id":"audit_event_1","metadata":{"*":"star","a/b":"slash","email":"bob@example.com","m~n":"tilde"},` +
	`"occurred_at":"2026-01-02T03:04:05Z","organization_id":"org_1","targets":[{"id":"t1","name":"One","type":"team"},{"id":"t2","type":"team"}],"version":3}`

func TestMask(t *testing.T) {
	without := func(pairs ...string) string { return strings.NewReplacer(pairs...).Replace(masked) }
	tests := []struct {
		name  string
		rules []string
		want  string
		met   []Masked
	}{
		{"a rule that meets nothing", []string{"drop /metadata/phone"}, masked, []Masked{}},
		{"a member is left out with its name", []string{"drop /actor/name"}, without(`"name":"Ada \"A\"",`, ``), []Masked{{"/actor/name", "drop"}}},
		{
			"the first, the last and the only member",
			[]string{"drop /context/location", "drop /version", "drop /actor/metadata/email", "drop /actor/metadata/levels"},
			without(`"location":"10.1.2.3",`, ``, `,"version":3`, ``, `{"email":"ada@example.com","levels":[1,true,null]}`, `{}`),
			[]Masked{{"/actor/metadata/email", "drop"}, {"/actor/metadata/levels", "drop"}, {"/context/location", "drop"}, {"/version", "drop"}},
		},
		{"a value is replaced", []string{"mask /actor/name"}, without(`Ada \"A\"`, `[masked]`), []Masked{{"/actor/name", "mask"}}},
		{"a text's HMAC is that of its characters, not of its escapes", []string{"hmac /actor/name"}, without(`Ada \"A\"`, hmacOf(`Ada "A"`)), []Masked{{"/actor/name", "hmac"}}},
		{"every item of an array", []string{"mask /targets/*/name"}, without(`"One"`, `"[masked]"`), []Masked{{"/targets/0/name", "mask"}}},
		{"one item of an array", []string{"drop /targets/0"}, without(`{"id":"t1","name":"One","type":"team"},`, ``), []Masked{{"/targets/0", "drop"}}},
		{
			"every item of an array left out",
			[]string{"drop /targets/*"},
			without(`[{"id":"t1","name":"One","type":"team"},{"id":"t2","type":"team"}]`, `[]`),
			[]Masked{{"/targets/0", "drop"}, {"/targets/1", "drop"}},
		},
		{
			"every member of an object",
			[]string{"mask /context/*"},
			without(`"10.1.2.3"`, `"[masked]"`, `"curl"`, `"[masked]"`),
			[]Masked{{"/context/location", "mask"}, {"/context/user_agent", "mask"}},
		},
		{
			"everything inside of a value, whose shape stays",
			[]string{"mask /actor/metadata"},
			without(`{"email":"ada@example.com","levels":[1,true,null]}`, `{"email":"[masked]","levels":["[masked]","[masked]","[masked]"]}`),
			[]Masked{{"/actor/metadata/email", "mask"}, {"/actor/metadata/levels/0", "mask"}, {"/actor/metadata/levels/1", "mask"}, {"/actor/metadata/levels/2", "mask"}},
		},
		{
			"what is no text has the HMAC of its JSON",
			[]string{"hmac /actor/metadata/levels"},
			without(`[1,true,null]`, fmt.Sprintf(`["%s","%s","%s"]`, hmacOf("1"), hmacOf("true"), hmacOf("null"))),
			[]Masked{{"/actor/metadata/levels/0", "hmac"}, {"/actor/metadata/levels/1", "hmac"}, {"/actor/metadata/levels/2", "hmac"}},
		},
		{
			"names with a slash and a tilde",
			[]string{"mask /metadata/a~1b", "mask /metadata/m~0n"},
			without(`"slash"`, `"[masked]"`, `"tilde"`, `"[masked]"`),
			[]Masked{{"/metadata/a~1b", "mask"}, {"/metadata/m~0n", "mask"}},
		},
		{
			"of two rules for a value the stricter one holds",
			[]string{"hmac /actor/metadata/email", "mask /actor/metadata", "drop /actor/metadata/levels", "mask /actor/metadata/levels"},
			without(`{"email":"ada@example.com","levels":[1,true,null]}`, `{"email":"[masked]"}`),
			[]Masked{{"/actor/metadata/email", "mask"}, {"/actor/metadata/levels", "drop"}},
		},
		{
			"a rule below one that drops changes nothing",
			[]string{"drop /actor/metadata", "hmac /actor/metadata/email"},
			without(`"metadata":{"email":"ada@example.com","levels":[1,true,null]},"name":"Ada`, `"name":"Ada`),
			[]Masked{{"/actor/metadata", "drop"}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := newMask(t, tt.rules...)
			got, met, err := m.Apply([]byte(masked))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, string(got)); diff != "" {
				t.Errorf("masked (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.met, met); diff != "" {
				t.Errorf("told (-want +got):\n%s", diff)
			}
			again, err := m.Append([]byte("before "), []byte(masked))
			if err != nil || string(again) != "before "+tt.want {
				t.Errorf("Append has made %s, %v of it", again, err)
			}
		})
	}
}

// A record may be marked as canonical and not be. No spelling of a name leads past a rule.
func TestNoSpellingLeadsPastAMask(t *testing.T) {
	m := newMask(t, "mask /context/user_agent", "mask /actor/name")
	for _, value := range []string{
		`{"context":{"userAgent":"secret"}}`,
		`{"context":{"user\u005fagent":"secret"}}`,
		`{ "actor" : { "n\u0061me" : "secret" } }`,
		`{"\u0061ctor":{"name":"secret"}}`,
	} {
		got, err := m.Append(nil, []byte(value))
		if err != nil || bytes.Contains(got, []byte("secret")) || !bytes.Contains(got, []byte("[masked]")) {
			t.Errorf("%s became %s, %v", value, got, err)
		}
	}
	for name, value := range map[string]string{
		"a name that stands there twice": `{"actor":{"name":"secret","name":"secret"}}`,
		"a lone surrogate":               `{"actor":{"name":"secret \ud800"}}`,
		"no JSON":                        `{"actor":{"name":"secret"}`,
	} {
		got, err := m.Append([]byte("before"), []byte(value))
		if vs, ok := errors.AsType[Violations](err); !ok || len(vs) == 0 || string(got) != "before" || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: became %s, %v", name, got, err)
		}
	}
}

func TestMaskRuleCheck(t *testing.T) {
	for _, tt := range []struct{ with, pointer, want string }{
		{"drop", "/actor/name", ""},
		{"hmac", "/targets/*/metadata/*", ""},
		{"drop", "/version", ""},
		{"drop", "/targets/0", ""},
		{"mask", "", "pointer is required, as in /actor/name"},
		{"mask", "actor", "pointer does not begin with a slash, as in /actor/name"},
		{"mask", "/actor/na~me", `pointer has a "~" that is neither "~0" (which stands for "~") nor "~1" (for "/")`},
		{"mask", "/actor/name~", `pointer has a "~" that is neither "~0" (which stands for "~") nor "~1" (for "/")`},
		{"hide", "/actor/name", `with is "hide", which is none of drop, mask, hmac`},
		{"drop", "/id", "pointer is about id, which must stay: events are told, routed and put in order by it"},
		{"drop", "/occurredAt", "pointer is about occurred_at, which must stay: events are told, routed and put in order by it"},
		{"drop", "/organization_id", "pointer is about organization_id, which must stay: events are told, routed and put in order by it"},
		{"drop", "/action/x", "pointer is about action, which must stay: events are told, routed and put in order by it"},
		{"drop", "/*", "pointer begins with *, which also covers what must stay: name a member of the event, as in /metadata/*"},
		{"mask", "/version", "pointer is about version, which has to stay a number: drop it, or let it stand"},
		{"mask", "/targets/name", "pointer leads nowhere: targets is a list, write /targets/*/name"},
		{"mask", "/targets/01/a~1b", "pointer leads nowhere: targets is a list, write /targets/*/01/a~1b"},
		{"mask", "/context/userAgent", "pointer is spelled as no event is when it is delivered: write /context/user_agent"},
		{"mask", strings.Repeat("/a", 65), "pointer has more than 64 steps, and no event is nested as deep"},
	} {
		got := ""
		if err := (MaskRule{Pointer: tt.pointer, With: tt.with}).Check(); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%s %q: %q, want %q", tt.with, tt.pointer, got, tt.want)
		}
	}
	for name, tt := range map[string]struct {
		rules []MaskRule
		want  string
	}{
		"a short key":    {[]MaskRule{{Pointer: "/actor/name", With: "hmac", Key: []byte("short")}}, "mask[0].key is shorter than 16 bytes: it could be tried out"},
		"a bad rule":     {[]MaskRule{{Pointer: "/actor", With: "drop"}, {Pointer: "/id", With: "drop"}}, "mask[1].pointer is about id"},
		"too many rules": {make([]MaskRule, MaxMaskRules+1), "there are more than 100 rules"},
	} {
		if _, err := NewMask(tt.rules); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// maskedTree is what a mask has to make of a value, written down a second time over the
// trees of encoding/json: by paths, one rule at a time, without any trie.
func maskedTree(v any, path []string, rules []MaskRule) (out any, dropped bool) {
	strictest := ""
	for _, r := range rules {
		steps := strings.Split(r.Pointer[1:], "/")
		if len(steps) > len(path) {
			continue
		}
		meets := true
		for i, s := range steps {
			s = strings.NewReplacer("~1", "/", "~0", "~").Replace(s)
			meets = meets && (s == "*" || s == path[i] || s == spelling(path[i]))
		}
		if meets && (strictest == "" || r.With == MaskDrop || r.With == MaskReplace && strictest == MaskHMAC) {
			strictest = r.With
		}
	}
	if strictest == MaskDrop {
		return nil, true
	}
	switch v := v.(type) {
	case map[string]any:
		kept := map[string]any{}
		for name, child := range v {
			if made, dropped := maskedTree(child, append(slices.Clip(path), name), rules); !dropped {
				kept[name] = made
			}
		}
		return kept, false
	case []any:
		kept := []any{}
		for i, child := range v {
			if made, dropped := maskedTree(child, append(slices.Clip(path), fmt.Sprint(i)), rules); !dropped {
				kept = append(kept, made)
			}
		}
		return kept, false
	}
	switch strictest {
	case MaskReplace:
		return MaskedText, false
	case MaskHMAC:
		if text, ok := v.(string); ok {
			return hmacOf(text), false
		}
		raw, _ := json.Marshal(v)
		return hmacOf(string(raw)), false
	}
	return v, false
}

func FuzzMask(f *testing.F) {
	f.Add([]byte(masked), "mask /actor/name\nhmac /targets/*/id\ndrop /metadata/*")
	f.Add([]byte(masked), "drop /actor/metadata\nhmac /actor/*/*\nmask /context")
	f.Add([]byte(`{"a":[[1,2],{"b":"\u2028"}],"z":{"😀":1e21,"\ue000":2}}`), "hmac /a/*/*\nmask /z\ndrop /a/0/1")
	f.Fuzz(func(t *testing.T, value []byte, list string) {
		canonical, err := Canonicalize(nil, value)
		if err != nil || canonical[0] != '{' {
			return
		}
		var rules []MaskRule
		for line := range strings.Lines(list) {
			with, pointer, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
			if r := (MaskRule{Pointer: pointer, With: with, Key: maskKey}); r.Check() == nil && len(rules) < 10 {
				rules = append(rules, r)
			}
		}
		m, err := NewMask(rules)
		if err != nil {
			t.Fatal(err)
		}
		got, err := m.Append(nil, canonical)
		if err != nil {
			t.Fatalf("%s: %v", canonical, err)
		}
		if again, err := Canonicalize(nil, got); err != nil || !bytes.Equal(again, got) {
			t.Fatalf("not canonical: %s, %v", got, err)
		}
		d := json.NewDecoder(bytes.NewReader(canonical))
		d.UseNumber()
		var tree any
		if err := d.Decode(&tree); err != nil {
			t.Fatal(err)
		}
		made, _ := maskedTree(tree, nil, rules)
		raw, err := json.Marshal(made)
		if err != nil {
			t.Fatal(err)
		}
		want, err := Canonicalize(nil, raw)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("rules %q\nof   %s\ngot  %s\nwant %s", list, canonical, got, want)
		}
	})
}

func BenchmarkMask(b *testing.B) {
	m := newMask(b, "mask /actor/name", "hmac /targets/*/id", "drop /metadata/email")
	var dst []byte
	b.ReportAllocs()
	b.SetBytes(int64(len(masked)))
	for b.Loop() {
		dst, _ = m.Append(dst[:0], []byte(masked))
	}
}
