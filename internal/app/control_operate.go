package app

import (
	"context"
	"errors"
	"time"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/consumer"
)

// PauseStream implements admin.StreamService.
func (c *Control) PauseStream(ctx context.Context, id string, change admin.Change) (*admin.Stream, error) {
	done, err := c.operator.Pause(ctx, id, deed(change))
	return c.after(ctx, change, done, err)
}

// ResumeStream implements admin.StreamService.
func (c *Control) ResumeStream(ctx context.Context, id string, change admin.Change) (*admin.Stream, error) {
	done, err := c.operator.Resume(ctx, id, deed(change))
	if paused, ok := errors.AsType[*PausedError](err); ok {
		err = admin.CodeConflict.Errorf("stream %q is not resumed: %v", id, paused)
	}
	return c.after(ctx, change, done, err)
}

// DeleteStream implements admin.StreamService.
func (c *Control) DeleteStream(ctx context.Context, id string, drain bool, change admin.Change) (*admin.Stream, error) {
	end := c.operator.Drop
	if drain {
		end = c.operator.Drain
	}
	done, err := end(ctx, id, deed(change))
	if paused, ok := errors.AsType[*PausedError](err); ok {
		err = admin.CodeConflict.Errorf("stream %q would never be drained: %v; or drop it", id, paused)
	}
	return c.after(ctx, change, done, err)
}

// planPatience bounds how long is counted what a move means, if nobody says how long.
const planPatience = 10 * time.Second

// PlanSkip implements admin.StreamService.
func (c *Control) PlanSkip(ctx context.Context, id string, to admin.Target) ([]admin.Passage, error) {
	t, err := target(to)
	if err != nil {
		return nil, err
	}
	patience := planPatience
	if to.Within > 0 {
		patience = time.Duration(to.Within) * time.Second
	}
	passages, err := c.operator.PlanMove(ctx, id, t, patience)
	out := make([]admin.Passage, 0, len(passages))
	for _, p := range passages {
		out = append(out, admin.Passage(p))
	}
	return out, told(err)
}

// SkipStream implements admin.StreamService.
func (c *Control) SkipStream(ctx context.Context, id string, to admin.Target, change admin.Change) (*admin.Stream, error) {
	t, err := target(to)
	if err != nil {
		return nil, err
	}
	done, err := c.operator.Move(ctx, id, t, deed(change))
	return c.after(ctx, change, done, err)
}

// target reads where a cursor is to be moved.
func target(to admin.Target) (Target, error) {
	t := Target{Now: to.Now, Beginning: to.Beginning}
	forms := 0
	for _, is := range []bool{to.Now, to.Beginning, to.Time != nil, to.Partition != nil || to.Offset != nil} {
		if is {
			forms++
		}
	}
	switch {
	case to.Within < 0 || to.Within > admin.MaxPlanWithin:
		return t, admin.CodeInvalid.Errorf("within_seconds %d is not between 0 and %d", to.Within, admin.MaxPlanWithin)
	case forms != 1:
		return t, admin.CodeInvalid.Errorf("say where to move the cursor: exactly one of now, beginning, time, and partition with offset")
	case (to.Partition == nil) != (to.Offset == nil):
		return t, admin.CodeInvalid.Errorf("partition and offset go together: one partition's cursor is moved to one offset")
	case to.Time != nil && to.Time.IsZero():
		return t, admin.CodeInvalid.Errorf("the time to move the cursor to is empty")
	case to.Time != nil:
		t.Time = *to.Time
	case to.Offset != nil:
		t.At = &Place{Partition: *to.Partition, Offset: *to.Offset}
	}
	return t, nil
}

// after says where a stream stands once something was done to it, and what became of that.
func (c *Control) after(ctx context.Context, change admin.Change, done Done, err error) (*admin.Stream, error) {
	if err != nil {
		return nil, told(err)
	}
	reach, err := c.await(ctx, change.Wait, done.Spec)
	if err != nil {
		return nil, told(err)
	}
	now := described(consumer.Status{Spec: done.Spec, State: consumer.SpecDeleted, Lanes: []consumer.LaneStatus{}})
	if done.Spec.State != consumer.SpecDeleted {
		there, err := c.Stream(ctx, done.Spec.ID)
		switch {
		case err == nil:
			now = there
		case done.Spec.State != consumer.SpecDraining || !errors.Is(err, admin.CodeNotFound.Err()): // else it was drained meanwhile
			return nil, err
		}
	}
	now.Outcome = &admin.Outcome{Written: done.Written, InForce: reach.InForce, Owned: reach.Owned, Members: reach.Members}
	return now, nil
}

// reachPause is the wait between two looks at how far a change is in force.
const reachPause = 100 * time.Millisecond

// await waits until a spec is in force in every partition that has an owner, for patience at
// most.
func (c *Control) await(ctx context.Context, patience time.Duration, s consumer.Spec) (consumer.Reach, error) {
	deadline := time.Now().Add(patience)
	for {
		r, err := c.operator.Reach(ctx, s)
		if err != nil || r.Members == 0 || r.Owned > 0 && r.InForce == r.Owned || !time.Now().Before(deadline) {
			return r, err
		}
		again := time.NewTimer(reachPause)
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return r, context.Cause(ctx)
		}
	}
}
