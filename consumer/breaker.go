package consumer

import (
	"sync"
	"time"
)

// breaker keeps the lanes of one stream from each hammering a destination that takes
// nothing from any of them. It opens when attempts fail in a row on more than one lane:
// a single lane is held back by its own waits, and what is wrong with that lane alone
// holds up no other. Open, it lets one attempt through at a time, each after a longer
// wait; the first answer closes it. The zero value is closed.
type breaker struct {
	mu       sync.Mutex // a leaf; guards everything below
	failures int        // attempts in a row, over all lanes
	failed   *lane      // the one that failed last
	several  bool       // lanes are among those that failed
	opened   int        // times in a row: 1 when it opens, one more with each probe that fails; 0 while closed
	until    time.Time  // of the next probe
	probe    *lane      // whose attempt is the probe under way
	err      error      // of the last failure
	changed  chan struct{}
}

// breakerOpens is how many attempts have to fail in a row.
const breakerOpens = 3

// pass is what a breaker says to a lane that wants to make an attempt.
type pass struct {
	ok      bool            // go; tell the breaker how it ended
	until   time.Time       // of the next probe, if not
	err     error           // why the destination is not tried
	changed <-chan struct{} // closed when another answer may be had
}

// enter asks for an attempt.
func (b *breaker) enter(l *lane) pass {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.opened == 0 {
		return pass{ok: true}
	}
	if b.probe == nil && !time.Now().Before(b.until) {
		b.probe = l
		return pass{ok: true}
	}
	return pass{until: b.until, err: b.err, changed: b.watch()}
}

// watch returns what is closed with the next change. The caller holds mu.
func (b *breaker) watch() <-chan struct{} {
	if b.changed == nil {
		b.changed = make(chan struct{})
	}
	return b.changed
}

// recovery returns what is closed when the breaker changes, nil while it is closed.
func (b *breaker) recovery() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.opened == 0 {
		return nil
	}
	return b.watch()
}

func (b *breaker) closed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.opened == 0
}

// answered says that the destination took something, or refused events: it is there.
func (b *breaker) answered() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failures, b.several, b.failed, b.err = 0, false, nil, nil
	b.opened, b.probe = 0, nil
	b.tell()
}

// fails says that an attempt of l failed by err; wait is the pause before the next one
// after n failures.
func (b *breaker) fails(l *lane, err error, wait func(n int) time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.several = b.several || b.failed != nil && b.failed != l
	b.failures++
	b.failed, b.err = l, err
	switch {
	case b.opened == 0 && (!b.several || b.failures < breakerOpens):
		return
	case b.opened > 0 && b.probe != l:
		return // it was under way when the breaker opened
	}
	b.opened++
	b.until, b.probe = time.Now().Add(wait(b.opened)), nil
	b.tell()
}

// abandons says that an attempt of l ended without an answer, at a shutdown.
func (b *breaker) abandons(l *lane) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.probe == l {
		b.probe = nil
		b.tell()
	}
}

// tell wakes who waits. The caller holds mu.
func (b *breaker) tell() {
	if b.changed != nil {
		close(b.changed)
		b.changed = nil
	}
}
