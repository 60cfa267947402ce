package idempotency

import (
	"encoding/binary"
	"sync"
	"time"
)

// Horizon is how long an accepted request is remembered, as WorkOS does.
const Horizon = 24 * time.Hour

const (
	shardCount = 64 // so that requests hardly wait for each other, and growing stops few of them
	slice      = 30 * time.Minute
	sliceCount = 64 // more than a horizon has, so that two that are kept never share a place

	entrySize = 40
	slotSize  = 8
)

// entry is one accepted request.
type entry struct {
	known, content fingerprint
	at             uint32 // seconds since 1970, until the year 2106
	next           uint32 // of the same slice, or free: index + 1; 0: none
}

// slot is a place of the hash table, which is probed linearly.
type slot struct {
	entry uint32 // index + 1; 0: empty
	tag   uint32 // of the entry's fingerprint: its place, and what is compared first
}

// list is the entries of one slice of time, the one that came first at its head.
type list struct {
	number     int64 // of the slice since 1970
	head, tail uint32
}

// table remembers entries in bounded memory. What does not fit any more pushes out the
// entries of the oldest half hour, those that came first before others.
type table struct {
	shards [shardCount]shard
}

type shard struct {
	mu      sync.Mutex
	most    int // entries
	places  int // slots of a table that is full
	entries []entry
	slots   []slot // a power of two
	free    uint32
	used    int
	early   uint64 // entries that were pushed out before their time
	slices  [sliceCount]list
	first   int64 // slice that was the horizon's when entries were last forgotten for their age

	pending map[fingerprint]*Claim // claims without an outcome
}

// newTable makes a table that takes at most bytes of memory.
func newTable(bytes int64) *table {
	t := &table{}
	most, places := dimensions(bytes / shardCount)
	for i := range t.shards {
		t.shards[i].most, t.shards[i].places = most, places
		t.shards[i].pending = map[fingerprint]*Claim{}
	}
	return t
}

// dimensions are the most entries that fit, and the slots for them, of which at most three
// in four are taken: beyond that probing becomes long.
func dimensions(bytes int64) (entries, slots int) {
	for n := int64(16); n*slotSize < bytes && n <= 1<<31; n *= 2 {
		if fit := min((bytes-n*slotSize)/entrySize, n/4*3); int(fit) > entries {
			entries, slots = int(fit), int(n)
		}
	}
	return max(entries, 1), max(slots, 16)
}

// shard is where f belongs. Slots go by other bytes of it.
func (t *table) shard(f fingerprint) *shard { return &t.shards[f[0]%shardCount] }

func tagOf(f fingerprint) uint32 { return binary.BigEndian.Uint32(f[4:8]) }

// lookup returns the content that known was accepted with, unless that is too long ago.
// The shard is locked.
func (s *shard) lookup(known fingerprint, now time.Time) (fingerprint, bool) {
	if i, ok := s.find(known); ok {
		if e := &s.entries[s.slots[i].entry-1]; alive(e.at, now) {
			return e.content, true
		}
	}
	return fingerprint{}, false
}

func alive(at uint32, now time.Time) bool { return int64(at)+int64(Horizon/time.Second) > now.Unix() }

// find returns the slot of known.
func (s *shard) find(known fingerprint) (int, bool) {
	if len(s.slots) == 0 {
		return 0, false
	}
	mask, tag := uint32(len(s.slots)-1), tagOf(known)
	for i := tag & mask; s.slots[i].entry != 0; i = (i + 1) & mask {
		if s.slots[i].tag == tag && s.entries[s.slots[i].entry-1].known == known {
			return int(i), true
		}
	}
	return 0, false
}

// insert remembers that known was accepted at a time, which is not beyond now. What is
// remembered already stays as it is: the first acceptance counts. The shard is locked.
func (s *shard) insert(known, content fingerprint, at, now time.Time) {
	if at.After(now) {
		at = now // of a process whose clock is ahead
	}
	second := uint32(max(at.Unix(), 0))
	s.expire(now)
	if !alive(second, now) {
		return
	}
	if i, ok := s.find(known); ok {
		if alive(s.entries[s.slots[i].entry-1].at, now) {
			return
		}
		s.drop(i) // the entry itself goes with its slice, which is not over yet
	}
	if s.used == s.most {
		s.pushOut()
	}
	s.grow()
	index := s.take()
	s.entries[index] = entry{known: known, content: content, at: second}
	s.place(slot{index + 1, tagOf(known)})
	s.used++
	number := sliceOf(second)
	l := &s.slices[number%sliceCount]
	if l.head == 0 {
		*l = list{number, index + 1, index + 1}
		return
	}
	s.entries[l.tail-1].next = index + 1
	l.tail = index + 1
}

