//go:build integration

package integration

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/auditstream/auditstream/producer"
	"github.com/auditstream/auditstream/schema"
)

// newRand returns a source whose seed is printed. AUDITSTREAM_SEED repeats it.
func newRand(t *testing.T) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	if s := os.Getenv("AUDITSTREAM_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("seed: AUDITSTREAM_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// harmless is the action of the events that every destination takes.
const harmless = "document.shared"

// feed is a run of events of several organizations, published in its order.
type feed struct {
	events    []*schema.Event
	position  map[string]int // of each event by id
	published int
}

func newFeed(r *rand.Rand, events, organizations int) *feed {
	return newFeedFrom(r, 0, events, organizations)
}

// newFeedFrom is a feed whose ids go on from those of another.
func newFeedFrom(r *rand.Rand, first, events, organizations int) *feed {
	f := &feed{position: map[string]int{}}
	for i := first; i < first+events; i++ {
		e := &schema.Event{
			ID:             fmt.Sprintf("audit_event_%026d", i),
			OrganizationID: fmt.Sprintf("org_%026d", r.IntN(organizations)),
			Action:         harmless,
			OccurredAt:     time.Now().UTC().Format(time.RFC3339Nano),
			Actor:          schema.Actor{ID: "user_1", Type: "user", Name: "Zoë <&> \"Müller\""},
			Targets:        []schema.Target{{ID: "document_1", Type: "document"}},
			Metadata:       map[string]any{"sequence": i},
		}
		f.events = append(f.events, e)
		f.position[e.ID] = i
	}
	return f
}

// publish publishes the next n events and returns when Kafka has acknowledged them.
func (f *feed) publish(t *testing.T, client *producer.Client, n int) {
	t.Helper()
	if err := f.send(t.Context(), client, n); err != nil {
		t.Fatal(err)
	}
}

// send is publish for a goroutine that is not the test's own.
func (f *feed) send(ctx context.Context, client *producer.Client, n int) error {
	if err := client.Publish(ctx, f.events[f.published:f.published+n]...); err != nil {
		return err
	}
	f.published += n
	return nil
}

// publishUntil publishes the next n events little by little until done, and is how many of
// them are left.
func (f *feed) publishUntil(t *testing.T, client *producer.Client, n int, done func() bool) (left int) {
	t.Helper()
	for n > 0 && !done() {
		few := min(n, 50)
		f.publish(t, client, few)
		n -= few
	}
	return n
}

// makeTopics makes the topics as delivery makes them when it starts, so that events can be
// there before it.
func makeTopics(t *testing.T, brokers []string) {
	t.Helper()
	if err := kafka.EnsureTopics(t.Context(), newAdmin(t, brokers), kafka.Topics{Partitions: 6, Replication: 1}, zap.NewNop()); err != nil {
		t.Fatal(err)
	}
}

// newProducer makes a producer that waits for Kafka however slow the machine is, unless the
// configuration says how long.
func newProducer(t *testing.T, config producer.Config) *producer.Client {
	t.Helper()
	config.DeliveryTimeout = cmp.Or(config.DeliveryTimeout, 5*time.Minute)
	client, err := producer.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := client.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return client
}

// verdict is what a destination has, compared with a feed.
type verdict struct {
	unique     int
	duplicates int
}

// judge compares the ids of the events that a destination has, in the order in which it
// took them, with what was published: none may be missing, none unknown, and the first
// arrivals of each organization stand in the order of publishing. What the destination
// refuses it must not have.
func (f *feed) judge(t *testing.T, destination string, ids []string) verdict {
	t.Helper()
	seen := map[string]bool{}
	last := map[string]int{} // position of the newest first arrival by organization
	var v verdict
	for _, id := range ids {
		position, known := f.position[id]
		if !known || position >= f.published {
			t.Fatalf("%s has event %q, which was not published", destination, id)
		}
		if f.events[position].Action == poisonFor(destination) {
			t.Errorf("%s has event %q, which it refused", destination, id)
		}
		if seen[id] {
			v.duplicates++
			continue
		}
		seen[id] = true
		v.unique++
		organization := f.events[position].OrganizationID
		if before, ok := last[organization]; ok && position < before {
			t.Errorf("%s: of %s, event %d arrived after event %d", destination, organization, position, before)
		}
		last[organization] = position
	}
	missing := 0
	for _, e := range f.events[:f.published] {
		if !seen[e.ID] && e.Action != poisonFor(destination) {
			if missing++; missing <= 3 {
				t.Errorf("%s lacks event %s of %s", destination, e.ID, e.OrganizationID)
			}
		}
	}
	if missing > 0 {
		t.Errorf("%s lacks %d of %d events", destination, missing, f.published)
	}
	t.Logf("%s: %d events, %d duplicates", destination, v.unique, v.duplicates)
	return v
}

// unique is how many different ids there are.
func unique(ids []string) int {
	seen := make(map[string]bool, len(ids))
	for _, id := range ids {
		seen[id] = true
	}
	return len(seen)
}

// idOf reads the id of an event as it was delivered.
func idOf(t *testing.T, event []byte) string {
	t.Helper()
	var e struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(event, &e); err != nil {
		t.Fatalf("%v: %.200s", err, event)
	}
	return e.ID
}

// publishSteadily publishes that many events a second until the function that it returns is
// called, or no events are left.
func (f *feed) publishSteadily(ctx context.Context, client *producer.Client, rate int) (stop func() error) {
	const each = 100 * time.Millisecond
	end, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		tick := time.NewTicker(each)
		defer tick.Stop()
		for f.published < len(f.events) {
			select {
			case <-tick.C:
			case <-end:
				ended <- nil
				return
			}
			n := min(rate/int(time.Second/each), len(f.events)-f.published)
			if err := f.send(ctx, client, n); err != nil {
				ended <- err
				return
			}
		}
		ended <- nil
	}()
	return func() error {
		close(end)
		return <-ended
	}
}
