package app

import (
	"context"
	"sync"

	"github.com/auditstream/auditstream/admin"
)

// What waits for a reader that is slower than events come.
const (
	tailEvents = 1000
	tailBytes  = 8 << 20
)

// tailBuffer is between what is read from Kafka and who looks at it. Whoever puts never
// waits: when it is full, the oldest are dropped, so that what is shown is what happens now.
type tailBuffer struct {
	mu     sync.Mutex
	events []admin.TailEvent // guarded by mu
	bytes  int               // of their payloads; guarded by mu
	missed int64             // dropped before events[0]; guarded by mu
	closed bool              // guarded by mu
	more   chan struct{}     // a token when there may be something to take
}

func newTailBuffer() *tailBuffer { return &tailBuffer{more: make(chan struct{}, 1)} }

func (b *tailBuffer) put(e admin.TailEvent) {
	b.mu.Lock()
	b.events = append(b.events, e)
	b.bytes += len(e.Event)
	for len(b.events) > tailEvents || b.bytes > tailBytes && len(b.events) > 1 {
		b.bytes -= len(b.events[0].Event)
		b.events[0] = admin.TailEvent{} // what it holds is free
		b.events = b.events[1:]
		b.missed++
	}
	b.mu.Unlock()
	b.wake()
}

// close has take end when nothing is left.
func (b *tailBuffer) close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.wake()
}

func (b *tailBuffer) wake() {
	select {
	case b.more <- struct{}{}:
	default:
	}
}

// take waits for the oldest event; false when ctx has ended or nothing will come any more.
func (b *tailBuffer) take(ctx context.Context) (admin.TailEvent, bool) {
	for ctx.Err() == nil {
		b.mu.Lock()
		if len(b.events) > 0 {
			e := b.events[0]
			b.events[0] = admin.TailEvent{}
			b.events = b.events[1:]
			b.bytes -= len(e.Event)
			e.Missed, b.missed = b.missed, 0
			b.mu.Unlock()
			return e, true
		}
		closed := b.closed
		b.mu.Unlock()
		if closed {
			break
		}
		select {
		case <-b.more:
		case <-ctx.Done():
		}
	}
	return admin.TailEvent{}, false
}
