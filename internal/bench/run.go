package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/internal/kafka"
)

// Token is the collector token of the benchmark's own endpoint. It opens nothing else.
const Token = "00000000-0000-4000-8000-000000000000"

const (
	seed = 1
	// batchBytes is the default of the splunk sink's max_bytes.
	batchBytes = 1_000_000
	// maxPartitions is above what one process can be expected to read.
	maxPartitions = 10_000
	// tokenEnv is where the delivering process finds the token.
	tokenEnv = "AUDITSTREAM_BENCH_TOKEN"
)

// Config says what to measure.
type Config struct {
	Program       string        // path of auditstream's own binary
	Brokers       []string      // none: an embedded broker in this process
	Events        int           // to write to the topic
	Partitions    int           // of the topic
	Organizations int           // that they are of
	Streams       int           // see Fanout
	Destinations  int           // addresses of the collector, which the streams share; 0: one for each stream
	Gzip          bool          // compress requests
	Integrity     bool          // number and chain events; the floor does nothing of the kind
	Duration      time.Duration // at most, of each of the two measurements
	Linger        time.Duration // of the streams; 0: the default
	Cores         int           // that the floor and delivery may use; 0: all
	Profile       string        // file for the CPU profile of delivery; "": none

	// Progress, if not nil, is told how far a phase is.
	Progress func(phase string, done, total int64)
	Log      *zap.Logger
}

// Validate says what is wrong with c.
func (c Config) Validate() error {
	var errs []error
	for _, n := range []struct {
		name  string
		value int
	}{{"events", c.Events}, {"partitions", c.Partitions}, {"organizations", c.Organizations}, {"streams", c.Streams}} {
		if n.value < 1 {
			errs = append(errs, fmt.Errorf("--%s must be at least 1, not %d", n.name, n.value))
		}
	}
	if c.Partitions > maxPartitions {
		errs = append(errs, fmt.Errorf("--partitions must be at most %d, not %d", maxPartitions, c.Partitions))
	}
	if c.Duration <= 0 {
		errs = append(errs, fmt.Errorf("--duration must be more than 0, not %s", c.Duration))
	}
	if c.Destinations < 0 {
		errs = append(errs, fmt.Errorf("--destinations must be at least 0, not %d", c.Destinations))
	}
	return errors.Join(errs...)
}

// destinations is how many addresses there are.
func (c Config) destinations() int {
	if c.Destinations == 0 {
		return c.Streams
	}
	return min(c.Destinations, c.Streams)
}

func (c Config) compression() string {
	if c.Gzip {
		return "gzip"
	}
	return "none"
}

func (c Config) kafka() string {
	if len(c.Brokers) == 0 {
		return "embedded"
	}
	return strings.Join(c.Brokers, ",")
}

// Run writes the events to a topic of their own, measures the floor, then delivery, and
// removes what it has made. It is an error when a process fails, and none when Duration
// ends before everything is delivered: the figures are then of what was.
func Run(ctx context.Context, c Config) (result Result, err error) {
	err = within(ctx, c, func(r *runner, _ *kadm.Client) error {
		result, err = r.run(ctx)
		return err
	})
	return result, err
}

// within runs f with topics of its own, and removes what was made.
func within(ctx context.Context, c Config, f func(*runner, *kadm.Client) error) (err error) {
	if err := c.Validate(); err != nil {
		return err
	}
	brokers := c.Brokers
	if len(brokers) == 0 {
		broker, err := kafka.StartEmbedded(kafka.EmbeddedConfig{Log: c.Log})
		if err != nil {
			return err
		}
		defer broker.Close() //nolint:errcheck // in memory
		brokers = []string{broker.Addr()}
	}
	dir, err := os.MkdirTemp("", "auditstream-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a leftover in the temporary directory
	r := &runner{
		Config: c, brokers: brokers, dir: dir, fanout: NewFanout(c.Streams, c.Organizations),
		// A cluster that is given may hold real topics, and other runs.
		prefix: "auditstream-bench-" + strconv.FormatInt(time.Now().UnixNano(), 36),
	}
	connect, err := kafka.Config{Brokers: brokers}.Options(c.Log)
	if err != nil {
		return err
	}
	if r.client, err = kgo.NewClient(append(connect, PreloadOptions()...)...); err != nil {
		return err
	}
	defer r.client.Close()
	admin := kadm.NewClient(r.client)
	if err := r.makeTopics(ctx, admin); err != nil {
		return err
	}
	defer func() {
		// Also when ctx has ended: the topics are ours to remove.
		removing, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTime)
		defer cancel()
		if _, removeErr := admin.DeleteTopics(removing, r.topics.Names()...); removeErr != nil {
			err = errors.Join(err, fmt.Errorf("the topics %s.* are left over: %w", r.prefix, removeErr))
		}
	}()
	return f(r, admin)
}

// runner is one run.
type runner struct {
	Config
	brokers []string
	dir     string
	prefix  string // of the topics and the floor's group
	topics  kafka.Topics
	client  *kgo.Client // of the events
	fanout  Fanout
	wanted  int64 // deliveries
	ages    bool  // the endpoint measures how old events are
	idle    bool  // the delivering process has one stream, which wants nothing
}

func (r *runner) run(ctx context.Context) (Result, error) {
	counts, err := r.write(ctx)
	if err != nil {
		return Result{}, err
	}
	r.wanted = r.fanout.Deliveries(counts)
	endpoint, err := r.startCollector(ctx)
	if err != nil {
		return Result{}, err
	}
	defer endpoint.end()

	floor, err := r.measure(ctx, "floor", endpoint, r.startFloor)
	if err != nil {
		return Result{}, err
	}
	delivery, err := r.measure(ctx, "delivery", endpoint, r.startDelivery)
	if err != nil {
		return Result{}, err
	}
	return newResult(r.Config, r.wanted, floor, delivery), nil
}

