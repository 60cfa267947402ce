package main

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/internal/verify"
)

// The commands of docs/verify.md print what the page says.
func TestThePageOfVerify(t *testing.T) {
	t.Chdir(filepath.Join("..", "..", "docs"))
	page, err := os.ReadFile("verify.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```console\n\\$ auditstream ([^\n]*)\n(.*?)```").FindAllSubmatch(page, -1)
	if len(blocks) < 2 {
		t.Fatalf("the page has %d commands", len(blocks))
	}
	for _, b := range blocks {
		var out bytes.Buffer
		cmd := newRoot()
		cmd.SetArgs(strings.Fields(string(b[1])))
		cmd.SetOut(&out)
		cmd.SetErr(&out)
		_ = cmd.ExecuteContext(t.Context()) // its exit code is an answer; the script has them
		if out.String() != string(b[2]) {
			t.Errorf("auditstream %s prints\n%s\nand the page says\n%s", b[1], &out, b[2])
		}
	}
}

// Every member of the answers for programs stands on the page.
func TestThePageOfVerifyHasEveryMember(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "verify.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(page), "## Answers for programs")
	section, _, ok2 := strings.Cut(section, "\n## ")
	if !ok || !ok2 {
		t.Fatal("the page has no answers for programs")
	}
	ofVerify, ofReport, ok := strings.Cut(section, "`auditstream stream report -o json`")
	if !ok {
		t.Fatal("the page has no answers of stream report")
	}
	for text, of := range map[string]reflect.Type{ofVerify: reflect.TypeFor[verify.Report](), ofReport: reflect.TypeFor[admin.Report]()} {
		names := members(of)
		if len(names) < 20 {
			t.Errorf("%v has %d members only", of, len(names))
		}
		for _, name := range names {
			if !strings.Contains(text, "`"+name+"`") {
				t.Errorf("of %v the page lacks %s", of, name)
			}
		}
	}
}

// members are the names that the values of a type have in JSON, those inside of them included.
func members(of reflect.Type) []string {
	switch of.Kind() { //nolint:exhaustive // others have no members
	case reflect.Pointer, reflect.Slice:
		return members(of.Elem())
	case reflect.Struct:
	default:
		return nil
	}
	if of == reflect.TypeFor[time.Time]() {
		return nil
	}
	var out []string
	for _, f := range reflect.VisibleFields(of) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" || f.Anonymous || !f.IsExported() {
			continue
		}
		out = append(append(out, name), members(f.Type)...)
	}
	return out
}

// Two statements that hand on the trust of one key are a finding: the exit code and the answer
// for programs say so, and no proof counts.
func TestVerifyTellsThatAKeyWasHandedOnTwice(t *testing.T) {
	secrets, public := make([]string, 3), make([]string, 3)
	for i := range secrets {
		var err error
		if secrets[i], public[i], err = integrity.GenerateKey("audit.example.com"); err != nil {
			t.Fatal(err)
		}
	}
	var statements []byte
	for _, heir := range []int{1, 2} {
		at := time.Date(2026, 1, heir, 0, 0, 0, 0, time.UTC)
		s := integrity.KeyStatement{New: public[heir], Old: public[0], Time: at, Until: at.AddDate(0, 0, 7)}
		signed, err := s.Sign(secrets[heir], secrets[0])
		if err != nil {
			t.Fatal(err)
		}
		statements = append(statements, signed...)
	}
	path := filepath.Join(t.TempDir(), "statements")
	if err := os.WriteFile(path, statements, 0o600); err != nil {
		t.Fatal(err)
	}
	f := verifyFlags{keys: public[:1], statements: []string{path}}
	o, err := f.options()
	if err != nil {
		t.Fatal(err)
	}
	r, err := verify.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Verdict != integrity.Tampered || len(r.Findings) != 1 || r.Findings[0].Kind != integrity.Forked || r.Findings[0].Where != path {
		t.Errorf("verify says %q: %v", r.Verdict, r.Findings)
	}
	if shown := showProof(&integrity.Proof{}, o); shown.Verdict != integrity.Tampered {
		t.Errorf("a proof counts: %+v", shown)
	}
}
