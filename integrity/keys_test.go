package integrity

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
)

type testKey struct{ secret, public string }

func newTestKey(tb testing.TB) testKey {
	tb.Helper()
	secret, public, err := GenerateKey("audit.example.com")
	if err != nil {
		tb.Fatal(err)
	}
	return testKey{secret, public}
}

// replaces is the statement by which k takes old's place.
func (k testKey) replaces(tb testing.TB, old testKey, at, until time.Time) []byte {
	tb.Helper()
	s := KeyStatement{New: k.public, Old: old.public, Time: at, Until: until}
	if old.public == "" {
		s.Until = time.Time{}
	}
	signed, err := s.Sign(k.secret, old.secret)
	if err != nil {
		tb.Fatal(err)
	}
	return signed
}

// checkpoint is one that k has signed at a time.
func (k testKey) checkpoint(tb testing.TB, at time.Time) []byte {
	tb.Helper()
	c := testCheckpoint()
	c.Time = at
	signed, err := c.Sign(signerOf(tb, k.secret))
	if err != nil {
		tb.Fatal(err)
	}
	return signed
}

func day(n int) time.Time { return time.Date(2026, 3, n, 0, 0, 0, 0, time.UTC) }

func TestPublicKeyIsThatOfTheSecret(t *testing.T) {
	for range 50 { // base64 has plus signs in some keys only
		k := newTestKey(t)
		if public, err := PublicKey(k.secret); err != nil || public != k.public {
			t.Fatalf("PublicKey = %q, %v, want %q", public, err, k.public)
		}
	}
	for _, wrong := range []string{"", "secret", "PRIVATE+KEY+a+00000000+AAAA", newTestKey(t).public} {
		if public, err := PublicKey(wrong); err == nil {
			t.Errorf("PublicKey(%q) = %q", wrong, public)
		}
	}
	for _, wrong := range []string{"", "two words", "a+b", "line\nbreak", strings.Repeat("a", 201)} {
		if _, _, err := GenerateKey(wrong); err == nil {
			t.Errorf("there is a key with the name %q", wrong)
		}
	}
}

func TestASecretKeyWhereThePublicOneBelongsIsNotShown(t *testing.T) {
	coded := base64.StdEncoding.EncodeToString([]byte(firstSecret))
	for _, given := range []string{firstSecret, coded, firstSecret + "+", " " + firstSecret} {
		_, err := NewKeys(publicOf(t, secondSecret), given)
		if err == nil || !strings.Contains(err.Error(), "key 2 of 2") || strings.Contains(err.Error(), given[20:60]) {
			t.Errorf("NewKeys: %v", err)
		}
	}
}

func TestKeyStatementIsReadAsItWasWritten(t *testing.T) {
	s := KeyStatement{New: publicOf(t, secondSecret), Old: publicOf(t, firstSecret), Time: day(1), Until: day(8)}
	signed, err := s.Sign(secondSecret, firstSecret)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "keys.txt", signed)
	if again, err := OpenKeyStatement(signed); err != nil || *again != s {
		t.Errorf("read again it is %+v, %v", again, err)
	}
	if _, err := s.Sign(firstSecret, secondSecret); err == nil {
		t.Error("keys signed for each other")
	}
}

func TestKeyStatementNeedsBothKeys(t *testing.T) {
	older, newer := newTestKey(t), newTestKey(t)
	s := KeyStatement{New: newer.public, Old: older.public, Time: day(1), Until: day(2)}
	for name, by := range map[string]testKey{"the new": newer, "the old": older} {
		signed, err := note.Sign(&note.Note{Text: s.Text()}, signerOf(t, by.secret))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := OpenKeyStatement(signed); err == nil {
			t.Errorf("a statement was taken that %s key alone has signed", name)
		}
	}
}

func TestTrustPassesFromKeyToKey(t *testing.T) {
	first, second, third := newTestKey(t), newTestKey(t), newTestKey(t)
	keys, err := NewKeys(first.public)
	if err != nil {
		t.Fatal(err)
	}
	statements := [][]byte{
		third.replaces(t, second, day(20), day(22)), // in an order in which nobody has made them
		second.replaces(t, first, day(10), day(12)),
		first.replaces(t, testKey{}, day(1), time.Time{}),
		second.replaces(t, first, day(10), day(12)), // and twice
	}
	if err := keys.AddAll(statements); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		by    testKey
		on    int
		taken bool
	}{
		{"the first key, before it was replaced", first, 2, true},
		{"the first key, while both sign", first, 11, true},
		{"the first key, after its end", first, 13, false},
		{"the second key, before it was there", second, 9, false},
		{"the second key, in its time", second, 15, true},
		{"the second key, after its end", second, 23, false},
		{"the third key", third, 25, true},
		{"a key of nobody", newTestKey(t), 15, false},
	} {
		if _, err := keys.Open(c.by.checkpoint(t, day(c.on))); (err == nil) != c.taken {
			t.Errorf("%s: taken should be %v: %v", c.name, c.taken, err)
		}
	}
}

func TestWhoeverHasAnOldKeyCannotHandOnItsTrust(t *testing.T) {
	first, second, thief := newTestKey(t), newTestKey(t), newTestKey(t)
	keys, err := NewKeys(first.public)
	if err != nil {
		t.Fatal(err)
	}
	if err := keys.Add(second.replaces(t, first, day(10), day(12))); err != nil {
		t.Fatal(err)
	}
	if err := keys.Add(thief.replaces(t, first, day(11), day(30))); err == nil || !strings.Contains(err.Error(), "forged") {
		t.Errorf("a key was replaced twice: %v", err)
	}
	if _, err := keys.Open(thief.checkpoint(t, day(11))); err == nil {
		t.Error("a thief's checkpoint was taken")
	}
	if err := keys.Add(first.replaces(t, second, day(20), day(30))); err == nil {
		t.Error("a key that was replaced is in force again")
	}
	if err := keys.Add(thief.replaces(t, testKey{}, day(20), time.Time{})); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("a key of nobody: %v", err)
	}
	late := newTestKey(t)
	if err := keys.Add(late.replaces(t, second, day(9), day(30))); err == nil {
		t.Error("a key was replaced before it was in force")
	}
}

func TestStatementIsNoCheckpoint(t *testing.T) {
	k := newTestKey(t)
	keys, err := NewKeys(k.public)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keys.Open(k.replaces(t, testKey{}, day(1), time.Time{})); err == nil {
		t.Error("a statement about keys was taken for a checkpoint")
	}
	if _, err := OpenKeyStatement(k.checkpoint(t, day(1))); err == nil {
		t.Error("a checkpoint was taken for a statement about keys")
	}
}
