package app

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/auditstream/auditstream/sinks/sinktest/hec"
)

func TestDevSecrets(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "secrets")
	read := func(path string) string {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(b))
	}
	files, err := devSecrets(dir, "kept", "cut")
	if err != nil {
		t.Fatal(err)
	}
	kept, cut := read(files["kept"]), read(files["cut"])
	if len(kept) < 16 || len(cut) < 16 || kept == cut {
		t.Fatalf("secrets %q and %q, want two that nobody guesses", kept, cut)
	}
	if err := os.WriteFile(files["cut"], nil, 0o600); err != nil { // as a crash leaves it
		t.Fatal(err)
	}
	if files, err = devSecrets(dir, "kept", "cut"); err != nil {
		t.Fatal(err)
	}
	if got := read(files["kept"]); got != kept {
		t.Error("a second start has made a new secret: the streams of the first would be refused")
	}
	if got := read(files["cut"]); len(got) < 16 {
		t.Errorf("an empty secret is left as it is")
	}
	for _, path := range files {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 || !filepath.IsAbs(path) {
			t.Errorf("%s has mode %v; want an absolute path that its owner alone can read", path, info.Mode())
		}
	}
}

func TestTheSampleFeedHasAnIDForEveryEvent(t *testing.T) {
	feed, err := sampleFeed()
	if err != nil {
		t.Fatal(err)
	}
	again, err := sampleFeed()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for i, e := range feed {
		if e.ID == "" || e.OrganizationID == "" || seen[e.ID] {
			t.Errorf("event %d: id %q, organization %q; want both, and no id twice", i, e.ID, e.OrganizationID)
		}
		seen[e.ID] = true
		if again[i].ID != e.ID {
			t.Errorf("event %d: another id at the next start, so nobody can tell whether it has arrived", i)
		}
	}
}

func TestTheHostedSplunkIsWhatItsFileSays(t *testing.T) {
	for text, want := range map[string]devSplunkSettings{
		"":                             {TokenEnabled: true, MaxContentLength: hec.MaxContentLength},
		"token_enabled: false\n":       {MaxContentLength: hec.MaxContentLength},
		"max_content_length: 2000\n":   {TokenEnabled: true, MaxContentLength: 2000},
		fmt.Sprintf(devSplunkText, 10): {TokenEnabled: true, MaxContentLength: 10},
	} {
		if got, err := readDevSplunk([]byte(text)); err != nil || got != want {
			t.Errorf("%q: %+v, %v; want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"token: off", "max_content_length: 0", "max_content_length: much", "["} {
		if got, err := readDevSplunk([]byte(text)); err == nil {
			t.Errorf("%q is taken as %+v", text, got)
		}
	}
}
