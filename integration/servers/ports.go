//go:build linux

package servers

import (
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"testing"
)

// FreeAddress is an address on 127.0.0.1 that nothing listened on a moment ago.
func FreeAddress(t *testing.T) string {
	t.Helper()
	return loopback(freeBase(t, 0))
}

// freeBase finds a port such that it and those at the given distances from it are free. It
// looks below the range from which Linux takes the ports of outgoing connections (32768 and
// up), so that no such connection takes the port before its server does.
func freeBase(t *testing.T, distances ...int) int {
	t.Helper()
	for range 200 {
		base := 12000 + rand.IntN(20000)
		if allFree(t, base, distances) {
			return base
		}
	}
	t.Fatal("no free ports")
	return 0
}

func allFree(t *testing.T, base int, distances []int) bool {
	t.Helper()
	for _, d := range distances {
		var lc net.ListenConfig
		l, err := lc.Listen(t.Context(), "tcp", loopback(base+d))
		if err != nil {
			return false
		}
		if err := l.Close(); err != nil {
			return false
		}
	}
	return true
}

// Repository is the directory of the main module's go.mod.
func Repository(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("the test does not run inside the repository")
		}
		dir = up
	}
}
