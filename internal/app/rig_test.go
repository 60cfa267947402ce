package app

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/auditstream/auditstream/internal/closedport"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/auditstream/auditstream/sinks/all"
	"github.com/auditstream/auditstream/sinks/sinktest/faults"
	"github.com/auditstream/auditstream/sinks/sinktest/hec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait of these tests. What is waited for comes much sooner, unless the
// machine has thirty other things to do.
const patience = 3 * time.Minute

// eventually waits until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatalf("still waiting for: %s", what)
		case <-tick.C:
		}
	}
}

// site is a Kafka that can go away and come back, and a Splunk that takes everything unless it is
// told to be busy.
type site struct {
	t      *testing.T
	dir    string
	port   int
	broker *kafka.Embedded // nil while it is away
	splunk *hec.Server
	faults *faults.Handler // before it
	url    string
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), port: closedport.Find(t)}
	var err error
	if s.splunk, err = hec.New(hec.Config{Token: "a-token"}); err != nil {
		t.Fatal(err)
	}
	s.faults = faults.New(s.splunk)
	server := httptest.NewServer(s.faults)
	t.Cleanup(server.Close)
	s.url = server.URL
	if err := os.WriteFile(s.tokenFile(), []byte("a-token\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.away)
	return s
}

// busy has Splunk take nothing more once it has so many events, until it is told to take
// everything again: however fast the machine is, what is sent has no end before that.
func (s *site) busy(from int) (takesAll func()) {
	s.faults.Program(func(*http.Request) *faults.Answer {
		if s.splunk.Len() < from {
			return nil
		}
		return &faults.Answer{Status: http.StatusServiceUnavailable, Body: []byte(`{"text":"Server is busy","code":9}`)}
	})
	return func() { s.faults.Program(nil) }
}

func (s *site) tokenFile() string { return filepath.Join(s.dir, "token") }

func (s *site) addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// there starts Kafka with what it had.
func (s *site) there() {
	s.t.Helper()
	broker, err := kafka.StartEmbedded(kafka.EmbeddedConfig{Dir: filepath.Join(s.dir, "kafka"), Port: s.port})
	if err != nil {
		s.t.Fatal(err)
	}
	s.broker = broker
}

// away stops Kafka.
func (s *site) away() {
	if s.broker == nil {
		return
	}
	if err := s.broker.Close(); err != nil {
		s.t.Error(err)
	}
	s.broker = nil
}

// config is a configuration with these streams; SPLUNK stands for a destination.
func (s *site) config(streams string) *config.Config {
	s.t.Helper()
	destination := fmt.Sprintf("splunk: {url: %q, token: {file: %q}, linger: 0s}", s.url, s.tokenFile())
	text := fmt.Sprintf(`
kafka: {brokers: [%q]}
topics: {partitions: 3, replication: 1}
delivery: {commit_interval: 100ms, retry: {min: 10ms, max: 100ms}, drain_timeout: 1s}
observe: {listen: "127.0.0.1:0"}
%s`, s.addr(), strings.ReplaceAll(streams, "SPLUNK", destination))
	c, err := config.Parse("test.yaml", []byte(text), all.Kinds())
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

const oneStream = `
streams:
  - {id: everything, organization_id: "*", start: beginning, SPLUNK}
`

// process is a delivery under way.
type process struct {
	t    *testing.T
	logs *observer.ObservedLogs
	done chan error
	stop context.CancelFunc
}

func run(t *testing.T, d Delivery) *process {
	t.Helper()
	core, logs := observer.New(zapcore.InfoLevel)
	d.Log = zap.New(core)
	ctx, cancel := context.WithCancel(context.Background())
	p := &process{t: t, logs: logs, done: make(chan error, 1), stop: cancel}
	go func() { p.done <- d.Run(ctx) }()
	t.Cleanup(p.end)
	return p
}

// end stops the process, which must end in good order.
func (p *process) end() {
	p.t.Helper()
	p.stop()
	if err := p.wait(); err != nil {
		p.t.Errorf("Run: %v", err)
	}
}

// wait returns what Run returned, once it has.
func (p *process) wait() error {
	p.t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case err := <-p.done:
		p.done <- nil // for end
		return err
	case <-limit.C:
		p.t.Fatal("the process does not end")
		return nil
	}
}

// logged waits for a log entry and returns it.
func (p *process) logged(part string) observer.LoggedEntry {
	p.t.Helper()
	var found observer.LoggedEntry
	eventually(p.t, "log entry "+part, func() bool {
		for _, e := range p.logs.All() {
			if strings.Contains(e.Message, part) {
				found = e
				return true
			}
		}
		return false
	})
	return found
}

// get asks the process over HTTP.
func (p *process) get(path string) (status int, body string) {
	p.t.Helper()
	url, _ := p.logged("observe").ContextMap()["url"].(string)
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, url+path, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// publish sends 30 events, numbered from first.
func (s *site) publish(first int) {
	s.t.Helper()
	opts, err := kafka.Config{Brokers: []string{s.addr()}}.Options(zap.NewNop())
	if err != nil {
		s.t.Fatal(err)
	}
	client, err := kgo.NewClient(append(opts, kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), kgo.UnknownTopicRetries(-1))...)
	if err != nil {
		s.t.Fatal(err)
	}
	defer client.Close()
	records := make([]*kgo.Record, 30)
	for i := range records {
		organization := fmt.Sprintf("org_%026d", i%7)
		records[i] = &kgo.Record{Topic: "audit.events", Key: []byte(organization), Value: fmt.Appendf(nil,
			`{"action":"user.login","actor":{"id":"u","type":"user"},"id":%q,"occurred_at":"2026-11-01T00:00:00Z","organization_id":%q,"targets":[]}`,
			eventID(first+i), organization)}
	}
	if err := client.ProduceSync(s.t.Context(), records...).FirstErr(); err != nil {
		s.t.Fatal(err)
	}
}

func eventID(n int) string { return fmt.Sprintf("audit_event_%026d", n) }

// lacking are those of the first n published events that Splunk does not have.
func (s *site) lacking(n int) []string {
	have := map[string]bool{}
	for _, e := range s.splunk.Events() {
		var v struct{ ID string }
		if err := json.Unmarshal(e.Event, &v); err != nil {
			s.t.Fatalf("Splunk has something that is no event: %s", e.Event)
		}
		have[v.ID] = true
	}
	var out []string
	for i := range n {
		if !have[eventID(i)] {
			out = append(out, eventID(i))
		}
	}
	return out
}

// delivered waits until Splunk has the first n published events.
func (s *site) delivered(n int) {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("%d events in Splunk", n), func() bool { return len(s.lacking(n)) == 0 })
}
