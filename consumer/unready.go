package consumer

import (
	"context"
	"time"

	"go.uber.org/zap"
)

// unready is why a stream takes no events although it is not paused: what it needs to make
// them ready to leave is not there. Its lanes stand where they are, in StateInvalid; the
// former revision does not go on in its place, for it may send what this one hides.
type unready struct {
	why   error     // nil: nobody has looked yet
	again time.Time // next look; zero: only a change of the stream helps
}

// idle says whether the stream's lanes take nothing.
func (s *stream) idle() bool { return s.paused() || s.unready.Load() != nil }

// prepare makes filter and mask ready as far as that needs no I/O.
func (s *stream) prepare() {
	var err error
	if s.filter, err = s.spec.compile(); err != nil {
		s.unready.Store(&unready{why: err})
		return
	}
	if s.spec.keyed() {
		s.unready.Store(&unready{})
		return
	}
	mask, err := s.spec.mask(nil) // it asks for no key
	if err != nil {
		s.unready.Store(&unready{why: err})
		return
	}
	s.mask.Store(mask)
}

// health is the state in which a lane of the stream begins.
func (s *stream) health() health {
	h := health{state: StateActive, since: time.Now()}
	if u := s.unready.Load(); u != nil && u.why != nil {
		h.state, h.err, h.again = StateInvalid, bounded(u.why.Error()), u.again
	}
	if s.paused() {
		h = health{state: StatePaused, since: h.since}
	}
	return h
}

// makeReady reads the keys of masks until ctx ends: those of streams that have just come at
// once, those that cannot be read every now and then. A key that was read is kept until the
// stream changes: one event must not leave in two forms because a file was changed between
// two attempts.
func (g *Group) makeReady(ctx context.Context) {
	for {
		next := g.readKeys(ctx)
		again := time.NewTimer(next)
		select {
		case <-g.keysWake:
			again.Stop()
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return
		}
	}
}

// readKeys makes streams ready whose turn it is, and says when the next one has its turn.
func (g *Group) readKeys(ctx context.Context) time.Duration {
	g.mu.Lock()
	streams := g.router.streams
	g.mu.Unlock()
	wait := time.Hour // whoever comes meanwhile wakes us
	for _, s := range streams {
		u := s.unready.Load()
		if u == nil || u.why != nil && u.again.IsZero() || ctx.Err() != nil {
			continue
		}
		if d := time.Until(u.again); d > 0 {
			wait = min(wait, d)
			continue
		}
		mask, err := s.spec.NewMask(ctx)
		if ctx.Err() != nil {
			return 0
		}
		if err != nil {
			if u.why == nil {
				g.log.Error("a stream is held: the key of its mask cannot be read, and nothing leaves unmasked", zap.String("stream", s.spec.ID), zap.Error(err))
			}
			d := max(g.cfg.Retry.Probe, time.Second)
			wait = min(wait, d)
			g.tellUnready(s, &unready{why: err, again: time.Now().Add(d)})
			continue
		}
		s.mask.Store(mask)
		g.tellUnready(s, nil)
	}
	return wait
}

// tellUnready says of a stream whether it is ready, and has its lanes go on or say why not.
func (g *Group) tellUnready(s *stream, u *unready) {
	s.unready.Store(u)
	for _, p := range g.owned() {
		var l *lane
		p.mu.Lock()
		if s.index < len(p.lanes) { // else it has not heard of the stream yet, whose lane will ask by itself
			l = p.lanes[s.index]
		}
		p.mu.Unlock()
		if l == nil || l.stream != s || s.paused() {
			continue
		}
		l.mu.Lock()
		if u == nil {
			l.enter(StateActive, nil, time.Time{})
		} else {
			l.enter(StateInvalid, u.why, u.again)
		}
		l.mu.Unlock()
	}
	g.wakeCatchUp()
}
