package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/internal/record"
	"github.com/auditstream/auditstream/internal/seal"
	"github.com/auditstream/auditstream/schema"
	"github.com/auditstream/auditstream/schema/catalogue"
	"github.com/auditstream/auditstream/sinks"
)

// TestAction is the action of an event that was made to test a stream, and marks it as one.
const TestAction = "auditstream.test"

// everybody stands for an organization in the test of a stream of all organizations.
const everybody = "org_000000000000000AUDITSTREAM"

// StreamTest is one test of a stream's destination.
type StreamTest struct {
	Config  *config.Config // whose policy for addresses holds
	Spec    consumer.Spec
	Version string
}

// Spec reads a stream's spec as it is in force. A *[NoStreamError] says that there is none.
func (o *Operator) Spec(ctx context.Context, id string) (consumer.Spec, error) {
	specs, err := readSpecs(ctx, o.reader, o.topics, o.keys)
	if err != nil {
		return consumer.Spec{}, err
	}
	return streamNamed(specs.Streams, id)
}

// SpecOf is the spec that a stream of a file would have.
func SpecOf(s config.Stream) consumer.Spec { return newSpec(s, ownerFile) }

// Run writes one marked event to the destination, past Kafka and all progress, and calls
// report for each step. It returns the event's id, and why it did not arrive.
func (t StreamTest) Run(ctx context.Context, report func(sinks.Step)) (id string, err error) {
	kind, ok := kindNamed(t.Spec.Kind)
	if !ok {
		return "", fmt.Errorf("streams of kind %q: written by a newer version of auditstream", t.Spec.Kind)
	}
	settings := kind.Defaults()
	if len(t.Spec.Settings) > 0 {
		if err := record.Strictly(t.Spec.Settings, settings); err != nil {
			return "", fmt.Errorf("settings: %w", err)
		}
	}
	if err := settings.Validate(); err != nil {
		return "", fmt.Errorf("settings: %w", err)
	}
	keys, err := seal.Load(ctx, t.Config.Sealing.Keys)
	if err != nil {
		return "", err
	}
	if err := binder(keys)(t.Spec, settings); err != nil {
		return "", fmt.Errorf("settings: %w", err)
	}
	sink, err := kind.Open(settings, sinks.Options{
		Log: zap.NewNop(), Version: t.Version, Owner: t.Spec.Owner, Egress: newGuard(t.Config),
	})
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, sink.Close()) }()
	tester, ok := sink.(sinks.Tester)
	if !ok {
		return "", fmt.Errorf("destinations of kind %s cannot be tested", kind.Name)
	}
	e, err := t.event(time.Now().UTC())
	if err != nil {
		return "", err
	}
	id = string(e.ID)
	if e, err = t.formatted(e); err != nil {
		return id, err
	}
	frame, err := sink.Frame(nil, e)
	if _, ok := settings.(sinks.Formatted); ok && sinks.ClassOf(err) == sinks.Rejected {
		frame, err = nil, nil // it takes events of some forms only: the sink tests without this one
	}
	if err != nil {
		return id, err
	}
	return id, tester.Test(ctx, &sinks.Batch{
		Lane:   sinks.Lane{Stream: t.Spec.ID, UID: t.Spec.UID, Epoch: t.Spec.Epoch, Revision: t.Spec.Revision},
		Events: []sinks.Entry{{End: len(frame), Day: int32(e.Time.Unix() / (24 * 60 * 60))}},
		Body:   frame, Next: 1,
	}, report)
}

// formatted is e as the stream masks it, with a key of nobody's, and as its format has it.
func (t StreamTest) formatted(e *sinks.Event) (*sinks.Event, error) {
	mask, err := t.Spec.ShownMask()
	if err != nil {
		return nil, err
	}
	if mask != nil {
		if e.Value, err = mask.Append(nil, e.Value); err != nil {
			return nil, err
		}
	}
	known, err := catalogue.Embedded()
	if err != nil {
		return nil, err
	}
	format, err := FormatNamed(t.Spec.Format, known.Action)
	if err != nil || format == nil {
		return e, err
	}
	return format.Apply(e)
}

// event is the one that is written.
func (t StreamTest) event(now time.Time) (*sinks.Event, error) {
	organization := t.Spec.OrganizationID
	if organization == config.AllOrganizations {
		organization = everybody
	}
	e := &schema.Event{
		ID: schema.NewID(now), OrganizationID: organization, Action: TestAction, OccurredAt: now.Format(time.RFC3339Nano),
		Actor:    schema.Actor{ID: "auditstream", Type: "system", Name: "auditstream stream test"},
		Targets:  []schema.Target{{ID: t.Spec.ID, Type: "stream"}},
		Metadata: map[string]any{"test": true},
	}
	value, err := e.AppendCanonical(nil)
	if err != nil {
		return nil, err
	}
	return &sinks.Event{
		Value: value, ID: []byte(e.ID), OrganizationID: []byte(organization), Action: []byte(TestAction),
		OccurredAt: []byte(e.OccurredAt), Time: now,
	}, nil
}
