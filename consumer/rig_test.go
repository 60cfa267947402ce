package consumer_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/auditstream/auditstream/sinks"
)

// rig is a Kafka with the topics, a destination, and processes that deliver to it.
type rig struct {
	t      *testing.T
	broker *kfake.Cluster
	opts   []kgo.Opt
	client *kgo.Client
	topics kafka.Topics
	dest   *destination
	specs  consumer.Specs

	following *consumer.Following // of its surveys; nil: each reads everything

	logs       *zap.Logger
	batching   sinks.Batching
	retry      consumer.Retry
	budget     int64
	inFlight   int
	memory     *consumer.Budget // of the process that was made last
	drain      time.Duration
	commit     time.Duration
	name       string // of the kind, and so of the consumer group
	rejections int
	guard      float64
	registry   *prometheus.Registry // of the process that was made last
	perStream  int
	slowAfter  time.Duration // of requests; 0: the default
	maxStreams int           // with figures of their own
	tracer     trace.Tracer  // of the processes; nil: no traces

	checkpoints *consumer.Checkpoints
}

func newRig(t *testing.T, partitions int32) *rig {
	t.Helper()
	broker, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	opts, err := kafka.Config{Brokers: broker.ListenAddrs()}.Options(zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(append(opts, kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	topics := kafka.Topics{Prefix: "audit", Partitions: partitions, Replication: 1}
	if err := kafka.EnsureTopics(t.Context(), kadm.NewClient(client), topics, zap.NewNop()); err != nil {
		t.Fatal(err)
	}
	return &rig{
		t: t, broker: broker, opts: opts, client: client, topics: topics,
		dest:     &destination{arrived: map[string][]arrival{}, frames: map[string]string{}},
		logs:     zaptest.NewLogger(t, zaptest.Level(zap.WarnLevel)),
		batching: sinks.Batching{MaxBytes: 4 << 10, MaxEvents: 10},
		retry:    consumer.Retry{Min: time.Millisecond, Max: 20 * time.Millisecond, Probe: 20 * time.Millisecond},
		budget:   64 << 20,
		inFlight: 16,
		drain:    time.Second,
		commit:   10 * time.Millisecond,
		name:     "recorder",

		maxStreams: consumer.DefaultMaxStreams,
	}
}

// stream adds a stream as its record in the streams topic would.
func (r *rig) stream(id, organization string, change ...func(*consumer.Spec)) {
	s := consumer.Spec{
		ID: id, UID: "str_" + id, Epoch: 1, BaseEpoch: 1, Revision: 1, State: consumer.SpecActive, OrganizationID: organization,
		Format: "workos", Kind: r.name, Settings: json.RawMessage(`{}`), Start: consumer.StartBeginning,
		Offset: r.specs.Offset, Time: time.Now(),
	}
	for _, f := range change {
		f(&s)
	}
	r.specs.Streams = slices.DeleteFunc(slices.Clone(r.specs.Streams), func(have consumer.Spec) bool { return have.ID == id })
	r.specs.Streams = append(r.specs.Streams, s)
	r.specs.Offset++
}

// group makes one process's part in delivery.
func (r *rig) group() *consumer.Group {
	r.t.Helper()
	ids, err := kafka.TopicIDs(r.t.Context(), kadm.NewClient(r.client), r.topics.Names()...)
	if err != nil {
		r.t.Fatal(err)
	}
	budget := consumer.NewBudget(r.budget, 0.5)
	r.memory = budget
	r.registry = prometheus.NewRegistry()
	slots := r.slots()
	metrics, err := consumer.NewMetrics(r.registry, consumer.MetricsConfig{MaxStreams: r.maxStreams, Budget: budget, InFlight: slots})
	if err != nil {
		r.t.Fatal(err)
	}
	g, err := consumer.New(consumer.Config{
		Kafka:  r.opts,
		Topics: consumer.Topics{Events: r.topics.Events(), Progress: r.topics.Progress(), DeadLetters: r.topics.DeadLetters()},
		IDs:    consumer.IDs{Cluster: "c", Events: ids[r.topics.Events()], Progress: ids[r.topics.Progress()], Streams: ids[r.topics.Streams()]},
		ID:     "auditstream." + r.name, Kind: r.kind(), Specs: r.specs,
		SessionTimeout: 10 * time.Second, CommitInterval: r.commit, DrainTimeout: r.drain,
		Retry: r.retry, Budget: budget, InFlight: slots, StreamInFlight: r.perStream, Rejections: r.rejections, RetentionGuard: r.guard, Checkpoints: r.checkpoints, Metrics: metrics, Tracer: r.tracer, Log: r.logs,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return g
}

// slots are the requests that a process may have under way.
func (r *rig) slots() *consumer.Slots {
	return consumer.NewSlots(consumer.SlotsConfig{Max: r.inFlight, MaxSlow: r.inFlight, SlowAfter: r.slowAfter, CatchUp: 0.5})
}

// start runs a process; the returned function stops it in good order.
func (r *rig) start() (stop func()) {
	r.t.Helper()
	return r.run(r.group())
}

func (r *rig) run(g *consumer.Group) (stop func()) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		limit := time.NewTimer(shutdownLimit)
		defer limit.Stop()
		select {
		case err := <-done:
			if err != nil {
				r.t.Errorf("Run: %v", err)
			}
		case <-limit.C:
			r.t.Errorf("Run has not returned %s after it was told to", shutdownLimit)
		}
	})
	r.t.Cleanup(stop)
	return stop
}

// shutdownLimit is more than twice what the bounds of a shutdown come to, with the second
// that the rig grants requests under way: a slow machine is not what is to be found out.
const shutdownLimit = 30 * time.Second

// event is a canonical event.
func event(organization, id, action string) []byte {
	return fmt.Appendf(nil, `{"action":%q,"actor":{"id":"u","type":"user"},"id":%q,"occurred_at":"2026-11-01T00:00:00Z","organization_id":%q,"targets":[]}`,
		action, id, organization)
}

func record(topic, organization, id, action string) *kgo.Record {
	return &kgo.Record{
		Topic: topic, Key: []byte(organization), Value: event(organization, id, action),
		Headers: []kgo.RecordHeader{{Key: "encoding", Value: []byte("jcs")}, {Key: "version", Value: []byte("1")}},
	}
}

func eventID(n int) string { return fmt.Sprintf("audit_event_%026d", n) }

const (
	orgA = "org_AAAAAAAAAAAAAAAAAAAAAAAAAA"
	orgB = "org_BBBBBBBBBBBBBBBBBBBBBBBBBB"
)

// publish sends n events of an organization, with ids numbered from first.
func (r *rig) publish(organization string, first, n int) {
	r.t.Helper()
	records := make([]*kgo.Record, n)
	for i := range records {
		records[i] = record(r.topics.Events(), organization, eventID(first+i), "user.login")
	}
	r.produce(records...)
}

func (r *rig) produce(records ...*kgo.Record) {
	r.t.Helper()
	if err := r.client.ProduceSync(r.t.Context(), records...).FirstErr(); err != nil {
		r.t.Fatal(err)
	}
}

// eventually waits until ok, for a minute at most, and then reports what is missing.
func (r *rig) eventually(what string, ok func() bool) {
	r.t.Helper()
	deadline := time.NewTimer(3 * time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			r.t.Fatalf("still waiting for: %s\n%s", what, r.dest)
		case <-tick.C:
		}
	}
}

// letters reads the dead letters.
func (r *rig) letters() []*kgo.Record {
	r.t.Helper()
	var out []*kgo.Record
	reader := &kafka.Reader{Client: r.client}
	for p := range r.topics.Partitions {
		if _, err := reader.ReadToEnd(r.t.Context(), r.topics.DeadLetters(), p, func(rec *kgo.Record) { out = append(out, rec) }); err != nil {
			r.t.Fatal(err)
		}
	}
	return out
}

// gauge reads a figure of a stream, as the process that was made last shows it.
func (r *rig) gauge(name, stream string) float64 {
	r.t.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && m.GetLabel()[0].GetValue() == stream {
				return m.GetGauge().GetValue()
			}
		}
	}
	return 0
}

