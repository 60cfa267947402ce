package seal_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/auditstream/auditstream/internal/seal"
	"github.com/auditstream/auditstream/internal/secret"
)

// ring has keys with these ids. The same id is the same key throughout a test.
func ring(tb testing.TB, dir string, ids ...string) *seal.Ring {
	tb.Helper()
	var keys []seal.KeyConfig
	for _, id := range ids {
		path := filepath.Join(dir, id)
		if _, err := os.Stat(path); err != nil {
			if err := os.WriteFile(path, []byte(seal.NewKey()+"\n"), 0o600); err != nil {
				tb.Fatal(err)
			}
		}
		keys = append(keys, seal.KeyConfig{ID: id, Key: secret.Ref{File: path}})
	}
	r, err := seal.Load(tb.Context(), keys)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func place() seal.Place {
	return seal.Place{UID: "str_A", Pointer: "/splunk/token", Origins: []string{"https://splunk.example:8088", "socks5://proxy.example:1080"}}
}

func TestASecretIsOpenedInItsPlaceOnly(t *testing.T) {
	r := ring(t, t.TempDir(), "one")
	sealed, err := r.Seal("hunter2", place())
	if err != nil || strings.Contains(sealed, "hunter2") {
		t.Fatal(sealed, err)
	}
	other := place()
	other.Origins = []string{other.Origins[1], other.Origins[0], other.Origins[0]} // the order says nothing
	if value, err := r.Open(sealed, other); err != nil || value != "hunter2" {
		t.Fatal(value, err)
	}
	for name, change := range map[string]func(*seal.Place){
		"another stream":         func(p *seal.Place) { p.UID = "str_B" },
		"another field":          func(p *seal.Place) { p.Pointer = "/splunk/client_key" },
		"another destination":    func(p *seal.Place) { p.Origins[0] = "https://stranger.example:8088" },
		"one destination more":   func(p *seal.Place) { p.Origins = append(p.Origins, "https://stranger.example") },
		"one destination less":   func(p *seal.Place) { p.Origins = p.Origins[:1] },
		"the same text elsewise": func(p *seal.Place) { p.UID, p.Pointer = "str_A/splunk", "/token" },
	} {
		at := place()
		change(&at)
		if value, err := r.Open(sealed, at); !errors.Is(err, seal.ErrMoved) || value != "" {
			t.Errorf("%s: %q, %v", name, value, err)
		}
	}
}

func TestADamagedSecretIsRefused(t *testing.T) {
	r := ring(t, t.TempDir(), "one")
	sealed, err := r.Seal("hunter2", place())
	if err != nil {
		t.Fatal(err)
	}
	for i := range len(sealed) {
		damaged := []byte(sealed)
		damaged[i] = "AB"[btoi(damaged[i] == 'A')]
		if value, err := r.Open(string(damaged), place()); err == nil {
			t.Errorf("byte %d changed: opened as %q", i, value)
		}
		if value, err := r.Open(sealed[:i], place()); err == nil {
			t.Errorf("cut off at %d: opened as %q", i, value)
		}
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestAllKeysOpenAndTheFirstSeals(t *testing.T) {
	dir := t.TempDir()
	before := ring(t, dir, "old")
	sealed, err := before.Seal("hunter2", place())
	if err != nil {
		t.Fatal(err)
	}
	both := ring(t, dir, "new", "old")
	if value, err := both.Open(sealed, place()); err != nil || value != "hunter2" {
		t.Fatal(value, err)
	}
	again, err := both.Seal("hunter2", place())
	if err != nil {
		t.Fatal(err)
	}
	if id, err := seal.KeyOf(again); err != nil || id != "new" {
		t.Error(id, err)
	}
	var unknown *seal.UnknownKeyError
	if _, err := before.Open(again, place()); !errors.As(err, &unknown) || unknown.ID != "new" {
		t.Error(err)
	}
}

func TestTheSameSecretIsSealedDifferentlyEachTime(t *testing.T) {
	r := ring(t, t.TempDir(), "one")
	seen := map[string]bool{}
	for range 50 {
		sealed, err := r.Seal("hunter2", place())
		if err != nil || seen[sealed] {
			t.Fatal(sealed, err)
		}
		seen[sealed] = true
	}
}

func TestNoKeyIsShown(t *testing.T) {
	dir := t.TempDir()
	r := ring(t, dir, "one", "two")
	text, err := json.Marshal(map[string]any{"ring": r})
	if err != nil {
		t.Fatal(err)
	}
	shown := string(text) + fmt.Sprintf("%v %+v %#v %s", r, r, r, r)
	if !strings.Contains(shown, "keys one, two") {
		t.Error(shown)
	}
	if len(shown) > 300 {
		t.Errorf("there is more in it than names: %s", shown)
	}
}

func TestWithoutKeysNothingIsSealedAndNothingAsked(t *testing.T) {
	r, err := seal.Load(t.Context(), nil)
	if err != nil || r != nil {
		t.Fatal(r, err)
	}
	if _, err := r.Seal("hunter2", place()); !errors.Is(err, seal.ErrNoKeys) {
		t.Error(err)
	}
	if s := r.Sign(1, []byte("a"), []byte("b")); s != "" {
		t.Error(s)
	}
	if _, err := r.Verify("", []byte("a"), []byte("b")); err != nil {
		t.Error(err)
	}
	if r.Key() != "" || r.String() != "no keys" {
		t.Error(r)
	}
}

func TestAKeyOfAnotherFormIsRefusedWithoutRepeatingIt(t *testing.T) {
	for name, text := range map[string]string{
		"short": "aHVudGVyMg==", "not base 64": "hunter2 hunter2", "long": seal.NewKey() + "AAAA",
	} {
		path := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := seal.Load(t.Context(), []seal.KeyConfig{{ID: "one", Key: secret.Ref{File: path}}})
		if err == nil || !strings.Contains(err.Error(), "secrets keygen") || strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestASignatureHoldsForWhatWasSigned(t *testing.T) {
	dir := t.TempDir()
	r, stranger := ring(t, dir, "one"), ring(t, dir, "two")
	signed := r.Sign(7, []byte("acme"), []byte("spec"))
	if serial, err := r.Verify(signed, []byte("acme"), []byte("spec")); err != nil || serial != 7 {
		t.Fatal(serial, err)
	}
	parts := strings.Split(signed, ".")
	for name, test := range map[string]struct {
		signature, name, value string
		want                   error
	}{
		"none":           {"", "acme", "spec", seal.ErrUnsigned},
		"another value":  {signed, "acme", "spec2", seal.ErrForged},
		"another stream": {signed, "acm", "espec", seal.ErrForged},
		"another serial": {strings.Join([]string{parts[0], parts[1], "8", parts[3]}, "."), "acme", "spec", seal.ErrForged},
		"no serial":      {strings.Join([]string{parts[0], parts[1], "0", parts[3]}, "."), "acme", "spec", seal.ErrForged},
		"cut off":        {signed[:len(signed)-1], "acme", "spec", seal.ErrForged},
		"no form":        {"1.one.7", "acme", "spec", seal.ErrForged},
	} {
		if _, err := r.Verify(test.signature, []byte(test.name), []byte(test.value)); !errors.Is(err, test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	var unknown *seal.UnknownKeyError
	if _, err := stranger.Verify(signed, []byte("acme"), []byte("spec")); !errors.As(err, &unknown) {
		t.Error(err)
	}
	if seal.Signer(signed) != "one" || seal.Signer("") != "" {
		t.Error(seal.Signer(signed))
	}
	if _, err := r.Verify("2.one.x", []byte("acme"), nil); err == nil || !strings.Contains(err.Error(), "newer version") {
		t.Error(err)
	}
}

// What was sealed and signed by an earlier version is opened and verified for ever.
func TestPersistedFormats(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := seal.Load(t.Context(), []seal.KeyConfig{{ID: "golden", Key: secret.Ref{File: path}}})
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		sealed, err := r.Seal("hunter2", place())
		if err != nil {
			t.Fatal(err)
		}
		write(t, "testdata/sealed-1.golden", sealed)
		write(t, "testdata/signature-1.golden", r.Sign(7, []byte("acme"), []byte(`{"v":1}`)))
	}
	if value, err := r.Open(read(t, "testdata/sealed-1.golden"), place()); err != nil || value != "hunter2" {
		t.Error(value, err)
	}
	golden := read(t, "testdata/signature-1.golden")
	if got := r.Sign(7, []byte("acme"), []byte(`{"v":1}`)); got != golden {
		t.Errorf("signed as %s, want %s", got, golden)
	}
}

func FuzzOpen(f *testing.F) {
	r := ring(f, f.TempDir(), "one")
	sealed, err := r.Seal("hunter2", place())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed)
	f.Add("1.one.AAAA")
	f.Fuzz(func(t *testing.T, text string) {
		if value, err := r.Open(text, place()); err == nil && text != sealed {
			t.Errorf("%q opens as %q", text, value)
		}
	})
}
