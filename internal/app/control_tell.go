package app

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/consumer/deadletter"
	"github.com/auditstream/auditstream/schema"
	"github.com/auditstream/auditstream/schema/catalogue"
	"github.com/auditstream/auditstream/sinks"
)

// What is done to letters and jobs is published before it is done: if Kafka does not take the
// event, it is not done. (What is done to streams is published in the same transaction.) An
// event may so tell of a deed that failed afterwards, which the log says; no deed is without
// its event.

// publish writes an event and returns when all replicas have it.
func (c *Control) publish(ctx context.Context, e *schema.Event, organization string) error {
	records, err := c.operator.tell.record(e, organization)
	if err != nil || len(records) == 0 {
		return err
	}
	if err := c.operator.client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return fmt.Errorf("nothing was done: its audit event cannot be published: %w", err)
	}
	return nil
}

// maxPositions bounds how many letters an event names.
const maxPositions = 20

// tellDiscarded publishes that letters are discarded, an event an organization.
func (c *Control) tellDiscarded(ctx context.Context, letters []*deadletter.Letter, change admin.Change) error {
	byOrganization := map[string][]*deadletter.Letter{}
	for _, l := range letters {
		organization := string(l.Key)
		if !c.organization(organization) {
			organization = "" // a record that was no event may have any key
		}
		byOrganization[organization] = append(byOrganization[organization], l)
	}
	var records []*kgo.Record
	for organization, its := range byOrganization {
		in := catalogue.DeadLettersDiscardedEvent{
			Common: common(change.By, time.Now()), ActorMetadata: catalogue.AuditstreamActor{Token: change.By},
			Metadata: catalogue.DeadLettersDiscardedMetadata{Letters: int64(len(its)), Reason: change.Reason},
		}
		var at []string
		for i, l := range its {
			if i < maxPositions {
				at = append(at, l.Position.String())
			}
			for _, s := range l.Streams {
				in.AuditLogStream.Ref = catalogue.Ref{ID: s.UID, Name: s.ID}
			}
		}
		if in.AuditLogStream.ID == "" {
			in.AuditLogStream.Ref = catalogue.Ref{ID: "none", Name: "no stream: the records are no valid events"}
		}
		in.Metadata.Positions = strings.Join(at, ",")
		r, err := c.operator.tell.record(catalogue.DeadLettersDiscarded(in), organization)
		if err != nil {
			return err
		}
		records = append(records, r...)
	}
	if err := c.operator.client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return fmt.Errorf("nothing was discarded: its audit event cannot be published: %w", err)
	}
	return nil
}

// organization says whether a text may be an organization's id.
func (c *Control) organization(id string) bool {
	p := c.config.Events.OrganizationPattern
	return id != "" && (p == nil || p.MatchString(id))
}

// tellTested publishes that a stream was tested. That comes after the test, of which it says
// how it ended; if it cannot be published, the log has it.
func (c *Control) tellTested(ctx context.Context, s consumer.Spec, change admin.Change, failed error) {
	succeeded, answer := failed == nil, ""
	if failed != nil {
		answer = sinks.ClassOf(failed).String()
	}
	err := c.publish(context.WithoutCancel(ctx), catalogue.AuditLogStreamTested(catalogue.AuditLogStreamTestedEvent{
		Common: common(change.By, time.Now()), ActorMetadata: catalogue.AuditstreamActor{Token: change.By},
		AuditLogStream: catalogue.AuditLogStreamTestedAuditLogStream{Ref: catalogue.Ref{ID: s.UID, Name: s.ID}},
		Metadata:       catalogue.AuditLogStreamTestedMetadata{Succeeded: succeeded, Answer: answer},
	}), s.OrganizationID)
	if err != nil {
		c.log.Error("a test is in no audit event", zap.String("stream", s.ID), zap.String("by", change.By), zap.Bool("succeeded", succeeded), zap.Error(err))
	}
}

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
func (c *Control) tellJob(ctx context.Context, t consumer.Task, what jobDeed, change admin.Change) error {
	organization := t.OrganizationID
	if s, err := c.operator.Spec(ctx, t.Stream); err == nil && s.UID == t.StreamUID && organization == "" {
		organization = s.OrganizationID
	}
	return c.publish(ctx, jobEvent(t, what, change), organization)
}

func jobEvent(t consumer.Task, what jobDeed, change admin.Change) *schema.Event {
	head, actor := common(change.By, time.Now()), catalogue.AuditstreamActor{Token: change.By}
	ref := catalogue.Ref{ID: t.StreamUID, Name: t.Stream}
	switch what {
	case jobStopped:
		return catalogue.JobStopped(catalogue.JobStoppedEvent{
			Common: head, ActorMetadata: actor, AuditLogStream: catalogue.JobStoppedAuditLogStream{Ref: ref},
			Metadata: catalogue.JobStoppedMetadata{Job: t.UID, What: t.Job, Reason: change.Reason},
		})
	case jobResumed:
		return catalogue.JobResumed(catalogue.JobResumedEvent{
			Common: head, ActorMetadata: actor, AuditLogStream: catalogue.JobResumedAuditLogStream{Ref: ref},
			Metadata: catalogue.JobResumedMetadata{Job: t.UID, What: t.Job, Reason: change.Reason},
		})
	case jobForgotten:
		return catalogue.JobForgotten(catalogue.JobForgottenEvent{
			Common: head, ActorMetadata: actor, AuditLogStream: catalogue.JobForgottenAuditLogStream{Ref: ref},
			Metadata: catalogue.JobForgottenMetadata{Job: t.UID, What: t.Job, Reason: change.Reason},
		})
	case jobStarted:
	}
	if t.Job == consumer.TaskRedrive {
		return catalogue.DeadLettersRedriven(catalogue.DeadLettersRedrivenEvent{
			Common: head, ActorMetadata: actor, AuditLogStream: catalogue.DeadLettersRedrivenAuditLogStream{Ref: ref},
			Metadata: catalogue.DeadLettersRedrivenMetadata{Letters: t.Matched, Job: t.UID, Reason: change.Reason},
		})
	}
	return catalogue.AuditLogStreamReplayed(catalogue.AuditLogStreamReplayedEvent{
		Common: head, ActorMetadata: actor, AuditLogStream: catalogue.AuditLogStreamReplayedAuditLogStream{Ref: ref},
		Metadata: catalogue.AuditLogStreamReplayedMetadata{From: spanOf(t), Job: t.UID, Events: &t.Matched},
	})
}

// spanOf says in words what of the log a replay is about.
func spanOf(t consumer.Task) string {
	var parts []string
	for _, r := range t.Ranges {
		parts = append(parts, fmt.Sprintf("%d:%d-%d", r.Partition, r.From, r.To-1))
	}
	return "offsets " + strings.Join(parts[:min(len(parts), maxPositions)], ", ")
}
