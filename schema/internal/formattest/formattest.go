// Package formattest holds what the tests of all output formats share: the golden files
// of the catalogue's actions, and events that are hard to write.
package formattest

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/auditstream/auditstream/schema"
	"github.com/auditstream/auditstream/schema/catalogue"
)

// Catalogue is the embedded catalogue.
func Catalogue(tb testing.TB) *catalogue.Catalogue {
	tb.Helper()
	c, err := catalogue.Embedded()
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// Golden writes the example of every action with the format, and compares the lines with
// testdata/FAMILY.golden, a line an action. With update the files are written instead.
func Golden(t *testing.T, update bool, format func(dst []byte, e *schema.Event) ([]byte, error)) {
	t.Helper()
	for _, family := range Catalogue(t).Families() {
		t.Run(family.Name, func(t *testing.T) {
			var lines []byte
			for _, a := range family.Actions {
				e, err := catalogue.Example(a)
				if err != nil {
					t.Fatal(err)
				}
				before := len(lines)
				if lines, err = format(lines, e); err != nil {
					t.Fatalf("%s: %v", a.Name, err)
				}
				if bytes.ContainsAny(lines[before:], "\r\n") {
					t.Errorf("%s: more than one line: %q", a.Name, lines[before:])
				}
				lines = append(lines, '\n')
			}
			file := filepath.Join("testdata", family.Name+".golden")
			if update {
				if err := os.WriteFile(file, lines, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(string(lines), "\n")); diff != "" {
				t.Errorf("%s (-want +got); go test -update writes it anew:\n%s", file, diff)
			}
		})
	}
}

// Hard are events that schema.Decode takes and a format may stumble over.
func Hard() []string {
	const head = `"action":"a.b","occurred_at":"2026-01-02T03:04:05Z"`
	return []string{
		`{` + head + `,"actor":{"id":"","type":""},"targets":[]}`,
		`{` + head + `,"actor":{},"targets":[{}]}`,
		`{` + head + `,"actor":{"id":"1","type":"user","name":null},"targets":[{"id":"2","type":"x","name":""}],"context":{"location":"Berlin","user_agent":"","more":1}}`,
		`{` + head + `,"actor":{"id":"1","type":"user","metadata":{"email":{"not":"text"}}},"targets":[],"metadata":{"email":7,"nested":{"a":[1,{"b":null}]},"big":1e300}}`,
		`{` + head + `,"actor":{"id":"a|b=c\\d\n<e>&\u2028","type":"user"},"targets":[],"metadata":{"k|=\\\n":"v|=\\\r\n"}}`,
		`{"action":"auth.login.success","occurred_at":"2016-12-31T23:59:60Z","actor":{"id":"1","type":"user"},"targets":[],"unmapped":{"x":1},"@timestamp":"no","version":-1}`,
		`{"action":"user.roleChange","occurred_at":"0000-01-01T00:00:00Z","actor":{"id":"1","type":"user"},"targets":[],"version":2.0,"metadata":{"to":"admin"}}`,
		"{" + head + `,"actor":{"id":"\u2028\u2029","name":"\\u2028","type":"user","\ufb33":1,"\ud83d\ude00":2},"targets":[],"metadata":{"\ud83d\ude00":1,"\ufb33":{"\uffff":1,"\ud800\udc00":2}}}`,
		`{"action":"group.create","occurred_at":"9999-12-31T23:59:59Z","actor":{"id":"1","type":"user"},"targets":[{"id":"1","type":"organization"}],"context":{"location":"fe80::1%eth0"}}`,
	}
}

// Canonical checks that the format writes value, made canonical, in canonical form.
func Canonical(tb testing.TB, value []byte, format func(dst []byte, e *schema.Event) ([]byte, error)) {
	tb.Helper()
	value, err := schema.Canonicalize(nil, value)
	if err != nil {
		return
	}
	e, err := schema.Decode(value)
	if err != nil {
		return
	}
	out, err := format([]byte("before"), e)
	if err != nil {
		return
	}
	out = bytes.TrimPrefix(out, []byte("before"))
	want, err := schema.Canonicalize(nil, out)
	if violations, ok := errors.AsType[schema.Violations](err); ok && violations[0].Code == schema.CodeTooDeep {
		return
	}
	if err != nil || !bytes.Equal(out, want) {
		tb.Errorf("%s becomes\n%s, which is not canonical:\n%s, %v", value, out, want, err)
	}
}

// Events adds events to a fuzz target: the example of an action of each family, those
// that are hard to write, and some that are none.
func Events(f *testing.F) {
	f.Helper()
	for _, family := range Catalogue(f).Families() {
		e, err := catalogue.Example(family.Actions[0])
		if err != nil {
			f.Fatal(err)
		}
		value, err := e.AppendCanonical(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(value)
	}
	for _, text := range append(Hard(), `{}`, `[]`, `{"action":`) {
		f.Add([]byte(text))
	}
}
