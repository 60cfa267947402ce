//go:build integration

package integration

import (
	"bytes"
	"cmp"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/auditstream/auditstream/internal/closedport"

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

	// As delivery is told: of the servers, or of proxies before them.
	splunkURL, datadogURL, s3URL string
}

func startDestinations(t *testing.T) *destinations {
	t.Helper()
	as := func(h http.Handler) http.Handler { return h }
	return startDestinationsBehind(t, as, as)
}

// startRefusingDestinations starts destinations that refuse poisons.
func startRefusingDestinations(t *testing.T) *destinations {
	t.Helper()
	return startDestinationsBehind(t, refusingSplunk, refusingDatadog)
}

func startDestinationsBehind(t *testing.T, beforeSplunk, beforeDatadog func(http.Handler) http.Handler) *destinations {
	t.Helper()
	splunk, err := hec.New(hec.Config{Token: hecToken})
	if err != nil {
		t.Fatal(err)
	}
	datadog, err := ddlogs.New(ddlogs.Config{APIKey: datadogAPIKey})
	if err != nil {
		t.Fatal(err)
	}
	splunkServer, datadogServer := httptest.NewServer(beforeSplunk(splunk)), httptest.NewServer(beforeDatadog(datadog))
	t.Cleanup(splunkServer.Close)
	t.Cleanup(datadogServer.Close)
	archive := newArchive(servers.StartS3(t))
	return &destinations{
		splunk: splunk, splunkURL: splunkServer.URL,
		datadog: datadog, datadogURL: datadogServer.URL,
		archive: archive, s3URL: archive.store.Endpoint,
	}
}

// arrived is how many events have arrived at the doubles, duplicates included.
func (d *destinations) arrived() int { return d.splunk.Len() + d.datadog.Len() }

func (d *destinations) splunkIDs(t *testing.T) []string {
	t.Helper()
	var ids []string
	for _, e := range d.splunk.Events() {
		if carriesID(e.Event) {
			ids = append(ids, idOf(t, e.Event))
		}
	}
	return ids
}

func (d *destinations) datadogIDs(t *testing.T) []string {
	t.Helper()
	var ids []string
	for _, e := range d.datadog.Events() {
		if carriesID(e.Message) {
			ids = append(ids, idOf(t, e.Message))
		}
	}
	return ids
}

// carriesID says whether something is an event: a checkpoint of a feed has no id.
func carriesID(event []byte) bool { return bytes.Contains(event, []byte(`"id":`)) }

// awaitAll returns when every published event has arrived everywhere.
func (d *destinations) awaitAll(t *testing.T, f *feed) {
	t.Helper()
	const limit = 3 * time.Minute
	servers.Await(t, limit, "every event is in Splunk", complete(f.due(inSplunk), d.splunk.Len, func() []string { return d.splunkIDs(t) }))
	servers.Await(t, limit, "every event is in Datadog", complete(f.due(inDatadog), d.datadog.Len, func() []string { return d.datadogIDs(t) }))
	servers.Await(t, limit, "every event is in S3", func() bool {
		d.archive.refresh(t)
		return unique(d.archive.ids()) == f.published
	})
}

// complete reports whether that many different events are among ids, which it reads only
// when there are more of them than before.
func complete(due int, length func() int, ids func() []string) func() bool {
	last := -1
	return func() bool {
		n := length()
		if n == last || n < due {
			return false
		}
		last = n
		return unique(ids()) == due
	}
}

// judge is the end of a test: delivery does not run any more. It says what the
// destinations have that may have events twice.
func (d *destinations) judge(t *testing.T, f *feed) map[string]verdict {
	t.Helper()
	verdicts := map[string]verdict{}
	d.archive.refresh(t)
	if v := f.judge(t, inS3, d.archive.ids()); v.duplicates > 0 {
		t.Errorf("S3 has %d events more than once, want each exactly once", v.duplicates)
	}
	d.archive.judgeChains(t)
	verdicts[inSplunk] = f.judge(t, inSplunk, d.splunkIDs(t))
	verdicts[inDatadog] = f.judge(t, inDatadog, d.datadogIDs(t))
	return verdicts
}

// delivery is how to run a delivering process.
type delivery struct {
	binary       string
	brokers      []string
	embedded     *embedded // instead of brokers: the process hosts its own
	replication  int
	destinations *destinations
	user         string        // to log in to Kafka as; "": none
	prefix       string        // of the topics; "": audit
	batch        int           // events in a request and an object; 0: 100
	integrity    string        // file of the key that signs checkpoints; "": nobody does
	oldIntegrity string        // file of the key from which that one takes over; "": there is none
	vault        *vault        // where checkpoints are archived; nil: nowhere
	quiet        bool          // each destination has a stream as well in which nothing happens
	session      time.Duration // after which a silent process loses its partitions; 0: 10 s
}

