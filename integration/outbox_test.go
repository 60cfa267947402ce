//go:build integration

package integration

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/auditstream/auditstream/integration/servers"
	"github.com/auditstream/auditstream/producer"
	"github.com/auditstream/auditstream/producer/audittest"
	"github.com/auditstream/auditstream/producer/outbox"
	"github.com/auditstream/auditstream/producer/outbox/pgxlisten"
	"github.com/auditstream/auditstream/schema"
)

// box is an outbox in a database of its own.
type box struct {
	*outbox.Outbox
	db *sql.DB
}

func newBox(t *testing.T, pg *servers.Postgres, c outbox.Config) *box {
	t.Helper()
	o, err := outbox.New(c)
	if err != nil {
		t.Fatal(err)
	}
	b := &box{Outbox: o, db: pg.DB(t)}
	t.Cleanup(func() { _ = b.db.Close() })
	if err := o.Migrate(t.Context(), b.db); err != nil {
		t.Fatal(err)
	}
	return b
}

// insert inserts events in a transaction of their own.
func (b *box) insert(t *testing.T, events ...*schema.Event) {
	t.Helper()
	tx := b.begin(t)
	if err := b.Insert(t.Context(), tx, events...); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}

func (b *box) begin(t *testing.T) *sql.Tx {
	t.Helper()
	tx, err := b.db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return tx
}

