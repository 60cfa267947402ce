package app

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/consumer"
)

// maxRate bounds the rate of a job, in events a second.
const maxRate = 1e9

// PlanReplay implements admin.JobService.
func (c *Control) PlanReplay(ctx context.Context, r admin.Replay) (*admin.JobPlan, error) {
	_, p, err := c.planReplay(ctx, r, "")
	return p, err
}

// PlanRedrive implements admin.JobService.
func (c *Control) PlanRedrive(ctx context.Context, r admin.Redrive) (*admin.JobPlan, error) {
	_, p, err := c.planRedrive(ctx, r, "")
	return p, err
}

func checkRate(rate float64) error {
	if rate < 0 || rate > maxRate || math.IsNaN(rate) {
		return admin.CodeInvalid.Errorf("rate %v is no number of events a second", rate)
	}
	return nil
}

func (c *Control) planReplay(ctx context.Context, r admin.Replay, by string) (t consumer.Task, _ *admin.JobPlan, err error) {
	in := Replay{Stream: r.Stream, Offsets: r.Offsets, Actions: r.Actions, OrganizationID: r.OrganizationID, Rate: r.Rate, By: by}
	if r.From != nil {
		in.From = *r.From
	}
	if r.To != nil {
		in.To = *r.To
	}
	end := in.To
	if end.IsZero() {
		end = time.Now()
	}
	switch {
	case r.Offsets != nil && (r.From != nil || r.To != nil):
		return t, nil, admin.CodeInvalid.Errorf("offsets and times exclude each other")
	case r.Offsets == nil && !in.From.Before(end):
		return t, nil, admin.CodeInvalid.Errorf("from is not before to: there is nothing between them")
	}
	seen := map[int32]bool{}
	for _, o := range r.Offsets {
		if o.Partition < 0 || o.From < 0 || o.To <= o.From || seen[o.Partition] {
			return t, nil, admin.CodeInvalid.Errorf("offsets has to hold, for each partition once, a range whose from is less than its to")
		}
		seen[o.Partition] = true
	}
	if err := checkRate(r.Rate); err != nil {
		return t, nil, err
	}
	jobs, err := c.jobs(ctx)
	if err != nil {
		return t, nil, err
	}
	t, expired, err := jobs.PlanReplay(ctx, in)
	if err != nil {
		return t, nil, told(err)
	}
	p, err := c.counted(ctx, jobs, &t, r.Progress)
	if err != nil {
		return t, nil, err
	}
	for _, e := range expired {
		p.Expired = append(p.Expired, admin.Expired(e))
	}
	return t, p, nil
}

func (c *Control) planRedrive(ctx context.Context, r admin.Redrive, by string) (t consumer.Task, _ *admin.JobPlan, err error) {
	in := Redrive{Stream: r.Stream, Positions: r.Letters, Class: r.Class, OrganizationID: r.OrganizationID, Rate: r.Rate, By: by}
	if r.Since != nil {
		in.Since = *r.Since
	}
	switch {
	case len(r.Letters) > 0 && (r.Class != "" || r.OrganizationID != "" || r.Since != nil):
		return t, nil, admin.CodeInvalid.Errorf("letters that are named need no filter")
	case len(r.Letters) == 0 && r.Stream == "":
		return t, nil, admin.CodeInvalid.Errorf("which letters? name them, or a stream")
	case r.Class == "invalid":
		return t, nil, admin.CodeInvalid.Errorf("a letter about a record that is no valid event belongs to no stream and cannot be redriven: mend the event, publish it, and discard the letter")
	}
	if err := checkRate(r.Rate); err != nil {
		return t, nil, err
	}
	jobs, err := c.jobs(ctx)
	if err != nil {
		return t, nil, err
	}
	if t, err = jobs.PlanRedrive(ctx, in); err != nil {
		return t, nil, told(err)
	}
	p, err := c.counted(ctx, jobs, &t, r.Progress)
	return t, p, err
}

// counted counts what a task would send.
func (c *Control) counted(ctx context.Context, jobs *Jobs, t *consumer.Task, progress func(passed, of int64)) (*admin.JobPlan, error) {
	s, err := c.operator.Spec(ctx, t.Stream)
	if err != nil {
		return nil, told(err)
	}
	switch {
	case s.Paused():
		return nil, admin.CodeConflict.Errorf("stream %q is paused: nothing is sent to its destination before it is resumed", t.Stream)
	case t.OrganizationID != "" && s.OrganizationID != consumer.AllOrganizations && s.OrganizationID != t.OrganizationID:
		return nil, admin.CodeInvalid.Errorf("stream %q carries organization %s only, not %s", t.Stream, s.OrganizationID, t.OrganizationID)
	}
	counts := make([]int64, len(t.Ranges))
	if len(t.Ranges) > 0 {
		if counts, err = jobs.Count(ctx, *t, counting(*t, progress)); err != nil {
			return nil, told(err)
		}
	}
	p := &admin.JobPlan{Stream: t.Stream, Ranges: []admin.JobRange{}}
	for i, r := range t.Ranges {
		p.Ranges = append(p.Ranges, admin.JobRange{Range: r, Matched: counts[i]})
		p.Matched += counts[i]
	}
	t.Matched = p.Matched
	return p, nil
}

