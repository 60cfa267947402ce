package idempotency

import (
	"encoding/binary"
	"testing"
	"time"
)

// BenchmarkClaim is a claim of something new and its acceptance, in a table of 10 million
// entries that is full. B/entry is what the table takes for each.
func BenchmarkClaim(b *testing.B) {
	const memory = 600 << 20
	o, err := New(Config{Memory: memory})
	if err != nil {
		b.Fatal(err)
	}
	now := time.Now()
	var content [400]byte
	for i := range Capacity(memory) {
		binary.BigEndian.PutUint64(content[:], uint64(i)|1<<63)
		known, of := fingerprints(acme, "", content[:8])
		s := o.table.shard(known)
		s.insert(known, of, now, now)
	}
	b.Run("new", func(b *testing.B) {
		i := uint64(0)
		for b.Loop() {
			i++
			binary.BigEndian.PutUint64(content[:], i)
			c, err := o.TryClaim(acme, "", content[:])
			if err != nil {
				b.Fatal(err)
			}
			c.Accepted()
		}
		f := o.table.look(time.Now())
		b.ReportMetric(float64(f.bytes)/float64(f.entries), "B/entry")
		b.ReportMetric(float64(f.entries), "entries")
	})
	b.Run("repeated", func(b *testing.B) {
		claim, err := o.TryClaim(acme, "k", content[:])
		if err != nil {
			b.Fatal(err)
		}
		claim.Accepted()
		for b.Loop() {
			if c, err := o.TryClaim(acme, "k", content[:]); err != nil || !c.Done() {
				b.Fatal(err)
			}
		}
	})
}
