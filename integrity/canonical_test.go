package integrity

import (
	"bytes"
	"strings"
	"testing"

	"github.com/gowebpki/jcs"
)

func TestCanonical(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"as it was sent", `{"a":1,"b":[true,false,null,"x"],"c":{}}`, `{"a":1,"b":[true,false,null,"x"],"c":{}}`},
		{"white space and order", "{ \"b\" : 1,\n\"a\":[ ] }", `{"a":[],"b":1}`},
		{"escapes that need none", `{"a":"\u00e9\/\u0041"}`, `{"a":"é/A"}`},
		{"escapes that are needed", `{"a":"\"\\\b\f\n\r\t\u0001\u001f"}`, `{"a":"\"\\\b\f\n\r\t\u0001\u001f"}`},
		{"a long form of a short escape", `{"a":"\u000a\u001F"}`, `{"a":"\n\u001f"}`},
		{"numbers", `{"a":1.0,"b":1e3,"c":-0,"d":0.1,"e":123456789012345678}`, `{"a":1,"b":1000,"c":0,"d":0.1,"e":123456789012345680}`},
		{"keys in the order of UTF-16", `{"ｦ":1,"😀":2}`, `{"😀":2,"ｦ":1}`},
		{"a key with an escape", `{"b":1,"\u0061":2}`, `{"a":2,"b":1}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Canonical([]byte(tt.text))
			if err != nil || string(got) != tt.want {
				t.Errorf("Canonical = %s, %v, want %s", got, err, tt.want)
			}
		})
	}
	for _, bad := range []string{
		``, `{`, `{"a":1}{}`, `{"a":1,"a":2}`, "{\"a\":\"\xff\"}", `{"a":"\ud800"}`, `{"a":01}`, `{"a":tru}`,
		strings.Repeat("[", 1_000_000), `{"a":` + strings.Repeat(`{"a":`, 5000) + `1` + strings.Repeat("}", 5001),
	} {
		if got, err := Canonical([]byte(bad)); err == nil {
			t.Errorf("Canonical(%.40q) = %.40q, want an error", bad, got)
		}
	}
}

// What passes the quick way is exactly what the library would have made.
func FuzzCanonical(f *testing.F) {
	for _, s := range []string{`{"a":1,"b":"é\n"}`, `[1,2,-3,"\u0001"]`, `{"a":{"b":[]},"c":null}`, `"x"`, `-0`, `{"é":1}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := Canonical(text)
		if err != nil {
			return
		}
		want, err := jcs.Transform(text)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("Canonical(%q) = %q, and the library says %q, %v", text, got, want, err)
		}
		again, err := Canonical(got)
		if err != nil || !bytes.Equal(again, got) {
			t.Fatalf("Canonical of %q = %q, %v", got, again, err)
		}
	})
}

func BenchmarkDigestOf(b *testing.B) {
	event := []byte(`{"action":"user.signed_in","actor":{"id":"user_01","metadata":{"a":"b"},"type":"user"},"context":{"location":"1.2.3.4","user_agent":"Mozilla/5.0 (X11; Linux x86_64)"},"id":"audit_event_01KAQ7E5T0SVZ5B5X5V2Q0J6YD","metadata":{"x":"` + strings.Repeat("y", 400) + `"},"occurred_at":"2026-11-23T00:00:00.000Z","organization_id":"org_01"}`)
	b.SetBytes(int64(len(event)))
	for b.Loop() {
		if _, err := DigestOf(event); err != nil {
			b.Fatal(err)
		}
	}
}
