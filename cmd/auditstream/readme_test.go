package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/sinks/all"
)

// block returns the first fenced block of the README in that language.
func block(t *testing.T, language string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), "\n```"+language+"\n")
	if !ok {
		t.Fatalf("the README has no %s block", language)
	}
	body, _, ok := strings.Cut(rest, "\n```")
	if !ok {
		t.Fatalf("the README's %s block has no end", language)
	}
	return body + "\n"
}

func TestTheConfigurationInTheREADMEIsValid(t *testing.T) {
	cfg, err := config.Parse("README.md", []byte(block(t, "yaml")), all.Kinds())
	if err != nil {
		t.Fatal(err)
	}
	if len(cfg.Streams) != 3 {
		t.Errorf("%d streams, want 3", len(cfg.Streams))
	}
}

func TestTheProgramInTheREADMECompiles(t *testing.T) {
	file := filepath.Join(t.TempDir(), "main.go")
	program := fmt.Sprintf(`package main

import (
	"context"
	"log"
	"time"

	"github.com/auditstream/auditstream/producer"
	"github.com/auditstream/auditstream/schema"
)

func main() {
	ctx := context.Background()
%s	log.Print(err)
}
`, block(t, "go"))
	if err := os.WriteFile(file, []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "go", "vet", file).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
