package consumer

import (
	"container/list"
	"context"
	"slices"
	"sync"
	"time"
)

// Slots bounds the requests under way, over all groups of a process. Streams take turns,
// and live traffic and catching up have their shares when both want slots.
//
// A request that takes long gives its slot back while it goes on: waiting for an answer
// costs a connection, and memory that is counted already; and destinations that hang,
// however many, must not keep the others from theirs. Its stream is then known to be slow
// and its next requests need one of other slots, which only slow streams use, until one of
// them is fast again. When these are all in use, a small part of the first ones is for slow
// streams too, in turn: one that was slow by chance must not wait for those that hang.
//
// So there are never more requests under way than Max, MaxSlow and those that turned slow
// while all of the latter were in use: at most Max in each SlowAfter, and a part of that
// once all who hang are known.
type Slots struct {
	cfg SlotsConfig

	mu      sync.Mutex  // a leaf; guards everything below
	held    [2]int      // by traffic, of requests that may be fast yet
	tries   int         // those of them that slow streams have
	order   list.List   // of the slots that are held by these, the oldest first
	slow    int         // slots of slow streams in use; more than there are when fast ones turned slow
	waiting [3]turns    // by traffic, and of slow streams
	share   share       // of slot-seconds
	counted time.Time   // up to when they are in share
	lapse   *time.Timer // when the oldest turns slow; runs only while somebody waits
}

// SlotsConfig says how many slots there are.
type SlotsConfig struct {
	Max       int           // requests at once, without those that are slow
	MaxSlow   int           // those of slow streams
	SlowAfter time.Duration // a request is slow that takes longer; 0: a second
	CatchUp   float64       // share of catching up while live traffic wants slots too, between 0 and 1
}

// NewSlots makes slots.
func NewSlots(c SlotsConfig) *Slots {
	if c.SlowAfter == 0 {
		c.SlowAfter = time.Second
	}
	return &Slots{cfg: c, share: share{catchUp: c.CatchUp}}
}

// perRequest is what a request counts for beside its time, in slot-seconds.
const perRequest = 1e-4

// slowly is the place in Slots.waiting of requests of slow streams.
const slowly = 2

// patron is who asks for slots: a stream. The zero value is one that is not known to be
// slow.
type patron struct {
	slow    bool         // guarded by Slots.mu
	waiting [3][]*pledge // as in Slots.waiting; guarded by Slots.mu
}

// pledge is one request's place: first it waits for a slot, then it has one.
type pledge struct {
	of      *patron
	what    traffic
	since   time.Time     // zero while it is waited for
	place   *list.Element // in Slots.order; nil for one of those for slow streams
	try     bool          // of a slow stream, and not one of those
	granted chan struct{} // closed when it is
}

// acquire waits for a slot; it fails only when ctx has ended. The caller releases it.
func (s *Slots) acquire(ctx context.Context, p *patron, what traffic) (*pledge, error) {
	x := &pledge{of: p, what: what, granted: make(chan struct{})}
	s.mu.Lock()
	s.queue(x)
	s.grant()
	s.mu.Unlock()
	select {
	case <-x.granted:
		return x, nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !x.since.IsZero() {
		s.giveBack(x, time.Now()) // both came at once
	} else {
		for i := range s.waiting {
			s.waiting[i].leave(x, i)
		}
	}
	s.grant()
	return nil, ctx.Err()
}

// release gives a slot back.
func (s *Slots) release(x *pledge) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	x.of.slow = now.Sub(x.since) >= s.cfg.SlowAfter
	s.giveBack(x, now)
	s.grant()
}

// queue has a slot waited for. The caller holds mu.
func (s *Slots) queue(x *pledge) {
	i := int(x.what)
	if x.of.slow {
		i = slowly
	}
	s.waiting[i].join(x, i)
}

// giveBack ends the use of a slot. The caller holds mu.
func (s *Slots) giveBack(x *pledge, now time.Time) {
	if x.place == nil {
		s.slow--
		return
	}
	s.leaveOrder(x, now)
}

// leaveOrder takes a pledge from those that may be fast yet. The caller holds mu.
func (s *Slots) leaveOrder(x *pledge, now time.Time) {
	s.account(now)
	s.order.Remove(x.place)
	s.held[x.what]--
	if x.try {
		s.tries--
	}
}

// account adds up what was held since the last time. The caller holds mu.
func (s *Slots) account(now time.Time) {
	if d := now.Sub(s.counted).Seconds(); d > 0 {
		s.share.add(live, float64(s.held[live])*d, now)
		s.share.add(catchingUp, float64(s.held[catchingUp])*d, now)
		s.counted = now
	}
}

