//go:build integration

package integration

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/auditstream/auditstream/integration/servers"
)

// The image has no libraries and no shell: what the Dockerfile builds must run by itself.
func TestDockerfileBuildsABinaryThatNeedsNothing(t *testing.T) {
	root := servers.Repository(t)
	dockerfile, err := os.ReadFile(filepath.Join(root, "deploy", "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^RUN (CGO_ENABLED=0 go build .*) -o /auditstream (.*)$`).FindSubmatch(dockerfile)
	if m == nil {
		t.Fatal("the Dockerfile has no build command")
	}
	binary := filepath.Join(t.TempDir(), "auditstream")
	build := exec.CommandContext(t.Context(), "sh", "-c", string(m[1])+" -o "+binary+" "+string(m[2]))
	build.Dir = root
	build.Env = append(os.Environ(), "VERSION=v1.2.3")
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", build, err, said)
	}
	file, err := elf.Open(binary)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close() //nolint:errcheck // only read
	for _, p := range file.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("the binary needs a dynamic linker")
		}
	}
	run := exec.CommandContext(t.Context(), binary, "version")
	run.Env = []string{} // as in an empty container
	said, err := run.Output()
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(string(said)); got != "v1.2.3" {
		t.Errorf("the version is %q, want the build argument's", got)
	}
}
