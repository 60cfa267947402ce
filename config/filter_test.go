package config_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/internal/secret"
)

// selecting is a stream with more settings of its own, from line 5 on.
func selecting(lines ...string) string {
	return header + "streams:\n  - id: s\n    organization_id: '*'\n    " + strings.Join(lines, "\n    ") + "\n    parcel: {address: a, token: {env: T}}\n"
}

// However YAML writes an expression, a problem is told where it stands in the file.
func TestFilterProblems(t *testing.T) {
	const noActon = `streams[0].filter: no event has "acton" there`
	for _, test := range []struct {
		name  string
		lines []string
		want  []string // beginnings of problems
	}{
		{"plain", []string{`filter: event.acton == "x"`}, []string{"5:18: " + noActon}},
		{"plain over two lines", []string{`filter: event.id == "x" ||`, `  event.acton == "x"`}, []string{"6:12: " + noActon}},
		{"in single quotes", []string{`filter: 'event.id == ''x'' || event.acton == "x"'`}, []string{"5:40: " + noActon}},
		{"in double quotes", []string{`filter: "event.id == \"x\" || event.acton == 'x'"`}, []string{"5:40: " + noActon}},
		{"with an escape that is not followed", []string{`filter: "event.id == '\u00e9' || event.acton == 'x'"`}, []string{"5:13: " + noActon}},
		{"literal", []string{`filter: |`, `  event.id == "x"`, `    || event.acton == "x"`}, []string{"7:17: " + noActon}},
		{"folded", []string{`filter: >-`, `  event.id == "x"`, ``, `  || event.acton == "é"`, `  || event.foo == "x"`}, []string{"8:15: " + noActon, `9:15: streams[0].filter: no event has "foo" there`}},
		{"not over", []string{`filter: event.id ==`}, []string{"5:24: streams[0].filter: Syntax error"}},
		{"no text", []string{`filter: 3`}, []string{"5:13: streams[0].filter: wants text, and YAML reads this as a number"}},
		{"empty", []string{`filter: ""`}, []string{"5:14: streams[0].filter: the expression is empty"}},
		{"no yes or no", []string{`filter: event.id`}, []string{"5:18: streams[0].filter: is not true or false"}},
		{"misspelt", []string{`filtre: event.id == "x"`}, []string{`5:5: streams[0].filtre: unknown key; did you mean "filter"?`}},
	} {
		t.Run(test.name, func(t *testing.T) { problemsBegin(t, selecting(test.lines...), test.want) })
	}
}

func TestMaskProblems(t *testing.T) {
	for _, test := range []struct {
		name, mask string
		want       []string
	}{
		{"no list", `{pointer: /actor/name, with: drop}`, []string{"5:11: streams[0].mask: wants a list"}},
		{"an empty list", `[]`, []string{"5:11: streams[0].mask: is an empty list, which masks nothing; remove it"}},
		{"no way", `[{pointer: /actor/name}]`, []string{"5:12: streams[0].mask[0].with: is required: one of drop, mask, hmac"}},
		{"a misspelt way", `[{pointer: /actor/name, with: masks}]`, []string{`5:41: streams[0].mask[0].with: "masks" is unknown; did you mean "mask"?`}},
		{"a misspelt key", `[{ponter: /actor/name, with: drop}]`, []string{`5:13: streams[0].mask[0].ponter: unknown key; did you mean "pointer"?`}},
		{"no pointer", `[{with: drop}]`, []string{"5:12: streams[0].mask[0].pointer: is required, as in /actor/name"}},
		{"what must stay", `[{pointer: /actor/name, with: drop}, {pointer: /id, with: drop}]`, []string{"5:58: streams[0].mask[1].pointer: is about id, which must stay"}},
		{"a pointer past a list", `[{pointer: /targets/name, with: drop}]`, []string{"5:22: streams[0].mask[0].pointer: leads nowhere: targets is a list, write /targets/*/name"}},
		{"hmac without a key", `[{pointer: /actor/name, with: hmac}]`, []string{"5:12: streams[0].mask[0].key: is required with hmac"}},
		{"a key without hmac", `[{pointer: /actor/name, with: drop, key: {env: K}}]`, []string{"5:52: streams[0].mask[0].key: goes with hmac only"}},
		{"the secret itself", `[{pointer: /actor/name, with: hmac, key: hunter2}]`, []string{"5:52: streams[0].mask[0].key: write {env: NAME}"}},
	} {
		t.Run(test.name, func(t *testing.T) { problemsBegin(t, selecting("mask: "+test.mask), test.want) })
	}
}

func problemsBegin(t *testing.T, in string, want []string) {
	t.Helper()
	_, err := config.Parse("audit.yaml", []byte(in), kinds())
	problems, ok := errors.AsType[*config.Error](err)
	if !ok || len(problems.Problems) != len(want) {
		t.Fatalf("%v, want %q", err, want)
	}
	for i, p := range problems.Problems {
		if got := p.String(); !strings.HasPrefix(got, "audit.yaml:"+want[i]) || strings.Contains(got, "hunter2") {
			t.Errorf("\n got %s\nwant audit.yaml:%s", got, want[i])
		}
	}
}

func TestFilterAndMaskAreRead(t *testing.T) {
	c, err := config.Parse("audit.yaml", []byte(selecting(
		"filter: |", `  event.actor.type != "api_key"`, `  && event.targets.exists(t, t.type == "team")`,
		"mask:", "  - {pointer: /actor/name, with: drop}", "  - {pointer: /targets/*/name, with: hmac, key: {env: ACME_MASK_KEY}}",
	)), kinds())
	if err != nil {
		t.Fatal(err)
	}
	s := c.Streams[0]
	if got, want := s.Filter.String(), "event.actor.type != \"api_key\"\n&& event.targets.exists(t, t.type == \"team\")"; got != want {
		t.Errorf("filter %q, want %q", got, want)
	}
	want := []config.Mask{{Pointer: "/actor/name", With: "drop"}, {Pointer: "/targets/*/name", With: "hmac", Key: secret.Ref{Env: "ACME_MASK_KEY"}}}
	if diff := cmp.Diff(want, s.Mask); diff != "" {
		t.Errorf("mask (-want +got):\n%s", diff)
	}
	secrets := c.Secrets()
	if len(secrets) != 2 || secrets[0].Path != "streams[0].mask[1].key" {
		t.Errorf("secrets %v", secrets)
	}
}
