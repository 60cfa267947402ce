package doctor

import (
	"fmt"
	"math"
	"os"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/auditstream/auditstream/internal/app"
)

// host looks at the machine: what it has for a process that delivers what the configuration
// lists.
func (e *examiner) host() {
	e.memory()
	e.openFiles()
	e.ownDisk()
	e.spool()
}

// memory holds what delivery aims at against the limits of this machine, or container.
func (e *examiner) memory() {
	c := e.Config.Config
	kinds := map[string]bool{}
	for _, s := range c.Streams {
		kinds[s.Kind] = true
	}
	target := app.MemoryTarget(c, max(1, len(kinds)), len(c.Streams))
	limit, where := memoryLimit(os.ReadFile)
	own := debug.SetMemoryLimit(-1)
	const do = "give it more, or set delivery.memory to less"
	switch {
	case limit > 0 && limit < target:
		e.fail("memory", do, "delivery aims at %d MiB (twice delivery.memory, and a part for each kind and stream), and %s %d MiB: the process would be killed", target>>20, where, limit>>20)
	case limit > 0 && float64(limit) < 1.25*float64(target):
		e.warn("memory", do, "delivery aims at %d MiB, and %s %d MiB: there is little room", target>>20, where, limit>>20)
	case own != math.MaxInt64 && own < target:
		e.warn("memory", "set GOMEMLIMIT to more, or leave it out: delivery sets its own", "GOMEMLIMIT is %d MiB, and delivery would aim at %d MiB: it collects garbage all the time", own>>20, target>>20)
	case limit > 0:
		e.ok("memory", "delivery aims at %d MiB, and %s %d MiB", target>>20, where, limit>>20)
	default:
		e.ok("memory", "delivery aims at %d MiB; no limit is set here", target>>20)
	}
}

// memoryLimit is the limit of the control group that this process is in, or else the memory
// of the machine; 0 if neither is known.
func memoryLimit(read func(string) ([]byte, error)) (limit int64, where string) {
	for _, file := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		text, err := read(file)
		if err != nil {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		if err == nil && n > 0 && n < 1<<60 { // the older form of no limit is a number near 2^63
			return n, "the control group (" + file + ") allows"
		}
	}
	text, err := read("/proc/meminfo")
	if err != nil {
		return 0, ""
	}
	for line := range strings.Lines(string(text)) {
		var kib int64
		if n, err := fmt.Sscanf(line, "MemTotal: %d kB", &kib); err == nil && n == 1 {
			return kib << 10, "the machine has"
		}
	}
	return 0, ""
}

// filesBeside are the open files that delivery needs beside those of requests and idle
// connections: clients of Kafka, logs, certificates.
const filesBeside = 256

// idleConnections is how many connections to destinations are kept at most that nobody uses.
const idleConnections = 4096

// openFiles holds the limit of open files against the connections that delivery may have.
func (e *examiner) openFiles() {
	limit, ok := fileLimit()
	if !ok {
		e.skipped("open files", "the limit is not known on this system")
		return
	}
	d := e.Config.Config.Delivery
	needed := uint64(d.InFlight+d.InFlightSlow+min(len(e.Config.Config.Streams)*d.InFlightPerStream, idleConnections)) + filesBeside
	e.filesOf(limit, needed)
}

func (e *examiner) filesOf(limit, needed uint64) {
	if limit < needed {
		e.warn("open files", "raise it: ulimit -n, LimitNOFILE of systemd", "%d may be open, and delivery may come to %d", limit, needed)
		return
	}
	e.ok("open files", "%d may be open, delivery comes to %d at most", limit, needed)
}

// ownDisk looks at the disk of the embedded broker.
func (e *examiner) ownDisk() {
	embedded := e.Config.Config.Kafka.Embedded
	if embedded == nil {
		return
	}
	usable, total, err := diskSpace(existing(embedded.Dir))
	if err != nil {
		e.skipped("disk", "%s: %v", embedded.Dir, err)
		return
	}
	if e.disk("disk", embedded.Dir, usable, total) {
		e.ok("disk", "%s: %.0f %% is left (%d MiB)", embedded.Dir, 100*float64(usable)/float64(total), usable>>20)
	}
}

// existing is dir, or the folder above it that is there: it is made at the first start.
func existing(dir string) string {
	for {
		if _, err := os.Stat(dir); err == nil {
			return dir
		}
		cut := strings.LastIndexByte(strings.TrimRight(dir, "/"), '/')
		if cut < 0 {
			return "."
		}
		if cut == 0 {
			return "/"
		}
		dir = dir[:cut]
	}
}
