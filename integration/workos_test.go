//go:build integration

package integration

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/auditstream/auditstream/integration/servers"
	"github.com/auditstream/auditstream/internal/closedport"
)

// clientsDir has programs with WorkOS's clients, and locks of these with everything that they
// need, by hash.
const clientsDir = "workosclients"

// TestUnmodifiedWorkOSClients runs WorkOS's own clients against the gateway: only the base URL
// is another.
func TestUnmodifiedWorkOSClients(t *testing.T) {
	binary := servers.BuildBinary(t)
	port := closedport.Find(t)
	key := "sk_" + rand.Text()
	file := filepath.Join(t.TempDir(), "gateway.yaml")
	text := fmt.Sprintf(`
kafka: {embedded: {dir: %q}}
topics: {partitions: 3}
events: {check: schema}
observe: {listen: ""}
gateway:
  listen: 127.0.0.1:%d
  keys: [{name: clients, key: {env: KEY}, organizations: ["*"], allow: [publish, exports, schemas, retention]}]
`, t.TempDir(), port)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	servers.StartProcess(t, "auditstream serve gateway", binary, []string{"KEY=" + key}, "serve", "gateway", "--config", file)
	url := fmt.Sprintf("http://127.0.0.1:%d", port)
	servers.Await(t, time.Minute, "a gateway that is ready", func() bool { return servers.Answers(t, url+"/readyz") })

	for name, client := range map[string]struct {
		command func(*testing.T) *exec.Cmd
		classes [4]string // of errors: 400, 401, 404, 422
	}{
		"Python": {command: pythonClient, classes: [4]string{"BadRequestError", "AuthenticationError", "NotFoundError", "UnprocessableEntityError"}},
		"Node":   {command: nodeClient, classes: [4]string{"BadRequestException", "UnauthorizedException", "NotFoundException", "UnprocessableEntityException"}},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := client.command(t)
			cmd.Env = append(cmd.Environ(), "KEY="+key, "URL="+url, "ORGANIZATION=org_01JAAAAAAAAAAAAAAAAAAAAAAA")
			out, err := cmd.Output()
			if err != nil {
				if e, ok := errors.AsType[*exec.ExitError](err); ok {
					t.Fatalf("%v\n%s", err, e.Stderr)
				}
				t.Fatal(err)
			}
			var got map[string]any
			if err := json.Unmarshal(out, &got); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			for call, want := range map[string]any{
				"keyed": true, "again": true, "unkeyed": true, "schema": 1.0, "same schema": 1.0, "next schema": 2.0,
				"export of one": map[string]any{"state": "ready", "lines": 2.0}, "export of nobody": map[string]any{"state": "ready", "lines": 1.0},
			} {
				if diff := cmp.Diff(want, got[call]); diff != "" {
					t.Errorf("%s: %s", call, diff)
				}
			}
			for call, want := range map[string]struct{ class, code string }{
				"invalid":         {client.classes[0], "invalid_audit_log_event"},
				"stranger":        {client.classes[1], ""}, // Node's client keeps no code of 401
				"no organization": {client.classes[2], "organization_not_found"},
				"unprocessable":   {client.classes[3], "validation_failed"},
				"no export":       {client.classes[2], "not_found"},

				"export of no organization": {client.classes[2], "organization_not_found"},
			} {
				failed, _ := got[call].(map[string]any)
				if failed["error"] != want.class || want.code != "" && failed["code"] != want.code {
					t.Errorf("%s: %v, want %s of the code %s", call, got[call], want.class, want.code)
				}
			}
			export, _ := got["export"].(map[string]any)
			if lines, _ := export["lines"].(float64); export["state"] != "ready" || lines != 2 {
				t.Errorf("export: %v, want a head, and once what was sent twice", got["export"])
			}
			if whole, _ := got["whole schema"].([]any); len(whole) < 4 || whole[0] != "audit_log_schema" || whole[1] != 1.0 || whole[2] != "invoice" || whole[3] != true {
				t.Errorf("a schema as the client has it: %v", got["whole schema"])
			}
			if name == "Python" {
				for _, call := range []string{"no action", "retention of nobody"} {
					if failed, _ := got[call].(map[string]any); failed["error"] != client.classes[2] {
						t.Errorf("%s: %v", call, got[call])
					}
				}
				for call, want := range map[string]any{
					"schemas": []any{2.0, 1.0}, "ascending": []any{1.0, 2.0}, "actions": 1.0, "retention": 30.0, "retention read": 30.0, "retention period": 365.0,
					"whole schema": []any{"audit_log_schema", 1.0, "invoice", true, []any{true, true, true}},
					"versions":     []any{[]any{"audit_log_schema", 2.0, "receipt"}, []any{"audit_log_schema", 1.0, "invoice"}},
					"pages":        []any{"python.paid", "python.refunded"},
				} {
					if diff := cmp.Diff(want, got[call]); diff != "" {
						t.Errorf("%s: %s", call, diff)
					}
				}
			}
		})
	}
}

// pythonClient runs client.py in an environment of its own under .cache.
func pythonClient(t *testing.T) *exec.Cmd {
	t.Helper()
	dir := installed(t, "workos-python", "requirements.txt", func(dir string, run func(dir, name string, args ...string)) {
		run(".", "python3", "-m", "venv", "--clear", dir)
		run(".", filepath.Join(dir, "bin", "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "--requirement", filepath.Join(clientsDir, "requirements.txt"))
	})
	return exec.CommandContext(t.Context(), filepath.Join(dir, "bin", "python"), filepath.Join(clientsDir, "client.py"))
}

// nodeClient runs client.cjs beside the modules of package-lock.json.
func nodeClient(t *testing.T) *exec.Cmd {
	t.Helper()
	dir := installed(t, "workos-node", "package-lock.json", func(dir string, run func(dir, name string, args ...string)) {
		for _, name := range []string{"package.json", "package-lock.json"} {
			text, err := os.ReadFile(filepath.Join(clientsDir, name))
			if err == nil {
				err = os.MkdirAll(dir, 0o755)
			}
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, name), text, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		run(dir, "npm", "ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund")
	})
	program, err := filepath.Abs(filepath.Join(clientsDir, "client.cjs"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", program)
	cmd.Env = append(os.Environ(), "NODE_PATH="+filepath.Join(dir, "node_modules"))
	return cmd
}

// installed is a folder under .cache that is made once for each change of a lock file.
func installed(t *testing.T, name, lock string, install func(dir string, run func(dir, name string, args ...string))) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(clientsDir, lock))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(text)
	dir, err := filepath.Abs("../.cache/" + name + "-" + hex.EncodeToString(sum[:8]))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "complete")); err == nil {
		return dir
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	install(dir, func(where, name string, args ...string) {
		cmd := exec.CommandContext(ctx, name, args...)
		cmd.Dir = where
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s %v: %v: %s\n(needed are Python 3 with venv, Node 18 or later, and npm; Debian: python3-venv, nodejs, npm)", name, args, err, out)
		}
	})
	if err := os.WriteFile(filepath.Join(dir, "complete"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}
