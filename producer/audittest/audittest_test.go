package audittest_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/google/go-cmp/cmp"

	"github.com/auditstream/auditstream/producer"
	"github.com/auditstream/auditstream/producer/audittest"
	"github.com/auditstream/auditstream/schema"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// publisher is what services see of a client.
type publisher interface {
	Publish(ctx context.Context, events ...*schema.Event) error
	PublishAsync(ctx context.Context, event *schema.Event, done func(error))
	Flush(ctx context.Context) error
	Close(ctx context.Context) error
}

var (
	_ publisher = (*producer.Client)(nil)
	_ publisher = (*audittest.Recorder)(nil)
)

const (
	acme  = "org_01JAAAAAAAAAAAAAAAAAAAAAAA"
	other = "org_01JBBBBBBBBBBBBBBBBBBBBBBB"
)

func event(organization, action string) *schema.Event {
	return &schema.Event{
		OrganizationID: organization, Action: action, OccurredAt: "2026-11-22T10:00:00Z",
		Actor: schema.Actor{ID: "user_1", Type: "user"}, Targets: []schema.Target{},
	}
}

// failure is what a test that uses the package would see.
type failure struct {
	testing.TB
	said string
}

func (f *failure) Helper() {}

func (f *failure) Errorf(format string, args ...any) {
	f.said = strings.TrimSpace(f.said + "\n" + format)
	f.Logf(format, args...)
}

func (f *failure) Fatalf(format string, args ...any) {
	f.Errorf(format, args...)
	panic(f)
}

// failing is what an assertion says, empty if it holds.
func failing(t *testing.T, assertion func(testing.TB)) string {
	t.Helper()
	f := &failure{TB: t}
	func() {
		defer func() {
			if r := recover(); r != nil && r != any(f) {
				panic(r)
			}
		}()
		assertion(f)
	}()
	return f.said
}

func TestTheRecorderKeepsWhatTheClientWouldAccept(t *testing.T) {
	t.Parallel()
	var r audittest.Recorder
	good, bad := event(acme, "a.b"), event("", "a.c")
	err := r.Publish(t.Context(), good, nil, bad, event(acme, "a.d"))
	failed, ok := errors.AsType[*producer.PublishError](err)
	if !ok || len(failed.Failed) != 2 || failed.Failed[0].Index != 1 || failed.Failed[1].Index != 2 || failed.Total != 4 {
		t.Fatalf("got %v", err)
	}
	if v, ok := errors.AsType[schema.Violations](failed.Failed[1].Err); !ok || v[0].Pointer != "/organization_id" {
		t.Errorf("got %v", failed.Failed[1].Err)
	}
	if good.ID == "" {
		t.Error("the event has got no id")
	}
	if got := r.Published(t, "a.b", "a.d"); got[0].ID != good.ID {
		t.Errorf("kept %s, published %s", got[0].ID, good.ID)
	}
	good.Action = "changed.afterwards"
	r.Published(t, "a.b", "a.d")
	r.Reset()
	r.Published(t)
}

// What the client refuses the recorder refuses, with the same words.
func TestTheRecorderRefusesAsTheClientDoes(t *testing.T) {
	t.Parallel()
	client, err := producer.New(producer.Config{Brokers: audittest.StartKafka(t).Brokers()})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close(t.Context()) //nolint:errcheck // nothing is under way
	var r audittest.Recorder
	for name, e := range map[string]*schema.Event{
		"nil":             nil,
		"no organization": event("", "a.b"),
		"no action":       event(acme, ""),
		"not UTF-8":       event(acme, "\xff"),
	} {
		if e != nil {
			e.ID = "audit_event_01JAAAAAAAAAAAAAAAAAAAAAAA"
		}
		want, got := client.Publish(t.Context(), e), r.Publish(t.Context(), e)
		if want == nil || got == nil || want.Error() != got.Error() {
			t.Errorf("%s: the client says %v, the recorder %v", name, want, got)
		}
	}
}

