package ledger

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type entry struct {
	Event json.RawMessage
}

func entries(texts ...string) []entry {
	var es []entry
	for _, s := range texts {
		es = append(es, entry{json.RawMessage(s)})
	}
	return es
}

func open(t *testing.T, dir string, keep int) *Ledger[entry] {
	t.Helper()
	l, err := Open[entry](dir, "events.ndjson", keep, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func TestEntriesSurviveTheProcess(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "when missing")
	want := entries(`{"a":"<&>\u2028 é"}`, `"two"`, `3`)
	first := open(t, dir, 0)
	if err := first.Append(want[:2]...); err != nil {
		t.Fatal(err)
	}
	if err := first.Append(want[2]); err != nil {
		t.Fatal(err)
	}
	// first is not closed: a process that is killed does not close either.
	second := open(t, dir, 0)
	if diff := cmp.Diff(want, second.All()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if second.Len() != 3 {
		t.Errorf("Len is %d, want 3", second.Len())
	}
}

func TestLineCutShortByACrashIsRemoved(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "events.ndjson")
	if err := os.WriteFile(path, []byte(`{"Event":1}`+"\n"+`{"Event":2`), 0o600); err != nil {
		t.Fatal(err)
	}
	l := open(t, dir, 0)
	if err := l.Append(entries("3")...); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(entries("1", "3"), open(t, dir, 0).All()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDamagedLineIsAnError(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "events.ndjson")
	if err := os.WriteFile(path, []byte("{\"Event\":1}\nnonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open[entry](dir, "events.ndjson", 0, nil); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("Open: %v, want an error that names line 2", err)
	}
}

func TestOnlyTheNewestAreKeptInMemory(t *testing.T) {
	for name, dir := range map[string]string{"in memory": "", "with a file": t.TempDir()} {
		t.Run(name, func(t *testing.T) {
			l := open(t, dir, 2)
			for _, s := range []string{"1", "2", "3", "4", "5", "6", "7"} {
				if err := l.Append(entries(s)...); err != nil {
					t.Fatal(err)
				}
				if len(l.kept) > 4 {
					t.Fatalf("%d entries are in memory", len(l.kept))
				}
			}
			if diff := cmp.Diff(entries("6", "7"), l.All()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if l.Len() != 7 {
				t.Errorf("Len is %d, want 7", l.Len())
			}
		})
	}
}

func TestNothingIsTakenAfterClose(t *testing.T) {
	l := open(t, t.TempDir(), 0)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.Append(entries("1")...); err == nil {
		t.Error("Append takes an entry that no file holds")
	}
	if l.Len() != 0 {
		t.Errorf("Len is %d, want 0", l.Len())
	}
}
