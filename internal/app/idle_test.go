package app

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// Ten thousand customers, of whom ten do something: the others cost neither goroutines nor
// connections, and little memory. The broker, the destination and what the test itself
// holds are in the figure too.
func TestTenThousandStreamsOfWhichFewAreBusyCostLittle(t *testing.T) {
	const (
		streams, busy = 10_000, 10
		mostHeap      = 200 << 20
		// Two a connection here and one at the destination; of connections, 64 at most to one
		// address; and some dozens for everything else.
		mostRoutines = 64*3 + 100
	)
	s := newSite(t)
	s.there()
	var text strings.Builder
	text.WriteString("streams:\n")
	for i := range busy {
		fmt.Fprintf(&text, "  - {id: busy-%d, organization_id: \"*\", start: beginning, SPLUNK}\n", i)
	}
	for i := range streams - busy {
		fmt.Fprintf(&text, "  - {id: idle-%05d, organization_id: org_%026d, start: beginning, SPLUNK}\n", i, 1000+i)
	}
	before := runtime.NumGoroutine()
	p := run(t, Delivery{Config: s.config(text.String())})
	s.publish(0)
	eventually(t, "30 events for each busy stream", func() bool {
		_, metrics := p.get("/metrics")
		for i := range busy {
			if !strings.Contains(metrics, fmt.Sprintf("auditstream_stream_delivered_total{stream=\"busy-%d\"} 30\n", i)) {
				return false
			}
		}
		return true
	})
	routines := runtime.NumGoroutine() - before
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	t.Logf("%d streams, %d of them busy: heap %d MiB, stacks %d MiB, %d goroutines", streams, busy, m.HeapAlloc>>20, m.StackInuse>>20, routines)
	if m.HeapAlloc+m.StackInuse > mostHeap {
		t.Errorf("%d MiB in use, want %d at most", (m.HeapAlloc+m.StackInuse)>>20, mostHeap>>20)
	}
	if routines > mostRoutines {
		t.Errorf("%d goroutines, want %d at most: idle streams must not have their own", routines, mostRoutines)
	}
}
