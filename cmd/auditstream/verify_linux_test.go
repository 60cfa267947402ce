package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/sys/unix"

	"github.com/auditstream/auditstream/integrity"
)

var verifiedEvents = flag.Int("verify.events", 100_000, "events of the largest export that verify is measured with")

// auditstream is the command as a process of its own.
func auditstream(ctx context.Context, tb testing.TB, args ...string) *exec.Cmd {
	tb.Helper()
	program, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, program)
	cmd.Args = append([]string{"auditstream"}, args...) // the name is what makes it the command: see TestMain
	cmd.Env = append(os.Environ(), "TMPDIR="+tb.TempDir())
	return cmd
}

// exported is a feed that is written down line by line, as the sink for files does.
type exported struct {
	origin string
	head   integrity.Head
	tree   integrity.Tree
	after  int64
	signer note.Signer
	public string
	out    io.Writer
}

func newExported(tb testing.TB, out io.Writer) *exported {
	tb.Helper()
	secret, public, err := integrity.GenerateKey("audit.example.com")
	if err != nil {
		tb.Fatal(err)
	}
	signer, err := note.NewSigner(secret)
	if err != nil {
		tb.Fatal(err)
	}
	e := &exported{signer: signer, public: public, out: out}
	e.origin = integrity.Origin{Stream: "acme", UID: "u1", TopicID: "t1", Partition: 3, Epoch: 1, Revision: 1}.String()
	e.head = integrity.Begin(e.origin)
	return e
}

// line is the next event's.
func (e *exported) line() []byte {
	n := e.head.Size + 1
	event := fmt.Appendf(nil, `{"action":"user.signed_in","actor":{"id":"user_%d","type":"user"},"id":"audit_event_%026d","occurred_at":"2026-01-31T12:00:00.000Z","targets":[]}`, n, n)
	link := e.head.Link(integrity.Digest(event))
	e.head = link.Head()
	e.tree.Append(link.Digest)
	return fmt.Appendf(event[:len(event)-1], `,"integrity":{"feed":%q,"seq":%d,"chain":%q}}`+"\n", integrity.FeedID(e.origin), n, link.Hash)
}

func (e *exported) events(n int) error {
	for range n {
		if _, err := e.out.Write(e.line()); err != nil {
			return err
		}
	}
	return nil
}

// checkpoint is a line with one that change has made.
func (e *exported) checkpoint(change func(*integrity.Checkpoint)) error {
	c := &integrity.Checkpoint{Origin: e.origin, Size: e.head.Size, Root: e.tree.Root(), Chain: e.head.Hash, Offset: e.head.Size, Time: time.Now(), After: e.after}
	change(c)
	e.after = c.Size
	signed, err := c.Sign(e.signer)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.out, "{\"checkpoint\":%q}\n", signed)
	return err
}

func asItIs(*integrity.Checkpoint) {}

