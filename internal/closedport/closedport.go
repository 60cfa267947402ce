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
// Nor does Find give it to anybody else, in whichever process, before the test has ended.
func Find(tb testing.TB, distances ...int) int {
	tb.Helper()
	for range 200 {
		port := 12000 + rand.IntN(20000)
		if reserve(tb, port, distances) {
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

// reserve reserves all ports or none.
func reserve(tb testing.TB, base int, distances []int) bool {
	tb.Helper()
	held := map[int]net.PacketConn{}
	for _, d := range append([]int{0}, distances...) {
		if held[d] != nil {
			continue
		}
		mark, ok := hold(tb, base+d)
		if !ok {
			for _, m := range held {
				_ = m.Close()
			}
			return false
		}
		held[d] = mark
	}
	tb.Cleanup(func() {
		for _, m := range held {
			_ = m.Close()
		}
	})
	return true
}

// hold marks a port that is closed as taken: between the look at it and the start of the server
// that is to have it, half a minute at times, nothing else shows that it is. The mark is the
// UDP port of the same number, which nobody needs, all processes see, and the system frees when
// the process dies.
func hold(tb testing.TB, port int) (mark net.PacketConn, ok bool) {
	tb.Helper()
	var lc net.ListenConfig
	mark, err := lc.ListenPacket(tb.Context(), "udp", on(port))
	if err != nil {
		return nil, false
	}
	l, err := lc.Listen(tb.Context(), "tcp", on(port))
	if err != nil || l.Close() != nil {
		_ = mark.Close()
		return nil, false
	}
	return mark, true
}

func on(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
