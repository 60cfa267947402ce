package consumer

import (
	"slices"
	"time"
)

// Move is a deliberate move of a stream's cursor in one partition alone. Elsewhere the
// stream goes on where it stands.
type Move struct {
	Partition   int32  `json:"partition"`
	Epoch       int64  `json:"epoch"`                  // base epoch of this partition
	EpochOffset *int64 `json:"epoch_offset,omitempty"` // where in the streams topic it began; absent: here
	Former      int64  `json:"former_offset"`          // where the epoch before it began
	TopicID     string `json:"topic_id"`               // of the events topic; in another one the offset means nothing
	Offset      int64  `json:"offset"`                 // the first that belongs to the epoch
	Forward     bool   `json:"forward,omitempty"`      // as Spec.Forward
	Change      Change `json:"change"`
}

// MoveTo returns the spec that follows s after a deliberate move of the cursor in every
// partition: to start, which is as Spec.Start. A move to now passes over and repeats nothing:
// a lane that stands behind it already, when it hears of the move, stays where it is.
func (s Spec) MoveTo(start string, c Change) Spec {
	s = s.Revise().Note(c)
	former := s.EpochBegan()
	for _, m := range s.Moves {
		former = max(former, *m.EpochOffset)
	}
	s.FormerOffset = &former
	s.Epoch++
	s.BaseEpoch, s.EpochOffset, s.Start = s.Epoch, nil, start
	s.Forward, s.Moved, s.Moves = start == StartNow, &c, nil
	return s
}

// MovePartition returns the spec that follows s after a deliberate move of the cursor in
// one partition, to an offset in the events topic of that id. With forward, which is for an
// offset that does not lie before the cursor, it repeats nothing, as a move to now.
func (s Spec) MovePartition(number int32, offset int64, topicID string, forward bool, c Change) Spec {
	s = s.Revise().Note(c)
	s.Epoch++
	former := s.In(number).EpochBegan()
	s.Moves = slices.DeleteFunc(slices.Clone(s.Moves), func(m Move) bool { return m.Partition == number })
	s.Moves = append(s.Moves, Move{Partition: number, Epoch: s.Epoch, Former: former, TopicID: topicID, Offset: offset, Forward: forward, Change: c})
	return s
}

// In is the spec as it holds in one partition.
func (s Spec) In(number int32) Spec {
	i := slices.IndexFunc(s.Moves, func(m Move) bool { return m.Partition == number })
	if i < 0 {
		return s
	}
	m := &s.Moves[i]
	s.BaseEpoch, s.EpochOffset, s.FormerOffset, s.Forward, s.Moved = m.Epoch, m.EpochOffset, &m.Former, m.Forward, &m.Change
	s.Here = m
	return s
}

// begins is the first offset of the base epoch in a partition that holds [logStart,
// logEnd) of the events topic of that id. after finds the first offset that was appended
// at a time or later. The caller has chosen the partition with In.
func (s Spec) begins(topicID string, logStart, logEnd int64, after func(time.Time) (int64, error)) (int64, error) {
	if m := s.Here; m != nil {
		if m.TopicID != topicID {
			return logStart, nil
		}
		return min(max(m.Offset, logStart), logEnd), nil
	}
	t, err := s.StartTime()
	if err != nil || t.IsZero() {
		return logStart, err
	}
	offset, err := after(t)
	return min(offset, logEnd), err
}

// relocation is a deliberate move as a lane sees it.
type relocation struct {
	began   int64 // where in the streams topic
	start   int64
	forward bool
	change  Change
}

func relocationOf(s Spec, start int64) relocation {
	r := relocation{began: s.EpochBegan(), start: start, forward: s.Forward}
	if s.Moved != nil {
		r.change = *s.Moved
	}
	return r
}

// apply says where a lane goes on that stood at cursor, and what of its gaps is left: what
// is passed over becomes one, what will be read again is none any more if it was passed
// over on purpose.
func (r relocation) apply(cursor int64, gaps []gap) (int64, []gap) {
	to := r.start
	if r.forward {
		to = max(to, cursor)
	}
	var out []gap
	for _, g := range gaps {
		if g.By != "" {
			g.To = min(g.To, to)
		}
		if g.From < g.To {
			out = append(out, g)
		}
	}
	if to > cursor {
		out = append(out, gap{From: cursor, To: to, Reason: r.change.String(), At: time.Now().UTC(), By: r.change.By})
	}
	return to, out[max(0, len(out)-maxGaps):]
}
