package consumer

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/auditstream/auditstream/sinks"
)

func TestALaneMayHoldAShareOfWhatIsLeft(t *testing.T) {
	const most = 16 << 20
	tests := []struct {
		name       string
		used, have int
		n          int
		want       bool
	}{
		{"a sixteenth of an empty budget", 0, 0, most / 16, true},
		{"more than a sixteenth", 0, 0, most/16 + 1, false},
		{"with what the lane holds already", most / 32, most / 32, most / 64, true},
		{"with what the lane holds already, too much", most / 32, most / 32, most / 32, false},
		{"less when others hold much", most / 2, 0, most/32 + 1, false},
		{"a sixteenth of what others leave", most / 2, 0, most / 32, true},
		{"nothing when nothing is left", most, 0, 1, false},
		{"nothing when lanes have taken more than there was", most + 100, 0, 1, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := NewBudget(most, 0.5)
			b.take(live, tt.used)
			if got := b.fits(live, tt.have, tt.n); got != tt.want {
				t.Errorf("fits: %t, want %t", got, tt.want)
			}
			if got := b.grant(live, tt.have, tt.n); got != tt.want {
				t.Errorf("grant: %t, want %t", got, tt.want)
			}
			want := int64(tt.used)
			if tt.want {
				want += int64(tt.n)
			}
			if b.Used() != want {
				t.Errorf("%d bytes in use, want %d", b.Used(), want)
			}
		})
	}
}

func TestWhoWasRefusedIsWokenByEveryReleaseUntilItFits(t *testing.T) {
	b := NewBudget(1600, 0.5)
	woken := make(chan struct{}, 1)
	b.subscribe(woken)
	defer b.unsubscribe(woken)
	b.take(live, 1600)
	b.release(live, 10)
	if len(woken) != 0 {
		t.Error("woken although nobody was refused")
	}
	for range 3 { // what is given back is not enough yet
		if b.fits(live, 0, 50) {
			t.Fatal("50 of 1600 fit although less than 800 are left")
		}
		b.release(live, 100)
		if len(woken) != 1 {
			t.Fatal("a release after a refusal did not wake")
		}
		<-woken
	}
}

// Backlogs fill what they may have; live traffic finds the rest as if they were not there.
func TestLanesThatCatchUpLeaveMemoryToLiveTraffic(t *testing.T) {
	const most, piece = 16 << 20, 4 << 10
	b := NewBudget(most, 0.25)
	held := make([]int, 200)
	for again := true; again; {
		again = false
		for i := range held {
			if b.grant(catchingUp, held[i], piece) {
				held[i] += piece
				again = true
			}
		}
	}
	if used := b.Used(); used > most/4 || used < most/5 {
		t.Errorf("200 lanes that catch up have %d bytes, want a little less than a quarter of %d", used, most)
	}
	if !b.fits(live, 0, most*3/4/laneShare) {
		t.Error("a live lane may not have its share of the rest")
	}
	if b.fits(catchingUp, held[0], piece) {
		t.Error("a lane that catches up may have more")
	}
	b.move(catchingUp, live, held[1]) // it has caught up
	if !b.fits(catchingUp, 0, piece) {
		t.Error("what a lane has that has caught up is not given back to those that have not")
	}
	b.move(live, catchingUp, held[1])
	for _, n := range held {
		b.release(catchingUp, n)
	}
	if b.Used() != 0 || b.behind.Load() != 0 {
		t.Errorf("%d bytes are left, %d of them of backlogs", b.Used(), b.behind.Load())
	}
}

