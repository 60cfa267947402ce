//go:build integration

package integration

import (
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/auditstream/auditstream/integration/servers"
	"github.com/auditstream/auditstream/internal/closedport"
	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/auditstream/auditstream/producer"
	"github.com/auditstream/auditstream/schema"
)

// exported is what an export of this test has. It lies in one partition, as every
// organization's events do, among others'.
const exported = 100_000

// A broker that leads the partition is killed while an export is counted, and another one while
// it is downloaded. The file has every event of the organization once, in order, or the download
// breaks off before its last byte and works when it is repeated.
func TestAnExportWhileBrokersAreKilled(t *testing.T) {
	const organization, other = "org_00000000000000000000000001", "org_00000000000000000000000007"
	cluster := servers.StartKafka(t, 3)
	admin := newAdmin(t, cluster.Addrs)
	topics := kafka.Topics{Partitions: 1, Replication: 3}
	if err := kafka.EnsureTopics(t.Context(), admin, topics, zap.NewNop()); err != nil {
		t.Fatal(err)
	}
	f := newFeed(newRand(t), exported*6/5, 1)
	var want []*schema.Event
	for i, e := range f.events {
		if e.OrganizationID = organization; i%6 == 5 {
			e.OrganizationID = other
			continue
		}
		want = append(want, e)
	}
	client := newProducer(t, producer.Config{Brokers: cluster.Addrs, DeliveryTimeout: 5 * time.Minute})
	for f.published < len(f.events) {
		f.publish(t, client, min(2000, len(f.events)-f.published))
	}

	url := "http://" + closedport.Address(t)
	file := filepath.Join(t.TempDir(), "gateway.yaml")
	text := fmt.Sprintf(`
kafka: {brokers: [%s]}
topics: {partitions: 1, replication: 3}
observe: {listen: ""}
gateway:
  listen: %q
  keys: [{name: exporter, key: {env: KEY}, organizations: ["*"], allow: [exports]}]
`, strings.Join(cluster.Addrs, ", "), strings.TrimPrefix(url, "http://"))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	gateway := servers.StartProcess(t, "auditstream serve gateway", servers.BuildBinary(t), []string{"KEY=" + gatewayKey}, "serve", "gateway", "--config", file)
	servers.Await(t, 2*time.Minute, "a gateway that is ready", func() bool { gateway.Running(t); return servers.Answers(t, url+"/readyz") })

	// ask asks the gateway, again while Kafka has to find another leader.
	ask := func(method, path, body string) (e struct {
		ID, State, URL, SHA256, Error string
		Bytes                         int64
		Progress                      struct{ Read, Total, Events int64 }
	},
	) {
		t.Helper()
		servers.Await(t, 3*time.Minute, "an answer about the export", func() bool {
			gateway.Running(t)
			req, err := http.NewRequestWithContext(t.Context(), method, url+path, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+gatewayKey)
			req.Header.Set("Content-Type", "application/json")
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				return false
			}
			defer resp.Body.Close() //nolint:errcheck // only read
			if resp.StatusCode >= http.StatusInternalServerError {
				return false
			}
			if resp.StatusCode/100 != 2 {
				t.Fatalf("%s %s: %s", method, path, resp.Status)
			}
			return json.NewDecoder(resp.Body).Decode(&e) == nil
		})
		return e
	}
	leader := func() int {
		t.Helper()
		at := -1
		servers.Await(t, 2*time.Minute, "a leader of the partition", func() bool {
			md, err := admin.Metadata(t.Context(), topics.Events())
			if err == nil {
				at = int(md.Topics[topics.Events()].Partitions[0].Leader)
			}
			return at >= 0
		})
		return at
	}

	e := ask(http.MethodPost, "/audit_logs/exports", `{"organization_id":"`+organization+`","range_start":"2020-01-01T00:00:00Z","range_end":"2100-01-01T00:00:00Z"}`)
	down := leader()
	cluster.KillNode(t, down)
	counting := ask(http.MethodGet, "/audit_logs/exports/"+e.ID, "")
	t.Logf("node %d was killed; then the export was %s, with %d of %d offsets read", down, counting.State, counting.Progress.Read, counting.Progress.Total)
	servers.Await(t, 5*time.Minute, "an export that is counted", func() bool {
		e = ask(http.MethodGet, "/audit_logs/exports/"+e.ID, "")
		return e.State != "pending"
	})
	if e.State != "ready" || e.Progress.Events != exported {
		t.Fatalf("%+v, want %d events", e, exported)
	}
	cluster.StartNode(t, down)
	servers.Await(t, 3*time.Minute, "all replicas to be in sync", func() bool {
		md, err := admin.Metadata(t.Context(), topics.Names()...)
		if err != nil {
			return false
		}
		for _, name := range topics.Names() {
			for _, p := range md.Topics[name].Partitions {
				if p.Leader < 0 || len(p.ISR) < 3 {
					return false
				}
			}
		}
		return true
	})

	// The first download has its broker killed under it; those behind it are repeats.
	for try := 1; ; try++ {
		got, err := download(t, e.URL, func() {
			if try == 1 {
				cluster.KillNode(t, leader())
			}
		})
		if err != nil {
			t.Logf("download %d broke off after %d of %d bytes: %v", try, len(got), e.Bytes, err)
			if try == 20 {
				t.Fatal("no download comes to its end")
			}
			e.URL = ask(http.MethodGet, "/audit_logs/exports/"+e.ID, "").URL
			pause(t.Context(), time.Second)
			continue
		}
		sum := sha256.Sum256(got)
		if int64(len(got)) != e.Bytes || hex.EncodeToString(sum[:]) != e.SHA256 {
			t.Fatalf("a download of %d bytes with the hash %x came to its end, want %d with %s", len(got), sum, e.Bytes, e.SHA256)
		}
		judgeExport(t, got, organization, want)
		t.Logf("download %d is whole: %d bytes", try, len(got))
		return
	}
}

// download reads a file to its end. After the first megabyte midway is called.
func download(t *testing.T, url string, midway func()) ([]byte, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("answered %s", resp.Status)
	}
	first, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return first, err
	}
	midway()
	rest, err := io.ReadAll(resp.Body)
	return append(first, rest...), err
}

// judgeExport holds a file against the events that it has to have, in their order.
func judgeExport(t *testing.T, file []byte, organization string, want []*schema.Event) {
	t.Helper()
	rows, err := csv.NewReader(strings.NewReader(string(file))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	at := map[string]int{}
	for i, name := range rows[0] {
		at[name] = i
	}
	if rows = rows[1:]; len(rows) != len(want) {
		t.Fatalf("%d rows, want %d", len(rows), len(want))
	}
	for i, row := range rows {
		if row[at["id"]] != want[i].ID || row[at["organization_id"]] != organization {
			t.Fatalf("row %d is event %s of %s, want %s", i, row[at["id"]], row[at["organization_id"]], want[i].ID)
		}
		if metadata := fmt.Sprintf(`{"sequence":%d}`, want[i].Metadata["sequence"]); row[at["metadata"]] != metadata {
			t.Fatalf("row %d has the metadata %s, want %s", i, row[at["metadata"]], metadata)
		}
	}
}
