package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// go test ./cmd/auditstream -run Walk -update.walk writes the outputs of the page anew.
var updateWalk = flag.Bool("update.walk", false, "write the outputs of docs/operating.md as they are")

// The walk at the beginning of docs/operating.md is run from an empty folder, command by
// command, and each says what the page says it does. Times, ages, rates, ids that are drawn
// and ports differ; nothing else may.
func TestTheWalkOfNewOperators(t *testing.T) {
	page := filepath.Join("..", "..", "docs", "operating.md")
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := strings.Index(string(text), "## A walk\n"), strings.Index(string(text), "\n<!-- end of the walk -->")
	if begin < 0 || end < begin {
		t.Fatal("the page has no walk")
	}
	w := &walker{t: t, dir: t.TempDir()}
	walked := fence.ReplaceAllStringFunc(string(text[begin:end]), func(block string) string {
		if t.Failed() {
			return block
		}
		return "```\n" + w.block(strings.TrimSuffix(strings.TrimPrefix(block, "```\n"), "```")) + "```"
	})
	w.stop()
	if *updateWalk && !t.Failed() {
		if err := os.WriteFile(page, []byte(string(text[:begin])+walked+string(text[end:])), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// fence is a block without a language: commands and what they print.
var fence = regexp.MustCompile("(?ms)^```\n\\$ .*?^```")

type walker struct {
	t     *testing.T
	dir   string
	dev   *exec.Cmd
	said  *output           // by dev
	ports *strings.Replacer // from the page's to those that dev has got
	back  *strings.Replacer // and back
}

// block runs what stands in a fence and returns how it is to be written.
func (w *walker) block(text string) string {
	var out strings.Builder
	for _, step := range strings.Split("\n"+text, "\n$ ")[1:] {
		command, want, _ := strings.Cut(step, "\n")
		want = strings.TrimSuffix(want, "\n")
		got := w.step(command, want)
		fmt.Fprintf(&out, "$ %s\n", command)
		if got != "" {
			fmt.Fprintln(&out, got)
		}
	}
	return out.String()
}

func (w *walker) step(command, want string) string {
	w.t.Helper()
	name, isFile := strings.CutPrefix(command, "cat ")
	path := filepath.Join(w.dir, name)
	switch _, err := os.Stat(path); {
	case command == "auditstream dev":
		return w.start(want)
	case isFile && err != nil: // the page shows what a user writes
		if err := os.WriteFile(path, []byte(w.ports.Replace(want)+"\n"), 0o600); err != nil {
			w.t.Fatal(err)
		}
		return want
	}
	limit := time.Now().Add(scriptWait)
	if *updateWalk {
		return w.settled(command)
	}
	for {
		got := w.run(command)
		if masked(got) == masked(want) {
			return want
		}
		// Commands that only look may be a moment early; the others are not given twice.
		if !looks(command) || time.Now().After(limit) {
			w.t.Errorf("$ %s\nprints\n%s\n\nthe page says\n%s", command, masked(got), masked(want))
			return want
		}
		pause(w.t.Context(), 300*time.Millisecond)
	}
}

// looks reports a command that changes nothing.
func looks(command string) bool {
	return regexp.MustCompile(`^auditstream (stream (list|get|plan)|deadletter (list|show)|explain|doctor|job list)`).MatchString(command)
}

// settled is what a command prints when what was done before it has come to rest.
func (w *walker) settled(command string) string {
	if looks(command) {
		pause(w.t.Context(), 12*time.Second) // longer than dev's probe of a stream that is held
	}
	return w.run(command)
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (w *walker) run(command string) string {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), scriptWait)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", w.ports.Replace(command))
	cmd.Dir = w.dir
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "AUDITSTREAM_") })
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		w.t.Fatalf("%s: %v", command, err)
	}
	return strings.TrimSuffix(w.back.Replace(string(out)), "\n")
}

// start starts dev and waits for what the page shows of its output.
func (w *walker) start(want string) string {
	w.t.Helper()
	w.said = &output{}
	w.dev = exec.CommandContext(context.WithoutCancel(w.t.Context()), "auditstream", "dev")
	w.dev.Dir, w.dev.Stdout, w.dev.Stderr = w.dir, w.said, w.said
	if err := w.dev.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = w.dev.Process.Kill() })
	lines := strings.Split(want, "\n")
	last := lines[len(lines)-1]
	limit := time.Now().Add(scriptWait)
	for !strings.Contains(w.said.String(), last) {
		if time.Now().After(limit) {
			w.t.Fatalf("dev has not said %q:\n%s", last, w.said)
		}
		pause(w.t.Context(), 100*time.Millisecond)
	}
	w.learnPorts()
	got := w.back.Replace(w.said.String())
	got = got[:strings.Index(got, last)+len(last)]
	if masked(got) != masked(want) && !*updateWalk {
		w.t.Errorf("dev says\n%s\n\nthe page\n%s", got, want)
	}
	return got
}

