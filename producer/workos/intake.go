package workos

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/auditstream/auditstream/producer"
	"github.com/auditstream/auditstream/schema"
)

// Publisher publishes events, as [producer.Client] does, with its errors.
type Publisher interface {
	Publish(ctx context.Context, events ...*schema.Event) error
}

// Letters keeps Events that no audit event can be made of.
type Letters interface {
	// Refuse returns when all in-sync replicas have them. One that is handed over twice is
	// one letter.
	Refuse(ctx context.Context, refused ...Refusal) error
}

// Once remembers what was published, so that an Event which comes by webhook and from the
// Events API is published the first time only. Its memory may be short: an Event that is
// published twice has the same id.
type Once interface {
	// Claim says whether the event was accepted before (done), or who is to be told what
	// becomes of it.
	Claim(ctx context.Context, event *schema.Event) (done bool, settle func(accepted bool), err error)
}

// Refusal is an Event that no audit event can be made of, or one that Kafka does not take.
type Refusal struct {
	ID         string // the same for the same Event
	Key        string // the organization it would have been of, where that is known
	Value      []byte // the Event, byte for byte as WorkOS sent it
	Source     string // SourceWebhook or SourceEvents
	Violations schema.Violations
	Received   time.Time
}

// Where Events come from.
const (
	SourceWebhook = "webhook"
	SourceEvents  = "events_api"
)

// Outcomes of an Event.
const (
	outcomePublished = "published"
	outcomeRepeated  = "repeated" // it was published before
	outcomeRefused   = "refused"  // it is in the dead letters
	outcomeIgnored   = "ignored"  // of an organization that is not wanted
)

// IntakeConfig says where Events go. Publisher and Letters are required.
type IntakeConfig struct {
	Publisher Publisher
	Letters   Letters
	Once      Once // nil: nothing is remembered

	// Organization is given to Events that name none; empty: they are refused.
	Organization string
	// Organizations are the only ones whose Events are taken; empty: those of all.
	Organizations []string
	// Check says what else is wrong with an event, beside what publishing refuses; may be nil.
	Check func(*schema.Event) schema.Violations

	Metrics prometheus.Registerer // nil: none
}

// Intake takes Events in, wherever they come from: the same Event is the same audit event.
// It may be used by many goroutines at once.
type Intake struct {
	cfg    IntakeConfig
	events *prometheus.CounterVec // by source and outcome
}

// NewIntake makes an intake.
func NewIntake(c IntakeConfig) (*Intake, error) {
	in := &Intake{cfg: c, events: prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "auditstream", Subsystem: "workos", Name: "events_total",
		Help: "Events of WorkOS by source (webhook, events_api) and outcome: published, repeated (published before), refused (in the dead letters), ignored (of an organization that is not wanted).",
	}, []string{"source", "outcome"})}
	for _, source := range []string{SourceWebhook, SourceEvents} {
		for _, outcome := range []string{outcomePublished, outcomeRepeated, outcomeRefused, outcomeIgnored} {
			in.events.WithLabelValues(source, outcome)
		}
	}
	if c.Metrics != nil {
		if err := c.Metrics.Register(in.events); err != nil {
			return nil, err
		}
	}
	return in, nil
}

// taking is one Event on its way.
type taking struct {
	raw    []byte
	event  *schema.Event
	settle func(accepted bool) // nil: nobody remembers
}

