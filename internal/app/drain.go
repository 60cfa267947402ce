package app

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/consumer"
)

// Drop deletes a stream at once: what it has not delivered it never will. A file that still
// lists it does not make it again; see diffStreams.
func (o *Operator) Drop(ctx context.Context, id string, d Deed) (Done, error) {
	done, err := o.change(ctx, id, d, func(s consumer.Spec) (consumer.Spec, error) {
		return s.Deleted(d.change("deleted")), nil
	})
	if is[*HeldError](err) && (d.If == "" || d.If == VersionOf(consumer.Spec{})) {
		return o.dropHeld(ctx, id, d)
	}
	return done, err
}

// dropHeld deletes a stream whose spec nobody knows.
func (o *Operator) dropHeld(ctx context.Context, id string, d Deed) (Done, error) {
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	var done Done
	_, written, err := changeStreams(ctx, o.opts, o.topics, o.keys, o.log, func(have consumer.Specs) ([]consumer.Spec, error) {
		if heldNamed(have, id) == nil {
			return nil, nil
		}
		s := consumer.Spec{ID: id, UID: newUID(), Epoch: 1, BaseEpoch: 1, Owner: ownerFile, State: consumer.SpecActive, Start: consumer.StartBeginning}
		return []consumer.Spec{s.Deleted(d.change("deleted"))}, nil
	})
	for _, s := range written {
		done = Done{Spec: s, Written: true}
	}
	return done, err
}

// Drain deletes a stream as soon as it has delivered what was published before: up to the
// ends of the partitions as they are now. A [*PausedError] says that it delivers nothing,
// and so would never come to its end.
func (o *Operator) Drain(ctx context.Context, id string, d Deed) (Done, error) {
	until, err := o.survey().Ends(ctx)
	if err != nil {
		return Done{}, err
	}
	return o.change(ctx, id, d, func(s consumer.Spec) (consumer.Spec, error) {
		switch {
		case s.State == consumer.SpecDraining:
			return s, nil
		case s.State == consumer.SpecPaused:
			return s, &PausedError{Owner: s.Owner}
		case s.Hold != nil:
			return s, &PausedError{Hold: s.Hold}
		}
		return s.Drained(o.ids.Events, until, d.change("deleted when drained")), nil
	})
}

// Undelivered counts the events that a stream has not delivered yet, for as long as
// patience at most; more says that there may be more.
func (o *Operator) Undelivered(ctx context.Context, st consumer.Status, patience time.Duration) (n int64, more bool, err error) {
	counting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	survey := o.survey()
	for _, l := range st.Lanes {
		events, err := survey.Count(counting, st.Spec, consumer.Range{Partition: l.Partition, From: l.Cursor, To: l.End})
		n += events
		if err != nil && counting.Err() != nil && ctx.Err() == nil {
			return n, true, nil
		}
		if err != nil {
			return n, true, err
		}
	}
	return n, false, nil
}

// droppedPatience bounds how long is counted what a stream had not delivered that the file
// does not list any more.
const droppedPatience = 5 * time.Second

// tellDropped says what is lost with the streams that the file does not list any more,
// before they are deleted.
func (d Delivery) tellDropped(ctx context.Context, opts []kgo.Opt) {
	list, o, err := d.dropped(ctx, opts)
	if o != nil {
		defer o.Close()
	}
	for _, st := range list {
		var n int64
		var more bool
		if n, more, err = o.Undelivered(ctx, st, droppedPatience); err != nil {
			break
		}
		d.Log.Warn("the file lists this stream no more: it is deleted, and what it has not delivered never will be",
			zap.String("stream", st.Spec.ID), zap.Int64("undelivered", n), zap.Bool("at_least", more), zap.Int64("delivered", st.Totals.Delivered))
	}
	if err != nil && ctx.Err() == nil {
		d.Log.Warn("it cannot be told what streams that are deleted had not delivered", zap.Error(err))
	}
}

// dropped are the streams that the file does not list any more.
func (d Delivery) dropped(ctx context.Context, opts []kgo.Opt) ([]consumer.Status, *Operator, error) {
	o, err := operate(ctx, opts, d.Config, d.keys, d.Log)
	if err != nil {
		return nil, nil, err
	}
	specs, err := readSpecs(ctx, o.reader, o.topics, o.keys)
	if err != nil {
		return nil, o, err
	}
	changes, err := diffStreams(specs.Streams, d.Config.Streams)
	if err != nil {
		return nil, o, nil //nolint:nilerr // whoever applies the file says so
	}
	gone := map[string]bool{}
	for _, s := range changes {
		gone[s.UID] = s.State == consumer.SpecDeleted
	}
	if len(gone) == 0 {
		return nil, o, nil
	}
	list, err := o.survey().Of(ctx, specs, func(s consumer.Spec) bool { return gone[s.UID] })
	return list, o, err
}

// finishEvery is how often a process looks whether streams that are being deleted have come
// to their end.
const finishEvery = time.Second

// finishDrains deletes the streams that have nothing left to deliver, until ctx ends. Every
// process does: the one that is first is enough.
func (c *crew) finishDrains(ctx context.Context) error {
	tick := time.NewTicker(finishEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if !c.draining.Load() {
			continue
		}
		if err := c.finishDrained(ctx); err != nil && ctx.Err() == nil {
			c.d.Log.Warn("it cannot be told whether streams that are being deleted are drained", zap.Error(err))
		}
	}
}

func (c *crew) finishDrained(ctx context.Context) error {
	o, err := operate(ctx, c.opts, c.d.Config, c.d.keys, c.d.Log)
	if err != nil {
		return err
	}
	defer o.Close()
	specs, err := readSpecs(ctx, o.reader, o.topics, o.keys)
	if err != nil {
		return err
	}
	list, err := o.survey().Of(ctx, specs, isDraining)
	if err != nil {
		return err
	}
	for _, st := range list {
		if drained, err := o.survey().Drained(ctx, st); err != nil || !drained {
			if err != nil {
				return err
			}
			continue
		}
		done, err := o.change(ctx, st.Spec.ID, Deed{}, func(s consumer.Spec) (consumer.Spec, error) {
			if s.UID != st.Spec.UID || s.State != consumer.SpecDraining {
				return s, nil // somebody was faster
			}
			return s.Deleted(Deed{By: "delivery"}.change("drained and deleted")), nil
		})
		if err != nil {
			return err
		}
		if done.Written {
			c.d.Log.Info("stream drained and deleted", zap.String("stream", st.Spec.ID), zap.Int64("delivered", st.Totals.Delivered), zap.Int64("dead_lettered", st.Totals.DeadLettered))
		}
	}
	return nil
}

func isDraining(s consumer.Spec) bool { return s.State == consumer.SpecDraining }