// counting tells how far the counting of a task is.
func counting(t consumer.Task, progress func(passed, of int64)) func(int64) {
	if progress == nil {
		return nil
	}
	var passed, of int64
	for _, r := range t.Ranges {
		of += r.To - r.From
	}
	var mu sync.Mutex // the ranges are counted side by side
	return func(offsets int64) {
		mu.Lock()
		defer mu.Unlock()
		passed += offsets
		progress(passed, of)
	}
}

// StartReplay implements admin.JobService.
func (c *Control) StartReplay(ctx context.Context, r admin.Replay, change admin.Change) (*admin.Job, error) {
	t, p, err := c.planReplay(ctx, r, change.By)
	if err != nil {
		return nil, err
	}
	if len(p.Expired) > 0 && !r.AllowExpired {
		e := admin.CodeExpired.Errorf("nothing was sent: a part of the range has expired; to send the %d events that are left, say so (allow_expired)", p.Matched)
		for _, x := range p.Expired {
			e.Problems = append(e.Problems, admin.Problem{Pointer: "/from", Message: x.String()})
		}
		return nil, e
	}
	j, err := c.start(ctx, t, change)
	if j != nil {
		j.Expired = p.Expired
	}
	return j, err
}

// StartRedrive implements admin.JobService.
func (c *Control) StartRedrive(ctx context.Context, r admin.Redrive, change admin.Change) (*admin.Job, error) {
	t, _, err := c.planRedrive(ctx, r, change.By)
	if err != nil {
		return nil, err
	}
	jobs, err := c.jobs(ctx)
	if err != nil {
		return nil, err
	}
	if err := jobs.Busy(ctx, t); err != nil {
		return nil, told(err)
	}
	return c.start(ctx, t, change)
}

// start puts a job on record. Whichever process runs jobs finds it there.
func (c *Control) start(ctx context.Context, t consumer.Task, change admin.Change) (*admin.Job, error) {
	if t.Matched == 0 {
		return nil, admin.CodeNothing.Errorf("stream %q: there are no events to send", t.Stream)
	}
	if !c.local {
		t.Runner = consumer.RunnerServer
	}
	jobs, err := c.jobs(ctx)
	if err != nil {
		return nil, err
	}
	if err := c.tellJob(ctx, t, jobStarted, change); err != nil {
		return nil, told(err)
	}
	if err := jobs.Make(ctx, t); err != nil {
		return nil, told(err)
	}
	return c.Job(ctx, t.UID)
}

// Jobs implements admin.JobService.
func (c *Control) Jobs(ctx context.Context) ([]admin.Job, error) {
	jobs, err := c.jobs(ctx)
	if err != nil {
		return nil, err
	}
	tasks, err := jobs.List(ctx)
	if err != nil {
		return nil, told(err)
	}
	return c.views(ctx, jobs, tasks...)
}

// Job implements admin.JobService.
func (c *Control) Job(ctx context.Context, uid string) (*admin.Job, error) {
	jobs, err := c.jobs(ctx)
	if err != nil {
		return nil, err
	}
	t, err := jobs.Find(ctx, uid)
	if err != nil {
		return nil, told(err)
	}
	views, err := c.views(ctx, jobs, t)
	if err != nil {
		return nil, err
	}
	return &views[0], nil
}

// fresh is how young a job's last record is while somebody runs it, as a rule.
const fresh = 15 * time.Second

// views are jobs with how far they are: as whoever runs them here knows, else as their
// records of progress say.
func (c *Control) views(ctx context.Context, jobs *Jobs, tasks ...consumer.Task) ([]admin.Job, error) {
	var open []consumer.Task
	for _, t := range tasks {
		if t.Ended == nil {
			open = append(open, t)
		}
	}
	standings, err := jobs.jobs.Standings(ctx, open...)
	if err != nil {
		return nil, told(err)
	}
	out := make([]admin.Job, 0, len(tasks))
	for _, t := range tasks {
		v := admin.Job{Task: t, State: admin.JobDone}
		if t.Result != nil {
			v.Done = *t.Result
		}
		if t.Ended == nil {
			c.view(&v, standings[t.UID])
		}
		out = append(out, v)
	}
	return out, nil
}

