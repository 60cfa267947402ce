package consumer

import (
	"sync"
	"sync/atomic"
)

// Budget bounds the memory in which events wait in lanes, over all groups of a process: the
// capacity of the bodies of batches and of their indexes, whether it is filled or not.
// It is soft by one event a lane (in a block of 4 KiB at least): a lane that holds nothing
// may always take one, so that lanes which are stuck never starve the others.
//
// The more is in use the less a single lane may have: a share of what is left. However
// many lanes are stuck, some room is then left for those that get on, whose batches get
// smaller before they stop.
type Budget struct {
	max  int64
	used atomic.Int64

	mu      sync.Mutex
	waiters map[chan struct{}]struct{} // guarded by mu
	refused atomic.Bool                // someone was since the last wake-up
}

// laneShare is the part of what is left that one lane may hold: with 256 MiB a lane alone
// may have 15 MiB, and of a hundred stuck ones each gets 2.2 MiB and leaves 35 MiB.
const laneShare = 16

// NewBudget returns a budget of maxBytes.
func NewBudget(maxBytes int64) *Budget {
	return &Budget{max: maxBytes, waiters: map[chan struct{}]struct{}{}}
}

// Used is the number of bytes in use.
func (b *Budget) Used() int64 { return b.used.Load() }

// fits says whether a lane that holds have may take n more. Whoever hears no is woken by
// the next release.
func (b *Budget) fits(have, n int) bool {
	if b.allows(b.used.Load(), have, n) {
		return true
	}
	// What is given back before this is seen by the second look, what is given back after
	// it wakes.
	b.refused.Store(true)
	return b.allows(b.used.Load(), have, n)
}

func (b *Budget) allows(used int64, have, n int) bool {
	left := b.max - used
	return int64(n) <= left && int64(have+n) <= left/laneShare
}

// grant takes n for a lane that holds have, if that fits. Lanes that ask at the same time
// never get more than there is.
func (b *Budget) grant(have, n int) bool {
	for {
		used := b.used.Load()
		if !b.allows(used, have, n) {
			return false
		}
		if b.used.CompareAndSwap(used, used+int64(n)) {
			return true
		}
	}
}

// take takes n whether it fits or not.
func (b *Budget) take(n int) { b.used.Add(int64(n)) }

// release gives bytes back and wakes whoever waits for room.
func (b *Budget) release(n int) {
	b.used.Add(int64(-n))
	if n == 0 || !b.refused.Swap(false) {
		return // nobody was refused since
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.waiters {
		signal(c)
	}
}

func (b *Budget) subscribe(c chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiters[c] = struct{}{}
}

func (b *Budget) unsubscribe(c chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.waiters, c)
}

// signal leaves a token in c, a channel of capacity one; one token is enough.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
