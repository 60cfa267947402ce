package admin

import (
	"context"
	"errors"
	"strings"
	"testing"

	"go.uber.org/zap"
)

const goodToken = "5f0c8a1e9b7d43c2a6e1f09d8b7c6a54"

// fixed is a token whose value the test changes.
func fixed(name string, value *string, err *error) Token {
	return Token{Caller: Caller{Name: name, Role: RoleViewer}, Read: func(context.Context) (string, error) { return *value, *err }}
}

func TestATokenThatCouldBeGuessedIsRefused(t *testing.T) {
	for name, value := range map[string]string{
		"empty":          "",
		"short":          "5f0c8a1e9b7d43c2",
		"one character":  strings.Repeat("a", 64),
		"a few":          strings.Repeat("abcabd", 16),
		"a counter":      "000000000000000000000000123456789",
		"spaces":         "5f0c8a1e9b7d43c2 a6e1f09d8b7c6a54",
		"a line break":   "5f0c8a1e9b7d43c2\na6e1f09d8b7c6a54",
		"beyond ASCII":   "5f0c8a1e9b7d43c2a6e1f09d8b7c6é54",
		"far too long":   strings.Repeat(goodToken, 20),
		"equals, inside": "5f0c8a1e9b7d43c2=a6e1f09d8b7c6a54",
	} {
		err := CheckToken(value)
		if err == nil {
			t.Errorf("%s is taken", name)
		} else if value != "" && strings.Contains(err.Error(), value) {
			t.Errorf("%s: the error shows it: %v", name, err)
		}
	}
	for _, value := range []string{goodToken, "JBSWY3DPEHPK3PXPJBSWY3DPAK", "dGhpcyBpcyAyNTYgYml0cyBvZiBlbnRyb3B5Lg==", "x.Y_z~0+1/2-3aBcDeFgHiJkLm"} {
		if err := CheckToken(value); err != nil {
			t.Errorf("%s: %v", value, err)
		}
	}
}

func TestTokensAreReadAgain(t *testing.T) {
	old, next := goodToken, "0123456789abcdefGHIJKLMNOPQRST"
	var none, broken error
	first, second := old, next
	tokens, err := NewTokens(t.Context(), []Token{fixed("ops", &first, &broken), fixed("ops-new", &second, &none)}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	name := func(token string) string {
		c, err := tokens.Caller(token)
		if err != nil && !errors.Is(err, CodeUnauthenticated.Err()) {
			t.Error(err)
		}
		return c.Name
	}
	if name(old) != "ops" || name(next) != "ops-new" || name(old+"0") != "" || name("") != "" {
		t.Error("of two tokens both are valid, and nothing else")
	}
	first = "another-value-that-nobody-knows-42"
	tokens.Reload(t.Context())
	if name(old) != "" || name(first) != "ops" {
		t.Error("the former value is still valid, or the new one is not")
	}
	broken = errors.New("no such file")
	tokens.Reload(t.Context())
	if name(first) != "" || name(next) != "ops-new" {
		t.Error("a token that is gone is still valid, or another one not")
	}
	broken = nil
	tokens.Reload(t.Context())
	if name(first) != "ops" {
		t.Error("a token that is back is not valid")
	}
	second = first
	tokens.Reload(t.Context())
	if name(first) != "ops" || name(next) != "" {
		t.Error("one value is two callers'")
	}
}

func TestWithoutTokensNothingBegins(t *testing.T) {
	if _, err := NewTokens(t.Context(), nil, zap.NewNop()); err == nil {
		t.Error("nobody could ask anything, and nobody says so")
	}
	weak, same := "password", goodToken
	var none error
	for name, tokens := range map[string][]Token{
		"weak":  {fixed("weak", &weak, &none)},
		"equal": {fixed("one", &same, &none), fixed("two", &same, &none)},
	} {
		if _, err := NewTokens(t.Context(), tokens, zap.NewNop()); err == nil || strings.Contains(err.Error(), goodToken) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
