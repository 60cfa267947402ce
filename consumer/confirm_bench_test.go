package consumer

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/auditstream/auditstream/sinks"
)

// slowlyConfirming confirms each batch a while after it was taken in.
type slowlyConfirming struct {
	lineSink

	after time.Duration

	mu    sync.Mutex
	taken []time.Time // guarded by mu; the index is the ticket
}

func (s *slowlyConfirming) Deliver(_ context.Context, b *sinks.Batch) (sinks.Receipt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken = append(s.taken, time.Now())
	return sinks.Receipt{Settled: len(b.Events), Pending: sinks.Ticket(strconv.Itoa(len(s.taken) - 1))}, nil
}

func (s *slowlyConfirming) Confirm(_ context.Context, _ sinks.Lane, tickets []sinks.Ticket) ([]sinks.Standing, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]sinks.Standing, len(tickets))
	for i, t := range tickets {
		n, err := strconv.Atoi(string(t))
		if err != nil {
			return nil, err
		}
		if time.Since(s.taken[n]) >= s.after {
			out[i] = sinks.Durable
		}
	}
	return out, nil
}

// BenchmarkConfirmations delivers the same events to a destination that confirms after 20 ms,
// with 1 and with 16 batches that may wait, and reports how much faster the latter is.
func BenchmarkConfirmations(b *testing.B) {
	const events, batch, after = 3200, 100, 20 * time.Millisecond
	offsets := make([]int64, events)
	for i := range offsets {
		offsets[i] = int64(i)
	}
	all := records(1, offsets...)
	deliver := func(waiting int) time.Duration {
		sink := &slowlyConfirming{after: after}
		p := newTestPartition(b, sink, sinks.Batching{
			MaxBytes: 1 << 20, MaxEvents: batch, Linger: time.Millisecond,
			Confirmation: sinks.Confirmation{Batches: waiting, Every: time.Millisecond, Within: time.Hour},
		})
		p.g.cfg.Budget = NewBudget(64<<20, 0.5)
		l := p.addLane(p.streams[0], 0, &progress{UID: "str_a", Epoch: 1, Revision: 1})
		l.live = true
		began := time.Now()
		for rest := all; len(rest) > 0; {
			n, full := p.feed(rest)
			if rest = rest[n:]; full != nil {
				p.waitFor(full, time.Minute)
			}
		}
		for {
			l.mu.Lock()
			done := l.cursor() >= events
			l.mu.Unlock()
			if done {
				break
			}
			<-p.room
		}
		took := time.Since(began)
		p.stop(time.Minute)
		p.release()
		return took
	}
	var alone, overlapped time.Duration
	for b.Loop() {
		alone += deliver(1)
		overlapped += deliver(16)
	}
	b.ReportMetric(events*float64(b.N)/alone.Seconds(), "events/s-1-waits")
	b.ReportMetric(events*float64(b.N)/overlapped.Seconds(), "events/s-16-wait")
	b.ReportMetric(alone.Seconds()/overlapped.Seconds(), "times-faster")
	b.ReportMetric(0, "ns/op")
}
