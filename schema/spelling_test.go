package schema

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gowebpki/jcs"
)

// TestScanKnowsCanonicalJSON has what publishers may well mark as canonical although it is not.
func TestScanKnowsCanonicalJSON(t *testing.T) {
	tests := []struct {
		name, value string
		want        bool
	}{
		{"canonical event", canonicalEvent, true},
		{"white space", `{"a": 1}`, false},
		{"white space before", ` {"a":1}`, false},
		{"a line feed behind", "{\"a\":1}\n", false},
		{"members in order", `{"a":1,"b":2,"b1":3,"c":4}`, true},
		{"members out of order", `{"b":1,"a":2}`, false},
		{"members out of order below", `{"a":[{"d":1,"c":2}]}`, false},
		{"objects begin their order anew", `{"a":{"z":1},"b":{"a":1},"c":[{"z":1},{"a":1}]}`, true},
		{"order goes on behind an object", `{"b":{"z":1},"a":1}`, false},
		{"a repeated member", `{"a":1,"a":1}`, false},
		{"a repeated member by another spelling", `{"a":1,"\u0061":1}`, false},
		{"repeated in an object behind another", `{"a":{"b":{"x":1},"b":2}}`, false},
		{"a longer name first", `{"ab":1,"a":2}`, false},
		{"a longer name first, by a byte below the quote", `{"a!":1,"a":2}`, false},
		{"a shorter name first, and a byte below the quote", `{"a":1,"a !":2}`, true},
		{"the empty name first", `{"":1,"!":2,"a":3}`, true},
		{"the empty name behind", `{"!":1,"":2}`, false},
		{"the empty name twice", `{"":1,"":2}`, false},
		{"names of which eight bytes are the same", `{"abcdefgh1":1,"abcdefgh2":2}`, true},
		{"and the other way round", `{"abcdefgh2":1,"abcdefgh1":2}`, false},
		{"order by UTF-16", "{\"\U0001f600\":1,\"\ufb33\":2}", true},
		{"order by UTF-8", "{\"\ufb33\":1,\"\U0001f600\":2}", false},
		{"names with what must be escaped", `{"\t":1,"\n":2,"\"":3,"\\":4}`, true},
		{"and in the order of their spelling", `{"\"":1,"\n":2,"\t":3}`, false},
		{"escapes that must be", `{"a":"\b\t\n\f\r\u0000\u001f\u000b\"\\"}`, true},
		{"the solidus escaped", `{"a":"\/"}`, false},
		{"a short escape written long", `{"a":"\u000a"}`, false},
		{"upper case", `{"a":"\u001F"}`, false},
		{"an escape of what needs none", `{"a":"\u0041"}`, false},
		{"DEL needs none", `{"a":"\u007f"}`, false},
		{"a pair of surrogates escaped", `{"a":"\ud83d\ude00"}`, false},
		{"a lone surrogate", `{"a":"\ud83d"}`, false},
		{"a line separator escaped", `{"a":"\u2028"}`, false},
		{"a line separator", "{\"a\":\"\u2028\"}", true},
		{"integers", `{"a":[0,1,-1,10,999999999999999,-9007199254740991,9007199254740991]}`, true},
		{"minus zero", `{"a":-0}`, false},
		{"an integer that readers round", `{"a":9007199254740993}`, false},
		{"a fraction of nothing", `{"a":1.0}`, false},
		{"a fraction", `{"a":[0.1,-1.5,0.000001,1e-7,1.5e-10]}`, true},
		{"a zero behind", `{"a":1.50}`, false},
		{"an exponent that needs none", `{"a":1e2}`, false},
		{"a small number without exponent", `{"a":0.0000001}`, false},
		{"large numbers", `{"a":[1e+21,1.7976931348623157e+308]}`, true},
		{"without the sign of the exponent", `{"a":1e21}`, false},
		{"a capital E", `{"a":1E+21}`, false},
		{"more digits than a double has", `{"a":0.10000000000000000055}`, false},
		{"beyond a double", `{"a":1e400}`, false},
		{"below a double", `{"a":1e-400}`, false},
		{"true, false, null", `{"a":[true,false,null]}`, true},
		{"the deepest nesting", nested(MaxDepth), true},
		{"disorder in the deepest", strings.Repeat(`{"a":`, MaxDepth-1) + `{"b":1,"a":2}` + strings.Repeat("}", MaxDepth-1), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var f Fields
			if err := Scan([]byte(tt.value), &f); err != nil {
				t.Fatal(err)
			}
			if f.Canonical != tt.want {
				t.Errorf("%s: canonical %v, want %v", tt.value, f.Canonical, tt.want)
			}
		})
	}
}