func header(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

// destination keeps what arrived, by stream. Its faults are programmed.
type destination struct {
	mu      sync.Mutex
	arrived map[string][]arrival
	batches []sinks.Batch
	keep    bool              // frames too
	frames  map[string]string // by stream, one after another
	// answer decides on a batch before it is taken; nil takes everything.
	answer func(stream string, ids []string) (take int, r sinks.Receipt, err error)
	// before is called first, and may wait.
	before func(ctx context.Context, stream string) error
	// fate decides on a batch that was taken in, where deliveries are confirmed later; nil
	// confirms at the first question.
	fate  func() fate
	taken []fate // of each such batch; its number is its ticket
	// witness takes a checkpoint of a stream's feed; nil takes each.
	witness  func(ctx context.Context, stream string) error
	notes    map[string][]string       // checkpoints that were taken, by stream
	digests  map[string][]sinks.Digest // that were asked for, by stream; guarded by mu
	attempts map[string]int            // to bring one, by stream
}

type arrival struct {
	id     string
	offset int64
}

func (d *destination) program(f func(stream string, ids []string) (int, sinks.Receipt, error)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.answer = f
}

// delay has every batch wait for f first.
func (d *destination) delay(f func(ctx context.Context, stream string) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.before = f
}

func (d *destination) ids(stream string) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []string
	for _, a := range d.arrived[stream] {
		out = append(out, a.id)
	}
	return out
}

