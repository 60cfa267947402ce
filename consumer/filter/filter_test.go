package filter_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/auditstream/auditstream/consumer/filter"
	"github.com/auditstream/auditstream/schema"
)

const login = `{"action":"user.login","actor":{"id":"user_1","metadata":{"email":"ada@example.com"},"name":"Ada","type":"user"},` +
	`"context":{"location":"10.1.2.3"},"id":"audit_event_1","metadata":{"attempts":3,"flag":true,"list":[1,"two"],"nested":{"deep":"x"},"rate":0.5,"reason":"bad_password","when":"2026-01-01T00:00:00Z"},` +
	`"occurred_at":"2026-01-02T23:04:05+02:00","organization_id":"org_1","targets":[{"id":"t1","name":"One","type":"team"},{"id":"t2","type":"project"}],"version":3}`

func decode(tb testing.TB, value string) *schema.Event {
	tb.Helper()
	e, err := schema.Decode([]byte(value))
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

func compile(tb testing.TB, text string) *filter.Expression {
	tb.Helper()
	x, err := filter.Compile(text)
	if err != nil {
		tb.Fatalf("%s: %v", text, err)
	}
	return x
}

func TestMatch(t *testing.T) {
	e := decode(t, login)
	for _, tt := range []struct {
		text string
		want bool
	}{
		{`event.action == "user.login"`, true},
		{`event.action.startsWith("user.") && event.actor.type == "api_key"`, false},
		{`event.action in ["user.login", "user.logout"]`, true},
		{`event.action.matches("^user\\.(login|logout)$")`, true},
		{`event.id == "audit_event_1" && event.organization_id == "org_1"`, true},
		{`event.version >= 3`, true},
		{`event.actor.id == "user_1" && event.actor.name == "Ada"`, true},
		{`event.actor.metadata.email.endsWith("@example.com")`, true},
		{`event.actor.metadata["email"] == "ada@example.com"`, true},
		{`event.occurred_at < timestamp("2026-01-03T00:00:00Z")`, true},
		{`event.occurred_at.getHours() == 21`, true},
		{`event.occurred_at.getDayOfWeek() == 5`, true},
		{`event.targets.exists(t, t.type == "team" && t.name == "One")`, true},
		{`event.targets.all(t, has(t.name))`, false},
		{`event.targets.filter(t, t.type == "team").size() == 1`, true},
		{`event.targets.map(t, t.id) == ["t1", "t2"]`, true},
		{`event.targets.exists_one(t, t.id == "t1")`, true},
		{`event.targets[1].id == "t2"`, true},
		{`size(event.targets) == 2`, true},
		{`event.metadata.attempts >= 3`, true},
		{`event.metadata.attempts == 3`, true},
		{`event.metadata.attempts in [2, 3]`, true},
		{`int(event.metadata.attempts) % 2 == 1`, true},
		{`event.metadata.rate < 1`, true},
		{`event.metadata.flag == true`, true},
		{`event.metadata.list.exists(x, x == "two") && event.metadata.list[0] == 1`, true},
		{`event.metadata.nested.deep == "x"`, true},
		{`has(event.metadata.nested.deep)`, true},
		{`"reason" in event.metadata`, true},
		{`event.metadata.exists(name, name == "reason")`, true},
		{`has(event.metadata.phone)`, false},
		{`has(event.metadata.phone) && event.metadata.phone == "1"`, false},
		{`event.metadata.?phone.orValue("") == ""`, true},
		{`event.metadata[?"reason"].orValue("") == "bad_password"`, true},
		{`event.?context.?user_agent.hasValue()`, false},
		{`timestamp(event.metadata.when) < event.occurred_at`, true},
		{`cidr("10.0.0.0/8").containsIP(event.context.location)`, true},
		{`isIP(event.context.location) && ip(event.context.location).family() == 4`, true},
		{`has(event.context.user_agent)`, false},
		{`event.context.user_agent == ""`, true},
		{`has(event.context) && has(event.actor) && has(event.metadata)`, true},
		{`event.actor.type == "user" ? event.action == "user.login" : false`, true},
		{`dyn(event.actor).name == "Ada" && has(dyn(event.actor).name)`, true},
		{`event.metadata.size() == 7`, true},
		{`event.targets[0] != event.targets[1]`, true},
		{"event.action == 'user.login' // a comment\n  && true\n", true},
	} {
		x, err := filter.Compile(tt.text)
		if err != nil {
			t.Errorf("%s: %v", tt.text, err)
			continue
		}
		got, err := x.Match(e)
		if err != nil || got != tt.want {
			t.Errorf("%s is %t, %v; want %t", tt.text, got, err, tt.want)
		}
	}
}

// What the schema names may be missing in an event, and is empty then: only metadata has
// names that an event may lack.
func TestMembersThatAreMissing(t *testing.T) {
	e := decode(t, `{"action":"a","occurred_at":"2026-01-02T03:04:05Z"}`)
	for _, tt := range []struct {
		text string
		want bool
	}{
		{`event.actor.name == "" && event.actor.id == ""`, true},
		{`has(event.actor) || has(event.context) || has(event.targets)`, false},
		{`has(event.metadata) || has(event.version) || has(event.context.user_agent)`, false},
		{`event.context.location == ""`, true},
		{`event.targets.exists(t, t.type == "team")`, false},
		{`event.version == 0`, true},
		{`has(event.metadata.reason) || has(event.actor.metadata.email)`, false},
		{`event.metadata.size() == 0`, true},
	} {
		text, want := tt.text, tt.want
		if got, err := compile(t, text).Match(e); err != nil || got != want {
			t.Errorf("%s is %t, %v; want %t", text, got, err, want)
		}
	}
}

// An expression that fails says so, without a word of the event.
func TestMatchFails(t *testing.T) {
	e := decode(t, strings.Replace(login, `"x"`, `"secret"`, 1))
	for _, tt := range []struct{ text, want string }{
		{`event.metadata.phone == "1"`, `event.metadata.phone: the event has no such name there; ask has(…) first, or write .?name.orValue(…)`},
		{`event.metadata.nested.secret == 1`, `event.metadata.nested.secret: the event has no such name there; ask has(…) first, or write .?name.orValue(…)`},
		{`event.metadata[event.metadata.nested.deep] == 1`, `event.metadata[event.metadata.nested.deep]: the event has no such name there; ask has(…) first, or write .?name.orValue(…)`},
		{`event.metadata.attempts.startsWith("3")`, `event.metadata.attempts.startsWith("3"): a value in the event is of another type`},
		{`event.metadata.nested.deep > 3`, `event.metadata.nested.deep > 3: a value in the event is of another type`},
		{`timestamp(event.metadata.nested.deep) < event.occurred_at`, `timestamp(event.metadata.nested.deep): it fails for this event`},
		{`int(event.metadata.nested.deep) == 1`, `int(event.metadata.nested.deep): it fails for this event`},
		{`ip(event.metadata.nested.deep).family() == 4`, `ip(event.metadata.nested.deep): it fails for this event`},
		{`"x".matches(event.metadata.nested.deep + "(")`, `"x".matches(event.metadata.nested.deep + "("): it fails for this event`},
		{`event.targets[7].id == ""`, `event.targets[7].id: the list has fewer items`},
		{`1 / (size(event.targets) - 2) > 0`, `1 / (size(event.targets) - 2): division by zero`},
	} {
		text, want := tt.text, tt.want
		pass, err := compile(t, text).Match(e)
		failed, ok := errors.AsType[*filter.Error](err)
		if pass || !ok || strings.Contains(strings.ReplaceAll(err.Error(), text, ""), `"secret"`) {
			t.Errorf("%s: %t, %v", text, pass, err)
			continue
		}
		if got := failed.Expression + ": " + failed.Reason; got != want {
			t.Errorf("%s\n got %s\nwant %s", text, got, want)
		}
	}
	noTime := &schema.Event{OccurredAt: "secret"}
	if _, err := compile(t, `event.occurred_at.getHours() == 3`).Match(noTime); err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "occurred_at is no time") {
		t.Errorf("a time that is none: %v", err)
	}
}

