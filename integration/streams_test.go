//go:build integration

package integration

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/auditstream/auditstream/integration/servers"
	"github.com/auditstream/auditstream/internal/seal"
	"github.com/auditstream/auditstream/producer"
	"github.com/auditstream/auditstream/sinks/sinktest/hec"
)

// customer is somebody's Splunk, at one address under changing tokens.
type customer struct {
	url  string
	now  atomic.Pointer[hec.Server]
	were []*hec.Server
}

func newCustomer(t *testing.T, token string) *customer {
	t.Helper()
	c := &customer{}
	c.takes(t, token)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { c.now.Load().ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	c.url = server.URL
	return c
}

// takes has it know another token, and no longer the one before.
func (c *customer) takes(t *testing.T, token string) {
	t.Helper()
	s, err := hec.New(hec.Config{Token: token})
	if err != nil {
		t.Fatal(err)
	}
	c.were = append(c.were, s)
	c.now.Store(s)
}

func (c *customer) ids(t *testing.T) []string {
	t.Helper()
	var ids []string
	for _, s := range c.were {
		for _, e := range s.Events() {
			ids = append(ids, idOf(t, e.Event))
		}
	}
	return ids
}

// A stream is made, given another secret and another destination, and deleted, all through
// the control plane, while events come all the time. It loses and repeats nothing, and the
// streams beside it notice nothing. Whoever applies a file of streams may be killed while he
// does: each stream is then there as a whole or not at all, and the next one goes on.
func TestAStreamOfTheAPIUnderLoad(t *testing.T) {
	const organizations, rate, limit = 50, 300, 3 * time.Minute
	broker := servers.StartKafka(t, 1)
	to := startDestinations(t)
	run := delivery{binary: servers.BuildBinary(t), brokers: broker.Addrs, replication: 1, destinations: to}
	key := filepath.Join(t.TempDir(), "seal")
	if err := os.WriteFile(key, []byte(seal.NewKey()), 0o600); err != nil {
		t.Fatal(err)
	}
	keys := fmt.Sprintf("secrets: {keys: [{id: one, key: {file: %q}}]}\n", key)
	listen := "127.0.0.1:0"
	config, env := run.configured("a", listen)
	config = strings.Replace(config, "\ndelivery:\n", "\n"+keys+"delivery:\n  egress: {allow_api: [127.0.0.0/8]}\n", 1)
	// What is done to streams is told in events of their organizations, which are not the feed's.
	config = strings.ReplaceAll(config, "    organization_id: \"*\"\n", "    organization_id: \"*\"\n    filter: '!event.action.startsWith(\"audit_log_stream.\")'\n")
	p := servers.StartDeliver(t, run.binary, config, env...)
	operator := newDesk(t, run)
	text, err := os.ReadFile(operator.config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(operator.config, append(text, keys...), 0o600); err != nil {
		t.Fatal(err)
	}
	f := newFeed(newRand(t), 200_000, organizations)
	client := newProducer(t, producer.Config{Brokers: broker.Addrs})
	stop := f.publishSteadily(t.Context(), client, rate)
	servers.Await(t, limit, "the process delivers", func() bool { p.Running(t); return to.splunk.Len() > 0 })

	// Made.
	one, other := newCustomer(t, "token-one"), newCustomer(t, "token-of-the-other")
	operator.apply(t, "token-one", acme(one.url))
	servers.Await(t, limit, "the new stream's events", func() bool { return one.now.Load().Len() > 500 })

	// Another secret: the destination knows the old one no more.
	one.takes(t, "token-two")
	servers.Await(t, limit, "the stream to say that its token is refused", func() bool {
		return strings.Contains(operator.stream(t, "get", "acme"), "state         invalid since ")
	})
	operator.apply(t, "token-two", acme(one.url))
	servers.Await(t, limit, "events with the new token", func() bool { return one.now.Load().Len() > 500 })

	// Another destination: not with the secret of the former one.
	moved := strings.Replace(acme(other.url), "{env: TOKEN}", "{sealed: true}", 1)
	if said, err := operator.tryApply(t, "", moved); err == nil || !strings.Contains(said, "was sealed for another destination") {
		t.Errorf("the secret has followed the stream: %s", said)
	}
	operator.apply(t, "token-of-the-other", acme(other.url))
	servers.Await(t, limit, "events at the other destination", func() bool { return other.now.Load().Len() > 500 })

	operator.killedApplying(t, 60)

	// Deleted, when it has delivered what came before.
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	operator.stream(t, "delete", "--drain", "--reason", "contract ended", "--yes", "--wait", "0s", "acme")
	before := f.published
	f.publish(t, client, 500)
	servers.Await(t, limit, "the stream is deleted", func() bool {
		said, err := operator.try(t, "get", "acme")
		return err != nil && strings.Contains(said, "there is no stream")
	})
	ids := append(one.ids(t), other.ids(t)...)
	if n := f.has(ids, 0, before); n != before {
		t.Errorf("%d of %d events of the stream have arrived", n, before)
	}
	if n := len(ids) - unique(ids); n != 0 {
		t.Errorf("%d events of the stream have arrived twice", n)
	}
	if n := f.has(ids, before, f.published); n != 0 {
		t.Errorf("%d events have arrived that were published after the deletion", n)
	}
	to.awaitAll(t, f)
	for name, v := range to.judge(t, f) {
		if v.duplicates > 0 {
			t.Errorf("%s, which nobody touched, has %d events twice", name, v.duplicates)
		}
	}
	p.Terminate(t, time.Minute)
}

func acme(url string) string {
	return fmt.Sprintf("{id: acme, organization_id: \"*\", start: beginning, splunk: {url: %q, token: {env: TOKEN}, max_events: 100, linger: 50ms}}\n", url)
}

// apply applies a stream, and waits until it is in force in every process.
func (d desk) apply(t *testing.T, token, stream string) {
	t.Helper()
	if said, err := d.tryApply(t, token, stream); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
}

func (d desk) tryApply(t *testing.T, token, stream string) (string, error) {
	t.Helper()
	t.Setenv("TOKEN", token)
	file := filepath.Join(t.TempDir(), "streams.yaml")
	if err := os.WriteFile(file, []byte(stream), 0o600); err != nil {
		t.Fatal(err)
	}
	return d.try(t, "apply", "--wait", "2m", "--reason", "test", "--yes", file)
}

// killedApplying kills who applies a file of so many streams when some of them are there.
func (d desk) killedApplying(t *testing.T, n int) {
	t.Helper()
	var many strings.Builder
	many.WriteString("streams:\n")
	for i := range n {
		// Nobody publishes events of this organization.
		fmt.Fprintf(&many, "  - {id: many-%d, organization_id: org_01JZZZZZZZZZZZZZZZZZZZZZZZ, splunk: {url: \"http://127.0.0.1:1\", token: {value: \"s-%d\"}}}\n", i, i)
	}
	file := filepath.Join(t.TempDir(), "many.yaml")
	if err := os.WriteFile(file, []byte(many.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), d.binary, "stream", "apply", "--config", d.config, "--timeout", "1m", "--wait", "0s", "--yes", file)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // it is killed
		close(ended)
	}()
	there := func() int {
		return strings.Count(d.stream(t, "list", "-o", "json"), `"id":"many-`)
	}
	servers.Await(t, 3*time.Minute, "some of the streams", func() bool { return there() > 3 })
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-ended
	if got := there(); got == n {
		t.Logf("all %d streams were there before the kill", n)
	}
	// Whoever comes next does the rest, although the former may have left a transaction open.
	if said, err := d.try(t, "apply", "--wait", "2m", "--yes", file); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	if got := there(); got != n {
		t.Errorf("%d of %d streams are there", got, n)
	}
	if said, err := d.try(t, "plan", file); err != nil || strings.Contains(said, "is to be") {
		t.Errorf("the streams are not as the file says: %v: %s", err, said)
	}
}
