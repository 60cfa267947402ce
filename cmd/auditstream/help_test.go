package main

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// leaves are the commands that do something, by what is typed for them. Those of the library
// are its own.
func leaves(c *cobra.Command) map[string]*cobra.Command {
	out := map[string]*cobra.Command{}
	for _, sub := range c.Commands() {
		if sub.Hidden || sub.Name() == "help" || sub.Name() == "completion" {
			continue
		}
		if sub.HasAvailableSubCommands() {
			maps.Copy(out, leaves(sub))
			if sub.Example == "" { // a group of commands, and none itself
				continue
			}
		}
		out[strings.TrimPrefix(sub.CommandPath(), "auditstream ")] = sub
	}
	return out
}

// row is a command's line in the table of docs/cli.md: its exit codes and what they mean.
func rows(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "cli.md"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if m := regexp.MustCompile("^\\| `([a-z -]+)` \\|(.*)\\|$").FindStringSubmatch(strings.TrimSpace(line)); m != nil {
			out[m[1]] = m[2]
		}
	}
	return out
}

func TestEachCommandSaysWhatItDoesAndHowItEnds(t *testing.T) {
	documented := rows(t)
	lists := regexp.MustCompile(`(^|\s)(list|show|get|status|explain|tail|doctor|diff|plan|validate|test|try)$`)
	all := leaves(newRoot())
	for name, c := range all {
		t.Run(name, func(t *testing.T) {
			if !strings.Contains(c.Long, "Exit codes: ") {
				t.Error("--help does not say the exit codes")
			}
			if c.Example == "" {
				t.Error("--help has no example")
			}
			if c.Short == "" || strings.HasSuffix(c.Short, ".") {
				t.Errorf("in a list it is shown as %q", c.Short)
			}
			if lists.MatchString(name) && c.Flags().Lookup("output") == nil {
				t.Error("it shows something, and has no -o for programs")
			}
			row, ok := documented[name]
			if !ok {
				t.Fatal("it is not in the table of docs/cli.md")
			}
			// Whatever --help says of codes the page says too, and the other way round.
			for _, code := range []string{"0", "1", "2", "3", "4"} {
				if help, page := says(c.Long, code), strings.Contains(row, "**"+code+"**"); help != page {
					t.Errorf("of exit code %s --help speaks: %v, docs/cli.md: %v", code, help, page)
				}
			}
		})
	}
	for name := range documented {
		if all[name] == nil {
			t.Errorf("docs/cli.md has %q, which is no command", name)
		}
	}
}

// says reports whether a help text speaks of an exit code.
func says(long, code string) bool {
	_, codes, _ := strings.Cut(long, "Exit codes: ")
	return regexp.MustCompile(`(^|[\s,;])` + code + `[ ,]`).MatchString(codes)
}

func TestFlagsAreDescribedInOneWay(t *testing.T) {
	for name, c := range leaves(newRoot()) {
		for _, flag := range []string{"config", "output", "timeout", "brokers", "reason", "actor"} {
			if f := c.Flags().Lookup(flag); f != nil && (f.Usage == "" || strings.HasSuffix(f.Usage, ".") || strings.ToLower(f.Usage[:1]) != f.Usage[:1]) {
				t.Errorf("%s --%s: %q", name, flag, f.Usage)
			}
		}
	}
}