// grant hands out what is free. The caller holds mu.
func (s *Slots) grant() {
	now := time.Now()
	s.account(now)
	for s.anybody() && s.lapseOldest(now) {
	}
	for {
		for s.slow < s.cfg.MaxSlow && s.waiting[slowly].any() {
			x := s.waiting[slowly].next(slowly)
			s.slow++
			x.since = now
			close(x.granted)
		}
		x := s.nextFast()
		if x == nil {
			if s.slow < s.cfg.MaxSlow && s.waiting[slowly].any() {
				continue // somebody was found to be slow only now
			}
			break
		}
		x.place = s.order.PushBack(x)
		s.held[x.what]++
		if x.try {
			s.tries++
		}
		s.share.add(x.what, perRequest, now)
		x.since = now
		close(x.granted)
	}
	s.watch(now)
}

// nextFast is who gets the next slot of those that are not for slow streams, nil without
// one. The caller holds mu.
func (s *Slots) nextFast() *pledge {
	for s.wanted() {
		if s.held[live]+s.held[catchingUp] >= s.cfg.Max {
			return nil
		}
		if s.mayTry() {
			x := s.waiting[slowly].next(slowly)
			x.try = true
			return x
		}
		what := s.share.next()
		if !s.waiting[what].any() {
			what = 1 - what
		}
		x := s.waiting[what].next(int(what))
		if !x.of.slow {
			return x
		}
		s.queue(x) // its stream has turned slow while it waited
	}
	return nil
}

// tried is the part of the slots that slow streams may use when those for them do not
// suffice.
const tried = 8

func (s *Slots) mayTry() bool {
	return s.waiting[slowly].any() && s.slow >= s.cfg.MaxSlow && s.tries < max(1, s.cfg.Max/tried)
}

// wanted says whether somebody waits who might get one of the slots that are not for slow
// streams. The caller holds mu.
func (s *Slots) wanted() bool {
	return s.waiting[live].any() || s.waiting[catchingUp].any() || s.mayTry()
}

func (s *Slots) anybody() bool {
	return s.waiting[live].any() || s.waiting[catchingUp].any() || s.waiting[slowly].any()
}

// lapseOldest takes the slot of the oldest request if that has turned slow. The caller
// holds mu.
func (s *Slots) lapseOldest(now time.Time) bool {
	first := s.order.Front()
	if first == nil {
		return false
	}
	x, _ := first.Value.(*pledge)
	if now.Sub(x.since) < s.cfg.SlowAfter {
		return false
	}
	s.leaveOrder(x, now)
	x.place, x.try, x.of.slow = nil, false, true
	s.slow++
	return true
}

// watch sees to it that somebody who waits gets the slot of a request that turns slow. The
// caller holds mu.
func (s *Slots) watch(now time.Time) {
	if !s.anybody() {
		return
	}
	first := s.order.Front()
	if first == nil {
		return
	}
	x, _ := first.Value.(*pledge)
	d := s.cfg.SlowAfter - now.Sub(x.since) // more than 0: what has lapsed is taken before
	if s.lapse != nil {
		s.lapse.Reset(d)
		return
	}
	s.lapse = time.AfterFunc(d, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.grant()
	})
}

// turns are the patrons that wait, in the order of their turns: after each slot a patron
// stands behind the others.
type turns struct{ patrons []*patron }

func (t *turns) any() bool { return len(t.patrons) > 0 }

// join has x wait; i is the place of t among the turns, as for all of these.
func (t *turns) join(x *pledge, i int) {
	if len(x.of.waiting[i]) == 0 {
		t.patrons = append(t.patrons, x.of)
	}
	x.of.waiting[i] = append(x.of.waiting[i], x)
}

// next takes whoever's turn it is.
func (t *turns) next(i int) *pledge {
	p := t.patrons[0]
	t.patrons = t.patrons[1:]
	x := p.waiting[i][0]
	if p.waiting[i] = p.waiting[i][1:]; len(p.waiting[i]) > 0 {
		t.patrons = append(t.patrons, p)
	}
	return x
}

// leave gives up waiting.
func (t *turns) leave(x *pledge, i int) {
	at := slices.Index(x.of.waiting[i], x)
	if at < 0 {
		return
	}
	x.of.waiting[i] = slices.Delete(x.of.waiting[i], at, at+1)
	if len(x.of.waiting[i]) == 0 {
		t.patrons = slices.DeleteFunc(t.patrons, func(p *patron) bool { return p == x.of })
	}
}
