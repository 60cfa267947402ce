package auditslog_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/slogtest"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/auditstream/auditstream/producer"
	"github.com/auditstream/auditstream/producer/auditctx"
	"github.com/auditstream/auditstream/producer/auditslog"
	"github.com/auditstream/auditstream/producer/audittest"
	"github.com/auditstream/auditstream/schema"
)

const acme = "org_01JAAAAAAAAAAAAAAAAAAAAAAA"

// rig is a logger, what it has published and what it has logged.
type rig struct {
	*slog.Logger
	handler *auditslog.Handler
	events  audittest.Recorder
	log     bytes.Buffer
}

func newRig(t *testing.T, change func(*auditslog.Config)) *rig {
	t.Helper()
	r := new(rig)
	c := auditslog.Config{Publisher: &r.events, Next: slog.NewJSONHandler(&r.log, nil)}
	if change != nil {
		change(&c)
	}
	var err error
	if r.handler, err = auditslog.New(c); err != nil {
		t.Fatal(err)
	}
	r.Logger = slog.New(r.handler)
	return r
}

// lines are the records that were logged.
func (r *rig) lines(t *testing.T) []map[string]any {
	t.Helper()
	var lines []map[string]any
	for line := range bytes.Lines(r.log.Bytes()) {
		var m map[string]any
		if err := json.Unmarshal(line, &m); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, m)
	}
	return lines
}

// messages are those of the records that were logged.
func (r *rig) messages(t *testing.T) []any {
	t.Helper()
	var all []any
	for _, line := range r.lines(t) {
		all = append(all, line["msg"])
	}
	return all
}

// full is a context that carries whatever the tests' events leave out.
func full(ctx context.Context) context.Context {
	ctx = auditctx.WithOrganization(ctx, acme)
	ctx = auditctx.WithActor(ctx, schema.Actor{ID: "user_1", Type: "user"})
	return auditctx.WithContext(ctx, schema.Context{Location: "192.0.2.1"})
}

func TestConformance(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	if err := slogtest.TestHandler(r.handler, func() []map[string]any { return r.lines(t) }); err != nil {
		t.Error(err)
	}
	r.events.Published(t)
}

type secret struct{}

func (secret) LogValue() slog.Value { return slog.StringValue("REDACTED") }

func TestAGroupBecomesAnEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.InfoContext(t.Context(), "invited", slog.String("request", "7"), slog.Group(
			"audit",
			slog.String("id", "audit_event_01JAAAAAAAAAAAAAAAAAAAAAAA"),
			slog.String("organization_id", acme),
			slog.String("action", "user.invite"),
			slog.Int("version", 1),
			slog.Group("actor", slog.Int("id", 7), slog.String("type", "user"), slog.String("name", "Ada"), slog.Group("metadata", slog.String("team", "a"))),
			slog.Group("target", slog.String("id", "invitation_1"), slog.String("type", "invitation")),
			slog.Any("target", schema.Target{ID: "user_2", Type: "user"}),
			slog.Any("targets", []schema.Target{{ID: "team_1", Type: "team"}}),
			slog.Group("context", slog.Any("location", netip.MustParseAddr("192.0.2.1")), slog.String("user_agent", "curl/8")),
			slog.Group(
				"metadata",
				slog.String("email", "bob@example.com"), slog.Bool("again", true), slog.Int("count", 2), slog.Duration("took", 3*time.Second),
				slog.Time("at", time.Now()), slog.Any("token", secret{}), slog.Any("error", errors.New("broken")),
				slog.Group("inner", slog.Float64("ratio", .5)), slog.Group("", slog.String("inline", "yes")), slog.Attr{},
			),
		))
		want := []*schema.Event{{
			ID: "audit_event_01JAAAAAAAAAAAAAAAAAAAAAAA", OrganizationID: acme, Action: "user.invite", Version: new(1), OccurredAt: "2000-01-01T00:00:00Z",
			Actor:   schema.Actor{ID: "7", Type: "user", Name: "Ada", Metadata: map[string]any{"team": "a"}},
			Targets: []schema.Target{{ID: "invitation_1", Type: "invitation"}, {ID: "user_2", Type: "user"}, {ID: "team_1", Type: "team"}},
			Context: &schema.Context{Location: "192.0.2.1", UserAgent: "curl/8"},
			Metadata: map[string]any{
				"email": "bob@example.com", "again": true, "count": json.Number("2"), "took": "3s", "at": "2000-01-01T00:00:00Z",
				"token": "REDACTED", "error": "broken", "inner": map[string]any{"ratio": json.Number("0.5")}, "inline": "yes",
			},
		}}
		if diff := cmp.Diff(want, r.events.Events()); diff != "" {
			t.Errorf("(-want +got)\n%s\n%s", diff, r.log.String())
		}
		if diff := cmp.Diff([]any{"invited"}, r.messages(t)); diff != "" {
			t.Errorf("the log (-want +got)\n%s", diff)
		}
	})
}

