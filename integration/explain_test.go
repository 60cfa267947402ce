//go:build integration

package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/integration/servers"
	"github.com/auditstream/auditstream/producer"
	"github.com/auditstream/auditstream/schema"
	"github.com/auditstream/auditstream/sinks/sinktest/hec"
)

// explained runs auditstream explain and returns what it says; nil when it did not find the
// event, for which the words are returned.
func explained(t *testing.T, binary, config string, args ...string) (*admin.Explanation, string) {
	t.Helper()
	args = append([]string{"explain", "--config", config, "--timeout", "1m", "-o", "json"}, args...)
	cmd := exec.CommandContext(t.Context(), binary, args...)
	var out, notes bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &notes
	err := cmd.Run()
	var e admin.Explanation
	if jsonErr := json.Unmarshal(out.Bytes(), &e); jsonErr != nil {
		t.Fatalf("%v: %s%s", err, out.String(), notes.String())
	}
	t.Logf("auditstream %s\n%s", strings.Join(args, " "), out.String())
	return &e, notes.String()
}

// TestWhereAnEventIs follows one organization's events through every state: on Kafka's own
// append times, leaders and retention.
func TestWhereAnEventIs(t *testing.T) {
	const organization = "org_01JAAAAAAAAAAAAAAAAAAAAAAA"
	const limit = 2 * time.Minute
	broker := servers.StartKafka(t, 1)
	splunk, err := hec.New(hec.Config{Token: hecToken})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if body := unpacked(r); bytes.Contains(body, []byte(`"action":"user.refused"`)) {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"text":"Invalid data format","code":6,"invalid-event-number":0}`))
		} else {
			again(splunk, w, r, body)
		}
	}))
	t.Cleanup(server.Close)
	binary := servers.BuildBinary(t)
	text := fmt.Sprintf(`
kafka: {brokers: [%s]}
topics: {partitions: 3, replication: 1}
observe: {listen: "127.0.0.1:0"}
streams:
  - {id: live, organization_id: %[2]s, start: beginning, splunk: {url: %[3]q, token: {env: HEC_TOKEN}, linger: 0s, max_events: 1}}
  - {id: held, organization_id: "*", start: beginning, paused: true, splunk: {url: %[3]q, token: {env: HEC_TOKEN}}}
  - {id: teams, organization_id: "*", actions: ["team.*"], start: beginning, splunk: {url: %[3]q, token: {env: HEC_TOKEN}}}
`, strings.Join(broker.Addrs, ", "), organization, server.URL)
	config := filepath.Join(t.TempDir(), "auditstream.yaml")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := servers.StartProcess(t, "auditstream serve deliver", binary, []string{"HEC_TOKEN=" + hecToken}, "serve", "deliver", "--config", config)
	servers.Await(t, limit, "the process delivers", func() bool { p.Running(t); return strings.Contains(p.Log(t), "partition taken") })

	client := newProducer(t, producer.Config{Brokers: broker.Addrs})
	publish := func(action string) string {
		t.Helper()
		e := &schema.Event{
			OrganizationID: organization, Action: action, OccurredAt: time.Now().Format(time.RFC3339),
			Actor: schema.Actor{ID: "u", Type: "user"}, Targets: []schema.Target{},
		}
		if err := client.Publish(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		return e.ID
	}
	// state is where an event's only copy is on its way to a stream.
	state := func(id, stream string) admin.Whereabouts {
		t.Helper()
		e, _ := explained(t, binary, config, id)
		if len(e.Copies) != 1 {
			t.Fatalf("%d copies of %s: %s %q", len(e.Copies), id, e.Sought, e.Hints)
		}
		for _, w := range e.Copies[0].Streams {
			if w.Stream == stream {
				return w
			}
		}
		t.Fatalf("%s is on no way to %s", id, stream)
		return admin.Whereabouts{}
	}
	comes := func(id, stream, want string) admin.Whereabouts {
		t.Helper()
		var w admin.Whereabouts
		servers.Await(t, limit, id+" is "+want+" at "+stream, func() bool { p.Running(t); w = state(id, stream); return w.State == want })
		return w
	}

	good, refused := publish("user.invite"), publish("user.refused")
	comes(good, "live", admin.WhereDelivered)
	if w := comes(refused, "live", admin.WhereDeadLettered); w.DeadLetter == nil || !strings.Contains(w.Why, "invalid data format") {
		t.Errorf("a refused event: %+v", w)
	}
	comes(good, "teams", admin.WhereFiltered)
	if w := comes(refused, "held", admin.WhereWaiting); w.Before == nil || *w.Before != 1 || !strings.Contains(w.Why, "paused") {
		t.Errorf("an event that waits behind another: %+v", w)
	}

	// An operator passes over what waits.
	skip := exec.CommandContext(t.Context(), binary, "stream", "skip", "--config", config, "--timeout", "1m", "--wait", "2m", "--to", "now", "--reason", "test", "--yes", "held")
	if said, err := skip.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	if w := comes(good, "held", admin.WherePassedOver); !strings.Contains(w.Why, "moved to now") || !strings.Contains(w.Why, "test") {
		t.Errorf("an event that was passed over: %+v", w)
	}

	// Retention takes everything: what has a letter is known from that, and of what has none it
	// is said that it has expired.
	later := publish("user.refused")
	comes(later, "live", admin.WhereDeadLettered)
	comes(later, "held", admin.WhereWaiting)
	adm := kadm.NewClient(newClient(t, kgo.SeedBrokers(broker.Addrs...)))
	ends, err := adm.ListEndOffsets(t.Context(), "audit.events")
	if err != nil {
		t.Fatal(err)
	}
	deleted, err := adm.DeleteRecords(t.Context(), ends.Offsets())
	if err == nil {
		err = deleted.Error()
	}
	if err != nil {
		t.Fatal(err)
	}
	last := publish("user.invite") // so that there is a time from which on Kafka has events
	comes(last, "live", admin.WhereDelivered)
	e, notes := explained(t, binary, config, good)
	if len(e.Copies) != 0 || !e.Complete || !strings.Contains(strings.Join(e.Hints, "\n"), "it has expired") || !strings.Contains(notes, "was not found") {
		t.Errorf("an event that has expired: %+v %s", e, notes)
	}
	e, _ = explained(t, binary, config, later)
	if len(e.Copies) != 1 || !e.Copies[0].Gone {
		t.Fatalf("an event that has expired and has a letter: %+v", e)
	}
	for _, w := range e.Copies[0].Streams {
		want := map[string]string{"live": admin.WhereDeadLettered, "held": admin.WhereUnknown, "teams": admin.WhereFiltered}[w.Stream]
		if w.State != want {
			t.Errorf("%s: %+v, want %s", w.Stream, w, want)
		}
	}
	p.Terminate(t, time.Minute)
}
