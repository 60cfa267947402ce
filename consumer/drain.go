package consumer

import (
	"context"
	"math"
)

// Drain is the end of a stream that is being deleted: what was appended before its deletion
// is still delivered.
type Drain struct {
	TopicID string          `json:"topic_id"` // of the events topic that the offsets are of
	Until   map[int32]int64 `json:"until"`    // by partition: the first offset that belongs to the stream no more
}

// Drained returns the spec that follows s when it is to be deleted as soon as everything
// below those offsets has been delivered.
func (s Spec) Drained(topicID string, until map[int32]int64, c Change) Spec {
	s = s.Revise().Note(c)
	s.State, s.Drain, s.Removed = SpecDraining, &Drain{topicID, until}, &c
	return s
}

// Deleted returns the spec that follows s when it is deleted by a deed. Whoever owns the
// stream does not make it again for as long as it lists it.
func (s Spec) Deleted(c Change) Spec {
	s = s.Revise().Note(c)
	if s.Removed == nil {
		s.Removed = &c
	}
	s.State = SpecDeleted
	return s
}

// until is the first offset of a partition that belongs to the stream no more.
func (s Spec) until(topicID string, number int32) int64 {
	switch {
	case s.State != SpecDraining:
		return math.MaxInt64
	case s.Drain.TopicID != topicID:
		return 0 // what was there at the deletion is gone with its topic
	}
	return s.Drain.Until[number] // 0 in a partition that has come since
}

// takes says whether a stream wants anything at an offset of the partition.
func (p *partition) takes(s *stream, offset int64) bool {
	return s.spec.State != SpecDraining || offset < s.spec.until(p.g.cfg.IDs.Events, p.number)
}

// emptied says whether a lane has come to the end of a stream that is being deleted, and
// its record does not say so yet. The caller holds mu.
func (l *lane) emptied(cursor int64) bool {
	if l.stream.spec.State != SpecDraining {
		return false
	}
	end := l.stream.spec.until(l.id.TopicID, l.id.Partition)
	return cursor >= end && l.recorded < end
}

// drainWindow is how many offsets of a partition are looked through for what is left of a
// stream: a stream that has more to do is not drained.
const drainWindow = 10_000

// Drained says whether a stream that is being deleted, and stood there when it was surveyed,
// has nothing left to deliver.
func (s Survey) Drained(ctx context.Context, st Status) (bool, error) {
	for _, l := range st.Lanes {
		if l.End-l.settled > drainWindow {
			return false, nil
		}
	}
	for _, l := range st.Lanes {
		left, err := s.Count(ctx, st.Spec, Range{Partition: l.Partition, From: l.settled, To: l.End})
		if err != nil || left > 0 {
			return false, err
		}
	}
	return st.Spec.State == SpecDraining, nil
}
