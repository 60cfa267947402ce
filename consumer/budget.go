package consumer

import (
	"sync"
	"sync/atomic"
)

// Budget bounds the bytes of events that wait in lanes, over all groups of a process.
// It is soft by one event a lane: a lane that holds nothing may always take one, so that
// lanes which are stuck never starve the others.
type Budget struct {
	max  int64
	used atomic.Int64

	mu      sync.Mutex
	waiters map[chan struct{}]struct{} // guarded by mu
}

// NewBudget returns a budget of maxBytes.
func NewBudget(maxBytes int64) *Budget {
	return &Budget{max: maxBytes, waiters: map[chan struct{}]struct{}{}}
}

// Used is the number of bytes in use.
func (b *Budget) Used() int64 { return b.used.Load() }

func (b *Budget) full() bool { return b.used.Load() >= b.max }

func (b *Budget) take(n int) { b.used.Add(int64(n)) }

// release gives bytes back and wakes whoever waits for room.
func (b *Budget) release(n int) {
	before := b.used.Add(int64(-n)) + int64(n)
	if before < b.max {
		return // nobody was refused
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
