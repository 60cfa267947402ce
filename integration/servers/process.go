//go:build linux

package servers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Process is a process that the test started. It is killed when the test ends, or when the
// test's process does.
type Process struct {
	Name string // for messages

	log  string // file that holds what it says
	cmd  *exec.Cmd
	gone chan struct{} // closed when it has ended; err is set before
	err  error
}

// StartProcess starts a program. The environment is the test's own with env added.
func StartProcess(t *testing.T, name, program string, env []string, args ...string) *Process {
	t.Helper()
	file, err := os.CreateTemp(t.TempDir(), strings.ReplaceAll(name, " ", "-")+"-*.log")
	if err != nil {
		t.Fatal(err)
	}
	// A context that outlives t.Context: the process is ended by the cleanup, which sees its log.
	p := &Process{Name: name, log: file.Name(), cmd: exec.CommandContext(context.Background(), program, args...), gone: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = file, file
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	err = p.cmd.Start()
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.gone)
	}()
	t.Cleanup(func() {
		p.Kill(t)
		if strings.Contains(p.Log(t), "WARNING: DATA RACE") {
			t.Errorf("%s was built with the race detector, which found something", name)
		}
		if t.Failed() {
			showTail(t, name, p.log)
		}
	})
	return p
}

// Kill sends SIGKILL and returns when the process is gone. It does nothing to one that is.
func (p *Process) Kill(t *testing.T) {
	t.Helper()
	p.signal(t, syscall.SIGKILL)
	<-p.gone
}

// Stop sends SIGSTOP: the process keeps its connections and does nothing.
func (p *Process) Stop(t *testing.T) {
	t.Helper()
	p.signal(t, syscall.SIGSTOP)
}

// Continue sends SIGCONT to a stopped process.
func (p *Process) Continue(t *testing.T) {
	t.Helper()
	p.signal(t, syscall.SIGCONT)
}

// Terminate sends SIGTERM and fails the test unless the process then ends by itself, with
// exit code 0, within limit.
func (p *Process) Terminate(t *testing.T, limit time.Duration) {
	t.Helper()
	p.signal(t, syscall.SIGTERM)
	select {
	case <-p.gone:
		if p.err != nil {
			t.Fatalf("%s ended after SIGTERM with %v", p.Name, p.err)
		}
	case <-time.After(limit):
		t.Fatalf("%s has not ended %s after SIGTERM", p.Name, limit)
	}
}

// Gone is closed when the process has ended.
func (p *Process) Gone() <-chan struct{} { return p.gone }

// ExitCode waits until the process ends, at most limit, and is its exit code; -1 if a
// signal ended it.
func (p *Process) ExitCode(t *testing.T, limit time.Duration) int {
	t.Helper()
	select {
	case <-p.gone:
	case <-time.After(limit):
		t.Fatalf("%s has not ended within %s", p.Name, limit)
	}
	return p.cmd.ProcessState.ExitCode()
}

// PeakMemory is the most that the process has had of memory, in bytes; 0 of one that has ended.
func (p *Process) PeakMemory(t *testing.T) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if errors.Is(err, os.ErrNotExist) {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		var kib int64
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kib); n == 1 {
			return kib << 10
		}
	}
	return 0
}

// Running fails the test if the process has ended.
func (p *Process) Running(t *testing.T) {
	t.Helper()
	select {
	case <-p.gone:
		t.Fatalf("%s ended by itself: %v", p.Name, p.err)
	default:
	}
}

// Log is what the process has said so far on both outputs.
func (p *Process) Log(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(p.log)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func (p *Process) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatalf("send %s to %s: %v", s, p.Name, err)
	}
}

// Answers reports whether a GET of url is answered with 200 within a second.
func Answers(t *testing.T, url string) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close() //nolint:errcheck // only the status counts
	return resp.StatusCode == http.StatusOK
}

// tailBytes bounds what a failing test shows of a log.
const tailBytes = 16 << 10

func showTail(t *testing.T, name, path string) {
	t.Helper()
	text, err := tail(path)
	if err != nil {
		t.Logf("%s: no log: %v", name, err)
		return
	}
	t.Logf("%s said at the end:\n%s", name, text)
}

func tail(path string) (string, error) {
	f, err := os.Open(filepath.Clean(path))
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // opened for reading
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if _, err := f.Seek(max(0, info.Size()-tailBytes), io.SeekStart); err != nil {
		return "", err
	}
	b, err := io.ReadAll(io.LimitReader(f, tailBytes))
	if err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	return string(b), nil
}
