package app

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/auditstream/auditstream/consumer"
)

// Target is where a stream's cursor is to be moved: exactly one of its forms is set.
type Target struct {
	Now       bool      // in every partition, behind what is there; nothing is repeated
	Beginning bool      // in every partition, to the first event that Kafka still has
	Time      time.Time // in every partition, to the first event appended then or later
	At        *Place    // in one partition alone
}

// Place is an offset in one partition of the events topic.
type Place struct {
	Partition int32
	Offset    int64
}

// What says in words what a move to t does.
func (t Target) What() string {
	switch {
	case t.At != nil:
		return fmt.Sprintf("moved to offset %d of partition %d", t.At.Offset, t.At.Partition)
	case t.Beginning:
		return "moved to the beginning"
	case t.Now:
		return "moved to now"
	}
	return "moved to " + t.Time.UTC().Format(time.RFC3339Nano)
}

// apply moves a stream.
func (t Target) apply(s consumer.Spec, topicID string, cursor int64, c consumer.Change) consumer.Spec {
	switch {
	case t.At != nil:
		return s.MovePartition(t.At.Partition, t.At.Offset, topicID, t.At.Offset >= cursor, c)
	case t.Beginning:
		return s.MoveTo(consumer.StartBeginning, c)
	case t.Now:
		return s.MoveTo(consumer.StartNow, c)
	}
	return s.MoveTo(t.Time.UTC().Format(time.RFC3339Nano), c)
}

// Passage is what a move means in one partition.
type Passage struct {
	Partition int32 `json:"partition"`
	Cursor    int64 `json:"cursor"`   // where the stream stands
	Target    int64 `json:"target"`   // where it would go on
	Skipped   int64 `json:"skipped"`  // events of the stream that it would pass over
	Repeated  int64 `json:"repeated"` // events of the stream that it would send again
	AtLeast   bool  `json:"at_least"` // time was up: there are more of them
}

// TargetError says that a stream cannot be moved where it was asked to.
type TargetError struct{ Why string }

func (e *TargetError) Error() string { return e.Why }

func errEnds() error {
	return &TargetError{"it is being deleted: what came before its deletion is delivered, and nothing else (to end that: stream delete --drop)"}
}

// PlanMove says what a move would mean. It reads the part of the log in question, for as
// long as patience at most, 0 for as long as that takes.
func (o *Operator) PlanMove(ctx context.Context, id string, t Target, patience time.Duration) ([]Passage, error) {
	st, passages, err := o.passages(ctx, id, t)
	if err != nil {
		return nil, err
	}
	counting := ctx
	if patience > 0 {
		var cancel context.CancelFunc
		counting, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	survey := o.survey()
	var work errgroup.Group
	work.SetLimit(4)
	for i := range passages {
		p := &passages[i]
		work.Go(func() error {
			from, to, n := p.Cursor, p.Target, &p.Skipped
			if to < from {
				from, to, n = to, from, &p.Repeated
			}
			var err error
			*n, err = survey.Count(counting, st.Spec, consumer.Range{Partition: p.Partition, From: from, To: to})
			if err != nil && counting.Err() != nil && ctx.Err() == nil {
				p.AtLeast, err = true, nil
			}
			return err
		})
	}
	return passages, work.Wait()
}

// passages are the moves of the cursor, without their events.
func (o *Operator) passages(ctx context.Context, id string, t Target) (consumer.Status, []Passage, error) {
	st, err := o.Get(ctx, id)
	if err != nil {
		return st, nil, err
	}
	if isDraining(st.Spec) {
		return st, nil, errEnds()
	}
	if t.Time.After(time.Now()) {
		return st, nil, &TargetError{fmt.Sprintf("%s is in the future: events that are to come cannot be passed over; pause the stream instead", t.Time.Format(time.RFC3339))}
	}
	var passages []Passage
	for _, l := range st.Lanes {
		p := Passage{Partition: l.Partition, Cursor: l.Cursor, Target: l.End}
		switch {
		case t.At != nil && t.At.Partition != l.Partition:
			continue
		case t.At != nil:
			if t.At.Offset < l.Start || t.At.Offset > l.End {
				return st, nil, &TargetError{fmt.Sprintf("offset %d is not in partition %d, which holds %d to %d", t.At.Offset, l.Partition, l.Start, l.End)}
			}
			p.Target = t.At.Offset
		case t.Beginning:
			p.Target = l.Start
		}
		passages = append(passages, p)
	}
	if t.At != nil && len(passages) == 0 {
		return st, nil, &TargetError{fmt.Sprintf("there is no partition %d: they are numbered 0 to %d", t.At.Partition, len(st.Lanes)-1)}
	}
	if t.At != nil || t.Beginning || t.Now {
		return st, passages, nil
	}
	places, err := o.survey().Places(ctx, t.apply(st.Spec, o.ids.Events, 0, consumer.Change{}))
	for i := range passages {
		passages[i].Target = places[passages[i].Partition]
	}
	return st, passages, err
}

// Move moves a stream's cursor. It begins a new epoch: records of progress of the former
// one count no more, and a store of objects gets a new chain.
func (o *Operator) Move(ctx context.Context, id string, t Target, d Deed) (Done, error) {
	_, passages, err := o.passages(ctx, id, t)
	if err != nil {
		return Done{}, err
	}
	return o.change(ctx, id, d, func(s consumer.Spec) (consumer.Spec, error) {
		if isDraining(s) {
			return s, errEnds()
		}
		return t.apply(s, o.ids.Events, passages[0].Cursor, d.change(t.What())), nil
	})
}