// learnPorts finds out at which addresses dev listens: those of the page may be taken.
func (w *walker) learnPorts() {
	w.t.Helper()
	text, err := os.ReadFile(filepath.Join(w.dir, "data", "dev", "dev.yaml"))
	if err != nil {
		w.t.Fatal(err)
	}
	var c struct {
		Kafka   struct{ Brokers []string }
		Observe struct{ Listen string }
		Admin   struct{ Listen string }
		Gateway struct{ Listen string }
		Streams []struct {
			Splunk, Datadog struct{ URL string }
			S3              struct{ Endpoint string } `yaml:"s3"`
		}
	}
	if err := yaml.Unmarshal(text, &c); err != nil {
		w.t.Fatal(err)
	}
	pairs := []string{"127.0.0.1:19092", c.Kafka.Brokers[0], "127.0.0.1:18081", c.Observe.Listen, "127.0.0.1:18082", c.Admin.Listen, "127.0.0.1:18080", c.Gateway.Listen}
	for _, s := range c.Streams {
		for usual, url := range map[string]string{"127.0.0.1:18088": s.Splunk.URL, "127.0.0.1:18126": s.Datadog.URL, "127.0.0.1:19000": s.S3.Endpoint} {
			if url != "" {
				pairs = append(pairs, usual, strings.TrimPrefix(url, "http://"))
			}
		}
	}
	w.ports = strings.NewReplacer(pairs...)
	for i := 0; i < len(pairs); i += 2 {
		pairs[i], pairs[i+1] = pairs[i+1], pairs[i]
	}
	w.back = strings.NewReplacer(append(pairs, w.dir+"/", "/home/ada/")...)
}

// stop ends dev as a user does.
func (w *walker) stop() {
	if w.dev == nil {
		w.t.Fatal("the walk never starts dev")
	}
	if err := w.dev.Process.Signal(syscall.SIGINT); err != nil {
		w.t.Fatal(err)
	}
	if err := w.dev.Wait(); err != nil {
		w.t.Errorf("dev ends with %v:\n%s", err, w.said)
	}
}

// masked is text without what is another each time, and without the width of columns.
func masked(text string) string {
	for _, m := range masks() {
		text = m.pattern.ReplaceAllString(text, m.with)
	}
	return strings.TrimSpace(text)
}

type mask struct {
	pattern *regexp.Regexp
	with    string
}

func masks() []mask {
	var out []mask
	for _, m := range [][2]string{
		{`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`, "TIME"},
		{`\b(str|job|req)_[A-Z0-9]{26}`, "${1}_ID"},
		{`audit_event_[0-9A-Z]{26}`, "EVENT"},
		{`[a-z.]+\+[0-9a-f]{8}\+[A-Za-z0-9+/]{43,}=*`, "KEY"}, // that signs checkpoints
		{`\b[A-Za-z0-9_-]{22}(\.\d+\.\d+\.str_ID[a-z.]*)?(\b|$)`, "TOPIC"},
		{`127\.0\.0\.1:\d+`, "ADDRESS"},
		{`[A-Za-z0-9_-]+@[A-Za-z0-9._-]+`, "WHO"},
		{`of cluster \S+:`, "of cluster ID:"},
		{`(?m)^(      (Date|Content-Length|User-Agent): ).*$`, "$1"},
		{`\d+ bytes of gzip`, "NUMBER bytes of gzip"},
		{`\b5:[01]\b`, "5:N"}, // of two streams that refuse the same event
		{`<?\b\d+\.\d+\b( %)?`, "RATE"},
		{`\b(\d+m)?\d+(\.\d+)?(ms|s|m|h)\b`, "AGE"},
		{`[a-z2-7]{16}(: \d+ events, hash) [A-Za-z0-9+/]{43}=`, "FEED$1 HASH"},
		{`\b\d+ (MiB|may be open|at most|member)`, "NUMBER $1"},
		{`(?m)^a second .*$`, "RATES"},
		{`\d+ attempts`, "NUMBER attempts"},
		{`\d+ feeds, none`, "FEEDS, none"}, // a feed begins where its partition is first looked at
		{`[ \t]+`, " "},
		{`(?m)^(\S+ \S+ \S+ \S+ TIME \S+ \S+ \S+ \d+ \d+) \S+ \S+`, "$1 RATE RATE"}, // of stream list
		{`(?m)^\S+ (memory|open files|disks) .*(\n →.*)?$`, "$1"},                   // up to the machine
		{`\d+ ok, \d+ warnings`, "NUMBER ok"},
		{`(?m) +$`, ""},
	} {
		out = append(out, mask{regexp.MustCompile(m[0]), m[1]})
	}
	return out
}

// output is what a process has written so far.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}
