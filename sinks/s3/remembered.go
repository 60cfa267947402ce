package s3

import (
	"cmp"
	"encoding/hex"
	"slices"
	"sync"
	"time"

	"github.com/auditstream/auditstream/integrity"
)

// digests is what a sink knows about the digests of the chains that it is asked to make them
// of, and about objects that stand in none yet. All of it can be lost: it is found again in
// the store.
type digests struct {
	mu     sync.Mutex
	series map[string]*series // by origin; guarded by mu; a chain's is made by its first Digest
}

// series is the digests of one chain.
type series struct {
	turn chan struct{} // holds a token while digests are made; what follows is its holder's
	last *integrity.Hour
	hash integrity.Hash // of the last one as it is stored
	key  string         // of the last object in any of them; empty: not known

	mu      sync.Mutex
	objects map[string]object // by key; guarded by mu: known, and in no digest yet
}

// object is an object that may stand in a digest.
type object struct {
	integrity.Object

	next int64
	at   time.Time // when it was created, as far as anybody knows
}

// maxRemembered bounds the objects of a chain that are kept for its next digest. Others are
// found in the store.
const maxRemembered = 4096

// maxSeries bounds the chains: a sink has one for each partition, and those that ended
// lately.
const maxSeries = 4096

// of is the series of a chain, made if it is not there.
func (d *digests) of(origin string) *series {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := d.series[origin]; s != nil {
		return s
	}
	if d.series == nil || len(d.series) >= maxSeries {
		d.series = map[string]*series{}
	}
	s := &series{turn: make(chan struct{}, 1), objects: map[string]object{}}
	d.series[origin] = s
	return s
}

// forget drops what is known of a chain that has ended.
func (d *digests) forget(origin string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.series, origin)
}

// note keeps an object for the next digest, if there are digests of its chain. seen says that
// we have written it ourselves.
func (d *digests) note(key string, l *link, found stored, seen bool) {
	if l.origin == "" {
		return
	}
	d.mu.Lock()
	s := d.series[l.origin]
	d.mu.Unlock()
	if s == nil {
		return
	}
	s.remember(key, l, found, seen)
}

func (s *series) remember(key string, l *link, found stored, seen bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, ok := s.objects[key]; ok && (old.Seen || !seen) || !ok && len(s.objects) >= maxRemembered {
		return
	}
	s.objects[key] = objectOf(key, l, found, seen)
}

func objectOf(key string, l *link, found stored, seen bool) object {
	o := object{
		Object: integrity.Object{Key: key, Size: found.size, First: l.first, Last: l.last, Before: l.before, After: l.after, Seen: seen},
		next:   l.next, at: found.at,
	}
	_, _ = hex.Decode(o.SHA256[:], []byte(l.sha256)) // parseLink has checked it
	return o
}

// behind are the remembered objects with events behind number; the others are dropped.
func (s *series) behind(number int64) []object {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []object
	for key, o := range s.objects {
		if o.Last <= number {
			delete(s.objects, key)
			continue
		}
		list = append(list, o)
	}
	return list
}

// inOrder are objects with events behind number in the order of the chain, each event once: a
// store that takes objects more than once may have it in several.
func inOrder(list []object, number int64) []object {
	slices.SortFunc(list, func(a, b object) int {
		return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(b.Last, a.Last), cmp.Compare(a.Key, b.Key))
	})
	return slices.DeleteFunc(list, func(o object) bool {
		covered := o.First <= number
		number = max(number, o.Last)
		return covered
	})
}
