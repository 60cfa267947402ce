//go:build integration

package integration

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/auditstream/auditstream/integration/servers"
	"github.com/auditstream/auditstream/internal/closedport"
	"github.com/auditstream/auditstream/internal/kafka"
)

// gatewayKey is the key of the campaign's clients.
const gatewayKey = "sk_campaign_0123456789abcdefghijklmnopqrstuvwxyz"

// gatewayMemory is what a gateway of a campaign may take at most: 128 MiB for bodies and as
// much for what Kafka has not acknowledged, and as much again for the program and its garbage.
const gatewayMemory = 384 << 20

// Every event that a gateway has answered with success is in Kafka, whatever happens to the
// gateways, to Kafka and to the network: each under its organization, in the order of its
// client, and more than once only with the same id.
//
// "make chaos" makes it longer.
func TestCampaignOfTheGatewayLosesNothing(t *testing.T) { campaignOfTheGateway(t, false) }

// With a spool the same holds while Kafka is away for longer than events wait for it: they are
// accepted all the same, and are in Kafka when it is back, also of gateways that were killed
// meanwhile. What keeps the order of an organization is that it is published through one gateway.
func TestCampaignOfTheGatewayWithASpoolLosesNothing(t *testing.T) { campaignOfTheGateway(t, true) }

func campaignOfTheGateway(t *testing.T, spooled bool) {
	t.Helper()
	length, wanted := 25*time.Second, 20_000
	if s := os.Getenv("AUDITSTREAM_CHAOS"); s != "" {
		var err error
		if length, err = time.ParseDuration(s); err != nil {
			t.Fatal(err)
		}
		wanted = max(100_000, int(length/time.Second)*800)
	}
	r := newRand(t)
	c := newCampaign(t, r, faultsOfKafka())
	to := &ingest{acknowledged: map[string]int{}, faithful: spooled}
	c.arrived = to.count
	binary := servers.BuildBinary(t)
	for i, name := range []string{"a", "b"} {
		listen := closedport.Address(t)
		to.urls = append(to.urls, "http://"+listen)
		config := gatewayConfig(c.cluster.ProxyAddrs[i], listen)
		if spooled {
			observe := closedport.Address(t)
			to.observed = append(to.observed, "http://"+observe+"/metrics")
			config = strings.Replace(config, `listen: ""`, fmt.Sprintf("listen: %q", observe), 1) + fmt.Sprintf("  spool: {dir: %q, after: 1s}\n", t.TempDir())
		}
		c.launch(t, name, func(t *testing.T) process {
			t.Helper()
			return process{Process: startCampaignGateway(t, binary, config), url: "http://" + listen}
		})
	}

	// Kafka is away at the start: gateways listen, and say so, unless they have a spool.
	for i, p := range c.processes {
		servers.Await(t, time.Minute, p.name+" listens", func() bool { p.Running(t); return servers.Answers(t, p.url+"/healthz") })
		if spooled {
			servers.Await(t, time.Minute, p.name+" is ready without Kafka", func() bool { return p.ready(t) })
			// Of an organization that no client has: with an idempotency key, as a client may
			// send its first event, it would have another id.
			organization := fmt.Sprintf("org_%026d", 1000+i)
			if status, _, body := to.post(t.Context(), p.url+"/audit_logs/events", "", eventOf(organization, 0)); status != http.StatusOK {
				t.Errorf("%s answers %d without Kafka: %s", p.name, status, body)
			}
			to.took(organization, 1)
			continue
		}
		if p.ready(t) {
			t.Errorf("%s says that it is ready, without Kafka", p.name)
		}
		status, header, body := to.post(t.Context(), p.url+"/audit_logs/events", "", eventOf("org_00000000000000000000000000", 0))
		if status != http.StatusServiceUnavailable || header.Get("Retry-After") == "" {
			t.Errorf("%s answers %d, Retry-After %q without Kafka: %s", p.name, status, header.Get("Retry-After"), body)
		}
	}
	c.cluster.Start(t)
	c.awaitReady(t)
	// A gateway with a spool is ready before it has found Kafka, for which it looks every 15
	// seconds, and has made the topics. Without these nothing would be broken but its start.
	admin := newAdmin(t, c.cluster.Addrs)
	servers.Await(t, 2*time.Minute, "the topics are made", func() bool {
		topics, err := admin.ListTopics(t.Context(), kafka.Topics{}.Names()...)
		return err == nil && topics.Error() == nil
	})

	// Clients publish until they have published enough, and things break for at least length.
	const clients = 8
	var working sync.WaitGroup
	for i := range clients {
		client := rand.New(rand.NewPCG(r.Uint64(), uint64(i)))
		working.Go(func() { to.publish(t, client, i, wanted/clients, length) })
	}
	published := make(chan struct{})
	go func() { working.Wait(); close(published) }()
	c.breakFor(t, length)
	servers.Await(t, 5*time.Minute, "every client has published its events", func() bool {
		select {
		case <-published:
			return true
		default:
			return false
		}
	})
	for _, p := range c.processes {
		if peak := p.PeakMemory(t); peak > gatewayMemory {
			t.Errorf("%s has taken %d MiB of memory, want at most %d", p.name, peak>>20, gatewayMemory>>20)
		}
	}
	for i, url := range to.observed {
		servers.Await(t, 5*time.Minute, c.processes[i].name+" has drained its spool", func() bool { return to.figure(t, url, "auditstream_spool_events ") == "0" })
	}
	c.end(t)
	c.report(t)
	to.judge(t, c.cluster.Addrs)
}

