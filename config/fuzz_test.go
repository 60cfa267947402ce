package config_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/auditstream/auditstream/config"
)

// FuzzParse feeds Parse with anything: it neither panics nor runs without end, and what
// it accepts is valid.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		header,
		inString("via: [{name: a}, {floor: 2}]"),
		inString("labels: {a: &x b, c: *x}"),
		"kafka: {embedded: {dir: d}}\nlog: {level: debug}\n---\n",
		"streams: &s [*s]",
		"? [a]\n: !!binary b\n<<: *c\n",
		"a: &a [b, b]\nc: &c [*a, *a]\nd: [*c, *c]\n",
		"kafka: {brokers: [a:1]}\nstreams: [{id: a, organization_id: '*', start: 2026-11-01T00:00:00Z, letter: {}}]\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := config.Parse("f", data, kinds())
		if err != nil {
			e, ok := errors.AsType[*config.Error](err)
			if !ok || len(e.Problems) == 0 || c != nil {
				t.Fatalf("%v beside error %v (%T)", c, err, err)
			}
			for _, p := range e.Problems {
				if p.Line < 1 || p.Message == "" || strings.Contains(p.Path, "\n") {
					t.Fatalf("problem %#v", p)
				}
			}
			return
		}
		if err := c.Validate(); err != nil {
			t.Fatalf("accepted, but %v", err)
		}
		for _, s := range c.Streams {
			if s.Settings == nil || !json.Valid(s.Written) {
				t.Fatalf("stream %v written as %s", s, s.Written)
			}
		}
	})
}
