package bench

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"golang.org/x/sync/errgroup"
)

// Ingest is one way to bring events to the gateway.
type Ingest struct {
	PerRequest  int    // events; 1: each alone, else a batch, one a line
	Compression string // of requests: none, gzip, zstd
	Callers     int    // that send at once, each its next request when the former is answered
}

// Validate says what is wrong with i.
func (i Ingest) Validate() error {
	var errs []error
	if i.PerRequest < 1 || i.PerRequest > maxPerRequest {
		errs = append(errs, fmt.Errorf("--events-per-request must be between 1 and %d, not %d", maxPerRequest, i.PerRequest))
	}
	if i.Callers < 1 || i.Callers > maxCallers {
		errs = append(errs, fmt.Errorf("--callers must be between 1 and %d, not %d", maxCallers, i.Callers))
	}
	if _, err := packer(i.Compression); err != nil {
		errs = append(errs, fmt.Errorf("--%w", err))
	}
	return errors.Join(errs...)
}

const (
	maxPerRequest = 10_000 // what the gateway takes in one batch
	maxCallers    = 200    // below what it serves at once
)

// IngestResult is what taking events in over HTTP costs beside writing the same events to
// Kafka without any gateway, with as many callers and as many events in a call. The CPU time is
// that of the gateway's process, or of the one that writes; that of the callers is not in it,
// nor is the start of either process.
type IngestResult struct {
	PerRequest  int    `json:"events_per_request"`
	Compression string `json:"compression"`
	Callers     int    `json:"callers"`
	Events      int    `json:"events"`

	EventsPerSecond      float64 `json:"events_per_second"`
	CPUSecondsPerMillion float64 `json:"cpu_seconds_per_million"`
	P50Micros            int64   `json:"p50_us"` // from the call to its answer
	P99Micros            int64   `json:"p99_us"`

	FloorEventsPerSecond      float64 `json:"floor_events_per_second"`
	FloorCPUSecondsPerMillion float64 `json:"floor_cpu_seconds_per_million"`
	FloorP50Micros            int64   `json:"floor_p50_us"`
	FloorP99Micros            int64   `json:"floor_p99_us"`

	CPURatio     float64 `json:"cpu_ratio"`
	P50Ratio     float64 `json:"p50_ratio"`
	P99Ratio     float64 `json:"p99_ratio"`
	PeakRSSBytes int64   `json:"peak_rss_bytes"` // of the gateway
}

// ingestKeyEnv is where the gateway finds the callers' key.
const ingestKeyEnv = "AUDITSTREAM_BENCH_KEY"

// warmShare is the share of events that go before those that are measured, in hundredths.
const warmShare = 10

// MeasureIngest writes c.Events events to Kafka by the least program that does it, then brings
// as many to a gateway, and compares the two.
func MeasureIngest(ctx context.Context, c Config, in Ingest) (result IngestResult, err error) {
	err = within(ctx, c, func(r *runner, _ *kadm.Client) error {
		floor, err := r.produceAlone(ctx, in)
		if err != nil {
			return err
		}
		through, err := r.produceThroughGateway(ctx, in)
		if err != nil {
			return err
		}
		result = IngestResult{
			PerRequest: in.PerRequest, Compression: in.Compression, Callers: in.Callers, Events: through.Events,
			EventsPerSecond: through.speed(), CPUSecondsPerMillion: through.cpu(), P50Micros: through.P50Micros, P99Micros: through.P99Micros,
			FloorEventsPerSecond: floor.speed(), FloorCPUSecondsPerMillion: floor.cpu(), FloorP50Micros: floor.P50Micros, FloorP99Micros: floor.P99Micros,
			CPURatio: through.cpu() / floor.cpu(),
			P50Ratio: float64(through.P50Micros) / float64(max(1, floor.P50Micros)), P99Ratio: float64(through.P99Micros) / float64(max(1, floor.P99Micros)),
			PeakRSSBytes: through.peakRSS,
		}
		return nil
	})
	return result, err
}