func TestCompileRefuses(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{``, `1:1: the expression is empty`},
		{" \n", `1:1: the expression is empty`},
		{`event.action = "x"`, `1:14: Syntax error`},
		{`event.acton == "x"`, `1:6: no event has "acton" there; there are, of an event action, actor, context, id, metadata, occurred_at, organization_id, targets, version`},
		{"event.action == 'x'\n  && event.actor.email == 'y'", `2:17: no event has "email" there`},
		{`action == "x"`, `1:1: "action" is not known: an expression begins with event, as in event.action`},
		{`event.action == user.login`, `1:17: "user" is not known`},
		{`event.action`, `1:6: is not true or false: it is of type string`},
		{`event.metadata.flag`, `1:15: may be anything, as whatever stands in metadata: compare it, as in … == true`},
		{`event.action == 3`, `1:14: found no matching overload`},
		{`event.action.matches("(")`, `1:22: invalid matches argument`},
		{`Actor{id: "x"} == event.actor`, `1:6: a filter looks at the event and makes no other objects`},
		{`timestamp("yesterday") < event.occurred_at`, `1:11: invalid timestamp argument`},
		{`event.targets.all(a, event.targets.all(b, event.targets.all(c, a.id == b.id)))`, `1:`},
		{`event.targets.all(a, event.targets.all(b, event.targets.map(c, c.id + a.id).exists(d, d == b.id)))`, `1:`},
		{`event.targets.exists(a, event.targets.exists(b, a.name.matches(b.name)))`, `1:1: may cost`},
		{`event.action.startsWith("` + strings.Repeat("x", 5000) + `")`, `1:1: `},
		{strings.Repeat("(", 300) + "true" + strings.Repeat(")", 300), `1:1: `},
		{`true` + strings.Repeat(` && event.action != "x"`, 170) + ` && event.targets.all(t, t.id != "")`, ``},
		{`event.action.matches("(a{100}){100}")`, `1:`},
		{`now() > event.occurred_at`, `1:4: "now" is not known`},
	} {
		text, want := tt.text, tt.want
		_, err := filter.Compile(text)
		problems, ok := errors.AsType[filter.Problems](err)
		switch {
		case want == "" && err == nil:
		case !ok || len(problems) == 0:
			t.Errorf("%.60s: %v, want %s", text, err, want)
		case !strings.HasPrefix(err.Error(), want):
			t.Errorf("%.60s\n got %s\nwant %s", text, err, want)
		case len(problems) > 5 || len(err.Error()) > 8000:
			t.Errorf("%.60s: %d problems", text, len(problems))
		}
	}
}

