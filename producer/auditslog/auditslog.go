// Package auditslog makes audit events of log records: those that carry the group audit.
//
//	logger.InfoContext(ctx, "invited a user", slog.Group("audit",
//		slog.String("action", "user.invite"),
//		slog.Group("target", slog.String("id", "invitation_1"), slog.String("type", "invitation")),
//		slog.Group("metadata", slog.String("email", "bob@example.com")),
//	))
//	logger.InfoContext(ctx, "invited a user", auditslog.Event(catalogue.UserInvited(…)))
//
// A logger has no way to tell its caller that something went wrong, so this way of
// publishing does not suit code that must not go on without its audit event; that calls
// the client. Nothing is lost in silence all the same: what makes no valid event, and what
// could not be published, is an error in the log, with the event (see [Handler]).
package auditslog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/auditstream/auditstream/producer/auditctx"
	"github.com/auditstream/auditstream/schema"
)

// Defaults of Config.
const (
	DefaultGroup   = "audit"
	DefaultMaxWait = time.Second
)

// Publisher publishes without waiting for the acknowledgement, as *producer.Client does.
type Publisher interface {
	PublishAsync(ctx context.Context, event *schema.Event, done func(error))
}

// Config says where events and records go. Publisher and Next are required.
type Config struct {
	Publisher Publisher
	Next      slog.Handler // takes records, and the errors of events

	// Group is the key of the attribute that makes a record an event; default DefaultGroup.
	Group string

	// Divert keeps records that became events from Next, unless publishing fails.
	Divert bool

	// Level is the lowest level of records that become events; nil: there is none, since
	// whoever lowers the verbosity of a log rarely means to end its audit. A record below it
	// is for Next alone.
	Level slog.Leveler

	// MaxWait bounds how long a record may hold up its caller: while the client's buffer is
	// full, and at first until Kafka has been reached. Default DefaultMaxWait.
	MaxWait time.Duration
}

// Handler is a [slog.Handler] that publishes the records which carry the group and passes
// records on to Config.Next.
//
// A record is an event if it has the group itself, or comes from a logger whose group, from
// With, has an action; what the two say is put together, and the record's counts more. The
// group's members are those of an event:
//
//	id, organization_id, action, version   as they are
//	occurred_at                            text or time; default the record's time
//	actor, context                         a group, or a schema.Actor, a schema.Context
//	target                                 a group or a schema.Target, once for each target
//	targets                                a []schema.Target
//	metadata                               a group or a map[string]any
//
// or the attribute is an event as a whole: see [Event]. Values are resolved ([slog.LogValuer]);
// in metadata a time becomes its RFC 3339 text, a duration and an error their text. What
// is missing comes from the record's context, as auditctx.Fill has it. The message of the
// record, and attributes outside of the group, are not part of the event.
//
// An event that is not valid, holds a member that events do not have, or cannot be
// published (the client's time-out included), is logged to Next as an error "audit event was
// not published", with the error, the message of the record and the event. Handle returns
// the error as well, if it is known by then. The end of the record's context ends neither.
type Handler struct {
	conf Config
	next slog.Handler // Config.Next with the attributes and groups of the logger

	groups []string    // that are open
	attrs  []slog.Attr // members of the group, from With; whoever adds to it copies it
}

// New makes a handler.
func New(c Config) (*Handler, error) {
	if c.Publisher == nil {
		return nil, errors.New("auditslog.Config.Publisher: required")
	}
	if c.Next == nil {
		return nil, errors.New("auditslog.Config.Next: required; slog.DiscardHandler is one, and loses errors")
	}
	if c.MaxWait < 0 {
		return nil, fmt.Errorf("auditslog.Config.MaxWait: %s is negative", c.MaxWait)
	}
	c.Group = cmp.Or(c.Group, DefaultGroup)
	c.MaxWait = cmp.Or(c.MaxWait, DefaultMaxWait)
	return &Handler{conf: c, next: c.Next}, nil
}

// Event is the attribute that makes an event of the record as it is, for events that a
// constructor of package catalogue has made. Handlers whose group has another name take
// slog.Any(group, event).
func Event(event *schema.Event) slog.Attr { return slog.Any(DefaultGroup, event) }

// Enabled says whether the record may become an event, which cannot be known before it is
// there, or whether Next takes it.
func (h *Handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.audits(level) || h.next.Enabled(ctx, level)
}

func (h *Handler) audits(level slog.Level) bool {
	return h.conf.Level == nil || level >= h.conf.Level.Level()
}

// WithAttrs implements [slog.Handler].
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	if len(attrs) == 0 {
		return h
	}
	own := *h
	own.next = h.next.WithAttrs(attrs)
	own.attrs = append(slices.Clip(slices.Clone(h.attrs)), h.members(attrs)...)
	return &own
}

