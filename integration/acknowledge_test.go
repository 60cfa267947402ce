//go:build integration

package integration

import (
	"bufio"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/auditstream/auditstream/integration/servers"
	"github.com/auditstream/auditstream/internal/closedport"
	"github.com/auditstream/auditstream/producer"
	"github.com/auditstream/auditstream/sinks/sinktest/hec"
)

// Others take events for delivered that nobody has acknowledged, or give them up. The
// fourth of the named comparisons.
func TestAcknowledgementsThatDoNotComeAmid20000LoseNothing(t *testing.T) {
	const (
		events     = 20_000
		partitions = 6
		batch      = 100
		silence    = 5 * time.Second
	)
	broker := servers.StartKafka(t, 1)
	for _, c := range []struct {
		name    string
		waiting int // batches of a lane that may wait
		begin   func(*hec.Server) error
		end     func(*hec.Server) error
	}{
		{
			"the indexers write and do not say", 16,
			func(s *hec.Server) error { s.Mute(true); return nil },
			func(s *hec.Server) error { s.Mute(false); return nil },
		},
		{
			// One by one, so that the order holds whatever is lost.
			"the indexers crash with what they had not written", 1,
			func(s *hec.Server) error { return s.Queue(true) },
			func(s *hec.Server) error { s.Restart(); return s.Queue(false) },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			prefix := fmt.Sprintf("waiting%d", c.waiting)
			splunk, err := hec.New(hec.Config{Token: hecToken, Acknowledgement: true})
			if err != nil {
				t.Fatal(err)
			}
			server := httptest.NewServer(splunk)
			t.Cleanup(server.Close)
			listen := closedport.Address(t)
			p := process{url: "http://" + listen, Process: servers.StartDeliver(t, servers.BuildBinary(t), fmt.Sprintf(`
kafka: {brokers: [%s]}
topics: {prefix: %s, partitions: %d, replication: 1}
delivery: {commit_interval: 500ms, retry: {min: 100ms, max: 2s}, probe: 500ms}
observe: {listen: %q}
log: {level: info, format: console}
streams:
  - id: all-splunk
    organization_id: "*"
    start: beginning
    splunk:
      url: %q
      token: {env: HEC_TOKEN}
      max_events: %d
      linger: 50ms
      acknowledge: true
      acknowledge_poll: 50ms
      acknowledge_timeout: 2s
      max_unacknowledged: %d
`, strings.Join(broker.Addrs, ", "), prefix, partitions, listen, server.URL, batch, c.waiting), "HEC_TOKEN="+hecToken)}
			servers.Await(t, time.Minute, "delivery runs", func() bool { p.Running(t); return p.ready(t) })
			f := newFeed(newRand(t), events, 50)
			client := newProducer(t, producer.Config{Brokers: broker.Addrs, Topic: prefix + ".events"})

			f.publish(t, client, events/2)
			servers.Await(t, time.Minute, "delivery is in midstream", func() bool { return splunk.Len() > events/4 })
			if err := c.begin(splunk); err != nil {
				t.Fatal(err)
			}
			until := time.Now().Add(silence)
			f.publish(t, client, events/2)
			servers.Await(t, time.Minute, "the silence is over, and batches were sent again in it", func() bool {
				return time.Now().After(until) && metric(t, p.url, "auditstream_stream_resent_total") > 0
			})
			if err := c.end(splunk); err != nil {
				t.Fatal(err)
			}
			servers.Await(t, 3*time.Minute, "every event is acknowledged", func() bool {
				return metric(t, p.url, "auditstream_stream_delivered_total") >= events
			})
			resent := metric(t, p.url, "auditstream_stream_resent_total")
			p.end(t)
			var ids []string
			for _, e := range splunk.Events() {
				ids = append(ids, idOf(t, e.Event))
			}
			v := f.judge(t, inSplunk, ids)
			t.Logf("%d duplicates, %d events sent again", v.duplicates, resent)
			if v.duplicates > resent {
				t.Errorf("%d duplicates: the %d events that were sent again do not explain them", v.duplicates, resent)
			}
			if letters := readLetters(t, broker.Addrs, prefix); len(letters) > 0 {
				t.Errorf("%d dead letters for acknowledgements that did not come", len(letters))
			}
		})
	}
}

// metric is a figure of the only stream, as a process shows it.
func metric(t *testing.T, url, name string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close() //nolint:errcheck // only read
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() {
		if text, ok := strings.CutPrefix(lines.Text(), name+"{"); ok {
			_, value, _ := strings.Cut(text, "} ")
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				t.Fatal(err)
			}
			return int(n)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return 0
}
