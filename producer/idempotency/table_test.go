package idempotency

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"
	"unsafe"
)

func TestSizes(t *testing.T) {
	t.Parallel()
	if unsafe.Sizeof(entry{}) != entrySize || unsafe.Sizeof(slot{}) != slotSize {
		t.Errorf("an entry takes %d bytes and a slot %d", unsafe.Sizeof(entry{}), unsafe.Sizeof(slot{}))
	}
}

// numbered is a fingerprint whose place in the table is poor on purpose: many share one.
func numbered(n uint64) fingerprint {
	var f fingerprint
	binary.BigEndian.PutUint64(f[8:], n)
	binary.BigEndian.PutUint32(f[4:8], uint32(n/7))
	return f
}

func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	for _, memory := range []int64{1, 10_000, 100_000, 1 << 20, 3_333_333} {
		tab := newTable(memory)
		now := time.Unix(1_800_000_000, 0)
		n := uint64(2*entriesFor(memory) + 1000)
		for i := range n {
			f := numbered(i)
			f[0] = byte(i)
			s := tab.shard(f)
			s.insert(f, f, now, now)
			if _, ok := s.lookup(f, now); !ok {
				t.Fatalf("with %d bytes entry %d is gone at once", memory, i)
			}
		}
		f := tab.look(now)
		if f.entries != f.room || f.room != entriesFor(memory) {
			t.Errorf("with %d bytes there are %d entries, want %d", memory, f.entries, f.room)
		}
		if least := int64(shardCount * (entrySize + 16*slotSize)); f.bytes > max(memory, least) {
			t.Errorf("with %d bytes %d are taken", memory, f.bytes)
		}
		if f.early != n-uint64(f.entries) {
			t.Errorf("%d are said to be forgotten early, want %d", f.early, n-uint64(f.entries))
		}
		if perEntry := float64(memory) / float64(f.room); memory >= 100_000 && perEntry > 64 {
			t.Errorf("with %d bytes an entry takes %.0f", memory, perEntry)
		}
	}
}

func TestTheDefaultIsWhatItSays(t *testing.T) {
	t.Parallel()
	if n := Capacity(0); n < 2_400_000 || n > 2_800_000 {
		t.Errorf("the default remembers %d", n)
	}
	if n := Capacity(600 << 20); n < 10_000_000 {
		t.Errorf("600 MiB remember %d, the documentation says 10 million", n)
	}
}

// What comes in may be out of order: notes of several partitions at the start.
func TestTheOldestAreForgottenFirst(t *testing.T) {
	t.Parallel()
	tab := newTable(100_000)
	now := time.Unix(1_800_000_000, 0)
	room := uint64(tab.shards[0].most)
	s := &tab.shards[0]
	insert := func(n uint64, age time.Duration) { s.insert(numbered(n), fingerprint{}, now.Add(-age), now) }
	for i := range room / 2 {
		insert(i, time.Hour)
	}
	for i := range room - room/2 {
		insert(1000+i, 20*time.Hour)
	}
	if f := tab.look(now); f.reach > 20*time.Hour || f.reach < 19*time.Hour {
		t.Errorf("a full table reaches back %s, want the age of the oldest half hour that is whole", f.reach)
	}
	for i := range room - room/2 {
		insert(2000+i, 0)
	}
	for i := range room / 2 {
		if _, ok := s.lookup(numbered(i), now); !ok {
			t.Fatal("a younger one was forgotten before the oldest")
		}
	}
	if f := tab.look(now); f.reach < 30*time.Minute || f.reach > time.Hour {
		t.Errorf("the table reaches back %s, want the half hour behind the oldest", f.reach)
	}
}

func TestWhatIsTooOldOrFromTheFuture(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	s := &newTable(1 << 20).shards[0]
	s.insert(numbered(1), fingerprint{}, now.Add(-Horizon), now)
	s.insert(numbered(2), fingerprint{}, now.Add(time.Hour), now)
	s.insert(numbered(3), fingerprint{}, time.Unix(-5, 0), now)
	if _, ok := s.lookup(numbered(1), now); ok || s.used != 1 {
		t.Error("what is a day old is taken in")
	}
	if _, ok := s.lookup(numbered(2), now.Add(Horizon)); ok {
		t.Error("a clock that is ahead makes entries last longer")
	}
}

// The table against a map, through every kind of change.
func TestTableIsAMap(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	s := &newTable(64 * 20_000).shards[0]
	type kept struct {
		content fingerprint
		at      time.Time
	}
	model := map[uint64]kept{}
	now := time.Unix(1_800_000_000, 0)
	for range 200_000 {
		n := r.Uint64N(500) // fewer than fit, so that none is pushed out
		now = now.Add(time.Duration(r.Uint64N(uint64(3 * time.Minute))))
		content := numbered(r.Uint64N(3))
		at := now.Add(-time.Duration(r.Uint64N(uint64(25 * time.Hour))))
		m, there := model[n]
		there = there && alive(uint32(m.at.Unix()), now)
		if got, ok := s.lookup(numbered(n), now); ok != there || ok && got != m.content {
			t.Fatalf("entry %d: got %v %v, want %v %v", n, got, ok, m.content, there)
		}
		s.insert(numbered(n), content, at, now)
		if !there {
			delete(model, n)
			if alive(uint32(at.Unix()), now) {
				model[n] = kept{content, at}
			}
		}
	}
	if s.early != 0 {
		t.Errorf("%d were pushed out of a table with room", s.early)
	}
}