// count counts rows of the table.
func (b *box) count(t *testing.T, where string) int {
	t.Helper()
	var n int
	if err := b.db.QueryRowContext(t.Context(), `SELECT count(*) FROM auditstream_outbox WHERE `+where).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// relay runs a relay until the test ends or the returned function is called.
func (b *box) relay(t *testing.T, c outbox.RelayConfig) (stop func()) {
	t.Helper()
	c.DB = b.db
	r, err := b.NewRelay(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func outboxEvent(organization, n int) *schema.Event {
	return &schema.Event{
		OrganizationID: fmt.Sprintf("org_%026d", organization),
		Action:         harmless,
		OccurredAt:     "2026-11-22T10:00:00Z",
		Actor:          schema.Actor{ID: "user_1", Type: "user", Name: "Zoë <&> \"Müller\" \x01"},
		Targets:        []schema.Target{},
		Metadata:       map[string]any{"n": n},
	}
}

// gauge is the value of a figure that has one series; -1 if it is not there.
func gauge(t *testing.T, registry *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	return -1
}

// numbers are those of the events' metadata.
func numbers(t *testing.T, events []*schema.Event) []string {
	t.Helper()
	var all []string
	for _, e := range events {
		all = append(all, e.Metadata["n"].(json.Number).String())
	}
	return all
}

func TestOutboxPublishesWhatIsCommittedAndNothingElse(t *testing.T) {
	pg := servers.StartPostgres(t)
	b := newBox(t, pg, outbox.Config{})
	k := audittest.StartKafka(t)
	client := newProducer(t, producer.Config{Brokers: k.Brokers()})

	undone := b.begin(t)
	if err := b.Insert(t.Context(), undone, outboxEvent(1, 0)); err != nil {
		t.Fatal(err)
	}
	if err := undone.Rollback(); err != nil {
		t.Fatal(err)
	}
	bad := outboxEvent(1, 0)
	bad.Action = ""
	refused := b.begin(t)
	err := b.Insert(t.Context(), refused, outboxEvent(1, 0), bad)
	if one, ok := errors.AsType[*producer.EventError](err); !ok || one.Index != 1 || !strings.Contains(err.Error(), "/action: required") {
		t.Errorf("an event that is not valid: %v", err)
	}
	if err := refused.Commit(); err != nil {
		t.Fatal(err)
	}

	events := []*schema.Event{outboxEvent(1, 1), outboxEvent(1, 2), outboxEvent(2, 3)}
	b.insert(t, events...)
	// So long a poll interval that only a notification, or the start, can be the reason.
	b.relay(t, outbox.RelayConfig{Publisher: client, PollInterval: time.Hour, Listen: pgxlisten.On(b.db)})
	k.Await(t, 3)
	b.insert(t, outboxEvent(1, 4))
	got := k.Await(t, 4)
	if diff := cmp.Diff([]string{"1", "2", "4"}, numbers(t, audittest.OfOrganization(got, events[0].OrganizationID))); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	// Events of two organizations lie in different partitions, which are read in any order.
	if first := slices.IndexFunc(got, func(e *schema.Event) bool { return e.ID == events[0].ID }); first < 0 {
		t.Errorf("no event has the id %s of the first that was inserted", events[0].ID)
	} else if got[first].Actor.Name != events[0].Actor.Name {
		t.Errorf("inserted %+v, published %+v", events[0], got[first])
	}
	servers.Await(t, time.Minute, "the outbox is empty", func() bool { return b.count(t, "true") == 0 })
}

func TestOutboxIsMadeOnceAndRefusesWhatItDoesNotKnow(t *testing.T) {
	pg := servers.StartPostgres(t)
	db := pg.DB(t)
	defer db.Close() //nolint:errcheck // of no interest
	o, err := outbox.New(outbox.Config{Table: "billing.audit"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), `CREATE SCHEMA billing`); err != nil {
		t.Fatal(err)
	}
	made := make(chan error, 4)
	for range 4 {
		go func() { made <- o.Migrate(t.Context(), db) }()
	}
	for range 4 {
		if err := <-made; err != nil {
			t.Error(err)
		}
	}
	if err := o.Insert(t.Context(), db, outboxEvent(1, 1)); err != nil {
		t.Error(err)
	}
	if _, err := db.ExecContext(t.Context(), `COMMENT ON TABLE billing.audit IS 'auditstream outbox, version 2'`); err != nil {
		t.Fatal(err)
	}
	if err := o.Migrate(t.Context(), db); err == nil || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("a table of a newer version: %v", err)
	}
	if _, err := db.ExecContext(t.Context(), `CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0`); err != nil {
		t.Fatal(err)
	}
	latin, err := sql.Open("pgx", strings.Replace(pg.URL, "/postgres?", "/latin?", 1))
	if err != nil {
		t.Fatal(err)
	}
	defer latin.Close() //nolint:errcheck // of no interest
	if err := o.Migrate(t.Context(), latin); err == nil || !strings.Contains(err.Error(), "LATIN1") {
		t.Errorf("a database that cannot hold every event: %v", err)
	}
}

// What is committed first is published first, however the numbers of the rows were given;
// and what becomes visible late, with a low number, is not forgotten.
func TestOutboxKeepsTheOrderOfCommits(t *testing.T) {
	pg := servers.StartPostgres(t)
	b := newBox(t, pg, outbox.Config{})
	k := audittest.StartKafka(t)
	client := newProducer(t, producer.Config{Brokers: k.Brokers()})
	b.relay(t, outbox.RelayConfig{Publisher: client, PollInterval: 10 * time.Millisecond})

	late := b.begin(t)
	if err := b.Insert(t.Context(), late, outboxEvent(1, 1), outboxEvent(1, 2)); err != nil {
		t.Fatal(err)
	}
	b.insert(t, outboxEvent(1, 3))
	k.Await(t, 1)
	b.insert(t, outboxEvent(1, 4), outboxEvent(1, 5))
	k.Await(t, 3)
	if err := late.Commit(); err != nil {
		t.Fatal(err)
	}
	b.insert(t, outboxEvent(1, 6))
	if diff := cmp.Diff([]string{"3", "4", "5", "1", "2", "6"}, numbers(t, k.Await(t, 6))); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestOutboxSetsAsideWhatCannotBePublished(t *testing.T) {
	pg := servers.StartPostgres(t)
	b := newBox(t, pg, outbox.Config{Validator: schema.Validator{MaxBytes: 4 << 20}})
	k := audittest.StartKafka(t)
	client := newProducer(t, producer.Config{Brokers: k.Brokers(), Validator: schema.Validator{MaxBytes: 4 << 20}})
	large, foreign := outboxEvent(1, 2), outboxEvent(1, 4)
	large.Metadata["filler"] = strings.Repeat("x", 2<<20)
	b.insert(t, outboxEvent(1, 1), large, outboxEvent(1, 3), foreign, outboxEvent(1, 5), outboxEvent(1, 6))
	for event, change := range map[int]string{
		4: `event = '{"organization_id": "org_00000000000000000000000009"}'`,
		5: `event = 'nonsense'`,
	} {
		if _, err := b.db.ExecContext(t.Context(), fmt.Sprintf(`UPDATE auditstream_outbox SET %s WHERE event LIKE '%%"n":%d}%%'`, change, event)); err != nil {
			t.Fatal(err)
		}
	}
	registry := prometheus.NewRegistry()
	stop := b.relay(t, outbox.RelayConfig{Publisher: client, PollInterval: 10 * time.Millisecond, Metrics: registry})
	if diff := cmp.Diff([]string{"1", "3", "6"}, numbers(t, k.Await(t, 3))); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	servers.Await(t, time.Minute, "three are set aside and the others gone", func() bool {
		return b.count(t, "set_aside_at IS NOT NULL") == 3 && b.count(t, "true") == 3
	})
	var reasons string
	if err := b.db.QueryRowContext(t.Context(), `SELECT string_agg(reason, '; ' ORDER BY seq) FROM auditstream_outbox`).Scan(&reasons); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"max.message.bytes", "organization_id of the row is not that of the event", "syntax"} {
		if !strings.Contains(reasons, want) {
			t.Errorf("no %q in the reasons %s", want, reasons)
		}
	}
	// The documented way back.
	if _, err := b.db.ExecContext(t.Context(), `UPDATE auditstream_outbox SET event = replace(event, repeat('x', 2097152), ''), set_aside_at = NULL, reason = NULL WHERE reason LIKE '%max.message.bytes%'`); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"1", "3", "6", "2"}, numbers(t, k.Await(t, 4))); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	servers.Await(t, time.Minute, "the event is gone from the outbox", func() bool { return b.count(t, "true") == 2 })
	stop()
	// Only a relay that starts measures at once.
	b.relay(t, outbox.RelayConfig{Publisher: client, Metrics: registry})
	servers.Await(t, time.Minute, "the outbox is measured", func() bool {
		return gauge(t, registry, "auditstream_outbox_set_aside_events") == 2 && gauge(t, registry, "auditstream_outbox_waiting_events") == 0
	})
}