func gatewayConfig(brokers []string, listen string) string {
	return fmt.Sprintf(`
kafka: {brokers: [%s], sasl: {mechanism: plain, username: alice, password: {env: KAFKA_PASSWORD}}}
topics: {partitions: %d, replication: 3}
observe: {listen: ""}
log: {level: info, format: console}
gateway:
  listen: %q
  timeout: 5s
  drain_timeout: 10s
  keys: [{name: campaign, key: {env: GATEWAY_KEY}, organizations: ["*"]}]
`, strings.Join(brokers, ", "), ingestPartitions, listen)
}

const ingestPartitions = 6

func startCampaignGateway(t *testing.T, binary, config string) *servers.Process {
	t.Helper()
	file := filepath.Join(t.TempDir(), "auditstream.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return servers.StartProcess(t, "auditstream serve gateway", binary,
		[]string{"KAFKA_PASSWORD=alice-secret", "GATEWAY_KEY=" + gatewayKey}, "serve", "gateway", "--config", file)
}

// ingest is what clients of the gateways have published.
type ingest struct {
	urls     []string
	observed []string // where gateways with a spool show their figures
	faithful bool     // each organization's events go through one gateway

	mu           sync.Mutex
	acknowledged map[string]int // events of each organization, by their numbers from 0 on; guarded by mu
	attempts     atomic.Int64
	failures     atomic.Int64 // of attempts
	hung         atomic.Int64 // of failures: no answer, and no end of the connection
}

func (g *ingest) count() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := 0
	for _, m := range g.acknowledged {
		n += m
	}
	return n
}

// took notes that an organization's first n events were answered with success.
func (g *ingest) took(organization string, n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.acknowledged[organization] = n
}

// eventOf is the body of an organization's event with that number.
func eventOf(organization string, n int) string {
	return fmt.Sprintf(`{"organization_id":%q,"event":{"action":"document.shared","occurred_at":"2026-11-22T10:00:00.000Z",`+
		`"actor":{"id":"user_1","type":"user","name":"Zo\u00eb"},"targets":[{"id":"document_%d","type":"document"}],`+
		`"context":{"location":"192.0.2.1","user_agent":"campaign"},"metadata":{"sequence":%d}}}`, organization, n, n)
}

