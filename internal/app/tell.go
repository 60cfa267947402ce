package app

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/producer"
	"github.com/auditstream/auditstream/schema"
	"github.com/auditstream/auditstream/schema/catalogue"
)

// announcer makes audit events of what operators do. A nil one makes none.
type announcer struct {
	topic        string // of events
	organization string // whose the events are about streams of all organizations; empty: nobody's
	valid        schema.Validator
	log          *zap.Logger
}

// ofChanges are the events of changes of streams. What was done, and by whom, is the last
// change that the stream remembers; what happened without being remembered is nobody's deed.
func (a *announcer) ofChanges(before, changes []consumer.Spec) ([]*kgo.Record, error) {
	if a == nil {
		return nil, nil
	}
	var out []*kgo.Record
	for _, s := range changes {
		var was consumer.Spec
		if i := slices.IndexFunc(before, func(b consumer.Spec) bool { return b.UID == s.UID }); i >= 0 {
			was = before[i]
		}
		if len(s.Changes) == 0 {
			continue
		}
		r, err := a.record(eventOf(was, s, s.Changes[len(s.Changes)-1]), s.OrganizationID)
		if err != nil {
			return nil, err
		}
		out = append(out, r...)
	}
	return out, nil
}

// record is an event as a record of the organization that it is about; none, but a line in the
// log, if that is all of them and nobody says whose their events are.
func (a *announcer) record(e *schema.Event, organization string) ([]*kgo.Record, error) {
	if organization == consumer.AllOrganizations || organization == "" {
		organization = a.organization
	}
	if organization == "" {
		a.log.Info("a change of what belongs to no organization is in no audit event: set admin.organization", zap.String("action", e.Action), zap.String("by", e.Actor.ID))
		return nil, nil
	}
	e.OrganizationID = organization
	r, err := producer.Record(a.topic, e, a.valid)
	if err != nil {
		return nil, err
	}
	return []*kgo.Record{r}, nil
}

// common begins an event about what somebody has done.
func common(by string, at time.Time) catalogue.Common {
	if by == "" {
		by = "unknown"
	}
	return catalogue.Common{OccurredAt: at, Actor: schema.Actor{ID: by, Type: "operator", Name: by}}
}

// eventOf is the event about a change of a stream.
func eventOf(was, s consumer.Spec, c consumer.Change) *schema.Event {
	head, actor := common(c.By, c.At), catalogue.AuditstreamActor{Token: c.By}
	ref, revision := catalogue.Ref{ID: s.UID, Name: s.ID}, s.Revision
	switch {
	case c.What == "made":
		return catalogue.AuditLogStreamCreated(catalogue.AuditLogStreamCreatedEvent{
			Common: head, ActorMetadata: actor,
			AuditLogStream: catalogue.AuditLogStreamCreatedAuditLogStream{Ref: ref, Metadata: catalogue.AuditLogStreamCreatedAuditLogStreamMetadata{Kind: s.Kind, Revision: &revision}},
			Metadata:       catalogue.AuditLogStreamCreatedMetadata{Kind: s.Kind, Format: s.Format, Start: s.Start},
		})
	case c.What == "paused":
		return catalogue.AuditLogStreamPaused(catalogue.AuditLogStreamPausedEvent{
			Common: head, ActorMetadata: actor,
			AuditLogStream: catalogue.AuditLogStreamPausedAuditLogStream{Ref: ref, Metadata: catalogue.AuditLogStreamPausedAuditLogStreamMetadata{Kind: s.Kind, Revision: &revision}},
			Metadata:       catalogue.AuditLogStreamPausedMetadata{Reason: c.Reason},
		})
	case c.What == "resumed":
		return catalogue.AuditLogStreamResumed(catalogue.AuditLogStreamResumedEvent{
			Common: head, ActorMetadata: actor,
			AuditLogStream: catalogue.AuditLogStreamResumedAuditLogStream{Ref: ref, Metadata: catalogue.AuditLogStreamResumedAuditLogStreamMetadata{Kind: s.Kind, Revision: &revision}},
			Metadata:       catalogue.AuditLogStreamResumedMetadata{Reason: c.Reason},
		})
	case strings.HasPrefix(c.What, "deleted"), strings.HasSuffix(c.What, "deleted"):
		return catalogue.AuditLogStreamDeleted(catalogue.AuditLogStreamDeletedEvent{
			Common: head, ActorMetadata: actor,
			AuditLogStream: catalogue.AuditLogStreamDeletedAuditLogStream{Ref: ref, Metadata: catalogue.AuditLogStreamDeletedAuditLogStreamMetadata{Kind: s.Kind, Revision: &revision}},
			Metadata:       catalogue.AuditLogStreamDeletedMetadata{Reason: strings.TrimSpace(c.What + ". " + c.Reason)},
		})
	case strings.HasPrefix(c.What, "moved to "):
		return catalogue.AuditLogStreamSkipped(catalogue.AuditLogStreamSkippedEvent{
			Common: head, ActorMetadata: actor,
			AuditLogStream: catalogue.AuditLogStreamSkippedAuditLogStream{Ref: ref, Metadata: catalogue.AuditLogStreamSkippedAuditLogStreamMetadata{Kind: s.Kind, Revision: &revision}},
			Metadata:       catalogue.AuditLogStreamSkippedMetadata{To: strings.TrimPrefix(c.What, "moved to "), Reason: c.Reason},
		})
	}
	return catalogue.AuditLogStreamUpdated(catalogue.AuditLogStreamUpdatedEvent{
		Common: head, ActorMetadata: actor,
		AuditLogStream: catalogue.AuditLogStreamUpdatedAuditLogStream{Ref: ref, Metadata: catalogue.AuditLogStreamUpdatedAuditLogStreamMetadata{Kind: s.Kind, Revision: &revision}},
		Metadata:       catalogue.AuditLogStreamUpdatedMetadata{Changes: changedNames(was, s)},
	})
}

// changedNames are the names of the settings that differ, with commas. Of a secret the
// sealed forms differ: it is named, and nothing of it is told.
func changedNames(was, s consumer.Spec) string {
	a, b := ownSettings(was), ownSettings(s)
	var names []string
	for name := range b {
		if !bytes.Equal(a[name], b[name]) {
			names = append(names, name)
		}
	}
	for name := range a {
		if _, ok := b[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// ownSettings are a stream's settings by name.
func ownSettings(s consumer.Spec) map[string]json.RawMessage {
	out := map[string]json.RawMessage{}
	whole, err := s.Encode()
	if err != nil {
		return out
	}
	var all, settings map[string]json.RawMessage
	if json.Unmarshal(whole, &all) != nil || json.Unmarshal(s.Settings, &settings) != nil && len(s.Settings) > 0 {
		return out
	}
	for name, value := range settings {
		out[s.Kind+"."+name] = value
	}
	// What is not of its owner's choice is no setting.
	for _, name := range []string{
		"v", "id", "uid", "epoch", "revision", "owner", "settings", "epoch_offset", "base_epoch", "forward", "former_offset",
		"moved", "moves", "hold", "drain", "removed", "changes", "start", "mac", "key",
	} {
		delete(all, name)
	}
	maps.Copy(out, all)
	return out
}