// Whatever an event holds, an evaluation ends soon.
func TestCostIsBounded(t *testing.T) {
	e := decode(t, login)
	for i := range 3000 {
		e.Targets = append(e.Targets, schema.Target{ID: fmt.Sprintf("target_%d", i), Type: "team", Name: strings.Repeat("n", 100)})
	}
	x := compile(t, `event.targets.all(a, event.targets.exists(b, a.id == b.id))`)
	_, err := x.Match(e)
	if err == nil || !strings.Contains(err.Error(), "more than 200000 steps for this event, which is too large for it") {
		t.Errorf("the evaluation has ended with %v", err)
	}
	e.Targets = e.Targets[:64]
	if pass, err := x.Match(e); err != nil || !pass {
		t.Errorf("of an event of the usual size: %t, %v", pass, err)
	}
}

func TestExpressionsAreUsedConcurrently(t *testing.T) {
	x := compile(t, `event.targets.exists(t, t.type == "team") && event.metadata.attempts > 2`)
	e := decode(t, login)
	var work sync.WaitGroup
	for range 8 {
		work.Go(func() {
			for range 200 {
				if pass, err := x.Match(e); err != nil || !pass {
					t.Errorf("%t, %v", pass, err)
				}
			}
		})
	}
	work.Wait()
}

func TestNoExpressionLetsEverythingPass(t *testing.T) {
	var none *filter.Expression
	for _, x := range []*filter.Expression{none, {}} {
		if pass, err := x.Match(&schema.Event{}); err != nil || !pass || x.String() != "" {
			t.Errorf("%t, %v", pass, err)
		}
	}
}

func FuzzCompile(f *testing.F) {
	f.Add(`event.action == "user.login"`)
	f.Add(`event.targets.exists(t, t.metadata.?x.orValue(1) == 2)`)
	f.Add(`event.metadata.a.b[0] in [1, "x", {"y": 2.0}]`)
	f.Add(`cidr("10.0.0.0/8").containsIP(event.context.location) ? true : 1/0 > 1`)
	e := decode(f, login)
	f.Fuzz(func(t *testing.T, text string) {
		x, err := filter.Compile(text)
		if err != nil {
			if problems, ok := errors.AsType[filter.Problems](err); !ok || len(problems) == 0 {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		first, err1 := x.Match(e)
		again, err2 := compile(t, x.String()).Match(e)
		if first != again || (err1 == nil) != (err2 == nil) {
			t.Fatalf("%q: %t, %v, then %t, %v", text, first, err1, again, err2)
		}
		if _, ok := errors.AsType[*filter.Error](err1); err1 != nil && !ok {
			t.Fatalf("%q: %v", text, err1)
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	e := decode(b, login)
	for name, text := range map[string]string{
		"one comparison":   `event.action == "user.login"`,
		"four comparisons": `event.action.startsWith("user.") && event.actor.type == "user" && event.metadata.attempts >= 3 && has(event.metadata.reason)`,
		"a loop":           `event.targets.exists(t, t.type == "project")`,
	} {
		b.Run(name, func(b *testing.B) {
			x := compile(b, text)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := x.Match(e); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = schema.Decode([]byte(login))
		}
	})
	b.Run("compile", func(b *testing.B) {
		for b.Loop() {
			_, _ = filter.Compile(`event.action.startsWith("user.") && event.actor.type == "user"`)
		}
	})
	b.Run("the dearest that may be", func(b *testing.B) {
		for i := range 3000 {
			e.Targets = append(e.Targets, schema.Target{ID: fmt.Sprintf("target_%d", i), Type: "team"})
		}
		x := compile(b, `event.targets.all(a, event.targets.exists(b, a.id == b.id))`)
		for b.Loop() {
			_, _ = x.Match(e)
		}
	})
}
