// Package closedport finds ports for tests that need one on which nothing listens.
package closedport

import (
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
)

// Find is a port on 127.0.0.1 such that it, and those at the given distances from it, are
// closed. It lies below the range from which systems take ports by themselves (32768 and up
// on Linux), so that no server of a test that runs beside this one is given it a moment later.
func Find(tb testing.TB, distances ...int) int {
	tb.Helper()
	for range 200 {
		port := 12000 + rand.IntN(20000)
		if closed(tb, port) && allClosed(tb, port, distances) {
			return port
		}
	}
	tb.Fatal("no closed ports between 12000 and 32000")
	return 0
}

// Address is 127.0.0.1 with a port of Find.
func Address(tb testing.TB) string {
	tb.Helper()
	return on(Find(tb))
}

func allClosed(tb testing.TB, base int, distances []int) bool {
	tb.Helper()
	for _, d := range distances {
		if !closed(tb, base+d) {
			return false
		}
	}
	return true
}

func closed(tb testing.TB, port int) bool {
	tb.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(tb.Context(), "tcp", on(port))
	return err == nil && l.Close() == nil
}

func on(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