// ingested is what a run came to.
type ingested struct {
	Events     int     `json:"events"`
	Seconds    float64 `json:"seconds"`
	CPUSeconds float64 `json:"cpu_seconds"`
	P50Micros  int64   `json:"p50_us"`
	P99Micros  int64   `json:"p99_us"`

	peakRSS int64
}

func (i ingested) speed() float64 { return float64(i.Events) / i.Seconds }
func (i ingested) cpu() float64   { return i.CPUSeconds / float64(i.Events) * 1e6 }

// produceAlone has a process write the events without a gateway.
func (r *runner) produceAlone(ctx context.Context, in Ingest) (ingested, error) {
	var said bytes.Buffer
	c, err := r.start(ctx, "bare produce", nil, nil, &said, "bench", "produce",
		"--brokers", strings.Join(r.brokers, ","), "--topic", r.topics.Events(), "--events", strconv.Itoa(r.Events),
		"--organizations", strconv.Itoa(r.Organizations), "--per-request", strconv.Itoa(in.PerRequest), "--callers", strconv.Itoa(in.Callers))
	if err != nil {
		return ingested{}, err
	}
	<-c.gone
	if c.err != nil {
		return ingested{}, c.failure()
	}
	var out ingested
	return out, json.Unmarshal(said.Bytes(), &out)
}

// produceThroughGateway starts a gateway as an operator does, and sends it the events.
func (r *runner) produceThroughGateway(ctx context.Context, in Ingest) (ingested, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return ingested{}, err
	}
	address := listener.Addr().String()
	file := filepath.Join(r.dir, "gateway.yaml")
	if err := errors.Join(listener.Close(), os.WriteFile(file, r.gatewayConfig(address), 0o600)); err != nil {
		return ingested{}, err
	}
	key := rand.Text()
	gateway, err := r.start(ctx, "gateway", []string{ingestKeyEnv + "=" + key}, nil, nil, "serve", "gateway", "--config", file, "--cpu-profile", r.Profile)
	if err != nil {
		return ingested{}, err
	}
	defer gateway.end()
	load, err := newIngestLoad(r.Events, r.Organizations, in)
	if err != nil {
		return ingested{}, err
	}
	caller := &ingestCaller{url: "http://" + address, key: key, in: in, http: &http.Client{
		Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: in.Callers, DisableCompression: true},
	}}
	defer caller.http.CloseIdleConnections()
	if err := caller.awaitReady(ctx, gateway); err != nil {
		return ingested{}, err
	}
	var before time.Duration
	out, err := load.send(ctx, caller.call, func() { before = gateway.cpuSoFar() })
	if err != nil {
		select {
		case <-gateway.gone:
			return out, gateway.failure()
		default:
			return out, err
		}
	}
	out.CPUSeconds = (gateway.cpuSoFar() - before).Seconds()
	out.peakRSS = gateway.peakRSS()
	return out, nil
}

// gatewayConfig is that of the gateway: everything that bears on speed has its default.
func (r *runner) gatewayConfig(listen string) []byte {
	type object = map[string]any
	text, err := json.Marshal(object{
		"kafka":   object{"brokers": r.brokers},
		"topics":  object{"prefix": r.topics.Prefix, "partitions": r.topics.Partitions, "replication": r.topics.Replication},
		"observe": object{"listen": ""},
		"log":     object{"level": "warn", "format": "console"},
		"gateway": object{"listen": listen, "keys": []object{{"name": "bench", "key": object{"env": ingestKeyEnv}, "organizations": []string{"*"}}}},
	})
	if err != nil {
		panic(err) // strings, numbers and maps of them always encode
	}
	return text
}

// ingestLoad are the requests of all callers, made before anything is measured.
type ingestLoad struct {
	calls [][]ingestCall // of each caller
	warm  int            // calls of each that are not measured
}

type ingestCall struct {
	events int
	body   []byte
}

