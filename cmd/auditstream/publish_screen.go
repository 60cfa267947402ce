package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/auditstream/auditstream/schema"
)

// patience is how long we say nothing about a Kafka that does not answer.
const patience = 3 * time.Second

// screen is what the user sees on standard error: problems, and on a terminal a bar.
type screen struct {
	mu  sync.Mutex
	out io.Writer                // guarded by mu
	bar *progressbar.ProgressBar // nil without a terminal
}

func newScreen(out io.Writer, size int64) *screen {
	s := &screen{out: out}
	if file, ok := out.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		s.bar = progressbar.NewOptions64(size,
			progressbar.OptionSetWriter(out),
			progressbar.OptionSetDescription("publishing"),
			progressbar.OptionShowBytes(true),
			progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionClearOnFinish(),
			progressbar.OptionFullWidth(),
		)
	}
	return s
}

// count moves the bar with what is read from r, which begins at an offset of the whole.
func (s *screen) count(r io.Reader, offset int64) io.Reader {
	if s.bar == nil {
		return r
	}
	_ = s.bar.Set64(offset)
	return io.TeeReader(r, s.bar)
}

func (s *screen) refused(line int, violations schema.Violations) {
	for _, v := range violations {
		if v.Pointer == "" {
			s.print(fmt.Sprintf("line %d: %s", line, v.Message))
		} else {
			s.print(fmt.Sprintf("line %d: %s: %s", line, v.Pointer, v.Message))
		}
	}
}

// warned tells what is odd about an event that is published all the same.
func (s *screen) warned(e *schema.Event, warnings schema.Violations) {
	for _, v := range warnings {
		s.print(fmt.Sprintf("warning: action %q: %s: %s", e.Action, v.Pointer, v.Message))
	}
}

func (s *screen) print(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bar != nil {
		_ = s.bar.Clear()
	}
	fmt.Fprintln(s.out, text) //nolint:errcheck // there is nowhere else to tell
}

// after prints text unless the timer is stopped by then.
func (s *screen) after(d time.Duration, text string) *time.Timer {
	return time.AfterFunc(d, func() { s.print(text) })
}

func (s *screen) done() {
	if s.bar != nil {
		_ = s.bar.Finish()
	}
}