// WithGroup implements [slog.Handler].
func (h *Handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	own := *h
	own.next = h.next.WithGroup(name)
	own.groups = append(slices.Clip(slices.Clone(h.groups)), name)
	return &own
}

// Handle implements [slog.Handler].
func (h *Handler) Handle(ctx context.Context, record slog.Record) error {
	event, marked, err := h.event(ctx, record)
	if !marked {
		return h.pass(ctx, record)
	}
	if err != nil {
		h.failed(ctx, record, event, err)
		return errors.Join(err, h.pass(ctx, record))
	}
	var passed error
	if !h.conf.Divert {
		passed = h.pass(ctx, record)
	}
	// What is logged at the end of a request is published although the request has ended.
	ctx = context.WithoutCancel(ctx)
	wait, cancel := context.WithTimeout(ctx, h.conf.MaxWait)
	defer cancel()
	record = record.Clone() // it may be needed when the caller has gone on
	outcome := make(chan error, 1)
	h.conf.Publisher.PublishAsync(wait, event, func(err error) {
		if err != nil {
			h.failed(ctx, record, event, err)
			if h.conf.Divert {
				err = errors.Join(err, h.pass(ctx, record))
			}
		}
		outcome <- err
	})
	select {
	case err = <-outcome:
	default: // it is under way
	}
	return errors.Join(err, passed)
}

// pass hands a record to Next, if that takes its level.
func (h *Handler) pass(ctx context.Context, record slog.Record) error {
	if !h.next.Enabled(ctx, record.Level) {
		return nil
	}
	return h.next.Handle(ctx, record)
}

// failed logs that an event was not published. It goes to Next as it was configured: the
// groups of the logger would hide it.
func (h *Handler) failed(ctx context.Context, record slog.Record, event *schema.Event, err error) {
	report := slog.NewRecord(time.Now(), slog.LevelError, "audit event was not published", record.PC)
	report.AddAttrs(slog.String("error", err.Error()), slog.String("log_message", record.Message))
	if value, err := event.AppendCanonical(nil); err == nil {
		report.AddAttrs(slog.String("event", string(value)))
	} else {
		report.AddAttrs(slog.String("action", event.Action), slog.String("organization_id", event.OrganizationID))
	}
	// There is nobody left to tell when the log fails too.
	_ = h.conf.Next.Handle(context.WithoutCancel(ctx), report)
}

// members are those of attrs, of the place where the logger stands, that belong to the
// group: as they stand within it.
func (h *Handler) members(attrs []slog.Attr) []slog.Attr {
	if len(h.groups) > 0 {
		if h.groups[0] != h.conf.Group {
			return nil
		}
		attrs = slices.DeleteFunc(slices.Clone(attrs), func(a slog.Attr) bool { return a.Equal(slog.Attr{}) })
		if len(attrs) == 0 {
			return nil
		}
		for i := len(h.groups) - 1; i > 0; i-- {
			attrs = []slog.Attr{{Key: h.groups[i], Value: slog.GroupValue(attrs...)}}
		}
		return attrs
	}
	var members []slog.Attr
	for _, a := range attrs {
		switch v := a.Value.Resolve(); {
		case v.Kind() == slog.KindGroup && a.Key == "":
			members = append(members, h.members(v.Group())...) // as if they stood here
		case a.Key != h.conf.Group:
		case v.Kind() == slog.KindGroup:
			members = append(members, v.Group()...)
		default:
			members = append(members, slog.Attr{Key: whole, Value: v})
		}
	}
	return members
}

// event is what record says, and whether it is meant as an event at all.
func (h *Handler) event(ctx context.Context, record slog.Record) (event *schema.Event, marked bool, err error) {
	if !h.audits(record.Level) {
		return nil, false, nil
	}
	attrs := make([]slog.Attr, 0, record.NumAttrs())
	record.Attrs(func(a slog.Attr) bool {
		attrs = append(attrs, a)
		return true
	})
	own := h.members(attrs)
	if len(own) == 0 && !slices.ContainsFunc(h.attrs, func(a slog.Attr) bool { return a.Key == "action" || a.Key == whole }) {
		return nil, false, nil
	}
	e, err := read(append(slices.Clip(h.attrs), own...))
	if e.OccurredAt == "" && !record.Time.IsZero() {
		e.OccurredAt = timestamp(record.Time)
	}
	auditctx.Fill(ctx, e)
	if e.Targets == nil && e.Extra["targets"] == nil {
		e.Targets = []schema.Target{}
	}
	return e, true, err
}
