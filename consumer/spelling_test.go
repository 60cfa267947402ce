package consumer

import (
	"bytes"
	"cmp"
	"fmt"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/gowebpki/jcs"

	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/schema"
)

// TestDigestIsOfTheCanonicalFormWhateverThePublisherClaims has records that are marked as
// canonical, and most of them are not. What is delivered of each is what an implementation of
// RFC 8785 by others makes of it, and the digest in the feed is of that; what has no canonical
// form is refused.
func TestDigestIsOfTheCanonicalFormWhateverThePublisherClaims(t *testing.T) {
	const event = `{"action":"user.login","actor":{"id":"u","metadata":%s,"name":"Ada","type":"user"},"id":"audit_event_%026d","occurred_at":"2026-11-01T00:00:00Z","organization_id":"` + testOrganization + `","targets":[]}`
	swapped := strings.Replace(event, `"action":"user.login",`, "", 1)
	tests := []struct {
		name, metadata string
		event          string // empty: event
		refused        bool
	}{
		{name: "canonical", metadata: `{"a":1,"b":"x"}`},
		{name: "white space", metadata: ` { "a" : 1 } `},
		{name: "line feeds", metadata: "{\n\"a\":1\n}"},
		{name: "out of order", metadata: `{"b":1,"a":2}`},
		{name: "out of order at the top", metadata: `{}`, event: swapped[:len(swapped)-1] + `,"action":"user.login"}`},
		{name: "a name in escapes", metadata: `{}`, event: strings.Replace(event, `"id":"audit`, `"\u0069d":"audit`, 1)},
		{name: "out of order by UTF-16", metadata: "{\"a\":{\"\ufb33\":1,\"\U0001f600\":2}}"},
		{name: "minus zero", metadata: `{"a":-0}`},
		{name: "1.0", metadata: `{"a":1.0}`},
		{name: "exponents", metadata: `{"a":1E2,"b":10e-1,"c":0.0000001,"d":1e21}`},
		{name: "more digits than a double has", metadata: `{"a":0.10000000000000000055}`},
		{name: "escapes that need not be", metadata: `{"a":"\u0041\/\u00e9\ud83d\ude00\u2028"}`},
		{name: "long and upper-case escapes", metadata: `{"a":"\u000a\u001F"}`},
		{name: "1e400", metadata: `{"a":1e400}`, refused: true},
		{name: "an integer that readers round", metadata: `{"a":9007199254740993}`, refused: true},
		{name: "a member twice", metadata: `{"a":1,"a":1}`, refused: true},
		{name: "a member twice by another spelling", metadata: `{"a":1,"\u0061":1}`, refused: true},
		{name: "a lone surrogate", metadata: `{"a":"\ud800"}`, refused: true},
		{name: "a lone surrogate in a name", metadata: `{"\udc00":1}`, refused: true},
		{name: "invalid UTF-8", metadata: "{\"a\":\"\xff\"}", refused: true},
	}
	p, streams := selecting(t)
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := usual()
			r.Offset = int64(i)
			r.Value = fmt.Appendf(nil, cmp.Or(tt.event, event), tt.metadata, i)
			claimed := bytes.Clone(r.Value)
			for _, id := range []string{"plain", "mask"} {
				e, violations := p.check.check(r)
				if refused := e == nil; refused != tt.refused {
					t.Fatalf("refused %v, want %v: %v", refused, tt.refused, violations)
				}
				if tt.refused {
					return
				}
				e.Feed = "feed"
				line, err := streams[id].frame(nil, e, &p.check, integrity.Begin("origin"))
				if err != nil {
					t.Fatal(err)
				}
				delivered := bytes.TrimSuffix(line, []byte("\n"))
				want, err := jcs.Transform(claimed)
				if err != nil {
					t.Fatal(err)
				}
				if id == "mask" {
					want = bytes.Replace(want, []byte(`"name":"Ada"`), []byte(`"name":"`+schema.MaskedText+`"`), 1)
				}
				if diff := gocmp.Diff(string(want), string(delivered)); diff != "" {
					t.Errorf("%s delivers (-want +got):\n%s", id, diff)
				}
				if e.Link.Digest != integrity.Digest(want) {
					t.Errorf("%s: the digest is not of the canonical form", id)
				}
			}
			if !bytes.Equal(r.Value, claimed) {
				t.Error("the record has been altered: a letter would not have its bytes")
			}
		})
	}
}
