package consumer

import (
	"sync"
	"time"

	"github.com/auditstream/auditstream/sinks"
)

// chunk is a part of a lane's queue: events that will be one batch, framed and copied
// out of the fetch that brought them; or offsets that go to the dead letters because
// they cannot be framed.
type chunk struct {
	body    []byte
	events  []sinks.Entry
	letters []cause   // one per event of a chunk of dead letters; else nil
	done    int       // events settled
	day     int32     // of the first event
	oldest  time.Time // append time of the first event
}

func (c *chunk) first() int64 {
	return c.events[c.done].Offset
}

// maxLetters bounds a chunk of dead letters.
const maxLetters = 100

// chunks are reused: their bodies grow to the size of a batch once.
type chunkPool struct{ pool sync.Pool }

// maxPooled is the largest body kept for reuse, so that one outsized batch does not stay.
const maxPooled = 16 << 20

func (p *chunkPool) get() *chunk {
	if c, ok := p.pool.Get().(*chunk); ok {
		return c
	}
	return &chunk{}
}

func (p *chunkPool) put(c *chunk) {
	if cap(c.body) > maxPooled {
		return
	}
	*c = chunk{body: c.body[:0], events: c.events[:0]}
	p.pool.Put(c)
}
