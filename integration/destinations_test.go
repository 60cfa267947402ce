//go:build integration

package integration

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/auditstream/auditstream/integration/servers"
	"github.com/auditstream/auditstream/sinks/sinktest/ddlogs"
	"github.com/auditstream/auditstream/sinks/sinktest/hec"
)

const (
	hecToken      = "11111111-2222-3333-4444-555555555555"
	datadogAPIKey = "00112233445566778899aabbccddeeff"
)

// destinations are one of each kind: a real S3 server, and doubles of the others in the
// test's own process, so that they survive whatever is done to delivery.
type destinations struct {
	splunk  *hec.Server
	datadog *ddlogs.Server
	archive *archive

	splunkURL, datadogURL string
}

func startDestinations(t *testing.T) *destinations {
	t.Helper()
	splunk, err := hec.New(hec.Config{Token: hecToken})
	if err != nil {
		t.Fatal(err)
	}
	datadog, err := ddlogs.New(ddlogs.Config{APIKey: datadogAPIKey})
	if err != nil {
		t.Fatal(err)
	}
	splunkServer, datadogServer := httptest.NewServer(splunk), httptest.NewServer(datadog)
	t.Cleanup(splunkServer.Close)
	t.Cleanup(datadogServer.Close)
	return &destinations{
		splunk: splunk, splunkURL: splunkServer.URL,
		datadog: datadog, datadogURL: datadogServer.URL,
		archive: newArchive(servers.StartS3(t)),
	}
}

// arrived is how many events have arrived at the doubles, duplicates included.
func (d *destinations) arrived() int { return d.splunk.Len() + d.datadog.Len() }

func (d *destinations) splunkIDs(t *testing.T) []string {
	t.Helper()
	var ids []string
	for _, e := range d.splunk.Events() {
		ids = append(ids, idOf(t, e.Event))
	}
	return ids
}

func (d *destinations) datadogIDs(t *testing.T) []string {
	t.Helper()
	var ids []string
	for _, e := range d.datadog.Events() {
		ids = append(ids, idOf(t, e.Message))
	}
	return ids
}

// awaitAll returns when every published event has arrived everywhere.
func (d *destinations) awaitAll(t *testing.T, f *feed) {
	t.Helper()
	const limit = 3 * time.Minute
	servers.Await(t, limit, "every event is in Splunk", complete(f, d.splunk.Len, func() []string { return d.splunkIDs(t) }))
	servers.Await(t, limit, "every event is in Datadog", complete(f, d.datadog.Len, func() []string { return d.datadogIDs(t) }))
	servers.Await(t, limit, "every event is in S3", func() bool {
		d.archive.refresh(t)
		return unique(d.archive.ids()) == f.published
	})
}

// complete reports whether every published event is among ids, which it reads only when
// there are more of them than before.
func complete(f *feed, length func() int, ids func() []string) func() bool {
	last := -1
	return func() bool {
		n := length()
		if n == last || n < f.published {
			return false
		}
		last = n
		return unique(ids()) == f.published
	}
}

// judge is the end of a test: delivery does not run any more.
func (d *destinations) judge(t *testing.T, f *feed) {
	t.Helper()
	d.archive.refresh(t)
	if v := f.judge(t, "S3", d.archive.ids()); v.duplicates > 0 {
		t.Errorf("S3 has %d events more than once, want each exactly once", v.duplicates)
	}
	d.archive.judgeChains(t)
	f.judge(t, "Splunk", d.splunkIDs(t))
	f.judge(t, "Datadog", d.datadogIDs(t))
}

// delivery is how to run a delivering process.
type delivery struct {
	binary       string
	brokers      []string
	replication  int
	destinations *destinations
}

// process is a delivering process, and where it tells how it is.
type process struct {
	*servers.Process
	url string
}

// start starts a delivering process under a name of its own. Requests are small and
// objects young, so that whatever happens happens amid many of them.
func (d delivery) start(t *testing.T, instance string) process {
	t.Helper()
	listen, store := servers.FreeAddress(t), d.destinations.archive.store
	config := fmt.Sprintf(`
kafka: {brokers: [%s]}
topics: {partitions: 6, replication: %d}
delivery:
  instance_id: %s
  session_timeout: 10s
  commit_interval: 500ms
  retry: {min: 100ms, max: 2s}
observe: {listen: %q}
log: {level: info, format: console}
streams:
  - id: all-splunk
    organization_id: "*"
    start: beginning
    splunk: {url: %q, token: {env: HEC_TOKEN}, max_events: 100, linger: 50ms}
  - id: all-datadog
    organization_id: "*"
    start: beginning
    datadog: {url: %q, api_key: {env: DATADOG_API_KEY}, max_events: 100, linger: 50ms}
  - id: all-s3
    organization_id: "*"
    start: beginning
    s3:
      bucket: %s
      region: %s
      endpoint: %q
      path_style: true
      access_key_id: %s
      secret_access_key: {env: S3_SECRET}
      max_events: 100
      max_age: 300ms
`, strings.Join(d.brokers, ", "), d.replication, instance, listen, d.destinations.splunkURL, d.destinations.datadogURL,
		store.Bucket, store.Region, store.Endpoint, store.AccessKey)
	return process{
		Process: servers.StartDeliver(t, d.binary, config,
			"HEC_TOKEN="+hecToken, "DATADOG_API_KEY="+datadogAPIKey, "S3_SECRET="+store.SecretKey),
		url: "http://" + listen,
	}
}

// ready reports whether the process delivers.
func (p process) ready(t *testing.T) bool {
	t.Helper()
	return servers.Answers(t, p.url+"/readyz")
}

// end ends the process as an operator does.
func (p process) end(t *testing.T) {
	t.Helper()
	p.Terminate(t, time.Minute)
}
