package app

import (
	"context"
	"io"
	"strings"
	"time"

	"github.com/auditstream/auditstream/consumer/export"
	"github.com/auditstream/auditstream/schema"
	"github.com/auditstream/auditstream/schema/catalogue"
)

// writerOf writes the file of an export.
func writerOf(s *export.Source, e export.Export) func(context.Context, io.Writer, int64) error {
	return func(ctx context.Context, w io.Writer, from int64) error { return s.Write(ctx, &e, w, from) }
}

// ofKey begins an event about what was done with an API key.
func ofKey(key string, at time.Time) catalogue.Common {
	return catalogue.Common{OccurredAt: at, Actor: schema.Actor{ID: key, Type: "api_key", Name: key}}
}

// maxListed bounds a text of an event's metadata, in characters: WorkOS's limit.
const maxListed = 500

// exportCreated is the event about an export: who gets to see what.
func exportCreated(e *export.Export) *schema.Event {
	list := func(entries []string) string {
		text := []rune(strings.Join(entries, ", "))
		if len(text) > maxListed {
			return string(text[:maxListed-1]) + "…"
		}
		return string(text)
	}
	event := catalogue.AuditLogExportCreated(catalogue.AuditLogExportCreatedEvent{
		Common:         ofKey(e.By, e.Made),
		AuditLogExport: catalogue.Ref{ID: e.ID},
		Metadata: catalogue.AuditLogExportCreatedMetadata{
			RangeStart: e.RangeStart.Format(time.RFC3339Nano), RangeEnd: e.RangeEnd.Format(time.RFC3339Nano),
			Actions: list(e.Actions), ActorNames: list(e.ActorNames), ActorIDs: list(e.ActorIDs), TargetTypes: list(e.Targets),
		},
	})
	event.OrganizationID = e.OrganizationID
	return event
}

// retentionUpdated is the event about a change of an organization's retention.
func retentionUpdated(id string, before, days int, by string, at time.Time) *schema.Event {
	metadata := catalogue.AuditLogRetentionUpdatedMetadata{Days: int64(days)}
	if before > 0 {
		metadata.DaysBefore = new(int64(before))
	}
	event := catalogue.AuditLogRetentionUpdated(catalogue.AuditLogRetentionUpdatedEvent{
		Common: ofKey(by, at), Organization: catalogue.Ref{ID: id}, Metadata: metadata,
	})
	event.OrganizationID = id
	return event
}