func TestBodySizes(t *testing.T) {
	tests := []struct{ need, want int }{
		{0, 4 << 10},
		{1, 4 << 10},
		{4 << 10, 4 << 10},
		{4<<10 + 1, 16 << 10},
		{16 << 10, 16 << 10},
		{16<<10 + 1, 64 << 10},
		{300_000, 1 << 20},
		{1 << 20, 1 << 20},
		{1<<20 + 1, 2 << 20},
		{2<<20 + 1, 4 << 20},
		{16 << 20, 16 << 20},
		{16<<20 + 1, 16<<20 + 4<<10},
	}
	for _, tt := range tests {
		if got := bodySize(tt.need); got != tt.want {
			t.Errorf("a body for %d bytes has %d, want %d", tt.need, got, tt.want)
		}
	}
	seen := map[int]int{}
	for size := minBody; size <= maxPooled; size = bodySize(size + 1) {
		i, ok := bodyIndex(size)
		if !ok || i != len(seen) {
			t.Errorf("%d bytes have index %d, %t; want %d", size, i, ok, len(seen))
		}
		seen[i] = size
	}
	if len(seen) != bodySizes {
		t.Errorf("%d sizes, want %d", len(seen), bodySizes)
	}
	for _, size := range []int{0, 1000, 8 << 10, 3 << 20, 32 << 20} {
		if i, ok := bodyIndex(size); ok {
			t.Errorf("%d bytes have index %d, but no body is of that size", size, i)
		}
	}
}

// heldLane is the live lane of a partition that delivers nothing: as if an older batch were
// under way.
func heldLane(p *partition) *lane {
	l := p.addLane(p.streams[0], 0, nil)
	l.live, l.running = true, true
	return l
}

// paddedSink frames more than the event has.
type paddedSink struct {
	lineSink

	pad int
}

func (s paddedSink) Frame(dst []byte, e *sinks.Event) ([]byte, error) {
	return append(append(dst, e.Value...), bytes.Repeat([]byte{' '}, s.pad)...), nil
}

func TestTheBudgetCountsWhatALaneHolds(t *testing.T) {
	for _, pad := range []int{0, 1, 700, 5000, 70_000} {
		t.Run(fmt.Sprintf("frames of %d bytes more than events", pad), func(t *testing.T) {
			p := newTestPartition(t, paddedSink{pad: pad}, sinks.Batching{MaxBytes: 200_000, Linger: time.Hour})
			p.g.cfg.Budget.max = 64 << 20
			l := heldLane(p)
			for i := range 1000 {
				p.feed(records(1, int64(i)))
			}
			want, full := 0, 0
			for _, c := range slices.Concat(l.ready, []*chunk{l.open}) {
				if len(c.body) > 200_000 && len(c.events) > 1 {
					t.Errorf("a batch of %d bytes, want 200000 at most", len(c.body))
				}
				want += cap(c.body) + cap(c.events)*entrySize
				full += len(c.body)
			}
			if l.held != want || p.g.cfg.Budget.Used() != int64(want) {
				t.Errorf("the lane says %d bytes, the budget %d; its batches have %d", l.held, p.g.cfg.Budget.Used(), want)
			}
			if full == 0 {
				t.Error("the lane has taken nothing")
			}
		})
	}
}

func TestWithoutMemoryALaneTakesOneEventAndIsRefusedTheNextBlock(t *testing.T) {
	p := newTestPartition(t, lineSink{}, sinks.Batching{MaxBytes: 1 << 20, Linger: time.Hour})
	budget := p.g.cfg.Budget
	budget.take(live, 1<<20) // others hold everything
	l := heldLane(p)
	taken := 0
	for i := range 100 {
		n, full := p.feed(records(1, int64(i)))
		if full != nil {
			break
		}
		taken += n
	}
	if taken == 0 || taken == 100 || l.roomy() {
		t.Errorf("took %d of 100 events, room for more: %t; want some, and no room", taken, l.roomy())
	}
	if over := int(budget.Used()) - 1<<20; over > minBody+minEntries*entrySize {
		t.Errorf("%d bytes beyond the budget, want one block of %d and its index at most", over, minBody)
	}
	l.drop()
	if budget.Used() != 1<<20 {
		t.Errorf("%d bytes in use after the lane is gone, want what the others hold", budget.Used())
	}
}
