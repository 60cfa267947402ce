package main

import (
	"io"
	"os"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/term"
)

// jobScreen is what the user sees on standard error while a job runs: on a terminal a bar,
// and everywhere what the job has to say.
type jobScreen struct {
	*screen
	log *zap.Logger
}

func newJobScreen(out io.Writer) *jobScreen {
	s := &jobScreen{screen: &screen{out: out}}
	format := zap.NewProductionEncoderConfig()
	format.TimeKey = zapcore.OmitKey
	format.EncodeDuration = zapcore.StringDurationEncoder
	s.log = zap.New(zapcore.NewCore(zapcore.NewConsoleEncoder(format), zapcore.AddSync(s), zapcore.WarnLevel))
	return s
}

// Write prints a line of the log.
func (s *jobScreen) Write(line []byte) (int, error) {
	s.print(strings.TrimRight(string(line), "\n"))
	return len(line), nil
}

// bar shows a new bar, in place of the one before.
func (s *jobScreen) show(what string, size int64, more ...progressbar.Option) {
	file, ok := s.out.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return
	}
	s.done()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bar = progressbar.NewOptions64(size, append([]progressbar.Option{
		progressbar.OptionSetWriter(s.out),
		progressbar.OptionSetDescription(what),
		progressbar.OptionThrottle(100 * time.Millisecond),
		progressbar.OptionClearOnFinish(),
		progressbar.OptionFullWidth(),
	}, more...)...)
}

// done takes the bar away.
func (s *jobScreen) done() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bar != nil {
		_ = s.bar.Finish()
		s.bar = nil
	}
}

// counting shows how far a counting is. Where nobody says that, a server that counts, nothing
// is shown.
func (s *jobScreen) counting() counting {
	shown := false
	return func(passed, of int64) {
		if !shown {
			s.show("counting", of)
			shown = true
		}
		s.move(passed, true)
	}
}

// move moves the bar by n, or to n.
func (s *jobScreen) move(n int64, to bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.bar == nil:
	case to:
		_ = s.bar.Set64(n)
	default:
		_ = s.bar.Add64(n)
	}
}