func newIngestLoad(events, organizations int, in Ingest) (*ingestLoad, error) {
	pack, err := packer(in.Compression)
	if err != nil {
		return nil, err
	}
	g := NewGenerator(GeneratorConfig{Seed: uint64(time.Now().UnixNano()), Organizations: organizations, Start: time.Now()}) //nolint:gosec // contents that no former run had
	l := &ingestLoad{calls: make([][]ingestCall, in.Callers)}
	each := max(1, events/in.Callers/in.PerRequest)
	l.warm = each * warmShare / 100
	var value []byte
	for i := range l.calls {
		for range each + l.warm {
			var body []byte
			for range in.PerRequest {
				value, _ = g.Event(value[:0])
				body = append(appendWorkOSBody(body, value), '\n')
			}
			if body, err = pack(body); err != nil {
				return nil, err
			}
			l.calls[i] = append(l.calls[i], ingestCall{in.PerRequest, body})
		}
	}
	return l, nil
}

// appendWorkOSBody appends a generated event as WorkOS's API takes it: without an id, its
// organization beside it.
func appendWorkOSBody(dst, event []byte) []byte {
	cut := func(name string) (value []byte) {
		begin := bytes.Index(event, []byte(`,"`+name+`":"`))
		at := begin + len(name) + 5
		end := at + bytes.IndexByte(event[at:], '"')
		value = slices.Clone(event[at:end])
		event = slices.Concat(event[:begin], event[end+1:])
		return value
	}
	_, organization := cut("id"), cut("organization_id")
	dst = append(append(dst, `{"organization_id":"`...), organization...)
	return append(append(append(dst, `","event":`...), event...), '}')
}

// send has every caller make its calls, and measures them. begin is called when the first ones,
// which are not measured, are done.
func (l *ingestLoad) send(ctx context.Context, call func(context.Context, ingestCall) error, begin func()) (ingested, error) {
	if _, err := l.run(ctx, call, func(calls []ingestCall) []ingestCall { return calls[:l.warm] }); err != nil {
		return ingested{}, err
	}
	begin()
	began := time.Now()
	took, err := l.run(ctx, call, func(calls []ingestCall) []ingestCall { return calls[l.warm:] })
	out := ingested{Seconds: time.Since(began).Seconds()}
	if err != nil {
		return out, err
	}
	for _, calls := range l.calls {
		for _, c := range calls[l.warm:] {
			out.Events += c.events
		}
	}
	slices.Sort(took)
	out.P50Micros = took[len(took)/2].Microseconds()
	out.P99Micros = took[len(took)*99/100].Microseconds()
	return out, nil
}

// run makes those of each caller's calls that part chooses, and says how long each took.
func (l *ingestLoad) run(ctx context.Context, call func(context.Context, ingestCall) error, part func([]ingestCall) []ingestCall) ([]time.Duration, error) {
	took := make([][]time.Duration, len(l.calls))
	work, ctx := errgroup.WithContext(ctx)
	for i, calls := range l.calls {
		work.Go(func() error {
			for _, c := range part(calls) {
				began := time.Now()
				if err := call(ctx, c); err != nil {
					return err
				}
				took[i] = append(took[i], time.Since(began))
			}
			return nil
		})
	}
	err := work.Wait()
	return slices.Concat(took...), err
}

// ingestCaller is a service that publishes through the gateway.
type ingestCaller struct {
	url  string
	key  string
	in   Ingest
	http *http.Client
}

func (c *ingestCaller) call(ctx context.Context, call ingestCall) error {
	path, kind := "/audit_logs/events", "application/json"
	if c.in.PerRequest > 1 {
		path, kind = "/audit_logs/events/batch", "application/x-ndjson"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url+path, bytes.NewReader(call.body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+c.key)
	req.Header.Set("Content-Type", kind)
	if c.in.Compression != "none" {
		req.Header.Set("Content-Encoding", c.in.Compression)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	said, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("the gateway answers %s: %s", resp.Status, said[:min(len(said), 500)])
	}
	return err
}

// awaitReady waits until the gateway takes events.
func (c *ingestCaller) awaitReady(ctx context.Context, gateway *child) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url+"/readyz", nil)
		if err != nil {
			return err
		}
		if resp, err := c.http.Do(req); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-gateway.gone:
			return gateway.failure()
		case <-tick.C:
		}
	}
}
