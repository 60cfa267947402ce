//go:build integration

package integration

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/auditstream/auditstream/integration/servers"
	"github.com/auditstream/auditstream/internal/closedport"
	"github.com/auditstream/auditstream/producer/gateway/access"
)

// hostileRequests is how many hostile requests are sent; HOSTILE_REQUESTS says another number.
const hostileRequests = 50_000

// hostileMemory bounds what the process may take while it is attacked, in bytes: the binary
// and its connection to Kafka, twice gateway.memory (what is given back is not collected at
// once), and what 1,024 connections and 128 requests take beside their bodies.
const hostileMemory = 256 << 20

// The organizations of the test: the key of the attackers is confined to theirs.
const (
	goodOrganization    = "org_01HGOOD000000000000000GOOD"
	hostileOrganization = "org_01HHOSTILE0000000000000BAD"
)

// Actions that mark what must never be in Kafka.
const (
	forbiddenAction = "hostile.forbidden" // sent without a valid key, or with one that does not allow it
	smuggledAction  = "hostile.smuggled"  // hidden in another request's body
)

// TestHostileInput attacks a gateway on real Kafka in every way that is known, while somebody
// publishes through it. All the time good events are taken; whatever was answered with success
// is in Kafka; nothing is there that was not allowed; memory keeps its bound, and afterwards
// nothing is left of the attack.
func TestHostileInput(t *testing.T) {
	total := int64(hostileRequests)
	if s := os.Getenv("HOSTILE_REQUESTS"); s != "" {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		total = n
	}
	r := newRand(t)
	broker := servers.StartKafka(t, 1)
	g := startGateway(t, broker.Addrs)
	servers.Await(t, 2*time.Minute, "the gateway is ready", func() bool { g.Running(t); return servers.Answers(t, g.url+"/readyz") })
	before := g.vitals(t)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	good := &goodCaller{url: g.url, key: g.goodKey, accepted: map[string]string{}}
	var beside sync.WaitGroup
	beside.Go(func() { good.run(ctx, t) })
	peak := g.watch(ctx, t, &beside)

	began := time.Now()
	w := &war{address: g.address, key: g.hostileKey, total: total, statuses: map[int]int64{}, accepted: map[string]bool{}}
	var armies sync.WaitGroup
	for i := range attackers {
		random := rand.New(rand.NewPCG(r.Uint64(), uint64(i)))
		armies.Go(func() { w.fight(t, random) })
	}
	for i := range besiegers {
		random := rand.New(rand.NewPCG(r.Uint64(), uint64(i)))
		armies.Go(func() { w.besiege(t, random) })
	}
	armies.Wait()
	took := time.Since(began)
	g.Running(t)
	servedDuring := good.count()
	servers.Await(t, 2*time.Minute, "good events are taken afterwards", func() bool { return good.count() > servedDuring })
	cancel()
	beside.Wait()

	// Whatever the attackers left open has been given up by now, or is within its bounds.
	servers.Await(t, 3*time.Minute, "nothing is left of the attack", func() bool {
		now := g.vitals(t)
		return now.connections <= before.connections+8 && now.goroutines <= before.goroutines+32
	})
	for _, path := range []string{"/healthz", "/readyz"} {
		if !servers.Answers(t, g.url+path) {
			t.Errorf("%s does not answer", path)
		}
	}
	t.Logf("%d hostile requests in %s (%.0f a second): %s", w.sent.Load(), took.Round(time.Second), float64(w.sent.Load())/took.Seconds(), w.report())
	t.Logf("%d good events were taken meanwhile, after %d repeats; memory was %d MiB before, %d MiB at most, %d MiB afterwards",
		servedDuring, good.repeats, before.memory>>20, peak.Load()>>20, g.vitals(t).memory>>20)
	if servedDuring == 0 {
		t.Error("no good event was taken during the attack")
	}
	if peak.Load() > hostileMemory {
		t.Errorf("the process took %d MiB, at most %d were to be", peak.Load()>>20, hostileMemory>>20)
	}
	for status, n := range w.statuses {
		if status >= 500 && !slices.Contains([]int{http.StatusNotImplemented, http.StatusServiceUnavailable, http.StatusHTTPVersionNotSupported}, status) {
			t.Errorf("%d answers had the status %d", n, status)
		}
	}
	g.Terminate(t, time.Minute)
	for _, word := range []string{"panic", "a mistake of auditstream", "fatal error", g.goodKey, g.hostileKey} {
		if strings.Contains(g.Log(t), word) {
			t.Errorf("the log has %q", word)
		}
	}
	judgeLedger(t, broker.Addrs[0], good, w)
}

