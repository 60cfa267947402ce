package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// endTime is how long a process may take to end after SIGTERM before it is killed.
const endTime = 30 * time.Second

// child is a process of this program's own binary.
type child struct {
	name string
	cmd  *exec.Cmd
	said *tail
	gone chan struct{} // closed when it has ended; err is set before
	err  error
}

// start starts the program. When ctx ends it gets SIGTERM.
func (r *runner) start(ctx context.Context, name string, env []string, stdin io.Reader, stdout io.Writer, args ...string) (*child, error) {
	c := &child{name: name, cmd: exec.CommandContext(ctx, r.Program, args...), said: &tail{}, gone: make(chan struct{})}
	c.cmd.Env = append(os.Environ(), env...)
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = stdin, stdout, c.said
	c.cmd.Cancel = func() error { return c.cmd.Process.Signal(syscall.SIGTERM) }
	c.cmd.WaitDelay = endTime
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		c.err = c.cmd.Wait()
		close(c.gone)
	}()
	return c, nil
}

// startOn starts the program on as many processors as are to be measured.
func (r *runner) startOn(ctx context.Context, name string, env []string, args ...string) (*child, error) {
	c, err := r.start(ctx, name, append(r.coresEnv(), env...), nil, nil, args...)
	if err != nil || r.Cores == 0 {
		return c, err
	}
	if err := pin(c.cmd.Process.Pid, r.Cores); err != nil {
		c.end()
		return nil, fmt.Errorf("%s on %d processors: %w", name, r.Cores, err)
	}
	return c, nil
}

func (r *runner) coresEnv() []string {
	if r.Cores == 0 {
		return nil
	}
	return []string{"GOMAXPROCS=" + strconv.Itoa(r.Cores)}
}

// end sends SIGTERM, if the process still runs, and returns when it has ended.
func (c *child) end() {
	_ = c.cmd.Process.Signal(syscall.SIGTERM) // fails only for one that has ended
	timer := time.AfterFunc(endTime, func() { _ = c.cmd.Process.Kill() })
	defer timer.Stop()
	<-c.gone
}

// failure says why the process ended before its work was done, in its own words.
func (c *child) failure() error {
	why := c.err
	if why == nil {
		why = errors.New("ended before its work was done")
	}
	return fmt.Errorf("%s: %w: %s", c.name, why, c.said)
}

// cpu is what the process has used, once it is gone.
func (c *child) cpu() time.Duration {
	return c.cmd.ProcessState.UserTime() + c.cmd.ProcessState.SystemTime()
}

// ticks is how many there are in a second in Linux's account of a process's time, whatever the
// kernel counts in itself (USER_HZ).
const ticks = 100

// cpuSoFar is what the process has used by now, from Linux's account; 0 where it cannot be told.
func (c *child) cpuSoFar() time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	// The name, in parentheses, may have spaces. Behind it utime and stime are fields 12 and 13.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 13 {
		return 0
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	if err1 != nil || err2 != nil {
		return 0
	}
	return time.Duration(user+system) * time.Second / ticks
}

// peakRSS is the most memory that the process has had in RAM so far, in bytes; 0 where it
// cannot be told. It is read from Linux's own account of the process while it runs: what
// is left to the parent at its end (ru_maxrss) counts the parent's memory at the time
// of the fork, too.
func (c *child) peakRSS() int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(status) {
		if rest, ok := bytes.CutPrefix(line, []byte("VmHWM:")); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(string(rest)), "kB")), 10, 64)
			if err != nil {
				return 0
			}
			return kib << 10
		}
	}
	return 0
}

// tail keeps the end of what a process says. Only the process's goroutine writes; it is
// read when the process is gone.
type tail struct{ b []byte }

// tailBytes bounds a tail.
const tailBytes = 4 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	if len(t.b) > tailBytes {
		t.b = append(t.b[:0], t.b[len(t.b)-tailBytes:]...)
	}
	return len(p), nil
}

func (t *tail) String() string { return strings.TrimSpace(string(t.b)) }

// collector is the endpoint's process.
type collector struct {
	*child
	url   string
	stdin io.Closer
}

// startCollector starts the endpoint and learns its address from its first line. It ends
// when its standard input does: also when this process is killed.
func (r *runner) startCollector(ctx context.Context) (*collector, error) {
	in, stdin, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	out, stdout, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, in.Close(), stdin.Close())
	}
	c, err := r.start(ctx, "endpoint", nil, in, stdout, "bench", "hec", "--destinations", strconv.Itoa(r.destinations()), "--ages="+strconv.FormatBool(r.ages))
	err = errors.Join(err, in.Close(), stdout.Close()) // the child has its own
	if err != nil {
		return nil, errors.Join(err, stdin.Close(), out.Close())
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err = errors.Join(err, out.Close()); err != nil {
		_ = stdin.Close()
		c.end()
		return nil, fmt.Errorf("the endpoint did not say where it listens: %w: %s", err, c.said)
	}
	return &collector{child: c, url: strings.TrimSpace(line), stdin: stdin}, nil
}

func (c *collector) end() {
	_ = c.stdin.Close()
	c.child.end()
}

func (c *collector) counts(ctx context.Context) (Counts, error) {
	var counts Counts
	body, err := c.call(ctx, http.MethodGet, "/counts")
	if err == nil {
		err = json.Unmarshal(body, &counts)
	}
	return counts, err
}

func (c *collector) reset(ctx context.Context) error {
	_, err := c.call(ctx, http.MethodPost, "/reset")
	return err
}

func (c *collector) call(ctx context.Context, method, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.url+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the endpoint: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	return io.ReadAll(io.LimitReader(resp.Body, 64<<10))
}