func TestAnEventIsTakenAsItIs(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	e := &schema.Event{OrganizationID: acme, Action: "user.signed_in", OccurredAt: "2026-01-02T03:04:05Z", Actor: schema.Actor{ID: "user_2", Type: "user"}, Targets: []schema.Target{}, Context: &schema.Context{}}
	r.InfoContext(full(t.Context()), "signed in", auditslog.Event(e))
	got := r.events.Published(t, "user.signed_in")[0]
	if e.ID != "" {
		t.Error("the caller's event was changed")
	}
	got.ID = ""
	if diff := cmp.Diff(e, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestTheContextFillsWhatIsMissing(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.InfoContext(full(t.Context()), "downloaded", slog.Group("audit", slog.String("action", "report.downloaded")))
	got := r.events.Published(t, "report.downloaded")[0]
	if got.OrganizationID != acme || got.Actor.ID != "user_1" || got.Context.Location != "192.0.2.1" {
		t.Errorf("got %+v", got)
	}
}

// What With and WithGroup say counts for every record, as it does for every handler.
func TestWhatTheLoggerCarries(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		log     func(ctx context.Context, l *slog.Logger)
		actions []string
	}{
		{"no group", func(ctx context.Context, l *slog.Logger) { l.InfoContext(ctx, "a", "action", "a.b") }, nil},
		{"a text named as the group", func(ctx context.Context, l *slog.Logger) { l.InfoContext(ctx, "a", "other", "audit") }, nil},
		{"the group with an action", func(ctx context.Context, l *slog.Logger) {
			l.With(slog.Group("audit", "action", "a.b")).InfoContext(ctx, "a")
		}, []string{"a.b"}},
		{"the group without an action", func(ctx context.Context, l *slog.Logger) {
			l = l.With(slog.Group("audit", "organization_id", acme))
			l.InfoContext(ctx, "no event")
			l.InfoContext(ctx, "an event", slog.Group("audit", "action", "a.b"))
		}, []string{"a.b"}},
		{"an open group", func(ctx context.Context, l *slog.Logger) {
			l = l.WithGroup("audit")
			l.InfoContext(ctx, "no event")
			l.With("organization_id", acme).InfoContext(ctx, "an event", "action", "a.b")
		}, []string{"a.b"}},
		{"an open group within", func(ctx context.Context, l *slog.Logger) {
			l.WithGroup("audit").With("action", "a.b").WithGroup("metadata").InfoContext(ctx, "a", "email", "x")
		}, []string{"a.b"}},
		{"a group of another name", func(ctx context.Context, l *slog.Logger) {
			l.WithGroup("request").InfoContext(ctx, "a", slog.Group("audit", "action", "a.b"))
		}, nil},
		{"a group without a name", func(ctx context.Context, l *slog.Logger) {
			l.InfoContext(ctx, "a", slog.Group("", slog.Group("audit", "action", "a.b")))
		}, []string{"a.b"}},
		{"an empty group", func(ctx context.Context, l *slog.Logger) { l.InfoContext(ctx, "a", slog.Group("audit")) }, nil},
		{"the record's action counts more", func(ctx context.Context, l *slog.Logger) {
			l.With(slog.Group("audit", "action", "a.b")).InfoContext(ctx, "a", slog.Group("audit", "action", "a.c"))
		}, []string{"a.c"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			tt.log(full(t.Context()), r.Logger)
			r.events.Published(t, tt.actions...)
			if strings.Contains(r.log.String(), "ERROR") {
				t.Error(r.log.String())
			}
		})
	}
}

func TestMetadataOfLoggerAndRecordAreOne(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	base := r.With(slog.Group("audit", slog.Group("metadata", "a", 1, "b", 1)))
	base.InfoContext(full(t.Context()), "x", slog.Group("audit", "action", "a.b", slog.Group("metadata", "b", 2)))
	base.InfoContext(full(t.Context()), "x", slog.Group("audit", "action", "a.c"))
	got := r.events.Published(t, "a.b", "a.c")
	want := []map[string]any{{"a": json.Number("1"), "b": json.Number("2")}, {"a": json.Number("1"), "b": json.Number("1")}}
	if diff := cmp.Diff(want, []map[string]any{got[0].Metadata, got[1].Metadata}); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// A record that makes no event is an error in the log, with everything that it said.
func TestNothingIsLostInSilence(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		attr slog.Attr
		want string
	}{
		{"no action", slog.Group("audit", slog.Group("metadata", "a", 1)), "/action: required"},
		{"no such member", slog.Group("audit", "action", "a.b", "email", "x"), "email: events have no such member; put it into metadata"},
		{"no such member of the actor", slog.Group("audit", "action", "a.b", slog.Group("actor", "email", "x")), "actor.email: there is no such member"},
		{"no such member of the context", slog.Group("audit", "action", "a.b", slog.Group("context", "ip", "x")), "context.ip: there is no such member"},
		{"a target that is a text", slog.Group("audit", "action", "a.b", "target", "x"), "target: is no group"},
		{"targets that are none", slog.Group("audit", "action", "a.b", "targets", "x"), "targets: is no []schema.Target"},
		{"a version in words", slog.Group("audit", "action", "a.b", "version", "one"), "version: is not a whole number"},
		{"metadata that are a text", slog.Group("audit", "action", "a.b", "metadata", "x"), "metadata: is no group"},
		{"an action that is true", slog.Group("audit", "action", true), "action: is not a text"},
		{"no event at all", slog.String("audit", "a.b"), "the event: is a string"},
		{"a nil event", auditslog.Event(nil), "the event: is nil"},
		{"metadata without a form", slog.Group("audit", "action", "a.b", slog.Group("metadata", slog.Any("f", func() {}))), "/metadata/f"},
	}
	for _, tt := range tests {
		for _, divert := range []bool{false, true} {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				log := new(bytes.Buffer) // as text: JSON has no form for some of it
				r := newRig(t, func(c *auditslog.Config) { c.Divert, c.Next = divert, slog.NewTextHandler(log, nil) })
				record := slog.NewRecord(time.Now(), slog.LevelInfo, "what was done", 0)
				record.AddAttrs(tt.attr)
				if err := r.handler.Handle(full(t.Context()), record); err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("Handle returns %v, want %q", err, tt.want)
				}
				said := log.String()
				if strings.Count(said, `level=INFO msg="what was done"`) != 1 || strings.Count(said, `level=ERROR msg="audit event was not published"`) != 1 || !strings.Contains(said, `log_message="what was done"`) {
					t.Errorf("the log says\n%s", said)
				}
				r.events.Published(t)
			})
		}
	}
}