// judgeLedger compares what was answered with success with what is in Kafka.
func judgeLedger(t *testing.T, broker string, good *goodCaller, w *war) {
	t.Helper()
	stored, byKey := map[string]int{}, map[string]int{}
	for partition := range 6 {
		for _, m := range readPartition(t, broker, "audit.events", partition) {
			var event struct {
				ID             string `json:"id"`
				Action         string `json:"action"`
				OrganizationID string `json:"organization_id"`
			}
			if err := json.Unmarshal(m.Value, &event); err != nil || event.ID == "" {
				t.Fatalf("a record is no event: %v: %.200s", err, m.Value)
			}
			stored[event.ID]++
			if event.OrganizationID == goodOrganization {
				byKey[event.Action]++
			}
			if event.Action == forbiddenAction || event.Action == smuggledAction {
				t.Errorf("an event is in Kafka that nobody was allowed to publish: %.300s", m.Value)
			}
		}
	}
	for key, id := range good.accepted {
		if stored[id] == 0 {
			t.Errorf("good event %s, %s, was accepted and is not in Kafka", key, id)
		}
	}
	for id := range w.accepted {
		if stored[id] == 0 {
			t.Errorf("event %s of an attacker was accepted and is not in Kafka", id)
		}
	}
	twice := 0
	for _, n := range stored {
		twice += n - 1
	}
	t.Logf("in Kafka: %d events, %d of them twice; accepted: %d good, %d of attackers", len(stored), twice, len(good.accepted), len(w.accepted))
}

// attacked is a gateway under attack.
type attacked struct {
	*servers.Process
	address, url, observed string
	goodKey, hostileKey    string
}

func startGateway(t *testing.T, brokers []string) *attacked {
	t.Helper()
	ports := closedport.Address(t)
	g := &attacked{address: closedport.Address(t), goodKey: access.NewKey(), hostileKey: access.NewKey()}
	g.url, g.observed = "http://"+g.address, "http://"+ports
	file := filepath.Join(t.TempDir(), "auditstream.yaml")
	text := fmt.Sprintf(`
kafka: {brokers: [%s]}
topics: {partitions: 6, replication: 1}
gateway:
  listen: %q
  requests: 128
  memory: 64MiB
  connections: 1024
  keys:
    - {name: good, key: {env: GOOD_KEY}, organizations: [%s]}
    - {name: hostile, hash: %q, organizations: [%s], actions: ["document.*"]}
observe: {listen: %q}
log: {level: info, format: json}
`, strings.Join(brokers, ", "), g.address, goodOrganization, access.HashOf(g.hostileKey), hostileOrganization, ports)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	g.Process = servers.StartProcess(t, "auditstream serve gateway", servers.BuildBinary(t), []string{"GOOD_KEY=" + g.goodKey}, "serve", "gateway", "--config", file)
	return g
}

// vitals are figures of the process.
type vitals struct{ memory, goroutines, connections int64 }

func (g *attacked) vitals(t *testing.T) vitals {
	t.Helper()
	figures, err := g.figures(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return vitals{figures["process_resident_memory_bytes"], figures["go_goroutines"], figures["auditstream_gateway_connections"]}
}

// figures are the metrics without labels.
func (g *attacked) figures(ctx context.Context) (map[string]int64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, g.observed+"/metrics", http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	out := map[string]int64{}
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), " "); ok {
			if f, err := strconv.ParseFloat(value, 64); err == nil {
				out[name] = int64(f)
			}
		}
	}
	return out, nil
}

