package consumer

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// nag says once that something is held up, and why; again when the reason is another one,
// or after a while; and once that it is over. What is tried many times a second is said a
// few times an hour, whatever comes back.
type nag struct {
	what, over string // messages
	log        *zap.Logger

	mu     sync.Mutex
	reason string    // guarded by mu
	since  time.Time // zero: nothing is held up; guarded by mu
	said   time.Time // when the log last heard of it; guarded by mu
	times  int       // guarded by mu
}

const (
	nagChanged = 10 * time.Second // between two reasons: they may take turns
	nagAgain   = 5 * time.Minute  // between two times of the same
)

// complain notes one more failure.
func (n *nag) complain(level zapcore.Level, reason string, fields ...zap.Field) {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	n.times++
	switch {
	case n.since.IsZero():
		n.since = now
	case reason != n.reason && now.Sub(n.said) >= nagChanged, now.Sub(n.said) >= nagAgain:
		fields = append(fields, zap.Duration("for", now.Sub(n.since)), zap.Int("times", n.times))
	default:
		return
	}
	n.reason, n.said = reason, now
	n.log.Log(level, n.what, append(fields, zap.String("error", reason))...)
}

// relieve notes that it works.
func (n *nag) relieve() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.since.IsZero() {
		return
	}
	n.log.Info(n.over, zap.String("after", n.reason), zap.Duration("for", time.Since(n.since)), zap.Int("times", n.times))
	n.since, n.times = time.Time{}, 0
}

// present is what holds it up now; empty without anything.
func (n *nag) present() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.since.IsZero() {
		return ""
	}
	return n.reason
}

// firstOf is the first line of an error that joins one a partition, and how many follow.
func firstOf(err error) string {
	first, rest, more := strings.Cut(err.Error(), "\n")
	if !more {
		return first
	}
	return fmt.Sprintf("%s; and %d more", first, 1+strings.Count(rest, "\n"))
}