// publish is a client: it publishes events of its own organizations, one request after another
// for each of them, and repeats a request, at whichever gateway, until it has succeeded. It
// goes on until it has published n, and then until so much time has passed, at half the speed.
func (g *ingest) publish(t *testing.T, r *rand.Rand, client, n int, length time.Duration) {
	t.Helper()
	const organizations = 5
	next := [organizations]int{}
	began, done := time.Now(), 0
	for done < n || time.Since(began) < length {
		o := r.IntN(organizations)
		organization := fmt.Sprintf("org_%026d", client*organizations+o)
		few := 1
		if r.IntN(3) == 0 {
			few = 1 + r.IntN(60)
		}
		var err error
		if few == 1 {
			err = g.one(t.Context(), r, organization, next[o])
		} else {
			err = g.batch(t.Context(), r, organization, next[o], few)
		}
		if err != nil {
			t.Errorf("client %d: %v", client, err)
			return
		}
		next[o] += few
		done += few
		g.took(organization, next[o])
		// As many as are wanted, spread over the time that there is.
		if ahead := time.Duration(float64(length)*float64(done)/float64(n)) - time.Since(began); ahead > 0 {
			pause(t.Context(), min(ahead, 100*time.Millisecond))
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// figure is what a gateway shows of itself under a name, with the space behind it.
func (g *ingest) figure(t *testing.T, url, name string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return ""
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// one publishes one event, every other time with an idempotency key.
func (g *ingest) one(ctx context.Context, r *rand.Rand, organization string, n int) error {
	key := ""
	if r.IntN(2) == 0 {
		key = fmt.Sprintf("%s-%d", organization, n)
	}
	return g.insist(ctx, r, organization, func(url string) (bool, error) {
		status, _, body := g.post(ctx, url+"/audit_logs/events", key, eventOf(organization, n))
		switch {
		case status == http.StatusOK && strings.HasPrefix(body, `{"success":true,`):
			return true, nil
		case status == http.StatusOK || status >= 400 && status < 500 && status != http.StatusTooManyRequests:
			return false, fmt.Errorf("event %d of %s is answered %d %s", n, organization, status, body)
		}
		return false, nil
	})
}

// batch publishes several events of one organization in one request.
func (g *ingest) batch(ctx context.Context, r *rand.Rand, organization string, from, n int) error {
	var body strings.Builder
	for i := range n {
		body.WriteString(eventOf(organization, from+i) + "\n")
	}
	return g.insist(ctx, r, organization, func(url string) (bool, error) {
		status, _, answer := g.post(ctx, url+"/audit_logs/events/batch", "", body.String())
		if status != http.StatusOK && status != http.StatusMultiStatus {
			if status >= 400 && status < 500 && status != http.StatusTooManyRequests {
				return false, fmt.Errorf("a batch of %s is answered %d %s", organization, status, answer)
			}
			return false, nil
		}
		var result struct {
			Results []struct{ Status int }
		}
		if err := json.Unmarshal([]byte(answer), &result); err != nil {
			return false, nil //nolint:nilerr // cut off: it is sent again
		}
		taken := 0
		for _, x := range result.Results {
			if x.Status == http.StatusOK {
				taken++
			}
		}
		return taken == n, nil
	})
}

// insist tries at a gateway, then at another unless clients are faithful, with pauses, until it
// is done.
func (g *ingest) insist(ctx context.Context, r *rand.Rand, organization string, try func(url string) (done bool, err error)) error {
	for ctx.Err() == nil {
		g.attempts.Add(1)
		url := g.urls[r.IntN(len(g.urls))]
		if g.faithful {
			url = g.urls[int(organization[len(organization)-1])%len(g.urls)]
		}
		done, err := try(url)
		if done || err != nil {
			return err
		}
		g.failures.Add(1)
		pause(ctx, time.Duration(50+r.IntN(400))*time.Millisecond)
	}
	return ctx.Err()
}

// post sends a request; status 0 says that there was no answer. A gateway has to answer within
// a minute, or close the connection, whatever state Kafka is in.
func (g *ingest) post(ctx context.Context, url, key, body string) (status int, header http.Header, answer string) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	defer func() {
		if status == 0 && errors.Is(ctx.Err(), context.DeadlineExceeded) {
			g.hung.Add(1)
		}
	}()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader([]byte(body)))
	if err != nil {
		return 0, nil, err.Error()
	}
	req.Header.Set("Authorization", "Bearer "+gatewayKey)
	req.Header.Set("Content-Type", "application/json")
	if strings.HasSuffix(url, "/batch") {
		req.Header.Set("Content-Type", "application/x-ndjson")
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err.Error()
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, nil, err.Error()
	}
	return resp.StatusCode, resp.Header, string(b)
}

// judge compares the topic, as kafka-go reads it, with what was acknowledged.
func (g *ingest) judge(t *testing.T, brokers []string) {
	t.Helper()
	ids := map[string][]string{} // of each organization's events, by number
	repeated, records := 0, 0
	for p := range ingestPartitions {
		for _, m := range readPartition(t, brokers[0], "audit.events", p) {
			var e struct {
				ID             string
				OrganizationID string `json:"organization_id"`
				Metadata       struct{ Sequence int }
			}
			if err := json.Unmarshal(m.Value, &e); err != nil {
				t.Fatal(err)
			}
			if string(m.Key) != e.OrganizationID {
				t.Errorf("an event of %s stands under the key %q", e.OrganizationID, m.Key)
			}
			if !slices.ContainsFunc(m.Headers, func(h kafkago.Header) bool { return h.Key == "encoding" && string(h.Value) == "jcs" }) {
				t.Errorf("event %s is not marked as canonical", e.ID)
			}
			records++
			of, n := ids[e.OrganizationID], e.Metadata.Sequence
			switch {
			case n < len(of):
				repeated++
				if of[n] != e.ID {
					t.Errorf("event %d of %s has two ids: %s and %s", n, e.OrganizationID, of[n], e.ID)
				}
			case n == len(of):
				ids[e.OrganizationID] = append(of, e.ID)
			default:
				t.Fatalf("event %d of %s stands before event %d: an event is missing, or out of order", n, e.OrganizationID, len(of))
			}
		}
	}
	seen := map[string]bool{}
	total := 0
	for organization, n := range g.acknowledged {
		if len(ids[organization]) < n {
			t.Errorf("%d events of %s were answered with success, %d are in Kafka", n, organization, len(ids[organization]))
		}
		for _, id := range ids[organization] {
			if seen[id] {
				t.Errorf("two events have the id %s", id)
			}
			seen[id] = true
		}
		total += n
	}
	if n := g.hung.Load(); n > 0 {
		t.Errorf("%d requests had no answer within a minute", n)
	}
	if total == 0 {
		t.Error("nothing was published")
	}
	t.Logf("%d events answered with success, %d requests and %d of them without success; %d records in Kafka, %d of them repeated (%.2f %%)",
		total, g.attempts.Load(), g.failures.Load(), records, repeated, 100*float64(repeated)/float64(cmp.Or(records, 1)))
}