// text is all that arrived, if the destination keeps it.
func (d *destination) text(stream string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.frames[stream]
}

func (d *destination) count(stream string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.arrived[stream])
}

func (d *destination) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var b strings.Builder
	for s, a := range d.arrived {
		fmt.Fprintf(&b, "%s: %d arrived\n", s, len(a))
	}
	return b.String()
}

type settings struct{ batching sinks.Batching }

func (*settings) Validate() error            { return nil }
func (s *settings) Batching() sinks.Batching { return s.batching }

func (r *rig) kind() sinks.Kind {
	return sinks.Kind{
		Name:     r.name,
		Defaults: func() sinks.Settings { return &settings{r.batching} },
		Open: func(_ sinks.Settings, o sinks.Options) (sinks.Sink, error) {
			s := &recorder{r.dest, o.Replay}
			if r.batching.Confirmation.Batches > 0 {
				return &confirmingRecorder{s}, nil
			}
			return s, nil
		},
	}
}

// recorder is a sink whose frames are lines.
type recorder struct {
	dest   *destination
	replay string // the job whose sink it is
}

// name is what the destination calls a stream: a replay is another one to it.
func (s *recorder) name(b *sinks.Batch) string {
	if s.replay == "" {
		return b.Lane.Stream
	}
	return b.Lane.Stream + "@" + s.replay
}

var errTooLarge = &sinks.Error{Class: sinks.Rejected, Err: errors.New("the destination takes no huge events")}

func (*recorder) Frame(dst []byte, e *sinks.Event) ([]byte, error) {
	if bytes.Contains(e.Action, []byte("huge")) {
		return dst, errTooLarge
	}
	return append(append(dst, e.Value...), '\n'), nil
}

func (s *recorder) Deliver(ctx context.Context, b *sinks.Batch) (sinks.Receipt, error) {
	if err := ctx.Err(); err != nil {
		return sinks.Receipt{}, err
	}
	var ids []string
	for i := range b.Events {
		var e struct{ ID string }
		if err := json.Unmarshal(b.Frame(i), &e); err != nil {
			return sinks.Receipt{}, fmt.Errorf("frame %d of the batch is not one event: %w", i, err)
		}
		ids = append(ids, e.ID)
	}
	s.dest.mu.Lock()
	before := s.dest.before
	s.dest.mu.Unlock()
	if before != nil {
		if err := before(ctx, s.name(b)); err != nil {
			return sinks.Receipt{}, err
		}
	}
	s.dest.mu.Lock()
	defer s.dest.mu.Unlock()
	take, receipt, err := len(ids), sinks.Receipt{}, error(nil)
	if s.dest.answer != nil {
		take, receipt, err = s.dest.answer(s.name(b), ids)
	}
	for i := range take {
		s.dest.arrived[s.name(b)] = append(s.dest.arrived[s.name(b)], arrival{ids[i], b.Events[i].Offset})
		if s.dest.keep {
			s.dest.frames[s.name(b)] += string(b.Frame(i))
		}
	}
	kept := *b
	kept.Body, kept.Events = nil, slices.Clone(b.Events)
	if b.Chain != nil {
		kept.Chain = &sinks.Chain{Origin: b.Chain.Origin, Before: b.Chain.Before, Links: slices.Clone(b.Chain.Links), OriginalFeed: b.Chain.OriginalFeed, Originals: slices.Clone(b.Chain.Originals)}
	}
	s.dest.batches = append(s.dest.batches, kept)
	return receipt, err
}

