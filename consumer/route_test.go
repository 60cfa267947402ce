package consumer

import (
	"regexp"
	"strings"
	"testing"
)

func TestActionFilter(t *testing.T) {
	tests := []struct {
		name     string
		patterns []string
		action   string
		want     bool
	}{
		{"no pattern lets everything pass", nil, "user.login", true},
		{"no pattern, no action", nil, "", true},
		{"the very action", []string{"user.login"}, "user.login", true},
		{"an action is no prefix", []string{"user.login"}, "user.login_failed", false},
		{"nor a suffix", []string{"login"}, "user.login", false},
		{"a dot is a dot", []string{"user.login"}, "user-login", false},
		{"a star at the end", []string{"user.*"}, "user.login", true},
		{"stands for nothing, too", []string{"user.*"}, "user.", true},
		{"and for dots", []string{"user.*"}, "user.a.b", true},
		{"but not for what is missing", []string{"user.*"}, "user", false},
		{"at the beginning", []string{"*.delete"}, "group.delete", true},
		{"in the middle", []string{"user.*.delete"}, "user.key.delete", true},
		{"whose ends do not overlap", []string{"ab*ba"}, "aba", false},
		{"several", []string{"*a*b*"}, "xaxbx", true},
		{"several, in their order", []string{"*a*b*"}, "xbxax", false},
		{"several, none used twice", []string{"a*a*a"}, "aa", false},
		{"two stars are one", []string{"user.**"}, "user.login", true},
		{"a star alone", []string{"*"}, "", true},
		{"any of the patterns", []string{"group.*", "user.login"}, "user.login", true},
		{"none of the patterns", []string{"group.*", "user.login"}, "user.logout", false},
		{"other regular expressions mean themselves", []string{"user.+"}, "user.x", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := newActionFilter(test.patterns).match([]byte(test.action)); got != test.want {
				t.Errorf("%q matches %q: %t, want %t", test.patterns, test.action, got, test.want)
			}
		})
	}
}

// FuzzActionFilter holds the filter against regular expressions.
func FuzzActionFilter(f *testing.F) {
	f.Add("user.*", "sso.delete_connection", "user.login")
	f.Add("*a*b*", "**", "xaxbx")
	f.Add("ab*ba", "", "aba")
	f.Fuzz(func(t *testing.T, p1, p2, action string) {
		want := false
		for _, p := range []string{p1, p2} {
			parts := strings.Split(p, "*")
			for i := range parts {
				parts[i] = regexp.QuoteMeta(parts[i])
			}
			re, err := regexp.Compile(`(?s)\A` + strings.Join(parts, `.*`) + `\z`)
			if err != nil {
				t.Skip("not UTF-8")
			}
			want = want || re.MatchString(action)
		}
		if !validText(p1, p2, action) {
			t.Skip("regular expressions read runes")
		}
		if got := newActionFilter([]string{p1, p2}).match([]byte(action)); got != want {
			t.Errorf("%q or %q matches %q: %t, want %t", p1, p2, action, got, want)
		}
	})
}

func validText(texts ...string) bool {
	for _, s := range texts {
		if strings.ToValidUTF8(s, "") != s {
			return false
		}
	}
	return true
}