// Take publishes Events and returns nil when each of them is acknowledged: as an audit event,
// or among the dead letters when it can never be one. With an error some may be, and all of
// them are to be handed over again; they have the same ids then.
func (in *Intake) Take(ctx context.Context, source string, raws ...[]byte) error {
	received := time.Now()
	var under []taking
	var refused []Refusal
	counts := map[string]int{}
	refuse := func(raw []byte, e *schema.Event, violations schema.Violations) {
		refused = append(refused, refusal(source, raw, e, violations, received))
	}
	ids := map[string]bool{}
	for _, raw := range raws {
		t, violations := in.convert(raw)
		if violations != nil {
			refuse(raw, t.event, violations)
			continue
		}
		if ids[t.event.ID] { // a second claim on it would wait for the first one
			counts[outcomeRepeated]++
			continue
		}
		ids[t.event.ID] = true
		if len(in.cfg.Organizations) > 0 && !slices.Contains(in.cfg.Organizations, t.event.OrganizationID) {
			counts[outcomeIgnored]++
			continue
		}
		if in.cfg.Once != nil {
			done, settle, err := in.cfg.Once.Claim(ctx, t.event)
			if err != nil {
				in.settle(under, false)
				return fmt.Errorf("remember what was published: %w", err)
			}
			if done {
				counts[outcomeRepeated]++
				continue
			}
			t.settle = settle
		}
		under = append(under, t)
	}
	err := in.publish(ctx, under, counts, refuse)
	if err == nil && len(refused) > 0 {
		if err = in.cfg.Letters.Refuse(ctx, refused...); err != nil {
			err = fmt.Errorf("write to the dead letters: %w", err)
		} else {
			counts[outcomeRefused] += len(refused)
		}
	}
	for outcome, n := range counts {
		in.events.WithLabelValues(source, outcome).Add(float64(n))
	}
	return err
}

// convert makes an audit event of an Event, or says everything that is wrong with it.
func (in *Intake) convert(raw []byte) (taking, schema.Violations) {
	e, err := Convert(raw, in.cfg.Organization)
	if err != nil {
		if violations, ok := errors.AsType[schema.Violations](err); ok {
			return taking{raw: raw}, violations
		}
		return taking{raw: raw}, schema.Violations{{Code: schema.CodeSyntax, Message: err.Error()}}
	}
	t := taking{raw: raw, event: e}
	if e.OrganizationID == "" {
		return t, schema.Violations{{
			Pointer: "/organization_id", Code: schema.CodeRequired,
			Message: "the Event belongs to no organization; name one for such Events in gateway.workos.organization",
		}}
	}
	if in.cfg.Check != nil {
		if violations := in.cfg.Check(e); len(violations) > 0 {
			return t, violations
		}
	}
	return t, nil
}

// publish publishes what is under way. What Kafka will never take is refused.
func (in *Intake) publish(ctx context.Context, under []taking, counts map[string]int, refuse func([]byte, *schema.Event, schema.Violations)) error {
	if len(under) == 0 {
		return nil
	}
	events := make([]*schema.Event, len(under))
	for i, t := range under {
		events[i] = t.event
	}
	err := in.cfg.Publisher.Publish(ctx, events...)
	failed := map[int]error{}
	if partly, ok := errors.AsType[*producer.PublishError](err); ok {
		for _, f := range partly.Failed {
			failed[f.Index] = f.Err
		}
	} else if err != nil {
		in.settle(under, false)
		return err
	}
	var again error
	for i, t := range under {
		why := failed[i]
		if t.settle != nil {
			t.settle(why == nil)
		}
		if why == nil {
			counts[outcomePublished]++
		} else if violations := forEver(why); violations != nil {
			refuse(t.raw, t.event, violations)
		} else {
			again = why
		}
	}
	return again
}

// settle tells the memory that nothing came of these.
func (in *Intake) settle(under []taking, accepted bool) {
	for _, t := range under {
		if t.settle != nil {
			t.settle(accepted)
		}
	}
}

// forEver is what is wrong with an event that no further attempt would publish; nil: another
// one may.
func forEver(err error) schema.Violations {
	if violations, ok := errors.AsType[schema.Violations](err); ok {
		return violations
	}
	if large, ok := errors.AsType[*producer.TooLargeError](err); ok {
		return schema.Violations{{Code: schema.CodeTooLarge, Message: large.Error()}}
	}
	return nil
}

func refusal(source string, raw []byte, e *schema.Event, violations schema.Violations, received time.Time) Refusal {
	r := Refusal{Value: raw, Source: source, Violations: violations, Received: received}
	var named struct {
		ID string `json:"id"`
	}
	_ = json.Unmarshal(raw, &named) // what cannot be read has no id
	if named.ID != "" {
		r.ID = schema.ForeignID("workos", named.ID)
	} else {
		sum := sha256.Sum256(raw)
		r.ID = hex.EncodeToString(sum[:16])
	}
	if e != nil {
		r.Key = e.OrganizationID
	}
	return r
}
