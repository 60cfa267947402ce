//go:build linux

package servers

import (
	"testing"
	"time"
)

// Await calls condition until it is true, every 5 ms, and fails the test with what it was
// waiting for if that takes longer than limit. The limit is generous: it only bounds a hang.
func Await(t *testing.T, limit time.Duration, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(limit)
	for !condition() {
		select {
		case <-t.Context().Done():
			t.Fatalf("the test ended while waiting until %s", what)
		case <-deadline:
			t.Fatalf("not within %s: %s", limit, what)
		case <-tick.C:
		}
	}
}
