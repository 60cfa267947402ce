//go:build integration

package integration

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/integration/servers"
)

// How old events are when the destinations that work have acknowledged them, beside four
// that do not: one hangs, one answers 503, one refuses its token, one takes a second a
// request. Each of the pairs runs with the four and without them, in turns. The figures
// are for people: what fails the test is an event that is missing, not a time.
func TestFourBadDestinationsDoNotDelayTheOthers(t *testing.T) {
	const (
		pairs      = 3
		streams    = 200
		perSecond  = 5 // events of each organization
		seconds    = 8
		partitions = 6
	)
	kafka := servers.StartKafka(t, 1)
	binary := servers.BuildBinary(t)
	client := newKafkaClient(t, kafka.Addrs)
	var ratios []float64
	for pair := range pairs {
		age := map[bool]time.Duration{}
		order := []bool{false, true}
		if pair%2 == 1 {
			slices.Reverse(order)
		}
		for _, bad := range order {
			run := isolation{
				streams: streams, rounds: perSecond * seconds, pause: time.Second / perSecond, partitions: partitions,
				bad: bad, prefix: fmt.Sprintf("isolation-%d-%t", pair, bad), brokers: kafka.Addrs,
			}
			ages := run.measure(t, binary, client)
			age[bad] = ages[len(ages)/2]
			t.Logf("pair %d, bad destinations: %t: age of %d events at the others: median %s, 99 of 100 below %s", pair+1, bad, len(ages),
				age[bad].Round(time.Millisecond), ages[len(ages)*99/100].Round(time.Millisecond))
		}
		ratios = append(ratios, age[true].Seconds()/age[false].Seconds())
	}
	slices.Sort(ratios)
	t.Logf("median age beside bad destinations, as a ratio to that without them: %.2f (of %d pairs: %.2f)", ratios[len(ratios)/2], pairs, ratios)
}

func newKafkaClient(t *testing.T, brokers []string) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), kgo.UnknownTopicRetries(-1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// isolation is one run: streams of one organization each, the first four of them bad.
type isolation struct {
	streams, rounds, partitions int
	pause                       time.Duration // between rounds of one event for each organization
	bad                         bool          // the four are there
	prefix                      string        // of the topics
	brokers                     []string
}

// Tokens of the streams say what the endpoint does to them.
var faultyTokens = []string{"hangs", "busy", "revoked", "slow"}

const goodToken = "works"

// measure delivers and returns the ages of the events at the streams that work, sorted.
func (i isolation) measure(t *testing.T, binary string, client *kgo.Client) []time.Duration {
	t.Helper()
	var ages ageing
	server := httptest.NewServer(&ages)
	defer server.Close()
	defer ages.release()
	delivery := servers.StartDeliver(t, binary, i.config(t, server.URL))

	good := i.streams - len(faultyTokens)
	i.publish(t, client, 0) // until this has arrived delivery may be on its way
	servers.Await(t, 2*time.Minute, "the first event of every stream that works", func() bool {
		delivery.Running(t)
		return ages.count() == good
	})
	ages.forget()
	tick := time.NewTicker(i.pause)
	defer tick.Stop()
	for round := range i.rounds {
		<-tick.C
		i.publish(t, client, round+1)
	}
	servers.Await(t, time.Minute, "every event at the streams that work", func() bool {
		delivery.Running(t)
		return ages.count() >= good*i.rounds
	})
	out := ages.all()
	if len(out) != good*i.rounds {
		t.Errorf("%d events arrived at the streams that work, want %d", len(out), good*i.rounds)
	}
	ages.release()
	delivery.Terminate(t, 30*time.Second)
	return out
}

// publish sends one event of each organization.
func (i isolation) publish(t *testing.T, client *kgo.Client, round int) {
	t.Helper()
	records := make([]*kgo.Record, i.streams)
	headers := []kgo.RecordHeader{{Key: "encoding", Value: []byte("jcs")}, {Key: "version", Value: []byte("1")}}
	for s := range records {
		organization := fmt.Sprintf("org_%026d", s)
		records[s] = &kgo.Record{Topic: i.prefix + ".events", Key: []byte(organization), Headers: headers, Value: fmt.Appendf(nil,
			`{"action":"user.login","actor":{"id":"u","type":"user"},"id":"audit_event_%026d","occurred_at":%q,"organization_id":%q,"targets":[]}`,
			round*i.streams+s, time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), organization)}
	}
	if err := client.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

func (i isolation) config(t *testing.T, url string) string {
	t.Helper()
	dir := t.TempDir()
	var b strings.Builder
	fmt.Fprintf(&b, "kafka: {brokers: [%s]}\ntopics: {prefix: %s, partitions: %d, replication: 1}\nobserve: {listen: \"\"}\nstreams:\n",
		strings.Join(i.brokers, ", "), i.prefix, i.partitions)
	for s := range i.streams {
		token := goodToken
		if s < len(faultyTokens) {
			if token = faultyTokens[s]; !i.bad {
				continue
			}
		}
		file := filepath.Join(dir, token)
		if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "  - {id: s%03d, organization_id: org_%026d, start: beginning, splunk: {url: %q, token: {file: %q}, compression: none, linger: 100ms}}\n",
			s, s, url, file)
	}
	return b.String()
}

// ageing is a collector that notes how old the events are that it takes. The zero value
// is ready.
type ageing struct {
	once sync.Once
	end  chan struct{}

	mu   sync.Mutex
	ages []time.Duration // guarded by mu
}

func (a *ageing) over() chan struct{} {
	a.once.Do(func() { a.end = make(chan struct{}) })
	return a.end
}

// release lets the requests that hang go.
func (a *ageing) release() {
	end := a.over()
	a.mu.Lock()
	defer a.mu.Unlock()
	select {
	case <-end:
	default:
		close(end)
	}
}

func (a *ageing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client is gone
	}
	w.Header().Set("Content-Type", "application/json")
	switch token := strings.TrimPrefix(r.Header.Get("Authorization"), "Splunk "); token {
	case "hangs":
		select {
		case <-r.Context().Done():
		case <-a.over():
		}
		return
	case "busy":
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, `{"text":"Server is busy","code":9}`) // who asked may be gone
		return
	case "revoked":
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"text":"Invalid authorization","code":3}`)
		return
	case "slow":
		second := time.NewTimer(time.Second)
		defer second.Stop()
		select {
		case <-second.C:
		case <-a.over():
		}
	default:
		a.note(body)
	}
	_, _ = io.WriteString(w, `{"text":"Success","code":0}`)
}

// note reads the times of the envelopes, which are those of publishing, in seconds.
func (a *ageing) note(body []byte) {
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	for part := range bytes.SplitSeq(body, []byte(`{"time":`)) {
		digits, _, ok := bytes.Cut(part, []byte(","))
		if seconds, err := strconv.ParseFloat(string(digits), 64); ok && err == nil {
			a.ages = append(a.ages, now.Sub(time.UnixMilli(int64(seconds*1000+0.5))))
		}
	}
}

func (a *ageing) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.ages)
}

func (a *ageing) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ages = nil
}

// all are the ages, sorted.
func (a *ageing) all() []time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := slices.Clone(a.ages)
	slices.Sort(out)
	return out
}