func TestWhatCannotBePublishedIsLoggedWithTheEvent(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *auditslog.Config) { c.Divert = true })
	r.events.Fail = func(e *schema.Event) error {
		if e.Action == "a.b" {
			return producer.ErrUnavailable
		}
		return nil
	}
	r.InfoContext(full(t.Context()), "fails", slog.Group("audit", "action", "a.b"))
	r.InfoContext(full(t.Context()), "succeeds", slog.Group("audit", "action", "a.c"))
	r.InfoContext(full(t.Context()), "is no event")
	if diff := cmp.Diff([]any{"audit event was not published", "fails", "is no event"}, r.messages(t)); diff != "" {
		t.Fatalf("(-want +got)\n%s", diff)
	}
	line := r.lines(t)[0]
	if line["error"] != producer.ErrUnavailable.Error() || line["log_message"] != "fails" {
		t.Errorf("got %v", line)
	}
	lost, err := schema.Decode([]byte(line["event"].(string)))
	if err != nil || lost.Action != "a.b" || lost.OrganizationID != acme || lost.ID == "" {
		t.Errorf("the event in the log is %+v, %v", lost, err)
	}
}

// A log that is turned down stays an audit log.
func TestTheLevelOfTheLogIsNotThatOfTheAudit(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.DebugContext(full(t.Context()), "in detail", slog.Group("audit", "action", "a.b"))
	r.DebugContext(full(t.Context()), "in detail")
	r.events.Published(t, "a.b")
	if said := r.log.String(); said != "" {
		t.Errorf("the log says %s", said)
	}

	r = newRig(t, func(c *auditslog.Config) { c.Level = slog.LevelWarn })
	if r.Enabled(t.Context(), slog.LevelDebug) || !r.Enabled(t.Context(), slog.LevelInfo) {
		t.Error("enabled is what neither takes, or what the log takes is not")
	}
	r.InfoContext(full(t.Context()), "below", slog.Group("audit", "action", "a.b"))
	r.WarnContext(full(t.Context()), "at it", slog.Group("audit", "action", "a.c"))
	r.events.Published(t, "a.c")
	if diff := cmp.Diff([]any{"below", "at it"}, r.messages(t)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// slow takes an event when its context ends, as a client does whose buffer stays full, or
// later, as one does whose Kafka is slow.
type slow struct {
	full bool
	mu   sync.Mutex
	done []func(error)
}

func (s *slow) PublishAsync(ctx context.Context, _ *schema.Event, done func(error)) {
	if s.full {
		<-ctx.Done()
		done(context.Cause(ctx))
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done = append(s.done, done)
}

func TestAFullBufferHoldsTheLoggerUpForABoundedTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *auditslog.Config) { c.Publisher, c.MaxWait = &slow{full: true}, time.Minute })
		ended, cancel := context.WithCancel(full(t.Context()))
		cancel() // the end of a request takes no event along
		began := time.Now()
		r.InfoContext(ended, "x", slog.Group("audit", "action", "a.b"))
		if took := time.Since(began); took != time.Minute {
			t.Errorf("it took %s, want MaxWait", took)
		}
		if diff := cmp.Diff([]any{"x", "audit event was not published"}, r.messages(t)); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	})
}

func TestAnEventThatFailsLaterIsLoggedLater(t *testing.T) {
	t.Parallel()
	s := new(slow)
	r := newRig(t, func(c *auditslog.Config) { c.Publisher, c.Divert = s, true })
	r.WithGroup("request").With("id", 7).InfoContext(full(t.Context()), "x")
	r.With("request", 7).InfoContext(full(t.Context()), "y", slog.Group("audit", "action", "a.b"))
	if diff := cmp.Diff([]any{"x"}, r.messages(t)); diff != "" {
		t.Fatalf("(-want +got)\n%s", diff)
	}
	s.done[0](producer.ErrClosed)
	if diff := cmp.Diff([]any{"x", "audit event was not published", "y"}, r.messages(t)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if last := r.lines(t)[2]; last["request"] != 7.0 {
		t.Errorf("the record has lost what its logger carries: %v", last)
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	next := slog.DiscardHandler
	for want, c := range map[string]auditslog.Config{
		"Config.Publisher: required":      {Next: next},
		"Config.Next: required":           {Publisher: new(slow)},
		"Config.MaxWait: -1s is negative": {Publisher: new(slow), Next: next, MaxWait: -time.Second},
	} {
		if _, err := auditslog.New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
