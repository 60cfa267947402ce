package app

import (
	"context"

	"github.com/auditstream/auditstream/admin"
)

// PlanReplay implements admin.JobService.
func (c *Control) PlanReplay(context.Context, admin.Replay) (*admin.JobPlan, error) {
	return nil, unserved("planning replays")
}

// PlanRedrive implements admin.JobService.
func (c *Control) PlanRedrive(context.Context, admin.Redrive) (*admin.JobPlan, error) {
	return nil, unserved("planning redrives")
}

// StartReplay implements admin.JobService.
func (c *Control) StartReplay(context.Context, admin.Replay, admin.Change) (*admin.Job, error) {
	return nil, unserved("replays")
}

// StartRedrive implements admin.JobService.
func (c *Control) StartRedrive(context.Context, admin.Redrive, admin.Change) (*admin.Job, error) {
	return nil, unserved("redrives")
}

// Jobs implements admin.JobService.
func (c *Control) Jobs(context.Context) ([]admin.Job, error) {
	return nil, unserved("listing jobs")
}

// Job implements admin.JobService.
func (c *Control) Job(context.Context, string) (*admin.Job, error) {
	return nil, unserved("showing jobs")
}

// StopJob implements admin.JobService.
func (c *Control) StopJob(context.Context, string, admin.Change) (*admin.Job, error) {
	return nil, unserved("stopping jobs")
}

// ResumeJob implements admin.JobService.
func (c *Control) ResumeJob(context.Context, string, admin.Change) (*admin.Job, error) {
	return nil, unserved("resuming jobs")
}

// ForgetJob implements admin.JobService.
func (c *Control) ForgetJob(context.Context, string, admin.Change) error {
	return unserved("forgetting jobs")
}
