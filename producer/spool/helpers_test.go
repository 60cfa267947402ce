package spool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest"

	"github.com/auditstream/auditstream/producer"
	"github.com/auditstream/auditstream/schema"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		child(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

func orgID(n int) string { return fmt.Sprintf("org_%026d", n) }

// event is event n of an organization.
func event(org, n int) *schema.Event {
	return &schema.Event{
		ID: fmt.Sprintf("audit_event_%026d", org*1_000_000+n), OrganizationID: orgID(org), Action: "user.signed_in", OccurredAt: "2026-11-22T10:00:00Z",
		Actor: schema.Actor{ID: "user_1", Type: "user"}, Targets: []schema.Target{},
	}
}

// kafka is one in memory, that can be away, keep what it does not acknowledge, and refuse.
type kafka struct {
	mu     sync.Mutex
	fail   func(*schema.Event) error // nil: everything is acknowledged; guarded by mu
	keeps  bool                      // takes an event also when it fails; guarded by mu
	got    map[string][]string       // ids by organization, in order; guarded by mu
	events int                       // guarded by mu
	asked  int                       // times that an event was published; guarded by mu
}

var errAway = fmt.Errorf("%w: connection refused", producer.ErrUnavailable)

func away(*schema.Event) error { return errAway }

func (k *kafka) set(fail func(*schema.Event) error, keeps bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.fail, k.keeps = fail, keeps
}

func (k *kafka) take(e *schema.Event) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.asked++
	var err error
	if k.fail != nil {
		err = k.fail(e)
	}
	if err == nil || k.keeps {
		if k.got == nil {
			k.got = map[string][]string{}
		}
		k.got[e.OrganizationID] = append(k.got[e.OrganizationID], e.ID)
		k.events++
	}
	return err
}

func (k *kafka) Publish(_ context.Context, events ...*schema.Event) error {
	failed := &producer.PublishError{Total: len(events)}
	for i, e := range events {
		if err := k.take(e); err != nil {
			failed.Failed = append(failed.Failed, producer.EventError{Index: i, ID: e.ID, Err: err})
		}
	}
	if len(failed.Failed) > 0 {
		return failed
	}
	return nil
}

func (k *kafka) PublishAsync(_ context.Context, e *schema.Event, done func(error)) { done(k.take(e)) }

// first are the ids of an organization's events in the order of their first arrivals.
func (k *kafka) first(org int) []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return unique(k.got[orgID(org)])
}

func unique(ids []string) []string {
	seen := map[string]bool{}
	var out []string
	for _, id := range ids {
		if !seen[id] {
			seen[id] = true
			out = append(out, id)
		}
	}
	return out
}

func (k *kafka) count() (events, asked int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.events, k.asked
}

// rig is a spool and what is around it.
type rig struct {
	*Spool
	kafka    *kafka
	dir      string
	registry *prometheus.Registry
	stop     func() // Run; the files stay as a kill would leave them, but for Close
}

// open opens a spool of a directory. It does not drain yet.
func open(t *testing.T, dir string, k *kafka, change ...func(*Config)) *rig {
	t.Helper()
	r := &rig{kafka: k, dir: dir, registry: prometheus.NewRegistry()}
	c := Config{Dir: dir, Kafka: k, Metrics: r.registry, Log: zaptest.NewLogger(t)}
	for _, f := range change {
		f(&c)
	}
	var err error
	if r.Spool, err = Open(c); err != nil {
		t.Fatal(err)
	}
	r.stop = func() {}
	t.Cleanup(func() {
		r.stop()
		_ = r.Close()
	})
	return r
}

// drains has the spool drain, until stop.
func (r *rig) drains(t *testing.T) *rig {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan struct{})
	go func() {
		defer close(ran)
		if err := r.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	r.stop = sync.OnceFunc(func() {
		cancel()
		<-ran
	})
	return r
}

// sweepOnce drains as far as it goes in one way through.
func (r *rig) sweepOnce(t *testing.T) {
	t.Helper()
	d := drain{Spool: r.Spool, results: make(chan result, drainEvents), stuck: map[string]bool{}}
	d.sweep(t.Context())
}

func (r *rig) publish(t *testing.T, events ...*schema.Event) {
	t.Helper()
	if err := r.Publish(t.Context(), events...); err != nil {
		t.Fatal(err)
	}
}

// waiting is how many events are on disk.
func (r *rig) waiting() int {
	_, all := r.queue.holds("")
	return all
}

const patience = 2 * time.Minute

// empty waits until everything is drained.
func (r *rig) empty(t *testing.T) {
	t.Helper()
	late := time.Now().Add(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for r.waiting() > 0 {
		if time.Now().After(late) {
			t.Fatalf("%d events stay in the spool", r.waiting())
		}
		<-tick.C
	}
}

// ids are those of events from..to of an organization, both included.
func ids(org, from, to int) []string {
	var out []string
	for n := from; n <= to; n++ {
		out = append(out, event(org, n).ID)
	}
	return out
}

// files are the names in a directory that match.
func files(t *testing.T, dir, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// failures are the failed events of a Publish, by index.
func failures(t *testing.T, err error) map[int]error {
	t.Helper()
	p, ok := errors.AsType[*producer.PublishError](err)
	if !ok {
		t.Fatalf("got %v, want a *PublishError", err)
	}
	out := map[int]error{}
	for _, f := range p.Failed {
		out[f.Index] = f.Err
	}
	return out
}

// figure is the value of a metric, of one outcome if that is given.
func (r *rig) figure(t *testing.T, name, outcome string) float64 {
	t.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "auditstream_spool_"+name {
			continue
		}
		for _, m := range f.GetMetric() {
			if outcome == "" || m.GetLabel()[0].GetValue() == outcome {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	t.Fatalf("there is no metric %s %s", name, outcome)
	return 0
}