// Whatever it is given, verify keeps within its memory. What it says of hostile input does not
// matter here, as long as it is an answer.
func TestVerifyKeepsWithinItsMemory(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector has memory of its own")
	}
	const most = 320 << 10 // KiB; of an honest export a fraction
	for _, tt := range []struct {
		name string
		most int64 // KiB
		code int
		says string
		make func(e *exported) error
	}{
		{"an honest export", 96 << 10, 0, "Complete and unaltered", func(e *exported) error {
			for range 10 {
				if err := errors.Join(e.events(*verifiedEvents/10), e.checkpoint(asItIs)); err != nil {
					return err
				}
			}
			return nil
		}},
		{"a million feeds", most, 1, "there is more than can be checked at once", func(e *exported) error {
			for i := range 1_000_000 {
				if _, err := fmt.Fprintf(e.out, `{"id":"x","integrity":{"feed":"%016d","seq":1,"chain":%q}}`+"\n", i, integrity.Hash{}); err != nil {
					return err
				}
			}
			return nil
		}},
		{"lines of 100 MB", most, 1, "the line has 100000", func(e *exported) error {
			if err := errors.Join(e.events(1000), e.checkpoint(asItIs)); err != nil {
				return err
			}
			megabyte := bytes.Repeat([]byte("x"), 1_000_000)
			for range 2 {
				for range 100 {
					if _, err := e.out.Write(megabyte); err != nil {
						return err
					}
				}
				if _, err := io.WriteString(e.out, "\n"); err != nil {
					return err
				}
			}
			return nil
		}},
		{"lines that nest deeply", most, 5, "altered number 1001", func(e *exported) error {
			if err := e.events(1000); err != nil {
				return err
			}
			for _, depth := range []int{900, 9_000, 5_000_000} {
				line := fmt.Sprintf(`{"a":%s1%s,"integrity":{"feed":%q,"seq":%d,"chain":%q}}`+"\n",
					strings.Repeat("[", depth), strings.Repeat("]", depth), integrity.FeedID(e.origin), 1001, integrity.Hash{})
				if _, err := io.WriteString(e.out, line); err != nil {
					return err
				}
			}
			return e.checkpoint(asItIs)
		}},
		{"a withheld range without end", most, 4, "missing number 101", func(e *exported) error {
			return errors.Join(e.events(100), e.checkpoint(func(c *integrity.Checkpoint) {
				c.Size = integrity.MaxNumber
				c.Withheld = []integrity.Withheld{{From: 102, To: integrity.MaxNumber, Hash: c.Chain, Reason: "some"}}
			}))
		}},
		{"more withheld events than are kept", most, 1, "withheld events", func(e *exported) error {
			const each = 250
			for n := int64(0); n < 600_000*2; n += each * 2 {
				if err := e.checkpoint(func(c *integrity.Checkpoint) {
					c.Size = n + each*2
					for i := range int64(each) {
						c.Withheld = append(c.Withheld, integrity.Withheld{From: n + 2*i + 1, To: n + 2*i + 1, Reason: "rejected"})
					}
				}); err != nil {
					return err
				}
			}
			return nil
		}},
		{"hundreds of feeds with a thousand rivals each", most, 5, "altered", func(e *exported) error {
			for i := range 500_000 {
				if _, err := fmt.Fprintf(e.out, `{"id":"audit_event_%026d","integrity":{"feed":"%016d","seq":1,"chain":%q}}`+"\n", i, i/1000, integrity.Hash{}); err != nil {
					return err
				}
			}
			return nil
		}},
		{"numbers without end", most, 1, "is no number of an event", func(e *exported) error {
			for _, n := range []int64{math.MaxInt64, math.MaxInt64 - 1, math.MaxInt64 / 2} {
				if _, err := fmt.Fprintf(e.out, `{"id":"x","integrity":{"feed":%q,"seq":%d,"chain":%q}}`+"\n", integrity.FeedID(e.origin), n, integrity.Hash{}); err != nil {
					return err
				}
			}
			return errors.Join(e.events(100), e.checkpoint(asItIs))
		}},
		{"numbers in any order", most, 0, "Complete and unaltered", func(e *exported) error {
			var lines [][]byte
			for range 100_000 {
				lines = append(lines, e.line())
			}
			rand.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
			_, err := e.out.Write(bytes.Join(lines, nil))
			return errors.Join(err, e.checkpoint(asItIs))
		}},
		{"every second number", most, 1, "sort them by feed and number", func(e *exported) error {
			for range 150_000 {
				e.line()
				if _, err := e.out.Write(e.line()); err != nil {
					return err
				}
			}
			return nil
		}},
		{"a bomb", most, 1, "the line has 1000000000 bytes", func(e *exported) error {
			if err := errors.Join(e.events(100), e.checkpoint(asItIs)); err != nil {
				return err
			}
			zeros := make([]byte, 1_000_000)
			for range 1000 {
				if _, err := e.out.Write(zeros); err != nil {
					return err
				}
			}
			return nil
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "export.ndjson.gz")
			f, err := os.Create(path)
			if err != nil {
				t.Fatal(err)
			}
			z, err := gzip.NewWriterLevel(f, gzip.BestSpeed)
			if err != nil {
				t.Fatal(err)
			}
			e := newExported(t, z)
			if err := errors.Join(tt.make(e), z.Close(), f.Close()); err != nil {
				t.Fatal(err)
			}
			cmd := auditstream(t.Context(), t, "verify", "--key", e.public, path)
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			most := peak(t, cmd)
			t.Logf("%d MiB, %s", most>>10, cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime())
			if most > tt.most {
				t.Errorf("it took %d MiB, more than %d", most>>10, tt.most>>10)
			}
			if code := cmd.ProcessState.ExitCode(); code != tt.code || !strings.Contains(out.String(), tt.says) {
				t.Errorf("exit code %d, want %d and %q:\n%.2000s", code, tt.code, tt.says, &out)
			}
		})
	}
}