func TestOutboxKeepsPublishedEventsForAWhile(t *testing.T) {
	pg := servers.StartPostgres(t)
	b := newBox(t, pg, outbox.Config{Silent: true})
	k := audittest.StartKafka(t)
	client := newProducer(t, producer.Config{Brokers: k.Brokers()})
	stop := b.relay(t, outbox.RelayConfig{Publisher: client, PollInterval: 10 * time.Millisecond, Keep: time.Hour})
	b.insert(t, outboxEvent(1, 1), outboxEvent(2, 2))
	servers.Await(t, time.Minute, "both are marked as published", func() bool { return b.count(t, "published_at IS NOT NULL") == 2 })
	stop()
	if _, err := b.db.ExecContext(t.Context(), `UPDATE auditstream_outbox SET published_at = published_at - interval '61 minutes' WHERE event LIKE '%"n":1}%'`); err != nil {
		t.Fatal(err)
	}
	b.relay(t, outbox.RelayConfig{Publisher: client, Keep: time.Hour})
	servers.Await(t, time.Minute, "the older one is removed", func() bool { return b.count(t, "true") == 1 })
	if got := k.Events(t); len(got) != 2 {
		t.Errorf("%d events in Kafka, want 2", len(got))
	}
}

// The trace of the request that inserted an event goes on in its publishing, also where one
// call publishes the events of several requests.
func TestOutboxCarriesTraces(t *testing.T) {
	pg := servers.StartPostgres(t)
	b := newBox(t, pg, outbox.Config{})
	k := audittest.StartKafka(t)
	spans := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
	client := newProducer(t, producer.Config{Brokers: k.Brokers(), Traces: provider})
	want := map[string]trace.TraceID{}
	for n := range 3 {
		ctx, span := provider.Tracer("test").Start(t.Context(), "request")
		e := outboxEvent(1, n)
		if err := b.Insert(ctx, b.db, e); err != nil {
			t.Fatal(err)
		}
		want[e.ID] = span.SpanContext().TraceID()
	}
	b.relay(t, outbox.RelayConfig{Publisher: client})
	k.Await(t, 3)
	servers.Await(t, time.Minute, "the spans have ended", func() bool { return len(spans.GetSpans()) == 3 })
	for _, s := range spans.GetSpans() {
		for _, a := range s.Attributes {
			if a.Key == "messaging.message.id" && want[a.Value.AsString()] != s.SpanContext.TraceID() {
				t.Errorf("event %s was published in another trace", a.Value.AsString())
			}
		}
	}
}

// patient publishes when it is told to, or gives up with its context.
type patient struct {
	audittest.Recorder
	begun   chan struct{}
	release chan struct{}
}

func (p *patient) Publish(ctx context.Context, events ...*schema.Event) error {
	p.begun <- struct{}{}
	select {
	case <-p.release:
		return p.Recorder.Publish(ctx, events...)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// What is under way when a relay is told to end is published and written down, unless it
// takes longer than the relay may.
func TestOutboxRelayEndsWithItsBatch(t *testing.T) {
	pg := servers.StartPostgres(t)
	b := newBox(t, pg, outbox.Config{})
	b.insert(t, outboxEvent(1, 1))
	p := &patient{begun: make(chan struct{}, 1), release: make(chan struct{})}
	stop := b.relay(t, outbox.RelayConfig{Publisher: p, DrainTimeout: time.Millisecond})
	<-p.begun
	stop()
	if n := b.count(t, "published_at IS NULL AND set_aside_at IS NULL"); n != 1 {
		t.Errorf("%d events wait after a batch that was given up, want 1", n)
	}
	select {
	case <-p.begun: // it has tried again before it was stopped
	default:
	}
	stop = b.relay(t, outbox.RelayConfig{Publisher: p, DrainTimeout: time.Minute})
	<-p.begun
	ended := make(chan struct{})
	go func() {
		stop()
		close(ended)
	}()
	p.release <- struct{}{}
	<-ended
	if n := b.count(t, "true"); n != 0 {
		t.Errorf("%d events are in the outbox after the relay has ended, want 0", n)
	}
	if got := len(p.Events()); got != 1 {
		t.Errorf("%d events were published, want 1", got)
	}
}
