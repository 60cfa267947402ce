package outbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"

	"github.com/auditstream/auditstream/producer"
	"github.com/auditstream/auditstream/producer/audittest"
	"github.com/auditstream/auditstream/schema"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// statement is what a transaction was given.
type statement struct {
	query string
	args  []any
}

// transaction notes statements, and fails with err.
type transaction struct {
	statements []statement
	err        error
}

func (x *transaction) ExecContext(_ context.Context, query string, args ...any) (sql.Result, error) {
	x.statements = append(x.statements, statement{query, args})
	return nil, x.err
}

func newOutbox(t *testing.T, c Config) *Outbox {
	t.Helper()
	o, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func event(n int) *schema.Event {
	return &schema.Event{
		ID: fmt.Sprintf("audit_event_%026d", n), OrganizationID: "org_01JAAAAAAAAAAAAAAAAAAAAAAA", Action: "a.b", OccurredAt: "2026-11-22T10:00:00Z",
		Actor: schema.Actor{ID: "user_1", Type: "user"}, Targets: []schema.Target{},
	}
}

func TestInsertWritesEventsAndTheTraceAndNotifies(t *testing.T) {
	t.Parallel()
	ctx := trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled,
	}))
	tx := new(transaction)
	if err := newOutbox(t, Config{Table: "billing.outbox"}).Insert(ctx, tx, event(1), event(2)); err != nil {
		t.Fatal(err)
	}
	value := `{"action":"a.b","actor":{"id":"user_1","type":"user"},"id":"audit_event_%026d","occurred_at":"2026-11-22T10:00:00Z","organization_id":"org_01JAAAAAAAAAAAAAAAAAAAAAAA","targets":[]}`
	parent := "00-01000000000000000000000000000000-0200000000000000-01"
	lane := laneOf("org_01JAAAAAAAAAAAAAAAAAAAAAAA")
	want := []statement{{
		`WITH inserted AS (INSERT INTO billing.outbox (lane, organization_id, event_id, event, traceparent, tracestate) VALUES ($1, $2, $3, $4, $5, $6), ($7, $8, $9, $10, $11, $12)) SELECT pg_notify('billing_outbox', '')`,
		[]any{
			lane, "org_01JAAAAAAAAAAAAAAAAAAAAAAA", event(1).ID, fmt.Sprintf(value, 1), parent, nil,
			lane, "org_01JAAAAAAAAAAAAAAAAAAAAAAA", event(2).ID, fmt.Sprintf(value, 2), parent, nil,
		},
	}}
	if diff := cmp.Diff(want, tx.statements, cmp.AllowUnexported(statement{})); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestASilentInsertDoesNotNotify(t *testing.T) {
	t.Parallel()
	tx := new(transaction)
	if err := newOutbox(t, Config{Silent: true}).Insert(t.Context(), tx, event(1)); err != nil {
		t.Fatal(err)
	}
	if got := tx.statements[0].query; strings.Contains(got, "notify") {
		t.Error(got)
	}
}

func TestStatementsAreBounded(t *testing.T) {
	t.Parallel()
	var many []*schema.Event
	for n := range 2*insertRows + 1 {
		many = append(many, event(n))
	}
	tx := new(transaction)
	if err := newOutbox(t, Config{}).Insert(t.Context(), tx, many...); err != nil {
		t.Fatal(err)
	}
	if len(tx.statements) != 3 || len(tx.statements[2].args) != 6 {
		t.Errorf("%d statements", len(tx.statements))
	}
	for _, e := range many[:10] {
		e.Metadata = map[string]any{"filler": strings.Repeat("x", 900_000)}
	}
	tx = new(transaction)
	if err := newOutbox(t, Config{}).Insert(t.Context(), tx, many[:10]...); err != nil {
		t.Fatal(err)
	}
	if len(tx.statements) != 3 { // 4, 4 and 2 events
		t.Errorf("%d statements", len(tx.statements))
	}
}

func TestNothingIsInsertedBesideAnEventThatIsNotValid(t *testing.T) {
	t.Parallel()
	noAction, noOrganization, refused := event(2), event(3), event(4)
	noAction.Action, noOrganization.OrganizationID, refused.Action = "", "", "a.refused"
	tx := new(transaction)
	o := newOutbox(t, Config{
		Validator: schema.Validator{OrganizationOptional: true},
		Check: func(e *schema.Event) schema.Violations {
			if e.Action == "a.refused" {
				return schema.Violations{{Pointer: "/action", Code: "unknown_action", Message: "not known"}}
			}
			return nil
		},
	})
	err := o.Insert(t.Context(), tx, event(1), noAction, noOrganization, refused, nil)
	want := "event 1 (audit_event_00000000000000000000000002): /action: required\n" +
		"event 2 (audit_event_00000000000000000000000003): /organization_id: required\n" +
		"event 3 (audit_event_00000000000000000000000004): /action: unknown_action: not known\n" +
		"event 4 (): the event is nil"
	if err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
	if _, ok := errors.AsType[schema.Violations](err); !ok {
		t.Error("the violations cannot be found in the error")
	}
	if len(tx.statements) > 0 {
		t.Errorf("inserted: %v", tx.statements)
	}
}

