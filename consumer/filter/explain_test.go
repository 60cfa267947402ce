package filter_test

import (
	"strings"
	"testing"
)

func TestExplain(t *testing.T) {
	e := decode(t, login)
	for text, want := range map[string]string{
		`event.action == "user.login"`:                                       `event.action == "user.login" is true: event.action is "user.login"`,
		`event.action == "user.logout"`:                                      `event.action == "user.logout" is false: event.action is "user.login"`,
		`event.action == "user.login" && event.actor.type == "api_key"`:      `event.actor.type == "api_key" is false: event.actor.type is "user"`,
		`event.action == "x" || (event.version == 3 || event.action == "y")`: `event.version == 3 is true: event.version is 3`,
		`!(event.action == "x") && event.metadata.attempts < 3`:              `event.metadata.attempts < 3 is false: event.metadata.attempts is 3`,
		`event.action == "x" || event.actor.name == "Bob"`:                   `event.action == "x" || event.actor.name == "Bob" is false: event.action is "user.login", event.actor.name is "Ada"`,
		`event.version > 1 ? event.actor.name == "Bob" : true`:               `event.actor.name == "Bob" is false: event.actor.name is "Ada"`,
		`event.targets.exists(t, t.type == "x")`:                             `event.targets.exists(t, t.type == "x") is false`,
		`has(event.metadata.phone) && event.metadata.phone == "1"`:           `has(event.metadata.phone) is false`,
		`event.metadata.?phone.orValue("none") == "1"`:                       `event.metadata.?phone.orValue("none") == "1" is false`,
		`event.occurred_at > timestamp("2030-01-01T00:00:00Z")`:              `event.occurred_at > timestamp("2030-01-01T00:00:00Z") is false: event.occurred_at is 2026-01-02T21:04:05Z`,
		`false`: `false is false`,
	} {
		x := compile(t, text)
		pass, why, err := x.Explain(e)
		if err != nil || why != want {
			t.Errorf("%s\n got %s, %v\nwant %s", text, why, err, want)
		}
		if again, err := x.Match(e); err != nil || again != pass {
			t.Errorf("%s: explained as %t, decided as %t, %v", text, pass, again, err)
		}
	}
	if _, why, err := compile(t, `event.metadata.phone == "1"`).Explain(e); err == nil || why != "" {
		t.Errorf("an expression that fails: %s, %v", why, err)
	}
	e.Actor.Name = strings.Repeat("é", 500)
	if _, why, err := compile(t, `event.actor.name == "Bob"`).Explain(e); err != nil || len([]rune(why)) > 200 {
		t.Errorf("a long value: %s, %v", why, err)
	}
}