func TestFailuresOfOnesOwn(t *testing.T) {
	t.Parallel()
	r := audittest.Recorder{
		Fail: func(e *schema.Event) error {
			if e.Action == "a.b" {
				return producer.ErrUnavailable
			}
			return nil
		},
		Check: func(e *schema.Event) schema.Violations {
			if e.Action == "a.c" {
				return schema.Violations{{Pointer: "/action", Code: "unknown_action", Message: "not known"}}
			}
			return nil
		},
	}
	if err := r.Publish(t.Context(), event(acme, "a.b")); !errors.Is(err, producer.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	var async error
	r.PublishAsync(t.Context(), event(acme, "a.c"), func(err error) { async = err })
	if _, ok := errors.AsType[schema.Violations](async); !ok {
		t.Errorf("got %v", async)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Publish(ended, event(acme, "a.d")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := r.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := r.Publish(t.Context(), event(acme, "a.d")); !errors.Is(err, producer.ErrClosed) {
		t.Errorf("got %v", err)
	}
	r.Published(t)
}

func TestAssertionsFailWhenTheyShould(t *testing.T) {
	t.Parallel()
	var r audittest.Recorder
	if err := r.Publish(t.Context(), event(acme, "a.b"), event(other, "a.c")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]string{"another order": {"a.c", "a.b"}, "one less": {"a.b"}, "one more": {"a.b", "a.c", "a.d"}, "none": nil} {
		if failing(t, func(tb testing.TB) { tb.Helper(); r.Published(tb, want...) }) == "" {
			t.Errorf("%s: the assertion holds", name)
		}
	}
	if got := audittest.OfAction(r.Events(), "a.c"); len(got) != 1 || got[0].OrganizationID != other {
		t.Errorf("by action: %v", got)
	}
	if got := audittest.OfOrganization(r.Events(), acme); len(got) != 1 || got[0].Action != "a.b" {
		t.Errorf("by organization: %v", got)
	}
}

func TestAwaitReturnsWhenThereAreEnough(t *testing.T) {
	t.Parallel()
	var r audittest.Recorder
	done := make(chan error)
	go func() {
		var errs error
		for range 10 {
			errs = errors.Join(errs, r.Publish(t.Context(), event(acme, "a.b")))
		}
		done <- errs
	}()
	if got := r.Await(t, 5); len(got) != 5 {
		t.Errorf("got %d events", len(got))
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	r.Await(t, 10)
}

func TestGolden(t *testing.T) {
	file := filepath.Join(t.TempDir(), "new", "events.json")
	var r audittest.Recorder
	if err := r.Publish(t.Context(), event(acme, "a.b"), event(acme, "a.c")); err != nil {
		t.Fatal(err)
	}
	golden := func(tb testing.TB) { tb.Helper(); audittest.Golden(tb, file, r.Events()) }
	if failing(t, golden) == "" {
		t.Error("it holds without a file")
	}
	t.Setenv(audittest.UpdateVariable, "1")
	golden(t)
	if err := os.Unsetenv(audittest.UpdateVariable); err != nil {
		t.Fatal(err)
	}
	golden(t)

	r.Reset()
	later := event(acme, "a.c")
	later.OccurredAt = "2027-01-01T00:00:00Z"
	if err := r.Publish(t.Context(), event(acme, "a.b"), later); err != nil {
		t.Fatal(err)
	}
	golden(t) // other ids, another time

	r.Reset()
	later.Actor.ID = "user_2"
	if err := r.Publish(t.Context(), event(acme, "a.b"), later); err != nil {
		t.Fatal(err)
	}
	if failing(t, golden) == "" {
		t.Error("it holds for another actor")
	}
}

func TestKafkaHasWhatWasPublished(t *testing.T) {
	t.Parallel()
	k := audittest.StartKafka(t)
	if got := k.Events(t); len(got) != 0 {
		t.Fatalf("%d events at first", len(got))
	}
	client, err := producer.New(producer.Config{Brokers: k.Brokers()})
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Publish(t.Context(), event(acme, "a.b"), event(other, "a.c"), event(acme, "a.d")); err != nil {
		t.Fatal(err)
	}
	if err := client.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	k.Await(t, 3)
	var got []string
	for _, e := range audittest.OfOrganization(k.Events(t), acme) {
		got = append(got, e.Action)
	}
	if diff := cmp.Diff([]string{"a.b", "a.d"}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