// embedded is where a process hosts its own Kafka.
type embedded struct {
	dir  string
	port int
}

// process is a delivering process, and where it tells how it is.
type process struct {
	*servers.Process
	url string
}

// start starts a delivering process under a name of its own, or without one. Requests are
// small and objects young, so that whatever happens happens amid many of them.
func (d delivery) start(t *testing.T, instance string) process {
	t.Helper()
	listen := closedport.Address(t)
	config, env := d.configured(instance, listen)
	return process{Process: servers.StartDeliver(t, d.binary, config, env...), url: "http://" + listen}
}

// configured is the configuration of a process that says how it is at listen, and the
// environment with its secrets.
func (d delivery) configured(instance, listen string) (config string, env []string) {
	store := d.destinations.archive.store
	batch, session := cmp.Or(d.batch, 100), cmp.Or(d.session, 10*time.Second)
	sasl := ""
	if d.user != "" {
		sasl = fmt.Sprintf(", sasl: {mechanism: plain, username: %s, password: {env: KAFKA_PASSWORD}}", d.user)
	}
	reach := fmt.Sprintf("{brokers: [%s]%s}", strings.Join(d.brokers, ", "), sasl)
	if d.embedded != nil {
		reach = fmt.Sprintf("{embedded: {dir: %q, port: %d}}", d.embedded.dir, d.embedded.port)
	}
	config = fmt.Sprintf(`
kafka: %s
%s
topics: {prefix: %q, partitions: 6, replication: %d}
delivery:
  instance_id: %q
  session_timeout: %s
  commit_interval: 500ms
  retry: {min: 100ms, max: 2s}
  probe: 500ms
observe: {listen: %q}
log: {level: info, format: console}
streams:
`, reach, d.signing(), cmp.Or(d.prefix, defaultPrefix), d.replication, instance, session, listen)
	config += d.streams("all", "*", batch)
	env = []string{"KAFKA_PASSWORD=" + d.user + "-secret", "HEC_TOKEN=" + hecToken, "DATADOG_API_KEY=" + datadogAPIKey, "S3_SECRET=" + store.SecretKey}
	if d.quiet {
		config += d.streams("quiet", quietOrganization, batch)
	}
	if d.vault != nil {
		env = append(env, "VAULT_SECRET="+d.vault.secretKey)
	}
	return config, env
}

// quietOrganization is one in which nothing happens.
const quietOrganization = "org_QUIET000000000000000000000"

// streams are one to each destination.
func (d delivery) streams(name, organization string, batch int) string {
	store := d.destinations.archive.store
	return fmt.Sprintf(`
  - id: %[1]s-splunk
    organization_id: %[2]q
    start: beginning
    splunk: {url: %[4]q, token: {env: HEC_TOKEN}, max_events: %[3]d, linger: 50ms, timeout: 10s}
  - id: %[1]s-datadog
    organization_id: %[2]q
    start: beginning
    datadog: {url: %[5]q, api_key: {env: DATADOG_API_KEY}, max_events: %[3]d, linger: 50ms, timeout: 10s}
  - id: %[1]s-s3
    organization_id: %[2]q
    start: beginning
    s3:
      bucket: %[6]s
      region: %[7]s
      endpoint: %[8]q
      path_style: true
      access_key_id: %[9]s
      secret_access_key: {env: S3_SECRET}
      max_events: %[3]d
      timeout: 10s
      max_age: 300ms
`, name, organization, batch, d.destinations.splunkURL, d.destinations.datadogURL, store.Bucket, store.Region, d.destinations.s3URL, store.AccessKey)
}

// signing is the part of the configuration about checkpoints.
func (d delivery) signing() string {
	if d.integrity == "" {
		return ""
	}
	parts := []string{fmt.Sprintf("key: {file: %q}, interval: 1s", d.integrity)}
	if d.oldIntegrity != "" {
		parts = append(parts, fmt.Sprintf("old_key: {file: %q}", d.oldIntegrity))
	}
	if v := d.vault; v != nil {
		parts = append(parts, fmt.Sprintf(
			"archive: {bucket: %s, region: %s, endpoint: %q, path_style: true, access_key_id: %s, secret_access_key: {env: VAULT_SECRET}, object_lock: compliance, retention: 2d, interval: 1s, timeout: 10s}",
			v.store.Bucket, v.store.Region, v.store.Endpoint, v.accessKey))
	}
	return "integrity: {" + strings.Join(parts, ", ") + "}"
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
