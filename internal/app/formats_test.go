package app

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/auditstream/auditstream/schema/catalogue"
)

// One event in four formats; and one whose time is none, which a format without a place
// for it refuses, and which the others still carry.
func TestStreamsHaveFormats(t *testing.T) {
	s := newSite(t)
	s.there()
	var streams strings.Builder
	streams.WriteString("\nstreams:\n")
	formats := []string{"workos", "ocsf", "ocsf-1.7.0", "ecs", "cef"}
	for i, format := range formats {
		destination := fmt.Sprintf("splunk: {url: %q, token: {file: %q}, linger: 0s, source: f%d}", s.url, s.tokenFile(), i)
		fmt.Fprintf(&streams, "  - {id: f%d, organization_id: '*', start: beginning, format: %s, %s}\n", i, format, destination)
	}
	c := s.config(streams.String())
	p := run(t, Delivery{Config: c})
	s.publish(0)
	eventually(t, "30 events in every format", func() bool { return s.splunk.Len() == len(formats)*30 })
	want := map[string]string{
		"f0": `{"action":"user.login",`,
		"f1": `"version":"1.5.0"`,
		"f2": `"version":"1.7.0"`,
		"f3": `"ecs":{"version":"8.17.0"}`,
		"f4": `"CEF:0|auditstream|auditstream|1|user.login|`,
	}
	for _, e := range s.splunk.Events() {
		if !strings.Contains(string(e.Event), want[e.Source]) {
			t.Errorf("stream %s got %s, want %s in it", e.Source, e.Event, want[e.Source])
		}
	}

	client := s.client()
	value := fmt.Sprintf(`{"action":"a","actor":{"id":"u","type":"user"},"id":%q,"occurred_at":"noon","organization_id":"org_1","targets":[]}`, eventID(99))
	record := &kgo.Record{
		Topic: "audit.events", Key: []byte("org_1"), Value: []byte(value),
		Headers: []kgo.RecordHeader{{Key: "encoding", Value: []byte("jcs")}},
	}
	if err := client.ProduceSync(t.Context(), record).FirstErr(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "four letters", func() bool {
		_, body := p.get("/metrics")
		n := 0
		for i := range formats {
			if strings.Contains(body, fmt.Sprintf(`auditstream_stream_dead_lettered_total{reason="rejected",stream="f%d"} 1`, i)) {
				n++
			}
		}
		return n == len(formats)-1
	})
	eventually(t, "the event as it was published", func() bool { return s.splunk.Len() == len(formats)*30+1 })
}

// client is a Kafka client of the site's broker.
func (s *site) client() *kgo.Client {
	s.t.Helper()
	opts, err := kafka.Config{Brokers: []string{s.addr()}}.Options(zap.NewNop())
	if err != nil {
		s.t.Fatal(err)
	}
	client, err := kgo.NewClient(append(opts, kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)))...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(client.Close)
	return client
}

// A newer binary, whose default is another version, must not change what a stream sends.
func TestAStreamKeepsItsVersionOfOCSF(t *testing.T) {
	tests := []struct{ written, had, want string }{
		{"workos", "", "workos"},
		{"ecs", "ocsf-1.4.0", "ecs"},
		{"ocsf", "", "ocsf-1.5.0"},
		{"ocsf", "workos", "ocsf-1.5.0"},
		{"ocsf", "ocsf-1.4.0", "ocsf-1.4.0"},
		{"ocsf-1.8.0", "ocsf-1.4.0", "ocsf-1.8.0"},
	}
	for _, tt := range tests {
		if got := pinned(tt.written, tt.had); got != tt.want {
			t.Errorf("%s after %q: %s, want %s", tt.written, tt.had, got, tt.want)
		}
	}
}

func TestEveryFormatOfTheConfigurationIsThere(t *testing.T) {
	c, err := catalogue.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	e, err := catalogue.Example(c.Action("user.invite", 0))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range config.Formats() {
		f, err := FormatNamed(name, c.Action)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if (f == nil) != (name == config.FormatWorkOS) {
			t.Errorf("%s: passed through", name)
			continue
		}
		if f == nil {
			continue
		}
		out, err := f.Append(nil, e, 0)
		if err != nil || json.Valid(out) == f.Text {
			t.Errorf("%s: %s, %v", name, out, err)
		}
	}
	for _, name := range []string{"xml", "ocsf-", "ocsf-2.0.0", "OCSF"} {
		if _, err := FormatNamed(name, c.Action); err == nil {
			t.Errorf("%s is a format", name)
		}
	}
}

// What is registered while delivery runs is what formats go by from then on.
func TestFormatsGoByWhatIsRegistered(t *testing.T) {
	s := newSite(t)
	s.there()
	c := s.config(`
streams:
  - {id: ecs, organization_id: "*", start: beginning, format: ecs, SPLUNK}
`)
	former := run(t, Delivery{Config: c})
	s.publish(0)
	s.deliveredAs(t, `"category":["iam"]`)

	known, err := newKnownActions()
	if err != nil {
		t.Fatal(err)
	}
	schemas, err := OpenSchemas(c, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	defer schemas.Close()
	login := &catalogue.Action{
		Name: "user.login", Version: 1, Title: "Login", Family: "own", Targets: []catalogue.Target{{Type: catalogue.AnyTarget}},
		ECS: &catalogue.ECS{Category: []string{"authentication"}, Type: []string{"start"}},
	}
	if _, err := schemas.Register(t.Context(), known.base, []*catalogue.Action{login}, false, "test"); err != nil {
		t.Fatal(err)
	}
	client := s.client()
	if err := known.read(t.Context(), client, "audit.schemas"); err != nil {
		t.Fatal(err)
	}
	if got := known.Action("user.login", 0); got == nil || got.Title != "Login" {
		t.Errorf("after it was read: %+v", got)
	}
	if known.Action("user.invite", 0) == nil || known.Action("user.other", 0) != nil {
		t.Error("the binary's own actions have changed")
	}
	// A record that is none is told, and hides no other.
	for _, value := range []string{"{", `{"v":2}`} {
		if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "audit.schemas", Key: []byte("bad"), Value: []byte(value)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	if err := known.read(t.Context(), client, "audit.schemas"); err == nil || !strings.Contains(err.Error(), `schemas of action "bad"`) {
		t.Errorf("got %v", err)
	}
	if known.Action("user.login", 0) == nil {
		t.Error("a bad record has hidden another one")
	}
	if err := known.read(t.Context(), client, "audit.schemas"); err != nil {
		t.Errorf("told again: %v", err)
	}

	// A process that begins now knows it from its first event on. (One that runs looks every
	// ten seconds, and would share the stream.)
	former.end()
	before := s.splunk.Len()
	run(t, Delivery{Config: s.config(`
streams:
  - {id: again, organization_id: "*", start: beginning, format: ecs, SPLUNK}
`)})
	eventually(t, "the events once more", func() bool { return s.splunk.Len() >= before+30 })
	for _, e := range s.splunk.Events()[before:] {
		if !strings.Contains(string(e.Event), `"category":["authentication"]`) {
			t.Errorf("got %s", e.Event)
		}
	}
}

// deliveredAs waits for 30 events in Splunk that hold the text.
func (s *site) deliveredAs(t *testing.T, text string) {
	t.Helper()
	eventually(t, "30 events with "+text, func() bool {
		n := 0
		for _, e := range s.splunk.Events() {
			if strings.Contains(string(e.Event), text) {
				n++
			}
		}
		return n == 30
	})
}
