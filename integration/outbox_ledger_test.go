//go:build integration

package integration

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver of the relay's database
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/integration/servers"
	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/auditstream/auditstream/producer"
	"github.com/auditstream/auditstream/producer/outbox"
	"github.com/auditstream/auditstream/producer/outbox/pgxlisten"
	"github.com/auditstream/auditstream/schema"
)

const (
	relayDatabase = "AUDITSTREAM_TEST_RELAY_DATABASE"
	relayBrokers  = "AUDITSTREAM_TEST_RELAY_BROKERS"

	relayWorkers = 2
	relayBatch   = 400
)

// TestOutboxRelayProcess is no test but a process that relays, which others start and kill.
func TestOutboxRelayProcess(t *testing.T) {
	url, brokers := os.Getenv(relayDatabase), os.Getenv(relayBrokers)
	if url == "" {
		t.Skip("it is started by TestOutboxLosesNothing")
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	db, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // the process ends
	log, err := zap.NewDevelopment()
	if err != nil {
		t.Fatal(err)
	}
	client, err := producer.New(producer.Config{Brokers: strings.Split(brokers, ","), DeliveryTimeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	o, err := outbox.New(outbox.Config{})
	if err != nil {
		t.Fatal(err)
	}
	relay, err := o.NewRelay(outbox.RelayConfig{
		DB: db, Publisher: client, Listen: pgxlisten.On(db), PollInterval: 200 * time.Millisecond,
		Workers: relayWorkers, BatchEvents: relayBatch, Logger: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := relay.Run(ctx); err != nil {
		t.Error(err)
	}
	if err := client.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

func startRelay(t *testing.T, name string, pg *servers.Postgres, brokers []string) *servers.Process {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	env := []string{relayDatabase + "=" + pg.URL, relayBrokers + "=" + strings.Join(brokers, ",")}
	return servers.StartProcess(t, name, program, env, "-test.run", "^TestOutboxRelayProcess$", "-test.v")
}

// writers are what a service does: transactions that insert events, some of which are
// rolled back. What they have committed is the ledger.
type writers struct {
	box    *box
	orgs   []*ledgerOrg
	failed atomic.Int64 // transactions that the database broke off
	undone atomic.Int64 // that were rolled back on purpose
}

// ledgerOrg is an organization of the ledger. Its transactions follow one another, on many
// connections, so that their order is known: whoever holds mu inserts after the one before
// has committed.
type ledgerOrg struct {
	mu        sync.Mutex
	name      string
	committed []string     // guarded by mu; ids in their order
	count     atomic.Int64 // of committed
}

func (w *writers) total() (n int) {
	for _, o := range w.orgs {
		n += int(o.count.Load())
	}
	return n
}

// write commits events until there are that many of all writers.
func (w *writers) write(ctx context.Context, r *rand.Rand, until int) error {
	for w.total() < until {
		org := w.orgs[r.IntN(len(w.orgs))]
		if err := w.transaction(ctx, r, org); err != nil {
			return err
		}
	}
	return nil
}

func (w *writers) transaction(ctx context.Context, r *rand.Rand, org *ledgerOrg) error {
	org.mu.Lock()
	defer org.mu.Unlock()
	events := make([]*schema.Event, 1+r.IntN(40))
	for i := range events {
		events[i] = outboxEvent(0, len(org.committed)+i)
		events[i].OrganizationID = org.name
	}
	// A service tries a transaction again that the database has broken off: with the same
	// events, which keep their ids.
	for {
		done, err := w.attempt(ctx, r, events)
		if err == nil && !done {
			w.undone.Add(1)
			return nil
		}
		if err != nil {
			// A commit whose answer was lost may have been made.
			w.failed.Add(1)
			if done, err = w.committed(ctx, events[0].ID); err != nil {
				return err
			}
		}
		if done {
			for _, e := range events {
				org.committed = append(org.committed, e.ID)
			}
			org.count.Store(int64(len(org.committed)))
			return nil
		}
	}
}

func (w *writers) attempt(ctx context.Context, r *rand.Rand, events []*schema.Event) (done bool, err error) {
	tx, err := w.box.db.BeginTx(ctx, nil)
	if err != nil {
		return false, err
	}
	defer tx.Rollback()              //nolint:errcheck // of no use after Commit
	split := 1 + r.IntN(len(events)) // the first has its id then
	if err := w.box.Insert(ctx, tx, events[:split]...); err != nil {
		return false, err
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO changes (first_event) VALUES ($1)`, events[0].ID); err != nil {
		return false, err
	}
	if err := w.box.Insert(ctx, tx, events[split:]...); err != nil {
		return false, err
	}
	if r.IntN(20) == 0 {
		return false, tx.Rollback()
	}
	return true, tx.Commit()
}

// committed asks until the database answers whether a transaction was.
func (w *writers) committed(ctx context.Context, first string) (there bool, err error) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if err := w.box.db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM changes WHERE first_event = $1)`, first).Scan(&there); err == nil {
			return there, nil
		}
		select {
		case <-ctx.Done():
			return false, context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// arrivals are the events that are in Kafka, as they come.
type arrivals struct {
	mu      sync.Mutex
	first   map[string][]string // guarded by mu; ids of first arrivals by organization, in their order
	seen    map[string]bool     // guarded by mu
	repeats int                 // guarded by mu
	bad     error               // guarded by mu
}

func (a *arrivals) unique() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.seen)
}

func (a *arrivals) follow(ctx context.Context, reader *kgo.Client) {
	for ctx.Err() == nil {
		reader.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			a.mu.Lock()
			defer a.mu.Unlock()
			var e struct{ ID string }
			if err := json.Unmarshal(r.Value, &e); err != nil {
				a.bad = err
			}
			if a.seen[e.ID] {
				a.repeats++
				return
			}
			a.seen[e.ID] = true
			a.first[string(r.Key)] = append(a.first[string(r.Key)], e.ID)
		})
	}
}

// The ledger: several writers commit a hundred thousand events, two relays are killed
// again and again, PostgreSQL crashes, Kafka crashes. Everything that was committed is in
// Kafka, nothing else is, in order, and repeated within bounds.
func TestOutboxLosesNothing(t *testing.T) {
	const (
		events        = 100_000
		organizations = 200
		writersCount  = 8
		kills         = 20
	)
	r := newRand(t)
	pg := servers.StartPostgres(t)
	broker := servers.StartKafka(t, 1)
	makeTopics(t, broker.Addrs)
	b := newBox(t, pg, outbox.Config{})
	b.db.SetMaxOpenConns(2 * writersCount)
	if _, err := b.db.ExecContext(t.Context(), `CREATE TABLE changes (first_event text PRIMARY KEY)`); err != nil {
		t.Fatal(err)
	}

	opts, err := kafka.Config{Brokers: broker.Addrs}.Options(zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	reader, err := kgo.NewClient(append(opts, kgo.ConsumeTopics("audit.events"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
	if err != nil {
		t.Fatal(err)
	}
	got := &arrivals{first: map[string][]string{}, seen: map[string]bool{}}
	following, stopFollowing := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { got.follow(following, reader) })
	defer func() { stopFollowing(); running.Wait(); reader.Close() }()

	w := &writers{box: b}
	for i := range organizations {
		w.orgs = append(w.orgs, &ledgerOrg{name: fmt.Sprintf("org_%026d", i)})
	}
	written := make(chan error, writersCount)
	for range writersCount {
		own := rand.New(rand.NewPCG(r.Uint64(), 0))
		go func() { written <- w.write(t.Context(), own, events) }()
	}

	relays := []*servers.Process{startRelay(t, "relay a", pg, broker.Addrs), startRelay(t, "relay b", pg, broker.Addrs)}
	for kill := range kills {
		victim := r.IntN(len(relays))
		target := got.unique() + 1 + r.IntN(events*2/(3*kills))
		servers.Await(t, 5*time.Minute, fmt.Sprintf("%d events are in Kafka", target), func() bool {
			for _, p := range relays {
				p.Running(t)
			}
			return got.unique() >= min(target, w.total())
		})
		t.Logf("kill %d of %s, %d events committed, %d in Kafka", kill+1, relays[victim].Name, w.total(), got.unique())
		switch kill {
		case kills / 3:
			t.Log("PostgreSQL crashes")
			pg.Crash(t)
			pg.Start(t)
		case 2 * kills / 3:
			t.Log("Kafka crashes")
			broker.KillNode(t, 1)
			waiting := w.total()
			servers.Await(t, 5*time.Minute, "writers go on without Kafka", func() bool { return w.total() >= min(waiting+500, events) })
			broker.StartNode(t, 1)
		}
		relays[victim].Kill(t)
		relays[victim] = startRelay(t, relays[victim].Name, pg, broker.Addrs)
	}
	for range writersCount {
		if err := <-written; err != nil {
			t.Fatal(err)
		}
	}
	total := w.total()
	servers.Await(t, 10*time.Minute, "all events are in Kafka", func() bool {
		for _, p := range relays {
			p.Running(t)
		}
		return got.unique() >= total
	})
	servers.Await(t, time.Minute, "the outbox is empty", func() bool { return b.count(t, "true") == 0 })
	for _, p := range relays {
		p.Terminate(t, time.Minute)
	}

	got.mu.Lock()
	defer got.mu.Unlock()
	if got.bad != nil {
		t.Error(got.bad)
	}
	for _, o := range w.orgs {
		o.mu.Lock()
		if diff := firstDifference(o.committed, got.first[o.name]); diff != "" {
			t.Errorf("%s: %s", o.name, diff)
		}
		o.mu.Unlock()
	}
	if len(got.seen) != total {
		t.Errorf("%d events are in Kafka, %d were committed", len(got.seen), total)
	}
	// A kill breaks off the batches of one relay, a crash of PostgreSQL those of both. Without
	// Kafka each batch may be written and not acknowledged, and is tried again.
	if most := (kills + 2*len(relays)) * relayWorkers * relayBatch; got.repeats > most {
		t.Errorf("%d repetitions, more than the %d that may be", got.repeats, most)
	}
	t.Logf("%d events of %d organizations, %d transactions rolled back, %d broken off, %d kills: %d repetitions", total, organizations, w.undone.Load(), w.failed.Load(), kills, got.repeats)
}

func firstDifference(want, got []string) string {
	for i := range max(len(want), len(got)) {
		switch {
		case i >= len(got):
			return fmt.Sprintf("event %d of %d is missing", i, len(want))
		case i >= len(want):
			return fmt.Sprintf("event %s was not committed", got[i])
		case want[i] != got[i]:
			return fmt.Sprintf("at %d stands %s, want %s", i, got[i], want[i])
		}
	}
	return ""
}