// watch notes the most memory that the process takes.
func (g *attacked) watch(ctx context.Context, t *testing.T, beside *sync.WaitGroup) *atomic.Int64 {
	t.Helper()
	peak := &atomic.Int64{}
	beside.Go(func() {
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			figures, err := g.figures(ctx)
			if err != nil && ctx.Err() == nil {
				t.Errorf("figures cannot be had during the attack: %v", err)
				return
			}
			peak.Store(max(peak.Load(), figures["process_resident_memory_bytes"]))
		}
	})
	return peak
}

// goodCaller publishes one event after the other, each with a key of its own, and repeats what
// it was told to repeat.
type goodCaller struct {
	url, key string

	mu       sync.Mutex
	accepted map[string]string // id by idempotency key; guarded by mu
	repeats  int               // guarded by mu
}

func (c *goodCaller) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.accepted)
}

// goodPatience bounds how long one good event may be repeated: it only bounds a hang.
const goodPatience = 3 * time.Minute

func (c *goodCaller) run(ctx context.Context, t *testing.T) {
	t.Helper()
	client := &http.Client{Timeout: 30 * time.Second}
	for n := 0; ctx.Err() == nil; n++ {
		key := fmt.Sprint("good-", n)
		for began := time.Now(); ; {
			id, again, err := c.send(ctx, client, key, n)
			if ctx.Err() != nil {
				return
			}
			if err == nil {
				c.mu.Lock()
				c.accepted[key] = id
				c.mu.Unlock()
				break
			}
			if !again || time.Since(began) > goodPatience {
				t.Errorf("good event %s is not taken: %v", key, err)
				return
			}
			c.mu.Lock()
			c.repeats++
			c.mu.Unlock()
			select {
			case <-ctx.Done():
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
}

// send publishes an event; again says that it may be repeated.
func (c *goodCaller) send(ctx context.Context, client *http.Client, key string, n int) (id string, again bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url+"/audit_logs/events", bytes.NewReader(eventBody(goodOrganization, "document.shared", n)))
	if err != nil {
		return "", false, err
	}
	req.Header.Set("Authorization", "Bearer "+c.key)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", key)
	resp, err := client.Do(req)
	if err != nil {
		return "", true, err
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", true, err
	}
	if resp.StatusCode != http.StatusOK {
		return "", resp.StatusCode == http.StatusServiceUnavailable || resp.StatusCode == http.StatusTooManyRequests, fmt.Errorf("%s: %.300s", resp.Status, body)
	}
	var answer struct{ ID string }
	if err := json.Unmarshal(body, &answer); err != nil || answer.ID == "" {
		return "", false, fmt.Errorf("no id in %.300s: %w", body, err)
	}
	return answer.ID, false, nil
}

// eventBody is the body of one event.
func eventBody(organization, action string, n int) []byte {
	return fmt.Appendf(nil, `{"organization_id":%q,"event":{"action":%q,"occurred_at":"2026-11-22T10:00:00Z","actor":{"type":"user","id":"user_%d"},`+
		`"targets":[{"type":"document","id":"doc_1","metadata":{"a":"b"}}],"context":{"location":"192.0.2.1","user_agent":"x"},"metadata":{"n":%d}}}`, organization, action, n, n)
}

// war is what attackers have in common.
type war struct {
	address, key string
	total        int64
	sent         atomic.Int64

	mu       sync.Mutex
	statuses map[int]int64   // of answers; 0: the connection was ended without one; guarded by mu
	accepted map[string]bool // ids of events that were answered with success; guarded by mu
	by       map[string]int64
}

// note counts a request and its answer.
func (w *war) note(name string, status int, id string) {
	w.sent.Add(1)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.statuses[status]++
	if w.by == nil {
		w.by = map[string]int64{}
	}
	w.by[name]++
	if id != "" {
		w.accepted[id] = true
	}
}

// report says what was sent, and what became of it.
func (w *war) report() string {
	var out strings.Builder
	for _, name := range slices.Sorted(maps.Keys(w.by)) {
		fmt.Fprintf(&out, "\n  %-28s %d", name, w.by[name])
	}
	out.WriteString("\nanswers by status, 0 for connections that were ended without one:")
	for _, status := range slices.Sorted(maps.Keys(w.statuses)) {
		fmt.Fprintf(&out, " %d: %d;", status, w.statuses[status])
	}
	return out.String()
}