// TestScanFindsWhiteSpace puts some wherever it may stand.
func TestScanFindsWhiteSpace(t *testing.T) {
	const value = `{"a":[],"b":{},"c":[1,"x",{"y":[true,null]}],"d":{"e":"\n\\n","f":-1.5},"id":"1"}`
	places := 0
	for i := range len(value) + 1 {
		for _, space := range []string{" ", "\t", "\r", "\n"} {
			spaced := value[:i] + space + value[i:]
			var f Fields
			if inText := strings.Count(value[:i], `"`)%2 == 1; inText || Scan([]byte(spaced), &f) != nil {
				continue
			}
			places++
			if f.Canonical {
				t.Errorf("%q: is taken for canonical", spaced)
			}
		}
	}
	if places < 40*4 {
		t.Errorf("white space may stand in %d ways only", places)
	}
}

// TestScanAgreesWithAnotherRFC8785 holds what Scan says of values made at random against an
// implementation of RFC 8785 by others: never is something taken for canonical that it would
// spell in another way, and everything that it has spelled itself is.
func TestScanAgreesWithAnotherRFC8785(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 785))
	same, other, refused := 0, 0, 0
	for range 100_000 {
		value := []byte(speller{rng}.object(0))
		var f Fields
		if err := Scan(value, &f); err != nil {
			t.Fatalf("%s: %v", value, err)
		}
		want, err := jcs.Transform(value)
		switch {
		case err != nil:
			refused++
			if f.Canonical {
				t.Fatalf("%s: is taken for canonical, and has no canonical form: %v", value, err)
			}
			continue
		case f.Canonical != bytes.Equal(value, want):
			t.Fatalf("%s: canonical %v, but the other way says\n%s", value, f.Canonical, want)
		case f.Canonical:
			same++
		default:
			other++
		}
		if err := Scan(want, &f); err != nil || !f.Canonical {
			t.Fatalf("%s: what the other way has spelled is not taken for canonical: %v", want, err)
		}
	}
	if same < 10_000 || other < 10_000 || refused < 1_000 {
		t.Errorf("%d canonical, %d in other spellings and %d without a canonical form show too little", same, other, refused)
	}
}

// speller makes JSON objects, of which each part is now and then spelled as it need not be.
type speller struct{ rng *rand.Rand }

func (s speller) oneOf(texts ...string) string { return texts[s.rng.IntN(len(texts))] }

func (s speller) space() string {
	if s.rng.IntN(150) == 0 {
		return s.oneOf(" ", "\n", "\t", "\r\n")
	}
	return ""
}

func (s speller) object(depth int) string {
	names := []string{"", "!", "a", "a!", "ab", "action ", "b", "names01", "names012", "names02", "z", "\u00e9", "\u4e2d", "\U0001f600", "\ufb33"}
	if s.rng.IntN(20) == 0 {
		names = append([]string{`\t`, `\n`, `\"`}, names...)
	}
	if s.rng.IntN(30) == 0 {
		s.rng.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	}
	members := []string{}
	for _, name := range names {
		if s.rng.IntN(4) == 0 {
			if s.rng.IntN(60) == 0 && name != "" && name[0] < utf8.RuneSelf && name[0] != '\\' {
				name = fmt.Sprintf(`\u%04x`, name[0]) + name[1:]
			}
			members = append(members, s.space()+`"`+name+`"`+s.space()+":"+s.space()+s.value(depth+1)+s.space())
			if s.rng.IntN(100) == 0 {
				members = append(members, members[len(members)-1])
			}
		}
	}
	return "{" + strings.Join(members, ",") + "}"
}

func (s speller) value(depth int) string {
	kind := s.rng.IntN(12)
	switch {
	case kind == 0 && depth < 4:
		return s.object(depth)
	case kind == 1 && depth < 4:
		return "[" + s.space() + s.value(depth+1) + "," + s.value(depth+1) + "]"
	case kind < 5:
		return s.oneOf("0", "1", "-1", "42", "123456789012345", "1234567890123456", "0.5", "-0.25", "1e+21", "1e-7", "0.000001", "333333333.3333333", "4.5", "2e-10", s.number())
	case kind < 6:
		return s.oneOf("true", "false", "null")
	}
	return `"` + s.oneOf("", "x", "user_1", "\u00e9\u4e2d\U0001f600", `\n`, `\"\\`, `\u0001`, `\u001f`, "\u2028", "a/b", "\x7f", s.text()) + `"`
}

// number is one that is hardly ever in canonical form.
func (s speller) number() string {
	if s.rng.IntN(4) > 0 {
		return "7"
	}
	return s.oneOf("-0", "1.0", "1.50", "1e2", "1E+21", "1e21", "10e-1", "0.0000001", "0.1e1", "1e-07", "1e400", "0.10000000000000000055", "-0.0", "1.0e+21")
}

func (s speller) text() string {
	if s.rng.IntN(3) > 0 {
		return "text"
	}
	return s.oneOf(`\/`, `\u0041`, `\u000a`, `\u001F`, `\ud83d\ude00`, `\ud83d`, `\ude00x`, `\u00e9`, `\u2028`, `\u007f`)
}