func sliceOf(second uint32) int64 { return int64(second) / int64(slice/time.Second) }

// take returns the index of an entry that is free.
func (s *shard) take() uint32 {
	if s.free == 0 {
		s.entries = append(s.entries, entry{})
		return uint32(len(s.entries) - 1)
	}
	index := s.free - 1
	s.free = s.entries[index].next
	return index
}

// grow makes room for one more entry and its slot.
func (s *shard) grow() {
	if s.free == 0 && len(s.entries) == cap(s.entries) {
		more := make([]entry, len(s.entries), min(max(2*len(s.entries), 16), s.most))
		copy(more, s.entries)
		s.entries = more
	}
	if s.used+1 <= len(s.slots)/4*3 {
		return
	}
	former := s.slots
	s.slots = make([]slot, min(max(2*len(former), 16), s.places))
	for _, p := range former {
		if p.entry != 0 {
			s.place(p)
		}
	}
}

// place puts p into the first empty slot from its own on. There is one.
func (s *shard) place(p slot) {
	mask := uint32(len(s.slots) - 1)
	i := p.tag & mask
	for s.slots[i].entry != 0 {
		i = (i + 1) & mask
	}
	s.slots[i] = p
}

// drop empties slot i and moves those behind it up, so that no probing ends at the hole.
func (s *shard) drop(i int) {
	mask := uint32(len(s.slots) - 1)
	hole := uint32(i)
	for j := (hole + 1) & mask; s.slots[j].entry != 0; j = (j + 1) & mask {
		// It may move to the hole if that lies between its own place and where it is.
		if home := s.slots[j].tag & mask; (j-home)&mask >= (j-hole)&mask {
			s.slots[hole] = s.slots[j]
			hole = j
		}
	}
	s.slots[hole] = slot{}
}

// expire forgets the slices that lie beyond the horizon.
func (s *shard) expire(now time.Time) {
	first := sliceOf(uint32(max(now.Add(-Horizon).Unix(), 0)))
	if first == s.first {
		return
	}
	s.first = first
	for i := range s.slices {
		if l := &s.slices[i]; l.head != 0 && l.number < first {
			for index := l.head; index != 0; {
				next := s.entries[index-1].next
				s.forget(index - 1)
				index = next
			}
			*l = list{}
		}
	}
}

// pushOut forgets the first entry of the oldest slice.
func (s *shard) pushOut() {
	if oldest := s.oldest(); oldest != nil {
		index := oldest.head - 1
		if oldest.head = s.entries[index].next; oldest.head == 0 {
			*oldest = list{}
		}
		s.forget(index)
		s.early++
	}
}

func (s *shard) oldest() *list {
	var oldest *list
	for i := range s.slices {
		if l := &s.slices[i]; l.head != 0 && (oldest == nil || l.number < oldest.number) {
			oldest = l
		}
	}
	return oldest
}

// forget frees an entry that is in no slice any more.
func (s *shard) forget(index uint32) {
	if i, ok := s.find(s.entries[index].known); ok && s.slots[i].entry == index+1 {
		s.drop(i)
	}
	s.entries[index] = entry{next: s.free}
	s.free = index + 1
	s.used--
}

// figures are what the table holds.
type figures struct {
	entries, room, bytes int64
	early                uint64        // entries that were pushed out before their time
	reach                time.Duration // how long ago a request may have been and is surely remembered
}

// look sums the shards up. The reach is that of the shard that reaches least far: shards that
// pushed nothing out of late reach as far as the horizon.
func (t *table) look(now time.Time) figures {
	f := figures{reach: Horizon}
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		s.expire(now)
		f.entries += int64(s.used)
		f.room += int64(s.most)
		f.bytes += int64(cap(s.entries))*entrySize + int64(len(s.slots))*slotSize
		f.early += s.early
		if oldest := s.oldest(); s.used == s.most && oldest != nil {
			// The oldest slice is being pushed out, the one behind it is whole.
			f.reach = min(f.reach, max(now.Sub(time.Unix((oldest.number+1)*int64(slice/time.Second), 0)), 0))
		}
		s.mu.Unlock()
	}
	return f
}

// entriesFor says how many entries fit in so much memory.
func entriesFor(bytes int64) int64 {
	most, _ := dimensions(bytes / shardCount)
	return int64(most) * shardCount
}