func (r *runner) makeTopics(ctx context.Context, admin *kadm.Client) error {
	brokers, err := admin.ListBrokers(ctx)
	if err != nil {
		return fmt.Errorf("reach Kafka at %s: %w", strings.Join(r.brokers, ", "), err)
	}
	r.topics = kafka.Topics{Prefix: r.prefix, Partitions: int32(r.Partitions), Replication: int16(min(len(brokers), 3))}
	return kafka.EnsureTopics(ctx, admin, r.topics, r.Log)
}

// write writes the events and returns how many each organization has.
func (r *runner) write(ctx context.Context) ([]int64, error) {
	g := NewGenerator(GeneratorConfig{Seed: seed, Organizations: r.Organizations, Start: time.Now()})
	return Preload(ctx, r.client, r.topics.Events(), r.Events, g, func(done int) {
		r.progress("preload", int64(done), int64(r.Events))
	})
}

func (r *runner) progress(phase string, done, total int64) {
	if r.Progress != nil {
		r.Progress(phase, done, total)
	}
}

// startFloor starts the floor. It ends by itself.
func (r *runner) startFloor(ctx context.Context, url string) (*child, error) {
	return r.startOn(ctx, "floor", nil, "bench", "floor",
		"--brokers", strings.Join(r.brokers, ","),
		"--topic", r.topics.Events(),
		"--group", r.prefix+".floor",
		"--url", url,
		"--compression", r.compression(),
		"--batch-bytes", strconv.Itoa(batchBytes),
		"--deliveries", strconv.FormatInt(r.wanted, 10),
		"--organizations", strconv.Itoa(r.Organizations),
		"--streams", strconv.Itoa(r.Streams),
		"--destinations", strconv.Itoa(r.destinations()),
	)
}

// startDelivery starts auditstream as an operator does.
func (r *runner) startDelivery(ctx context.Context, url string) (*child, error) {
	file := filepath.Join(r.dir, "auditstream.yaml")
	if err := os.WriteFile(file, r.config(url), 0o600); err != nil {
		return nil, err
	}
	return r.startOn(ctx, "delivery", []string{tokenEnv + "=" + Token}, "serve", "deliver", "--config", file, "--cpu-profile", r.Profile)
}

// config is that of the delivering process, in JSON, which is YAML too. Everything that
// bears on speed has its default, but whether events are chained. The linger of the last batches is waited for at the end
// of the topic, which costs no CPU, but a second of the time that events per second are of.
func (r *runner) config(url string) []byte {
	type object = map[string]any
	var streams []object
	for i, organization := range r.fanout.Streams() {
		settings := object{
			"url": Destination(url, i%r.destinations()), "token": object{"env": tokenEnv}, "compression": r.compression(),
			"max_bytes": batchBytes,
		}
		if r.Linger > 0 {
			settings["linger"] = r.Linger.String()
		}
		streams = append(streams, object{
			"id": fmt.Sprintf("bench-%d-%05d", r.Streams, i), "organization_id": organization, "start": "beginning", "integrity": r.Integrity, "splunk": settings,
		})
	}
	if r.idle {
		streams = []object{{
			"id": "bench-idle", "organization_id": "*", "actions": []string{idleAction}, "start": "beginning",
			"splunk": object{"url": url, "token": object{"env": tokenEnv}},
		}}
	}
	text, err := json.Marshal(object{
		"kafka":   object{"brokers": r.brokers},
		"topics":  object{"prefix": r.topics.Prefix, "partitions": r.topics.Partitions, "replication": r.topics.Replication},
		"observe": object{"listen": ""},
		"log":     object{"level": "warn", "format": "console"},
		"streams": streams,
	})
	if err != nil {
		panic(err) // strings, numbers and maps of them always encode
	}
	return text
}

// measure starts a process, waits until the endpoint has everything, the process has
// ended or the time is up, ends it and reads what it has used.
func (r *runner) measure(ctx context.Context, name string, endpoint *collector, start func(context.Context, string) (*child, error)) (measurement, error) {
	if err := endpoint.reset(ctx); err != nil {
		return measurement{}, err
	}
	c, err := start(ctx, endpoint.url)
	if err != nil {
		return measurement{}, err
	}
	var m measurement
	err = r.watch(ctx, name, c, endpoint, &m)
	c.end()
	m.cpu = c.cpu()
	return m, err
}

// watch fills in m until the endpoint has everything, or the time is up.
func (r *runner) watch(ctx context.Context, name string, c *child, endpoint *collector, m *measurement) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	end := time.NewTimer(r.Duration)
	defer end.Stop()
	for {
		gone, up := false, false
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-c.gone:
			gone = true
		case <-end.C:
			up = true
		case <-tick.C:
		}
		var err error
		if m.counts, err = endpoint.counts(ctx); err != nil {
			return err
		}
		m.peakRSS = max(m.peakRSS, c.peakRSS())
		r.progress(name, m.counts.Events, r.wanted)
		switch {
		case m.counts.Events > r.wanted:
			return fmt.Errorf("%s sent %d events where %d were wanted", name, m.counts.Events, r.wanted)
		case m.counts.Events == r.wanted, up:
			return nil
		case gone:
			return c.failure()
		}
	}
}
