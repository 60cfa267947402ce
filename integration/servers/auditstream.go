//go:build linux

package servers

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// BuildBinary builds auditstream and is the path of the binary. Flags are given to go build,
// "-race" for one; the environment's AUDITSTREAM_BUILD_FLAGS adds to them. The file stays
// for the next run, which links only what has changed.
func BuildBinary(t *testing.T, flags ...string) string {
	t.Helper()
	flags = append(flags, strings.Fields(os.Getenv("AUDITSTREAM_BUILD_FLAGS"))...)
	path := filepath.Join(Repository(t), ".cache", "integration", "auditstream"+strings.Join(flags, ""))
	goBuild(t, Repository(t), path, "./cmd/auditstream", flags...)
	return path
}

// StartDeliver starts "auditstream serve deliver" with the text of a configuration. The
// environment env, as "NAME=value", is where its secrets are.
func StartDeliver(t *testing.T, binary, config string, env ...string) *Process {
	t.Helper()
	file := filepath.Join(t.TempDir(), "auditstream.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return StartProcess(t, "auditstream serve deliver", binary, env, "serve", "deliver", "--config", file)
}

func goBuild(t *testing.T, dir, output, pkg string, flags ...string) {
	t.Helper()
	args := append([]string{"build", "-o", output}, flags...)
	cmd := exec.CommandContext(t.Context(), "go", append(args, pkg)...)
	cmd.Dir = dir
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", pkg, err, said)
	}
}

// BuildFormer builds auditstream as a commit of the repository has it. It skips the test
// where the repository does not reach back to it, as in a shallow clone.
func BuildFormer(t *testing.T, commit string) string {
	t.Helper()
	git := func(args ...string) error {
		cmd := exec.CommandContext(t.Context(), "git", args...)
		cmd.Dir = Repository(t)
		said, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("git %s: %w: %s", args[0], err, said)
		}
		return nil
	}
	if err := git("cat-file", "-e", commit+"^{commit}"); err != nil {
		t.Skipf("this clone has no commit %s, with the former version: %v", commit, err)
	}
	source := t.TempDir()
	archive := filepath.Join(source, "former.tar")
	if err := git("archive", "--output", archive, commit); err != nil {
		t.Fatal(err)
	}
	if said, err := exec.CommandContext(t.Context(), "tar", "-x", "-f", archive, "-C", source).CombinedOutput(); err != nil {
		t.Fatalf("tar: %v: %s", err, said)
	}
	path := filepath.Join(Repository(t), ".cache", "integration", "auditstream-"+commit[:12])
	goBuild(t, source, path, "./cmd/auditstream")
	return path
}
