package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
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
