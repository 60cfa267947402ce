//go:build integration

package integration

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/integration/servers"
	"github.com/auditstream/auditstream/internal/closedport"
	"github.com/auditstream/auditstream/producer/workos/workostest"
	"github.com/auditstream/auditstream/schema"
)

// What happens in the environment of the test: before the gateways begin, and while they are
// killed, of which a part comes by webhook as well.
const (
	pastEvents = 3000
	newEvents  = 600
	hooked     = 200
	killings   = 6
)

// TestEventsOfWorkOSSurviveKills has two gateways read WorkOS's Events API and take its
// webhooks on real Kafka, and kills one of them again and again. Every Event is in Kafka in the
// end, also those that came by webhook alone and were answered with 200, and each has one id
// however often it was published.
func TestEventsOfWorkOSSurviveKills(t *testing.T) {
	const organization = "org_01JAAAAAAAAAAAAAAAAAAAAAAA"
	broker := servers.StartKafka(t, 1)
	world := &workostest.World{}
	world.Keys("sk_test")
	api := httptest.NewServer(world)
	t.Cleanup(api.Close)
	want := map[string]bool{}
	happen := func(n int, at time.Time) workostest.Event {
		e := workostest.New(n, at, organization)
		want[schema.ForeignID("workos", e.ID)] = true
		return e
	}
	began := time.Now()
	for n := range pastEvents {
		world.Happen(happen(n, began.Add(-time.Hour+time.Duration(n)*time.Second)))
	}
	binary := servers.BuildBinary(t)
	var gateways [2]*servers.Process
	var urls, files [2]string
	env := []string{"HOOK=whsec_test", "POLL=sk_test"}
	for i := range gateways {
		port := closedport.Find(t)
		urls[i] = fmt.Sprintf("http://127.0.0.1:%d", port)
		files[i] = filepath.Join(t.TempDir(), "gateway.yaml")
		text := fmt.Sprintf(`
kafka: {brokers: [%q]}
topics: {partitions: 3, replication: 1}
delivery: {session_timeout: 6s}
observe: {listen: ""}
gateway:
  listen: 127.0.0.1:%d
  workos:
    webhook: {secrets: [{env: HOOK}]}
    poll: {api_key: {env: POLL}, url: %q, interval: 1s}
`, broker.Addrs[0], port, api.URL)
		if err := os.WriteFile(files[i], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	start := func(i int) {
		gateways[i] = servers.StartProcess(t, "auditstream serve gateway", binary, env, "serve", "gateway", "--config", files[i])
		servers.Await(t, 2*time.Minute, "a gateway that is ready", func() bool { return servers.Answers(t, urls[i]+"/readyz") })
	}
	start(0)
	start(1)

	// Webhooks, some of Events that the API never shows: to either gateway, until one answers 200.
	var hooks sync.WaitGroup
	for n := range hooked {
		number := pastEvents + newEvents + n
		if n%2 == 0 {
			number = pastEvents + n
		}
		e := happen(number, time.Now())
		hooks.Go(func() {
			client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
			for try := 0; ; try++ {
				_, status, err := workostest.Deliver(t.Context(), client, urls[(n+try)%2]+"/webhooks/workos", "whsec_test", e, 1, time.Second)
				if err == nil && status == http.StatusOK {
					return
				}
				select {
				case <-time.After(250 * time.Millisecond):
				case <-t.Context().Done():
					return
				}
			}
		})
	}
	for k := range killings {
		for n := range newEvents / killings {
			world.Happen(happen(pastEvents+k*newEvents/killings+n, time.Now()))
		}
		gateways[k%2].Kill(t)
		start(k % 2)
	}
	hooks.Wait()

	client, err := kgo.NewClient(kgo.SeedBrokers(broker.Addrs...), kgo.ConsumeTopics("audit.events"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	records, found := 0, map[string]int{}
	servers.Await(t, 3*time.Minute, "every Event in Kafka", func() bool {
		ends, err := kadm.NewClient(client).ListEndOffsets(t.Context(), "audit.events")
		if err != nil {
			t.Fatal(err)
		}
		held := 0
		ends.Each(func(o kadm.ListedOffset) { held += int(o.Offset) })
		for records < held {
			for r := range client.PollFetches(t.Context()).RecordsAll() {
				records++
				found[idOf(t, r.Value)]++
			}
		}
		return len(found) >= len(want)
	})
	for id := range want {
		if found[id] == 0 {
			t.Errorf("%s is not in Kafka", id)
		}
	}
	for id := range found {
		if !want[id] {
			t.Errorf("%s is in Kafka and never happened", id)
		}
	}
	t.Logf("%d Events, %d records: %d repeated, over %d kills", len(want), records, records-len(found), killings)
}
