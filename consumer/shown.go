package consumer

import "sync"

// OtherStreams is the value of the label stream that stands for all streams beyond the
// bound on figures. No stream can have the name.
const OtherStreams = "_other"

// shown says which streams have figures of their own: the first ones that came, up to a
// number. Every stream adds dozens of series to what Prometheus has to keep, and ten
// thousand of them must not bring it down. A place that becomes free goes to the next
// stream that is new: one that has been among the others stays there, so that no counter
// jumps.
type shown struct {
	max int

	mu     sync.RWMutex
	own    map[string]bool // guarded by mu
	others map[string]bool // guarded by mu
}

func newShown(most int) *shown {
	return &shown{max: most, own: map[string]bool{}, others: map[string]bool{}}
}

// add returns the label of a stream, which may be known.
func (s *shown) add(id string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.own[id]:
		return id
	case s.others[id]:
		return OtherStreams
	case len(s.own) < s.max:
		s.own[id] = true
		return id
	}
	s.others[id] = true
	return OtherStreams
}

// remove reports whether the stream had figures of its own.
func (s *shown) remove(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	had := s.own[id]
	delete(s.own, id)
	delete(s.others, id)
	return had
}

// label is the label of a stream. What is known no more counts among the others: a figure
// that comes after the stream is gone must not bring its series back.
func (s *shown) label(id string) string {
	if id == invalidUID {
		return id
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.own[id] {
		return id
	}
	return OtherStreams
}

// count is how many streams there are, and how many of them are among the others.
func (s *shown) count() (all, others int) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.own) + len(s.others), len(s.others)
}
