//go:build integration

package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/auditstream/auditstream/integration/servers"
	"github.com/auditstream/auditstream/internal/seal"
	"github.com/auditstream/auditstream/producer"
	"github.com/auditstream/auditstream/schema"
	"github.com/auditstream/auditstream/sinks/sinktest/hec"
)

// masked stands in every value that no destination may get.
const masked = "SECRET"

// Teams of the events: which filters they pass.
const (
	before  = "red"   // the former filter
	later   = "blue"  // the one after the change
	always  = "both"  // both
	neither = "green" // none
)

// ledger is what was published, event by event.
type ledger struct{ events []entry }

type entry struct {
	team, action string
	phase        int
}

// next is the next event, with values that are to be masked in every sort of place.
func (l *ledger) next(phase int) *schema.Event {
	n := len(l.events)
	e := entry{team: []string{before, later, always, neither}[n%4], action: []string{"user.login", "sso.login", "user.invite"}[n/4%3], phase: phase}
	l.events = append(l.events, e)
	person := n % 50
	return &schema.Event{
		OrganizationID: fmt.Sprintf("org_%026d", n%20), Action: e.action, OccurredAt: time.Now().UTC().Format(time.RFC3339),
		Actor:   schema.Actor{ID: "user_" + strconv.Itoa(person), Type: "user", Name: masked + " name " + strconv.Itoa(person)},
		Targets: []schema.Target{{ID: "t", Type: "team", Name: masked + " target"}},
		Metadata: map[string]any{
			"n": strconv.Itoa(n), "team": e.team, "email": fmt.Sprintf("%s-%d@example.com", masked, person), "phone": masked + " phone",
		},
	}
}

func (l *ledger) publish(ctx context.Context, client *producer.Client, phase, n int) error {
	var batch []*schema.Event
	for range n {
		batch = append(batch, l.next(phase))
	}
	return client.Publish(ctx, batch...)
}

// wants counts the events that a stream has to have.
func (l *ledger) wants(carries func(entry) bool) (n int) {
	for _, e := range l.events {
		if carries(e) {
			n++
		}
	}
	return n
}

// watched is a customer's Splunk that looks for values that should have been masked in all
// bytes that come to it.
type watched struct {
	url    string
	server *hec.Server

	mu    sync.Mutex
	leaks []string // guarded by mu
}

func newWatched(t *testing.T, token string) *watched {
	t.Helper()
	s, err := hec.New(hec.Config{Token: token})
	if err != nil {
		t.Fatal(err)
	}
	w := &watched{server: s}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body := unpacked(r)
		all := append([]byte(r.Method+" "+r.RequestURI+" "+fmt.Sprint(r.Header)+"\n"), body...)
		if i := bytes.Index(all, []byte(masked)); i >= 0 {
			w.mu.Lock()
			w.leaks = append(w.leaks, string(all[max(0, i-100):min(len(all), i+100)]))
			w.mu.Unlock()
		}
		again(s, rw, r, body)
	}))
	t.Cleanup(server.Close)
	w.url = server.URL
	return w
}

// arrived are the numbers of the events that are there, each once, with one of its forms.
func (w *watched) arrived(t *testing.T) map[int]map[string]any {
	t.Helper()
	out := map[int]map[string]any{}
	for _, e := range w.server.Events() {
		n, event := numbered(t, e.Event)
		out[n] = event
	}
	return out
}

func numbered(t *testing.T, text []byte) (int, map[string]any) {
	t.Helper()
	var event map[string]any
	if err := json.Unmarshal(text, &event); err != nil {
		t.Fatal(err)
	}
	metadata, _ := event["metadata"].(map[string]any)
	text1, _ := metadata["n"].(string)
	n, err := strconv.Atoi(text1)
	if err != nil {
		t.Fatalf("an event without its number: %s", text)
	}
	return n, event
}

