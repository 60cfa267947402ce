package consumer_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/auditstream/auditstream/sinks"
)

// fate is what becomes of a batch that a destination has taken in.
type fate int

const (
	written   fate = iota // and confirmed
	unsaid                // written, and never confirmed
	swallowed             // neither
)

// confirmingRecorder is a destination that confirms later.
type confirmingRecorder struct{ *recorder }

func (s *confirmingRecorder) Deliver(ctx context.Context, b *sinks.Batch) (sinks.Receipt, error) {
	s.dest.mu.Lock()
	becomes := written
	if s.dest.fate != nil {
		becomes = s.dest.fate()
	}
	s.dest.mu.Unlock()
	if becomes != swallowed {
		if receipt, err := s.recorder.Deliver(ctx, b); err != nil {
			return receipt, err
		}
	}
	s.dest.mu.Lock()
	defer s.dest.mu.Unlock()
	s.dest.taken = append(s.dest.taken, becomes)
	return sinks.Receipt{Settled: len(b.Events), Pending: sinks.Ticket(strconv.Itoa(len(s.dest.taken) - 1))}, nil
}

func (s *confirmingRecorder) Confirm(_ context.Context, _ sinks.Lane, tickets []sinks.Ticket) ([]sinks.Standing, error) {
	s.dest.mu.Lock()
	defer s.dest.mu.Unlock()
	out := make([]sinks.Standing, len(tickets))
	for i, ticket := range tickets {
		n, err := strconv.Atoi(string(ticket))
		if err != nil {
			return nil, err
		}
		if s.dest.taken[n] == written {
			out[i] = sinks.Durable
		}
	}
	return out, nil
}

// counter reads a counter of a stream, as the process that was made last shows it.
func (r *rig) counter(name, stream string) int {
	r.t.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && m.GetLabel()[0].GetValue() == stream {
				return int(m.GetCounter().GetValue())
			}
		}
	}
	return 0
}

// Others count what was never confirmed as delivered, or give it up.
func TestConfirmationsThatDoNotComeForAWhileLoseNothing(t *testing.T) {
	for name, bad := range map[string]fate{"although the events are written": unsaid, "for the events are lost": swallowed} {
		t.Run(name, func(t *testing.T) {
			const events, silent = 5_000, 20 // batches in a row
			r := newRig(t, 1)
			r.batching = sinks.Batching{
				MaxBytes: 1 << 20, MaxEvents: 100,
				Confirmation: sinks.Confirmation{Batches: 16, Every: 2 * time.Millisecond, Within: 100 * time.Millisecond},
			}
			r.stream("a", orgA)
			n := 0
			r.dest.fate = func() fate {
				if n++; n > 10 && n <= 10+silent {
					return bad
				}
				return written
			}
			r.publish(orgA, 0, events)
			r.start()
			r.eventually("every event is confirmed", func() bool { return r.counter("auditstream_stream_delivered_total", "a") >= events })
			arrived := r.dest.ids("a")
			if lost := missing(wantIDs(0, events), arrived); len(lost) > 0 {
				t.Errorf("%d events are missing, the first is %s", len(lost), lost[0])
			}
			duplicates, resent := len(arrived)-events, r.counter("auditstream_stream_resent_total", "a")
			t.Logf("%d duplicates, %d events sent again", duplicates, resent)
			if duplicates > resent || duplicates < 0 {
				t.Errorf("%d duplicates, of which the %d events that were sent again explain not all", duplicates, resent)
			}
			if bad == unsaid && duplicates == 0 || resent == 0 {
				t.Error("nothing was sent again, so nothing was tested")
			}
			if letters := r.letters(); len(letters) > 0 {
				t.Errorf("%d dead letters for confirmations that did not come", len(letters))
			}
		})
	}
}
