package access

import (
	"regexp"
	"strings"
	"testing"
)

func TestAKeyIsRandomAndRecognisable(t *testing.T) {
	form := regexp.MustCompile(`^ask_[0-9A-Za-z]{49}$`)
	seen := map[string]bool{}
	for range 1000 {
		key := NewKey()
		if !form.MatchString(key) || seen[key] {
			t.Fatalf("%q is of another form, or came before", key)
		}
		seen[key] = true
		if err := Check(key); err != nil {
			t.Fatalf("%s: %v", key, err)
		}
	}
}

// TestTheFormOfKeysStays: keys are kept for years, and scanners for secrets know them.
func TestTheFormOfKeysStays(t *testing.T) {
	const key, want = "ask_0000000000000000000000000000000000000000000", "30XZLr"
	if sum := checksum(key); sum != want {
		t.Errorf("the check sum of %s is %s, was %s", key, sum, want)
	}
	if h := HashOf("abc"); h != "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" {
		t.Error(h) // of "abc" in FIPS 180-4
	}
}

func TestASlipInAKeyIsSeen(t *testing.T) {
	key := NewKey()
	for i := range key {
		for _, c := range []string{"0", "Z", "a", "-", " "} {
			if wrong := key[:i] + c + key[i+1:]; wrong != key && strings.HasPrefix(wrong, keyPrefix) && checkForm(wrong) == nil {
				t.Errorf("%s is taken for %s", wrong, key)
			}
		}
	}
	for name, wrong := range map[string]string{
		"cut off": key[:len(key)-1], "longer": key + "0", "nothing but the prefix": keyPrefix,
		"two swapped": key[:4] + swapped(key[4:]), "another case": keyPrefix + strings.ToUpper(key[4:]),
	} {
		if checkForm(wrong) == nil {
			t.Errorf("%s: %s is taken", name, wrong)
		}
		if err := Check(wrong); err == nil || strings.Contains(err.Error(), wrong[4:]) && len(wrong) > 4 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// swapped has the first two characters swapped that differ.
func swapped(s string) string {
	for i := range len(s) - 1 {
		if s[i] != s[i+1] {
			return s[:i] + string(s[i+1]) + string(s[i]) + s[i+2:]
		}
	}
	return s + s
}

func TestWhatStandsWhereAKeyIsKept(t *testing.T) {
	key := NewKey()
	if h, err := parse(key); err != nil || HashOf(key) != hashPrefix+hexOf(h[:]) {
		t.Error(err)
	}
	if h, err := parse(HashOf(key)); err != nil || hexOf(h[:]) != HashOf(key)[len(hashPrefix):] {
		t.Error(err)
	}
	if _, err := parse("sk_test_a2V5XzAxSEdLNFpQNjlZ"); err != nil {
		t.Errorf("a key that callers had before: %v", err)
	}
	for name, text := range map[string]string{
		"empty": "", "weak": "password", "half a hash": HashOf(key)[:40], "no hash": "sha256:" + strings.Repeat("g", 64),
		"a longer hash": HashOf(key) + "00", "another hash": "sha512:" + strings.Repeat("a", 128),
	} {
		if _, err := parse(text); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func hexOf(b []byte) string {
	const digits = "0123456789abcdef"
	var out strings.Builder
	for _, c := range b {
		out.WriteByte(digits[c>>4])
		out.WriteByte(digits[c&15])
	}
	return out.String()
}

func FuzzKey(f *testing.F) {
	f.Add("ask_")
	f.Add(NewKey())
	f.Add(HashOf("abc"))
	f.Add("sha256:")
	f.Add("ask_\xff\x00" + strings.Repeat("é", 30))
	f.Fuzz(func(t *testing.T, text string) {
		h, err := parse(text)
		if err != nil {
			if len(text) > 8 && strings.Contains(err.Error(), text) {
				t.Errorf("the error shows what was read: %v", err)
			}
			return
		}
		if strings.HasPrefix(text, hashPrefix) {
			if back, err := ParseHash(hashPrefix + hexOf(h[:])); err != nil || back != h {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		if strings.HasPrefix(text, keyPrefix) && len(text) != keyLength {
			t.Errorf("%q is taken for a key of ours", text)
		}
		if HashOf(text) != hashPrefix+hexOf(h[:]) {
			t.Errorf("%q has two hashes", text)
		}
	})
}
