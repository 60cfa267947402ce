package console_test

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/auditstream/auditstream/admin/admintest"
)

func TestVendoredFiles(t *testing.T) {
	const dir = "assets/vendor"
	manifest, err := os.ReadFile(filepath.Join(dir, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	said := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^\| (\S+) \|.*\| ([0-9a-f]{64}) \|$`).FindAllStringSubmatch(string(manifest), -1) {
		said[filepath.Join(dir, m[1])] = m[2]
	}
	if m := regexp.MustCompile(`SHA-256 ([0-9a-f]{64})`).FindStringSubmatch(string(manifest)); m != nil {
		said["testdata/axe.min.js"] = m[1]
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.*s*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(files, "testdata/axe.min.js") {
		if strings.HasSuffix(name, ".LICENSE.txt") {
			continue
		}
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(content)
		if got := hex.EncodeToString(sum[:]); got != said[name] {
			t.Errorf("%s has %s, its README says %q", name, got, said[name])
		}
		delete(said, name)
	}
	for name := range said {
		t.Errorf("%s is named in the README and is not there", name)
	}
}

func TestAssetsAreKeptForEverAndNeverWrong(t *testing.T) {
	b := newRig(t, admintest.New()).browser(t)
	login := b.get("/login")
	urls := regexp.MustCompile(`"(/assets/[^"]+)"`).FindAllStringSubmatch(login.text, -1)
	if len(urls) < 6 {
		t.Fatalf("assets in the page: %v", urls)
	}
	for _, u := range urls {
		got := b.get(u[1])
		if got.status != http.StatusOK || !strings.Contains(got.header.Get("Cache-Control"), "immutable") || got.header.Get("Content-Type") == "" {
			t.Errorf("%s: %d %v", u[1], got.status, got.header)
		}
	}
	for _, path := range []string{"/assets/0000000000000000/console.css", "/assets/x/../console.go", "/assets/", "/assets/x/"} {
		if got := b.get(path); got.status == http.StatusOK || strings.Contains(got.header.Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %d %v", path, got.status, got.header)
		}
	}
}
