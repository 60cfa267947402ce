package app

import (
	"context"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/consumer/deadletter"
)

// tellDiscarded publishes that letters are discarded.
func (c *Control) tellDiscarded(context.Context, []*deadletter.Letter, admin.Change) error {
	return nil
}

// tellTested publishes that a stream was tested.
func (c *Control) tellTested(context.Context, consumer.Spec, admin.Change, error) {}

// jobDeed is what is done to a job.
type jobDeed int

// What is done to jobs.
const (
	jobStarted jobDeed = iota
	jobStopped
	jobResumed
	jobForgotten
)

// tellJob publishes what is done to a job.
func (c *Control) tellJob(context.Context, consumer.Task, jobDeed, admin.Change) error { return nil }
