package consumer

import (
	"math/bits"
	"sync"
	"time"
	"unsafe"

	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/sinks"
)

// chunk is a part of a lane's queue: events that will be one batch, framed and copied
// out of the fetch that brought them; or offsets that go to the dead letters because
// they cannot be framed.
type chunk struct {
	body    []byte
	events  []sinks.Entry
	chain   *chain           // that the events are numbered in; nil: the stream has none
	before  integrity.Head   // of the chain, without the events
	links   []integrity.Link // one per event of a chunk with a chain
	were    were             // which events those of a job were at first
	traced  []traced         // those of the events that were published in a trace, at most maxLinks
	letters []cause          // one per event of a chunk of dead letters; else nil
	size    int              // bytes that the budget has given for it
	done    int              // the pass under way has dealt with the events before this one, and
	end     int              // comes to its end here: the first pass is over all events, others over a part
	again   again            // of a pass after the first one
	parts   []part           // taken in by the destination and not confirmed, oldest first; none lies in [done, end)
	day     int32            // of the first event
	oldest  time.Time        // append time of the first event
}

// first is the lowest offset that is not settled.
func (c *chunk) first() int64 {
	i := c.done
	if len(c.parts) > 0 && (c.done == c.end || c.parts[0].from < i) {
		i = c.parts[0].from
	}
	return c.events[i].Offset
}

// at is where event i stands in its feed; zero: in none.
func (c *chunk) at(i int) integrity.Original {
	if i >= len(c.links) {
		return integrity.Original{}
	}
	return integrity.Original{Feed: c.chain.feed, Number: c.links[i].Number}
}

// span is what the next n events add to the tree of their chain. The goroutine that delivers
// the chunk calls it.
func (c *chunk) span(n int) integrity.Span {
	if len(c.links) == 0 {
		return integrity.Span{}
	}
	return integrity.SpanOf(c.links[c.done : c.done+n])
}

// over says whether every event is settled.
func (c *chunk) over() bool { return c.done == c.end && len(c.parts) == 0 }

// maxLetters bounds a chunk of dead letters.
const maxLetters = 100

// Sizes of bodies. A body grows by moving to the next larger size; the one it leaves is
// used again. Up to 1 MiB each is four times the former, so that growing copies a third
// of the bytes in all; above, twice, so that less of a large one stays empty.
const (
	minBody    = 4 << 10
	middleBody = 1 << 20
	maxPooled  = 16 << 20 // larger ones are not kept for reuse: one outsized batch must not stay
	bodySizes  = 9        // 4, 16, 64, 256 KiB; 1, 2, 4, 8, 16 MiB
)

// What the budget counts for an event's place in a batch and in a chain, in bytes.
const (
	entrySize = int(unsafe.Sizeof(sinks.Entry{}))
	linkSize  = int(unsafe.Sizeof(integrity.Link{}))
)

// bodySize is the smallest size of a body that holds n bytes.
func bodySize(n int) int {
	switch {
	case n <= minBody:
		return minBody
	case n <= middleBody:
		b := bits.Len(uint(n - 1)) // n ≤ 1<<b
		return 1 << (b + b&1)      // 4 KiB and its multiples by four are even powers of two
	case n <= maxPooled:
		return 1 << bits.Len(uint(n-1))
	}
	return (n + minBody - 1) / minBody * minBody // a body for one outsized event
}

// bodyIndex is the place of a size among the sizes, or false for one that is not kept.
func bodyIndex(size int) (int, bool) {
	if size < minBody || size > maxPooled || bodySize(size) != size {
		return 0, false
	}
	b := bits.Len(uint(size)) - 1
	if size <= middleBody {
		return (b - 12) / 2, true
	}
	return b - 16, true
}

// chunkPool keeps chunks for reuse by the size of their bodies. What is not used again
// for a while goes with the garbage.
type chunkPool struct{ pools [bodySizes]sync.Pool }

// get returns an empty chunk with a body of a size that bodySize has returned.
func (p *chunkPool) get(size int) *chunk {
	if i, ok := bodyIndex(size); ok {
		if c, ok := p.pools[i].Get().(*chunk); ok {
			return c
		}
	}
	return &chunk{body: make([]byte, 0, size)}
}

func (p *chunkPool) put(c *chunk) {
	if i, ok := bodyIndex(cap(c.body)); ok {
		*c = chunk{body: c.body[:0], events: c.events[:0], links: c.links[:0], were: were{numbers: c.were.numbers[:0]}, traced: c.traced[:0]}
		p.pools[i].Put(c)
	}
}

// enlarge moves c's body to one of size bytes.
func (p *chunkPool) enlarge(c *chunk, size int) {
	larger := p.get(size)
	larger.body = append(larger.body[:0], c.body...)
	c.body, larger.body = larger.body, c.body
	larger.events, larger.links, larger.were = nil, nil, were{} // they would be far too many for a small body
	p.put(larger)
}