// Filters, globs and masks hold while the processes that deliver are killed again and again,
// and while the filter is changed in the midst of the traffic: what matches before and after
// the change is never missing, what does not match never arrives, and no value that is masked
// stands anywhere in what is sent.
func TestFiltersAndMasksHoldAcrossKillsAndChanges(t *testing.T) {
	const limit, slice, kills = 4 * time.Minute, 3000, 4
	r := newRand(t)
	broker := servers.StartKafka(t, 1)
	binary := servers.BuildBinary(t)
	key, dir := filepath.Join(t.TempDir(), "seal"), t.TempDir()
	if err := os.WriteFile(key, []byte(seal.NewKey()), 0o600); err != nil {
		t.Fatal(err)
	}
	config := func(instance string) string {
		return fmt.Sprintf(`
kafka: {brokers: [%s]}
topics: {partitions: 6, replication: 1}
secrets: {keys: [{id: one, key: {file: %q}}]}
delivery:
  instance_id: %q
  session_timeout: 6s
  commit_interval: 500ms
  retry: {min: 100ms, max: 2s}
  egress: {allow_api: [127.0.0.0/8]}
observe: {listen: ""}
log: {level: info, format: console}
streams:
  - id: files
    organization_id: "*"
    start: beginning
    filter: event.action != "sso.login" && !event.action.startsWith("audit_log_stream.")
    mask: [{pointer: /actor/name, with: mask}, {pointer: /targets/*/name, with: drop}, {pointer: /metadata/email, with: hmac, key: {env: MASK_KEY}}, {pointer: /metadata/phone, with: mask}]
    file: {dir: %q}
`, strings.Join(broker.Addrs, ", "), key, instance, dir)
	}
	operator := desk{binary, filepath.Join(t.TempDir(), "desk.yaml")}
	if err := os.WriteFile(operator.config, []byte(config("desk")), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("MASK_KEY", "0123456789abcdef-of-the-file")
	start := func(instance string) *servers.Process {
		return servers.StartDeliver(t, binary, config(instance), "MASK_KEY="+os.Getenv("MASK_KEY"))
	}
	processes := map[string]*servers.Process{"a": start("a"), "b": start("b")}
	killOne := func(t *testing.T) {
		t.Helper()
		one := []string{"a", "b"}[r.IntN(2)]
		processes[one].Kill(t)
		processes[one] = start(one)
	}
	chosen, globs := newWatched(t, "token-one"), newWatched(t, "token-one")
	with := func(teams ...string) string {
		return fmt.Sprintf(`{id: chosen, organization_id: "*", start: beginning, filter: "event.?metadata.?team.orValue('') in ['%s']", `+
			`mask: [{pointer: /actor/name, with: mask}, {pointer: /targets, with: drop}, {pointer: /metadata/email, with: hmac, key: {env: MASK_KEY}}, {pointer: /metadata/phone, with: drop}], `+
			`splunk: {url: %q, token: {env: TOKEN}, max_events: 50, linger: 50ms}}`+"\n", strings.Join(teams, "', '"), chosen.url)
	}
	client := newProducer(t, producer.Config{Brokers: broker.Addrs})
	servers.Await(t, limit, "the topics", func() bool { _, err := operator.try(t, "list"); return err == nil })
	// A cluster that is new has no coordinators of groups yet.
	servers.Await(t, limit, "the first stream", func() bool { _, err := operator.tryApply(t, "token-one", with(before, always)); return err == nil })
	operator.apply(t, "token-one", fmt.Sprintf(`{id: globs, organization_id: "*", start: beginning, actions: ["user.*"], mask: [{pointer: /actor/name, with: drop}, `+
		`{pointer: /targets/*/name, with: hmac, key: {value: 0123456789abcdef-of-the-api}}, {pointer: /metadata/email, with: mask}, {pointer: /metadata/phone, with: drop}], `+
		`splunk: {url: %q, token: {env: TOKEN}, max_events: 50, linger: 50ms}}`+"\n", globs.url))

	// The former filter, and kills.
	l := &ledger{}
	publish := func(phase int) {
		t.Helper()
		for range kills {
			target := chosen.server.Len() + 1 + r.IntN(slice/kills/4)
			if err := l.publish(t.Context(), client, phase, slice/kills); err != nil {
				t.Fatal(err)
			}
			servers.Await(t, limit, "a part of it", func() bool { return chosen.server.Len() >= target })
			killOne(t)
		}
	}
	publish(0)
	has := func(w *watched, carries func(entry) bool) func() bool {
		due := l.wants(carries)
		return func() bool {
			if w.server.Len() < due {
				return false
			}
			there := 0
			for n := range w.arrived(t) {
				if carries(l.events[n]) {
					there++
				}
			}
			return there == due
		}
	}
	servers.Await(t, limit, "what the former filter carries", has(chosen, func(e entry) bool { return e.team == before || e.team == always }))

	// The change, in the midst of the traffic, with a kill beside it.
	changing, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for changing.Err() == nil {
			if err := l.publish(context.WithoutCancel(changing), client, 1, 20); err != nil {
				ended <- err
				return
			}
			<-tick.C
		}
		ended <- nil
	}()
	from := chosen.server.Len()
	servers.Await(t, limit, "traffic", func() bool { return chosen.server.Len() > from+50 })
	killOne(t)
	operator.apply(t, "token-one", with(later, always))
	killOne(t)
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}

	// The new filter, and kills.
	publish(2)
	carried := map[string]func(entry) bool{
		"chosen": func(e entry) bool {
			return e.team == always || e.team == before && e.phase == 0 || e.team == later && e.phase == 2
		},
		"globs": func(e entry) bool { return strings.HasPrefix(e.action, "user.") },
		"files": func(e entry) bool { return e.action != "sso.login" },
	}
	servers.Await(t, limit, "what both filters carry", has(chosen, carried["chosen"]))
	servers.Await(t, limit, "what the globs carry", has(globs, carried["globs"]))
	files := func() (found map[int]bool, leak string) {
		found = map[int]bool{}
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if i := bytes.Index(text, []byte(masked)); i >= 0 {
				leak = string(text[max(0, i-100):min(len(text), i+100)])
			}
			if !bytes.HasSuffix(text, []byte("\n")) {
				text = text[:bytes.LastIndexByte(text, '\n')+1] // a line that is being written, or that a kill has torn
			}
			for line := range bytes.Lines(text) {
				if json.Valid(line) {
					n, _ := numbered(t, line)
					found[n] = true
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return found, leak
	}
	servers.Await(t, limit, "what the files carry", func() bool {
		found, _ := files()
		return len(found) >= l.wants(carried["files"])
	})
	for _, p := range processes {
		p.Terminate(t, time.Minute)
	}

	// Nothing that is filtered out arrives.
	may := map[string]func(entry) bool{
		"chosen": func(e entry) bool { return e.team != neither && (e.team != before || e.phase < 2) },
		"globs":  carried["globs"], "files": carried["files"],
	}
	arrived := map[string]map[int]bool{"chosen": {}, "globs": {}}
	arrived["files"], _ = files()
	hmac := regexp.MustCompile(`^hmac:[0-9a-f]{32}$`)
	hashes := map[string]string{} // by actor
	for n, e := range chosen.arrived(t) {
		arrived["chosen"][n] = true
		actor, metadata := e["actor"].(map[string]any), e["metadata"].(map[string]any)
		id, hash := fmt.Sprint(actor["id"]), fmt.Sprint(metadata["email"])
		if actor["name"] != "[masked]" || e["targets"] != nil || metadata["phone"] != nil || !hmac.MatchString(hash) {
			t.Errorf("event %d is not masked as it should be: %v", n, e)
		}
		if hashes[id] == "" {
			hashes[id] = hash
		}
		if hashes[id] != hash {
			t.Errorf("the same address has two hashes, %s and %s", hashes[id], hash)
		}
	}
	for n := range globs.arrived(t) {
		arrived["globs"][n] = true
	}
	for stream, numbers := range arrived {
		for n := range numbers {
			if !may[stream](l.events[n]) {
				t.Errorf("%s has event %d, which it does not carry: %+v", stream, n, l.events[n])
			}
		}
		for n, e := range l.events {
			if carried[stream](e) && !numbers[n] {
				t.Errorf("%s lacks event %d: %+v", stream, n, e)
			}
		}
		t.Logf("%s: %d of %d events", stream, len(numbers), len(l.events))
	}
	for name, w := range map[string]*watched{"chosen": chosen, "globs": globs} {
		for _, leak := range w.leaks {
			t.Errorf("%s got a value that is masked: …%s…", name, leak)
		}
		t.Logf("%s: %d arrivals, %d of them again", name, w.server.Len(), w.server.Len()-len(arrived[name]))
	}
	if _, leak := files(); leak != "" {
		t.Errorf("a file holds a value that is masked: …%s…", leak)
	}
}
