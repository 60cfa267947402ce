package consumer

import (
	"slices"
	"testing"
	"time"

	"github.com/auditstream/auditstream/sinks"
)

func TestPatienceWithALaneFollowsWhatWaitingWasWorth(t *testing.T) {
	p := newTestPartition(t, lineSink{}, sinks.Batching{MaxBytes: 1 << 20})
	p.router.streams = append(p.router.streams, p.router.streams[0]) // a neighbour
	l := p.addLane(p.streams[0], 0, nil)
	after := func(worth bool, times int) time.Duration {
		for range times {
			l.waited(worth)
		}
		return l.patience()
	}
	got := []time.Duration{
		l.patience(), after(false, 1), after(false, 1), after(true, 1), after(true, 10), after(false, 50),
	}
	want := []time.Duration{
		patience, patience / 2, patience / 4, patience / 2, patience, minPatience,
	}
	if !slices.Equal(got, want) {
		t.Errorf("patience %v, want %v", got, want)
	}
}

func TestALaneWithoutNeighboursIsWaitedForAgainAndAgain(t *testing.T) {
	p := newTestPartition(t, lineSink{}, sinks.Batching{MaxBytes: 1 << 20})
	l := p.addLane(p.streams[0], 0, nil)
	for range 50 {
		l.waited(false)
	}
	if got := l.patience(); got != patience {
		t.Errorf("patience %s, want %s: nobody has to be protected from the wait", got, patience)
	}
}
