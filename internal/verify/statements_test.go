package verify_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/internal/verify"
)

func TestStatementsAreReadAsTheyAreAndAsTheyAreServed(t *testing.T) {
	oldSecret, oldPublic, err := integrity.GenerateKey("audit.example.com")
	if err != nil {
		t.Fatal(err)
	}
	newSecret, newPublic, err := integrity.GenerateKey("audit.example.com")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	first, err := (&integrity.KeyStatement{New: oldPublic, Time: at}).Sign(oldSecret, "")
	if err != nil {
		t.Fatal(err)
	}
	second, err := (&integrity.KeyStatement{New: newPublic, Old: oldPublic, Time: at.Add(time.Hour), Until: at.Add(2 * time.Hour)}).Sign(newSecret, oldSecret)
	if err != nil {
		t.Fatal(err)
	}
	served, err := json.MarshalIndent(integrity.Published{Statements: []string{string(first), string(second)}}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	line, err := json.Marshal(integrity.Published{Statements: []string{string(first), string(second)}})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{
		"one behind another": slices.Concat(first, second), "as the command prints them": served, "as the API serves them": line,
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "keys")
			if err := os.WriteFile(path, text, 0o600); err != nil {
				t.Fatal(err)
			}
			statements, err := verify.ReadStatements(path)
			if err != nil {
				t.Fatal(err)
			}
			keys, err := integrity.NewKeys(oldPublic)
			if err != nil {
				t.Fatal(err)
			}
			if err := keys.AddAll(statements); err != nil || !slices.Contains(keys.Public(), newPublic) {
				t.Errorf("who trusts the old key trusts %q, %v", keys.Public(), err)
			}
		})
	}
	for name, text := range map[string]string{"nothing": "", "a list without any": `{"keys":[],"statements":[]}`, "something else": "hello\n", "other JSON": `{"a":1}`} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "keys")
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := verify.ReadStatements(path); err == nil || !strings.Contains(err.Error(), path) {
				t.Errorf("%v: want the file to be named", err)
			}
		})
	}
}

// A copy of the archive holds more than checkpoints: what doctor left there, and what tools do.
func TestADirectoryOfCheckpointsMayHaveMarks(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"_doctor.txt": "no checkpoint", ".sync": "", "auditstream/acme/1.txt": "text\n\n\u2014 a b\n"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	n, err := verify.OpenNotes(dir)
	if err != nil || n.Size() != int64(len("text\n\n\u2014 a b\n")/2) {
		t.Errorf("%v, size %d: want the one file that is a checkpoint's", err, n.Size())
	}
	if n, err = verify.OpenNotes(filepath.Join(dir, "_doctor.txt")); err != nil || n.Size() == 0 {
		t.Errorf("%v, size %d: a file that is named is read", err, n.Size())
	}
}
