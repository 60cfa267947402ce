package consumer

import (
	"testing"
	"time"

	"github.com/auditstream/auditstream/sinks"
)

// A record that is acknowledged after its lane was replaced says what the successor has
// taken over: counted off by both, it would put off the early records of the partition.
func TestWhatIsNotOnRecordIsCountedOffOnce(t *testing.T) {
	p := newTestPartition(t, lineSink{}, sinks.Batching{MaxBytes: 1 << 20, Linger: time.Hour})
	t.Cleanup(func() { p.stop(0) })
	p.feed(records(1, 40, 41))
	old := p.router.streams[0]
	l := p.lanes[old.index]
	settle := func(l *lane, n int64) *progress {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.counts.delivered += n
		l.unsaved(int(n))
		return l.record(l.cursor(), time.Now())
	}
	acknowledge := func(l *lane, rec *progress) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.recordWritten(rec)
	}
	late := settle(l, 100) // on its way to Kafka

	next := &stream{spec: old.spec, sink: old.sink, batching: old.batching, index: p.g.index()}
	next.spec.Revision++
	p.learn(newRouter([]*stream{next}), p.specs, p.g.size, []change{{old: old, next: next}})
	successor := p.lanes[next.index]
	if successor == nil || successor == l {
		t.Fatal("the lane was not replaced")
	}
	acknowledge(l, late)
	if got := p.unsaved.Load(); got != 100 {
		t.Errorf("%d events are not on record of the successor, want 100", got)
	}
	acknowledge(successor, settle(successor, 5))
	if got := p.unsaved.Load(); got != 0 {
		t.Errorf("%d events are not on record, want none", got)
	}

	settle(successor, 7)
	p.learn(newRouter(nil), p.specs, p.g.size, []change{{old: next}})
	if got := p.unsaved.Load(); got != 0 {
		t.Errorf("%d events of a lane that is gone are still counted, want none", got)
	}
}