// Digest implements sinks.Digester.
func (s *recorder) Digest(_ context.Context, d *sinks.Digest) error {
	s.dest.mu.Lock()
	defer s.dest.mu.Unlock()
	if s.dest.digests == nil {
		s.dest.digests = map[string][]sinks.Digest{}
	}
	s.dest.digests[d.Lane.Stream] = append(s.dest.digests[d.Lane.Stream], *d)
	return nil
}

// Checkpoint implements sinks.Witness.
func (s *recorder) Checkpoint(ctx context.Context, lane sinks.Lane, signed []byte) error {
	s.dest.mu.Lock()
	witness := s.dest.witness
	if s.dest.notes == nil {
		s.dest.notes, s.dest.attempts = map[string][]string{}, map[string]int{}
	}
	s.dest.attempts[lane.Stream]++
	s.dest.mu.Unlock()
	if witness != nil {
		if err := witness(ctx, lane.Stream); err != nil {
			return err
		}
	}
	s.dest.mu.Lock()
	defer s.dest.mu.Unlock()
	s.dest.notes[lane.Stream] = append(s.dest.notes[lane.Stream], string(signed))
	return nil
}

func (*recorder) Close() error { return nil }

func wantIDs(first, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = eventID(first + i)
	}
	return out
}

var errDown = errors.New("connection refused")

// lastProgress is what a lane's record says, as its JSON has it.
type lastProgress struct {
	Cursor  int64
	Expired int64
	State   string
	Error   string
	Gaps    []struct{ From, To int64 }

	Matched, Delivered, Filtered int64
	DeadLettered                 int64 `json:"dead_lettered"`
}

// progress reads the last record of a stream's lane in partition 0.
func (r *rig) progress(uid string) lastProgress {
	r.t.Helper()
	var p lastProgress
	reader := &kafka.Reader{Client: r.client}
	if _, err := reader.ReadToEnd(r.t.Context(), r.topics.Progress(), 0, func(rec *kgo.Record) {
		if strings.HasPrefix(string(rec.Key), uid+"/") && rec.Value != nil {
			p = lastProgress{}
			if err := json.Unmarshal(rec.Value, &p); err != nil {
				r.t.Error(err)
			}
		}
	}); err != nil {
		r.t.Fatal(err)
	}
	return p
}

// wasBehind says whether a lane was on record, at any time, as one that the live reader does
// not feed.
func (r *rig) wasBehind(uid string) bool {
	r.t.Helper()
	behind := false
	reader := &kafka.Reader{Client: r.client}
	if _, err := reader.ReadToEnd(r.t.Context(), r.topics.Progress(), 0, func(rec *kgo.Record) {
		if strings.HasPrefix(string(rec.Key), uid+"/") && rec.Value != nil {
			var p struct{ Live bool }
			if err := json.Unmarshal(rec.Value, &p); err != nil {
				r.t.Error(err)
			}
			behind = behind || !p.Live
		}
	}); err != nil {
		r.t.Fatal(err)
	}
	return behind
}

// liveProgress counts the records of a stream in the progress topic that no tombstone has
// replaced.
func (r *rig) liveProgress(uid string) int {
	r.t.Helper()
	reader := &kafka.Reader{Client: r.client}
	n := 0
	for p := range r.topics.Partitions {
		live := map[string]bool{}
		if _, err := reader.ReadToEnd(r.t.Context(), r.topics.Progress(), p, func(rec *kgo.Record) {
			live[string(rec.Key)] = rec.Value != nil
		}); err != nil {
			r.t.Fatal(err)
		}
		for key, alive := range live {
			if alive && strings.HasPrefix(key, uid+"/") {
				n++
			}
		}
	}
	return n
}