// view fills in how far a job is that has something left.
func (c *Control) view(v *admin.Job, recorded *consumer.Recorded) {
	standing, running := recorded.JobStanding, time.Since(recorded.Updated) < fresh
	if here := c.runner.of(v.UID); here != nil {
		v.Problem = here.problem
		if here.job != nil {
			standing, running = here.job.Standing(), true
		}
	}
	v.Done, v.Left = standing.Tally, standing.Total-standing.Passed
	if len(standing.Held) > 0 && v.Problem == "" {
		v.Problem = standing.Held[0].Error
	}
	switch {
	case v.Stopped != nil:
		v.State = admin.JobStopped
	case running:
		v.State = admin.JobRunning
	default:
		v.State = admin.JobWaiting
	}
}

// StopJob implements admin.JobService.
func (c *Control) StopJob(ctx context.Context, uid string, change admin.Change) (*admin.Job, error) {
	return c.changeJob(ctx, uid, jobStopped, change, func(v *admin.Job) error {
		switch {
		case v.Runner != consumer.RunnerServer:
			return admin.CodeConflict.Errorf("job %s runs in the process of the command that has made it, if it runs: stop that", uid)
		case v.Stopped != nil:
			return errAsItIs
		}
		v.Stopped = &consumer.Change{What: "stopped", By: change.By, At: time.Now().UTC(), Reason: change.Reason}
		return nil
	})
}

// ResumeJob implements admin.JobService.
func (c *Control) ResumeJob(ctx context.Context, uid string, change admin.Change) (*admin.Job, error) {
	return c.changeJob(ctx, uid, jobResumed, change, func(v *admin.Job) error {
		switch {
		case v.Runner == consumer.RunnerServer && v.Stopped == nil:
			return errAsItIs
		case v.Runner != consumer.RunnerServer && c.local:
			return nil // who asks runs it
		case v.Runner != consumer.RunnerServer && v.State == admin.JobRunning:
			return admin.CodeConflict.Errorf("job %s runs in the process of a command: stop that first", uid)
		}
		v.Runner, v.Stopped = consumer.RunnerServer, nil
		return nil
	})
}

// RunJob carries a job on in this process until nothing of it is left or ctx ends. How far it
// is [Control.Job] says meanwhile.
func (c *Control) RunJob(ctx context.Context, uid string) error {
	jobs, err := c.jobs(ctx)
	if err != nil {
		return err
	}
	t, err := jobs.Find(ctx, uid)
	if err != nil {
		return told(err)
	}
	return told(c.runner.here(ctx, uid, func(ctx context.Context, run *jobRun) error { return c.runJob(ctx, t, run) }))
}

// ForgetJob implements admin.JobService.
func (c *Control) ForgetJob(ctx context.Context, uid string, change admin.Change) error {
	jobs, err := c.jobs(ctx)
	if err != nil {
		return err
	}
	v, err := c.Job(ctx, uid)
	if err != nil {
		return err
	}
	if v.Ended == nil && v.Runner == consumer.RunnerServer && (v.Stopped == nil || c.runner.of(uid) != nil) {
		return admin.CodeConflict.Errorf("job %s is under way: stop it first", uid)
	}
	if v.Ended == nil { // of one that has ended, forgetting changes nothing but the list
		if err := c.tellJob(ctx, v.Task, jobForgotten, change); err != nil {
			return told(err)
		}
	}
	return told(jobs.Forget(ctx, v.Task))
}

// errAsItIs says that nothing has to be changed.
var errAsItIs = errors.New("it is so already")

// changeJob changes a job's record.
func (c *Control) changeJob(ctx context.Context, uid string, what jobDeed, change admin.Change, decide func(*admin.Job) error) (*admin.Job, error) {
	jobs, err := c.jobs(ctx)
	if err != nil {
		return nil, err
	}
	v, err := c.Job(ctx, uid)
	if err != nil {
		return nil, err
	}
	if v.Ended != nil {
		return nil, admin.CodeConflict.Errorf("job %s has ended", uid)
	}
	switch err := decide(v); {
	case errors.Is(err, errAsItIs):
		return v, nil
	case err != nil:
		return nil, err
	}
	if err := c.tellJob(ctx, v.Task, what, change); err != nil {
		return nil, told(err)
	}
	if err := jobs.jobs.Put(ctx, v.Task); err != nil {
		return nil, told(err)
	}
	return c.Job(ctx, uid)
}
