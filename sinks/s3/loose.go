package s3

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/auditstream/auditstream/sinks"
)

// deliverLoose puts b's events into objects that stand in no chain, one a day: for stores
// that ignore If-None-Match, when an operator has chosen so. The name of an object has its
// range and a hash of its lines, so that no two processes that cut in different ways ever
// overwrite each other, and one that repeats itself writes the same object again. What
// was tried and may have been taken is sent again: readers go by the events' ids.
func (s *Sink) deliverLoose(ctx context.Context, b *sinks.Batch) (sinks.Receipt, error) {
	settled := 0
	for settled < len(b.Events) {
		if err := ended(ctx); err != nil {
			return sinks.Receipt{Settled: settled}, err
		}
		end, next := settled, b.Next
		for end < len(b.Events) && b.Events[end].Day == b.Events[settled].Day {
			end++
		}
		if end < len(b.Events) {
			next = b.Events[end].Offset
		}
		if err := s.putLoose(ctx, b.Slice(settled, end), next); err != nil {
			return sinks.Receipt{Settled: settled}, err
		}
		settled = end
	}
	return sinks.Receipt{Settled: settled}, nil
}

// putLoose makes one object of b, whose events are of one day.
func (s *Sink) putLoose(ctx context.Context, b *sinks.Batch, next int64) error {
	c := chain{layout: s.layout, prefix: s.prefix, lane: b.Lane, day: b.Events[0].Day}
	if err := c.check(); err != nil {
		return &sinks.Error{Class: sinks.Misconfigured, Err: err}
	}
	packed, err := s.layout.pack(b.Body)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(b.Body)
	key := c.looseKey(b.Events[0].Offset, next, sum)
	content := b.Body
	if s.layout.sumPacked {
		content = packed
	}
	l := newLink(c, b.Events[0].Offset, next, len(b.Events), content, b.Chain)
	o, err := s.store.put(ctx, upload{key: key, contentType: s.layout.contentType, body: packed, metadata: l.metadata(), retain: true, overwrite: true})
	switch o {
	case created, exists:
		s.digests.note(key, &l, stored{int64(len(packed)), time.Now()}, true)
		s.log.Debug("object written", zap.String("key", key), zap.Int("events", len(b.Events)), zap.Int64("next", next), zap.Int("bytes", len(packed)))
		return nil
	case refused, unknown:
	}
	return err
}

// looseKey is the name of an object that stands in no chain: its range [slot, next), and the
// beginning of the SHA-256 of its lines. Persisted, like key.
func (c chain) looseKey(slot, next int64, sum [sha256.Size]byte) string {
	const shown = 8
	stem := strings.TrimSuffix(c.key(slot), c.layout.ending)
	return fmt.Sprintf("%s-%020d.%s%s", stem, next, hex.EncodeToString(sum[:shown]), c.layout.ending)
}

// looseKeys is how the names of all such objects of the lane and day begin.
func (c chain) looseKeys() string {
	key := strings.TrimSuffix(c.key(0), c.layout.ending)
	return key[:strings.LastIndexByte(key, '.')+1]
}
