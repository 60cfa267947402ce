package admin

import (
	"context"
	"errors"
	"slices"
)

// replay refuses a replay of a stream that is not the caller's.
func (c *confined) replay(ctx context.Context, r Replay) error {
	i, err := c.stream(ctx, r.Stream)
	if err == nil && r.OrganizationID != "" && r.OrganizationID != i.OrganizationID {
		err = CodeInvalid.Errorf("stream %q does not carry organization %q", r.Stream, r.OrganizationID)
	}
	return err
}

func (c *confined) PlanReplay(ctx context.Context, r Replay) (*JobPlan, error) {
	if err := c.replay(ctx, r); err != nil {
		return nil, err
	}
	p, err := c.s.PlanReplay(ctx, r)
	return p, c.gone(r.Stream, err)
}

func (c *confined) StartReplay(ctx context.Context, r Replay, ch Change) (*Job, error) {
	if err := c.replay(ctx, r); err != nil {
		return nil, err
	}
	j, err := c.s.StartReplay(ctx, r, ch)
	return j, c.gone(r.Stream, err)
}

// redrive refuses a redrive of letters that are not the caller's, and names the stream of
// those that are named.
func (c *confined) redrive(ctx context.Context, r Redrive) (Redrive, error) {
	streams, err := c.letters(ctx, r.Letters)
	if err != nil {
		return r, err
	}
	if r.Stream == "" {
		if len(streams) != 1 {
			return r, CodeInvalid.Errorf("name the stream whose letters are to be redriven, or letters of one stream")
		}
		r.Stream = streams[0]
	}
	i, err := c.stream(ctx, r.Stream)
	if err == nil && r.OrganizationID != "" && r.OrganizationID != i.OrganizationID {
		err = CodeInvalid.Errorf("stream %q does not carry organization %q", r.Stream, r.OrganizationID)
	}
	return r, err
}

func (c *confined) PlanRedrive(ctx context.Context, r Redrive) (*JobPlan, error) {
	r, err := c.redrive(ctx, r)
	if err != nil {
		return nil, err
	}
	p, err := c.s.PlanRedrive(ctx, r)
	return p, c.gone(r.Stream, err)
}

func (c *confined) StartRedrive(ctx context.Context, r Redrive, ch Change) (*Job, error) {
	r, err := c.redrive(ctx, r)
	if err != nil {
		return nil, err
	}
	j, err := c.s.StartRedrive(ctx, r, ch)
	return j, c.gone(r.Stream, err)
}

func (c *confined) Jobs(ctx context.Context) ([]Job, error) {
	own, err := c.own(ctx)
	if err != nil {
		return nil, err
	}
	all, err := c.s.Jobs(ctx)
	if err != nil {
		return nil, c.plain(err)
	}
	return slices.DeleteFunc(slices.Clone(all), func(j Job) bool { return !owns(own, &j) }), nil
}

// owns says whether a job sends to one of the streams. One that was made again under the same
// id is another, which may have been another's.
func owns(own []Identity, j *Job) bool {
	return slices.ContainsFunc(own, func(i Identity) bool { return i.UID == j.StreamUID })
}

// job is a job of the caller's.
func (c *confined) job(ctx context.Context, uid string) (*Job, error) {
	own, err := c.own(ctx)
	if err != nil {
		return nil, err
	}
	j, err := c.s.Job(ctx, uid)
	if errors.Is(err, CodeNotFound.Err()) || err == nil && !owns(own, j) {
		return nil, CodeNotFound.Errorf("there is no job %q", uid)
	}
	return j, c.plain(err)
}

func (c *confined) Job(ctx context.Context, uid string) (*Job, error) { return c.job(ctx, uid) }

func (c *confined) StopJob(ctx context.Context, uid string, ch Change) (*Job, error) {
	if _, err := c.job(ctx, uid); err != nil {
		return nil, err
	}
	j, err := c.s.StopJob(ctx, uid, ch)
	return j, c.plain(err)
}

func (c *confined) ResumeJob(ctx context.Context, uid string, ch Change) (*Job, error) {
	if _, err := c.job(ctx, uid); err != nil {
		return nil, err
	}
	j, err := c.s.ResumeJob(ctx, uid, ch)
	return j, c.plain(err)
}

func (c *confined) ForgetJob(ctx context.Context, uid string, ch Change) error {
	if _, err := c.job(ctx, uid); err != nil {
		return err
	}
	return c.plain(c.s.ForgetJob(ctx, uid, ch))
}
