package secret_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/auditstream/auditstream/internal/secret"
)

func TestResolve(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	t.Setenv("AUDITSTREAM_TEST_SECRET", "hunter2")
	t.Setenv("AUDITSTREAM_TEST_EMPTY", "")
	largest := strings.Repeat("x", secret.MaxSize)

	for _, test := range []struct {
		name string
		ref  secret.Ref
		want string
		err  string
	}{
		{name: "env", ref: secret.Ref{Env: "AUDITSTREAM_TEST_SECRET"}, want: "hunter2"},
		{name: "env unset", ref: secret.Ref{Env: "AUDITSTREAM_TEST_UNSET"}, err: "{env: AUDITSTREAM_TEST_UNSET}: this environment variable is not set"},
		{name: "env empty", ref: secret.Ref{Env: "AUDITSTREAM_TEST_EMPTY"}, err: "{env: AUDITSTREAM_TEST_EMPTY}: is empty"},
		{name: "file", ref: secret.Ref{File: file("plain", "hunter2")}, want: "hunter2"},
		{name: "file with line end", ref: secret.Ref{File: file("lf", "hunter2\n")}, want: "hunter2"},
		{name: "file from Windows", ref: secret.Ref{File: file("crlf", "hunter2\r\n")}, want: "hunter2"},
		{name: "inner lines and spaces are kept", ref: secret.Ref{File: file("pem", " a\nb \n")}, want: " a\nb "},
		{name: "largest file", ref: secret.Ref{File: file("largest", largest+"\r\n")}, want: largest},
		{name: "file too large", ref: secret.Ref{File: file("large", largest+"hunter2")}, err: "larger than 65536 bytes"},
		{name: "blank file", ref: secret.Ref{File: file("blank", " \n\n")}, err: "is empty"},
		{name: "file absent", ref: secret.Ref{File: filepath.Join(dir, "absent")}, err: "absent}: no such file"},
		{name: "directory", ref: secret.Ref{File: dir}, err: "not a regular file"},
		{name: "exec", ref: secret.Ref{Exec: []string{"echo", "hunter2"}}, want: "hunter2"},
		{name: "exec without a shell", ref: secret.Ref{Exec: []string{"echo", "$HOME;", "*"}}, want: "$HOME; *"},
		{name: "exec fails", ref: secret.Ref{Exec: []string{"cat", filepath.Join(dir, "absent")}}, err: "exit status 1"},
		{name: "exec prints nothing", ref: secret.Ref{Exec: []string{"true"}}, err: "is empty"},
		{name: "exec prints without end", ref: secret.Ref{Exec: []string{"yes", "secret"}}, err: "larger than 65536 bytes"},
		{name: "exec absent", ref: secret.Ref{Exec: []string{"auditstream-no-such-program"}}, err: "not found"},
		{name: "no reference", err: "empty"},
		{name: "two places", ref: secret.Ref{Env: "A", File: "b"}, err: "more than one place"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := test.ref.Resolve(t.Context())
			if test.err == "" {
				if err != nil || got != test.want {
					t.Fatalf("got %q, %v", got, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Fatalf("error %v, want one with %q", err, test.err)
			}
			if got != "" || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("value %q leaked with error %v", got, err)
			}
		})
	}
}

func TestResolveHidesStandardError(t *testing.T) {
	_, err := secret.Ref{Exec: []string{"sh", "-c", "echo leaked-$((40+2)) >&2; exit 3"}}.Resolve(t.Context())
	if err == nil || !strings.Contains(err.Error(), "exit status 3") {
		t.Fatalf("error %v, want the exit status", err)
	}
	if strings.Contains(err.Error(), "leaked-42") {
		t.Errorf("standard error is shown: %v", err)
	}
}

func TestResolveReadsAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	ref := secret.Ref{File: path}
	for _, want := range []string{"first", "second"} {
		if err := os.WriteFile(path, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := ref.Resolve(t.Context()); err != nil || got != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
}

func TestResolveEndsWithItsContext(t *testing.T) {
	stopped := errors.New("stopped")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 100*time.Millisecond, stopped)
	defer cancel()
	// The child of the shell keeps the output pipe open after the shell was killed.
	_, err := secret.Ref{Exec: []string{"sh", "-c", "sleep 5 & wait"}}.Resolve(ctx)
	if !errors.Is(err, stopped) {
		t.Errorf("error %v, want the cause of the end", err)
	}
	t.Setenv("AUDITSTREAM_TEST_SECRET", "hunter2")
	if _, err := (secret.Ref{Env: "AUDITSTREAM_TEST_SECRET"}).Resolve(ctx); !errors.Is(err, stopped) {
		t.Errorf("error %v after the end, want its cause", err)
	}
}

func TestExposed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	ref := secret.Ref{File: path}
	if got := ref.Exposed(); got != "" {
		t.Errorf("mode 0600 is %q", got)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if got := ref.Exposed(); !strings.Contains(got, "0644") {
		t.Errorf("mode 0644 is %q", got)
	}
	if got := (secret.Ref{Env: "PATH"}).Exposed(); got != "" {
		t.Errorf("an environment variable is %q", got)
	}
}