func TestAnEventKeepsItsIDWhenTheTransactionIsTriedAgain(t *testing.T) {
	t.Parallel()
	o, e, broken := newOutbox(t, Config{}), event(1), errors.New("connection reset")
	e.ID = ""
	if err := o.Insert(t.Context(), &transaction{err: broken}, e); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	id, tx := e.ID, new(transaction)
	if err := o.Insert(t.Context(), tx, e); err != nil {
		t.Fatal(err)
	}
	if id == "" || tx.statements[0].args[2] != id {
		t.Errorf("first %q, then %q", id, tx.statements[0].args[2])
	}
}

// The number of an organization's lane stands in rows that a newer version relays.
func TestTheLaneOfAnOrganizationStaysTheSame(t *testing.T) {
	t.Parallel()
	for organization, want := range map[string]int64{"": 5, "org_01JAAAAAAAAAAAAAAAAAAAAAAA": 38, "a": 44} {
		if got := laneOf(organization); got != want {
			t.Errorf("%q: %d, want %d", organization, got, want)
		}
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	rows := []waiting{
		{seq: 1, lane: 7, event: event(1)},
		{seq: 2, lane: 7, bad: errors.New("no event")},
		{seq: 3, lane: 8, event: event(3)},
		{seq: 4, lane: 9, event: event(4)},
		{seq: 5, lane: 7, event: event(5)},
	}
	list := func(failed map[int]error) error {
		e := &producer.PublishError{Total: 4}
		for i := range 4 {
			if failed[i] != nil {
				e.Failed = append(e.Failed, producer.EventError{Index: i, Err: failed[i]})
			}
		}
		return e
	}
	tests := []struct {
		name             string
		err              error
		published, aside []int64
		failed           map[int64]bool
	}{
		{"all are accepted", nil, []int64{1, 3, 4, 5}, []int64{2}, map[int64]bool{}},
		{
			"one of each", list(map[int]error{1: schema.Violations{{Code: "x"}}, 2: &producer.TooLargeError{}, 3: producer.ErrUnavailable}),
			[]int64{1},
			[]int64{2, 3, 4},
			map[int64]bool{7: true},
		},
		{"an error that names no event", context.Canceled, nil, []int64{2}, map[int64]bool{7: true, 8: true, 9: true}},
		{"what is not known is tried again", list(map[int]error{0: errors.New("new")}), []int64{3, 4, 5}, []int64{2}, map[int64]bool{7: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			done := judge(rows, tt.err)
			var aside []int64
			for _, a := range done.aside {
				aside = append(aside, a.seq)
			}
			if diff := cmp.Diff([]any{tt.published, tt.aside, tt.failed}, []any{done.published, aside, done.failed}); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// A lane that fails waits longer and longer; the others go on.
func TestALaneThatFailsIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, err := newOutbox(t, Config{}).NewRelay(RelayConfig{DB: new(sql.DB), Publisher: new(audittest.Recorder)})
		if err != nil {
			t.Fatal(err)
		}
		held := func() []int64 { lanes, _ := r.busy(); return lanes }
		r.settle([]int64{3, 4}, map[int64]bool{3: true})
		if got := held(); len(got) != 1 || got[0] != 3 || r.primed.Load() {
			t.Errorf("held: %v, primed: %v", got, r.primed.Load())
		}
		if _, next := r.busy(); next != 5 {
			t.Errorf("the next claim begins with %d", next)
		}
		for range 20 {
			wait := r.untilFree()
			if wait <= 0 || wait > longestPause {
				t.Fatalf("it waits %s", wait)
			}
			time.Sleep(wait)
			if got := held(); len(got) != 0 {
				t.Fatalf("held after its pause: %v", got)
			}
			r.settle([]int64{3}, map[int64]bool{3: true})
		}
		if got := r.untilFree(); got < longestPause/2 {
			t.Errorf("after many failures it waits %s", got)
		}
		r.settle([]int64{3}, nil)
		if got := held(); len(got) != 0 || !r.primed.Load() {
			t.Errorf("held: %v, primed: %v", got, r.primed.Load())
		}
	})
}

func TestConfig(t *testing.T) {
	t.Parallel()
	for _, table := range []string{"Outbox", "a b", "a;drop", `a"b`, "a.b.c", strings.Repeat("a", 41), "1a"} {
		if _, err := New(Config{Table: table}); err == nil {
			t.Errorf("%q is a name", table)
		}
	}
	o := newOutbox(t, Config{Table: "billing.outbox"})
	if ddl := o.Schema(); strings.ContainsAny(ddl, "{}") || !strings.Contains(ddl, "CREATE INDEX outbox_waiting ON billing.outbox") {
		t.Error(ddl)
	}
	_, err := o.NewRelay(RelayConfig{Workers: 65, BatchEvents: 1, BatchBytes: -1, Keep: -1, DrainTimeout: -1, PollInterval: 1})
	want := []string{
		"outbox.RelayConfig.DB: required",
		"outbox.RelayConfig.Publisher: required",
		"outbox.RelayConfig.PollInterval: 1ns is less than a millisecond",
		"outbox.RelayConfig.Workers: 65 is not between 1 and 64",
		"outbox.RelayConfig.BatchEvents: 1 is less than 64",
		"outbox.RelayConfig.BatchBytes: -1 is less than 1",
		"outbox.RelayConfig.Keep: -1ns is negative",
		"outbox.RelayConfig.DrainTimeout: -1ns is negative",
	}
	if err == nil || err.Error() != strings.Join(want, "\n") {
		t.Errorf("got %v", err)
	}
}
