package app

import (
	"os"
	"runtime/debug"

	"github.com/auditstream/auditstream/config"
)

// memoryPerKind is what a kind's group needs beside the budget of its lanes, in bytes:
// measured with 6 partitions on one broker, fetches of 3 MiB that unpack to about six times
// that hold 60 MiB with their records, and the clients 10 MiB.
const memoryPerKind = 128 << 20

// memoryPerStream is what a busy stream needs beside the events that wait, in bytes: its
// connection with its goroutines, its lane, its metrics. Measured with 10,000, each to an
// address of its own.
const memoryPerStream = 32 << 10

// memoryTarget is how much memory a process that delivers to so many kinds should stay
// within: twice the budget, for the garbage that goes with it, and what each kind and
// each stream needs.
func memoryTarget(budget int64, kinds, streams int) int64 {
	return 2*budget + int64(kinds)*memoryPerKind + int64(streams)*memoryPerStream
}

// MemoryTarget is the same for a process with that configuration.
func MemoryTarget(c *config.Config, kinds, streams int) int64 {
	return memoryTarget(int64(c.Delivery.Memory), kinds, streams)
}

// aimAt has the garbage collector work harder, and give memory back to the system, as the
// process comes near the target. It is no limit: what is in use stays. An operator's own
// GOMEMLIMIT counts instead.
func aimAt(target int64) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(target)
	}
}