// peak runs a command and is the most memory, in KiB, that it had. It is looked at while the
// command runs, as what the system tells at its end has the memory of whoever started it in it.
func peak(t *testing.T, cmd *exec.Cmd) (most int64) {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	name := "/proc/" + strconv.Itoa(cmd.Process.Pid)
	for {
		select {
		case err := <-done:
			if _, told := errors.AsType[*exec.ExitError](err); err != nil && !told {
				t.Fatal(err)
			}
			return most
		case <-look.C:
			// Until it is another program, it is a copy of this one.
			if line, err := os.ReadFile(name + "/cmdline"); err != nil || !bytes.HasPrefix(line, []byte("auditstream\x00")) {
				continue
			}
			status, err := os.ReadFile(name + "/status")
			if _, rest, ok := strings.Cut(string(status), "VmHWM:"); ok && err == nil {
				var n int64
				if _, err := fmt.Sscan(rest, &n); err == nil {
					most = max(most, n)
				}
			}
		}
	}
}

// pty is a terminal, and the name of its other end.
func pty(t *testing.T) (own, other *os.File) {
	t.Helper()
	own, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("there is no terminal to be had: %v", err)
	}
	t.Cleanup(func() { _ = own.Close() })
	if err := unix.IoctlSetPointerInt(int(own.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(own.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(int(own.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 120}); err != nil {
		t.Fatal(err)
	}
	other, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close() })
	return own, other
}

// On a terminal there is a bar, without colors; and who interrupts is told in a sentence that
// nothing is known, at once, whatever there is to read.
func TestVerifyOnATerminalIsInterrupted(t *testing.T) {
	endless := filepath.Join(t.TempDir(), "endless")
	if err := os.WriteFile(endless, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(endless, 1<<40); err != nil { // it takes no room
		t.Skipf("files cannot have holes here: %v", err)
	}
	own, other := pty(t)
	cmd := auditstream(t.Context(), t, "verify", endless)
	cmd.Env = append(cmd.Env, "NO_COLOR=1", "TERM=xterm-256color")
	var answer bytes.Buffer
	cmd.Stdout, cmd.Stderr = &answer, other
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = other.Close()
	var shown strings.Builder
	told := false
	buf := make([]byte, 4096)
	for {
		n, err := own.Read(buf)
		shown.Write(buf[:n])
		if !told && strings.Contains(shown.String(), "checking") {
			told = true
			if err := cmd.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
		}
		if err != nil {
			break // the other end is closed
		}
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(shown.String(), "stopped before everything was read") {
		t.Errorf("exit code %d: %q", code, shown.String())
	}
	if answer.Len() > 0 {
		t.Errorf("it answers all the same: %s", &answer)
	}
	if !strings.Contains(shown.String(), "checking") || strings.Contains(shown.String(), "\x1b[3") || strings.Contains(shown.String(), "\x1b[1m") {
		t.Errorf("no bar, or a colored one: %q", shown.String())
	}
}

// Standard input that says nothing keeps nobody.
func TestVerifyOfSilenceIsInterrupted(t *testing.T) {
	silence, hold, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer hold.Close()    //nolint:errcheck // nothing is written
	defer silence.Close() //nolint:errcheck // likewise
	dir := t.TempDir()
	cmd := auditstream(t.Context(), t, "verify", "-")
	cmd.Env = append(cmd.Env, "TMPDIR="+dir)
	var problems bytes.Buffer
	cmd.Stdin, cmd.Stderr = silence, &problems
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// It has begun to wait when its temporary file is there.
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for waiting := false; !waiting; {
		<-look.C
		files, err := filepath.Glob(filepath.Join(dir, "auditstream-verify-*"))
		if waiting = len(files) > 0; err != nil || t.Context().Err() != nil {
			t.Fatalf("it never began: %v", err)
		}
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(problems.String(), "stopped before everything was read") {
		t.Errorf("exit code %d: %s", code, &problems)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "auditstream-verify-*")); len(left) > 0 {
		t.Errorf("it has left %v", left)
	}
}
