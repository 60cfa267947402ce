package spool

import (
	"errors"
	"fmt"
	"io"
	"math/bits"
	"os"
	"path/filepath"
)

// segment is one file of the queue, and which of its events are left. Guarded by queue.mu,
// but for number and path, which do not change.
type segment struct {
	number uint64
	path   string
	size   int64 // bytes that count: everything up to there is synced, or says what left
	open   bool  // it is written to

	first uint64   // sequence number of bit 0
	last  uint64   // of the last event that was added; no other segment has numbers in between
	left  []uint64 // bits of the events that are left
	count int      // of them
	any   bool     // first is known
	from  int64    // where the first event that is left may begin: there is none before
}

const (
	segmentPrefix = "spool-"
	segmentSuffix = ".log"
	damagedPrefix = "damaged-" // of copies of bytes that cannot be read
)

func segmentPath(dir string, number uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%s%016d%s", segmentPrefix, number, segmentSuffix))
}

// segmentSpan bounds how far the sequence numbers of one segment are apart: more events than
// that do not fit in one, and what says otherwise is not to ask for memory.
const segmentSpan = 1 << 24

// add notes an event of the segment. Sequence numbers grow, and have gaps. It refuses one
// that cannot belong there.
func (s *segment) add(seq uint64) bool {
	if !s.any {
		s.any, s.first = true, seq
	}
	bit := seq - s.first
	if seq < s.first || bit >= segmentSpan || s.has(seq) {
		return false
	}
	for uint64(len(s.left)) <= bit/64 {
		s.left = append(s.left, 0)
	}
	s.left[bit/64] |= 1 << (bit % 64)
	s.count++
	s.last = max(s.last, seq)
	return true
}

// has says whether an event is left.
func (s *segment) has(seq uint64) bool {
	bit := seq - s.first
	return s.any && seq >= s.first && bit/64 < uint64(len(s.left)) && s.left[bit/64]&(1<<(bit%64)) != 0
}

// remove notes that an event left, and says whether it was there.
func (s *segment) remove(seq uint64) bool {
	if !s.has(seq) {
		return false
	}
	bit := seq - s.first
	s.left[bit/64] &^= 1 << (bit % 64)
	s.count--
	return true
}

// gone are the numbers of the segment's events that left, gaps included.
func (s *segment) gone() []span {
	var spans []span
	for word, left := range s.left {
		for bit := range uint64(64) {
			if left&(1<<bit) != 0 {
				continue
			}
			seq := s.first + uint64(word)*64 + bit
			if seq > s.last {
				return spans
			}
			if n := len(spans); n > 0 && spans[n-1].last+1 == seq {
				spans[n-1].last = seq
			} else {
				spans = append(spans, span{seq, seq})
			}
		}
	}
	return spans
}

// remaining are the numbers of the events that are left, in order.
func (s *segment) remaining() []uint64 {
	var out []uint64
	for word, left := range s.left {
		for ; left != 0; left &= left - 1 {
			out = append(out, s.first+uint64(word)*64+uint64(bits.TrailingZeros64(left)))
		}
	}
	return out
}

// read parses the part of a segment that begins at an offset.
func read(path string, from, size int64) (contents, error) {
	f, err := os.Open(path)
	if err != nil {
		return contents{}, err
	}
	defer f.Close() //nolint:errcheck // nothing was written
	b := make([]byte, size-from)
	n, err := f.ReadAt(b, from)
	if err != nil && !errors.Is(err, io.EOF) { // a file that is too short lacks events, as a damaged one does
		return contents{}, err
	}
	c, err := parse(b[:n])
	if err != nil {
		return contents{}, fmt.Errorf("%s: %w", path, err)
	}
	for i := range c.damaged {
		c.damaged[i].offset += from
	}
	for i := range c.events {
		c.events[i].offset += from
	}
	return c, nil
}
