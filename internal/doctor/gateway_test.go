package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/producer"
	"github.com/auditstream/auditstream/producer/spool"
	"github.com/auditstream/auditstream/producer/workos/workostest"
	"github.com/auditstream/auditstream/schema"
)

// nowhere is a Kafka that is away.
type nowhere struct{}

func (nowhere) Publish(context.Context, ...*schema.Event) error { return producer.ErrUnavailable }

func (nowhere) PublishAsync(_ context.Context, _ *schema.Event, done func(error)) {
	done(producer.ErrUnavailable)
}

func TestTheSpool(t *testing.T) {
	c := newClinic(t)
	if found := c.examined("spool"); found != nil {
		t.Errorf("without a spool: %+v", found)
	}
	dir := filepath.Join(t.TempDir(), "spool")
	with := func(max string) { c.streams = fmt.Sprintf("gateway: {spool: {dir: %q, max: %s}}\n", dir, max) }
	with("16MiB")
	expect(t, c.examined("spool"), OK, dir+" is made at the first start")
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Error("doctor has made it")
	}
	with("8000TiB")
	expect(t, c.examined("spool"), Warn, "its disk has", "lower gateway.spool.max")
	with("16MiB")

	// What waits is told of when it has waited for long.
	s, err := spool.Open(spool.Config{Dir: dir, Kafka: nowhere{}, After: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // the files are looked at
	if err := s.Publish(t.Context(), &schema.Event{
		OrganizationID: "org_01JAAAAAAAAAAAAAAAAAAAAAAA", Action: "user.signed_in", OccurredAt: "2026-11-22T10:00:00Z",
		Actor: schema.Actor{ID: "user_1", Type: "user"}, Targets: []schema.Target{},
	}); err != nil {
		t.Fatal(err)
	}
	expect(t, c.examined("spool"), OK, "1 event waits in "+dir)
	if err := os.WriteFile(filepath.Join(dir, spool.RefusedName), []byte(`{"at":"2026-11-22T10:00:00Z","reason":"too large","event":{}}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	expect(t, c.examined("spool"), Warn, "Kafka has refused 1 accepted event for ever, the first on 2026-11-22T10:00:00Z", "docs/spool.md")
	if err := os.WriteFile(filepath.Join(dir, "damaged-0000000000000001-8.bin"), make([]byte, 15<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	expect(t, c.examined("spool"), Warn, "1 copy of bytes that could not be read")
	expect(t, c.examined("spool"), Warn, "94 % of gateway.spool.max")
	if err := os.WriteFile(filepath.Join(dir, "spool-0000000000009999.log"), []byte("ASSPOOL\x09"), 0o600); err != nil {
		t.Fatal(err)
	}
	expect(t, c.examined("spool"), Fail, "written by a newer version")
}

func TestHowLongASpoolWaits(t *testing.T) {
	for age, want := range map[time.Duration]Status{time.Minute: "", 16 * time.Minute: Warn, 25 * time.Hour: Fail} {
		if got := waited(age); got != want {
			t.Errorf("%s: %q, want %q", age, got, want)
		}
	}
}

func TestTheReadingOfWorkOS(t *testing.T) {
	world := &workostest.World{}
	world.Keys("sk_test")
	server := httptest.NewServer(world)
	defer server.Close()
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("sk_test"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := newClinic(t).withTopics()
	if found := c.examined("workos"); found != nil {
		t.Errorf("without it: %+v", found)
	}
	c.streams = fmt.Sprintf("gateway: {workos: {poll: {api_key: {file: %q}, url: %q}}}\n", key, server.URL)
	expect(t, c.examined("workos"), Fail, "no process reads the Events API (group auditstream.workos-events has 0 members)")

	read := func(feed string, ago time.Duration) {
		t.Helper()
		note, err := json.Marshal(map[string]any{"v": 1, "feed": feed, "after": "event_1", "time": time.Now().Add(-ago).UTC()})
		if err != nil {
			t.Fatal(err)
		}
		offsets := kadm.Offsets{}
		offsets.Add(kadm.Offset{Topic: "audit.schemas", Partition: 0, At: 0, LeaderEpoch: -1, Metadata: string(note)})
		if err := kadm.NewClient(c.client).CommitAllOffsets(t.Context(), "auditstream.workos-events", offsets); err != nil {
			t.Fatal(err)
		}
	}
	read(server.URL, 5*time.Hour)
	expect(t, c.examined("workos"), Warn, "the Events API was read up to", ", 5h0m")
	read(server.URL, 28*24*time.Hour)
	expect(t, c.examined("workos"), Fail, "what comes next is lost in 48h0m0s", "WorkOS gives no more")

	read(server.URL, time.Second)
	reader, err := kgo.NewClient(kgo.SeedBrokers(c.brokers...), kgo.ClientID("gateway-1"), kgo.ConsumerGroup("auditstream.workos-events"), kgo.ConsumeTopics("audit.schemas"), kgo.DisableAutoCommit())
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	c.await("a process that reads", func() bool {
		text := fmt.Sprint(c.examined("workos"))
		return strings.Contains(text, "gateway-1@127.0.0.1") && strings.Contains(text, " reads the Events API, 0 stand by; read up to ")
	})

	// Asked for, the API itself is looked at.
	if found := c.examined("workos", func(c *Config) { c.Destinations = true }); len(found) != 1 || found[0].Status != OK {
		t.Errorf("%+v", found)
	}
	world.Keys("another")
	found := c.examined("workos", func(c *Config) { c.Destinations = true })
	expect(t, found, Fail, "the Events API cannot be read from here: WorkOS answers "+fmt.Sprint(http.StatusUnauthorized))
	if text := fmt.Sprint(found); strings.Contains(text, "sk_test") {
		t.Errorf("the key is shown: %s", text)
	}
}
