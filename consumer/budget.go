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
// smaller before they stop. Lanes that catch up have a part of the whole, so that backlogs,
// which fill all the memory that they may have, leave room for live traffic; memory, unlike
// time, cannot be taken back.
type Budget struct {
	max, catchUp int64 // catchUp: what lanes that catch up may have of max
	used         atomic.Int64
	behind       atomic.Int64 // what they have of used

	mu      sync.Mutex
	waiters map[chan struct{}]struct{} // guarded by mu
	refused atomic.Bool                // someone was since the last wake-up
}

// laneShare is the part of what is left that one lane may hold: with 256 MiB a lane alone
// may have 15 MiB, and of a hundred stuck ones each gets 2.2 MiB and leaves 35 MiB.
const laneShare = 16

// behindShare is the same for lanes that catch up, of what these have: with half of 256
// MiB one alone may have 14 MiB, and of a hundred each gets 1.2 MiB.
const behindShare = 8

// NewBudget returns a budget of maxBytes, of which lanes that catch up may have the share
// catchUp, between 0 and 1.
func NewBudget(maxBytes int64, catchUp float64) *Budget {
	return &Budget{max: maxBytes, catchUp: int64(float64(maxBytes) * catchUp), waiters: map[chan struct{}]struct{}{}}
}

// Used is the number of bytes in use.
func (b *Budget) Used() int64 { return b.used.Load() }

// fits says whether a lane that holds have may take n more for what it does. Whoever hears
// no is woken by the next release.
func (b *Budget) fits(what traffic, have, n int) bool {
	if b.allows(what, b.used.Load(), have, n) {
		return true
	}
	// What is given back before this is seen by the second look, what is given back after
	// it wakes.
	b.refused.Store(true)
	return b.allows(what, b.used.Load(), have, n)
}

func (b *Budget) allows(what traffic, used int64, have, n int) bool {
	left := b.max - used
	if int64(n) > left || int64(have+n) > left/laneShare {
		return false
	}
	if what == live {
		return true
	}
	left = b.catchUp - b.behind.Load()
	return int64(n) <= left && int64(have+n) <= left/behindShare
}

// grant takes n for a lane that holds have, if that fits. Lanes that ask at the same time
// never get more than there is.
func (b *Budget) grant(what traffic, have, n int) bool {
	for {
		used := b.used.Load()
		if !b.allows(what, used, have, n) {
			return false
		}
		if b.used.CompareAndSwap(used, used+int64(n)) {
			b.count(what, n)
			return true
		}
	}
}

// count keeps what lanes that catch up have.
func (b *Budget) count(what traffic, n int) {
	if what == catchingUp {
		b.behind.Add(int64(n))
	}
}

// take takes n whether it fits or not.
func (b *Budget) take(what traffic, n int) {
	b.used.Add(int64(n))
	b.count(what, n)
}

// move says that what a lane holds is for something else from now on.
func (b *Budget) move(from, to traffic, n int) {
	if from == to {
		return
	}
	b.count(from, -n)
	b.count(to, n)
	if from == catchingUp {
		b.wake()
	}
}

// release gives bytes back and wakes whoever waits for room.
func (b *Budget) release(what traffic, n int) {
	b.used.Add(int64(-n))
	b.count(what, -n)
	if n > 0 {
		b.wake()
	}
}

// wake wakes whoever was refused.
func (b *Budget) wake() {
	if !b.refused.Swap(false) {
		return // nobody was since
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
