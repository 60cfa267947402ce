package consumer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"

	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/auditstream/auditstream/internal/record"
	"github.com/auditstream/auditstream/schema"
	"github.com/auditstream/auditstream/sinks"
)

// Config is what a Group needs.
type Config struct {
	Kafka      []kgo.Opt // how to reach and log in to Kafka
	Topics     Topics
	IDs        IDs
	ID         string // of the consumer group
	InstanceID string // static membership: a process that starts again takes its place at once; empty for none

	Kind      sinks.Kind
	Sink      sinks.Options
	Bind      func(Spec, sinks.Settings) error // says how sealed secrets of a stream's settings are opened; nil: there are none
	Specs     Specs                            // those of the kind are delivered
	Validator schema.Validator
	Format    func(name string) (*Format, error) // of a stream by the name in its spec; nil of either: events are passed through

	SessionTimeout time.Duration // after which a silent process loses its partitions
	CommitInterval time.Duration // between two commits of progress
	DrainTimeout   time.Duration // for requests under way when partitions are given up
	Retry          Retry
	Budget         *Budget      // of the process
	InFlight       *Slots       // requests under way, of the process
	Reading        *Reading     // of events, by all groups of the process; nil: live traffic and backlogs share it evenly
	StreamInFlight int          // requests under way at once, of one stream in this process; 0: no bound of its own
	Rejections     int          // events refused in a row after which a lane holds; 0: never
	RetentionGuard float64      // share of the topic's retention after which events that are not delivered are dead-lettered; 0 or 1: never
	Checkpoints    *Checkpoints // of feeds; nil: there are none
	Metrics        *Metrics
	Tracer         trace.Tracer // nil: no traces
	Log            *zap.Logger
}

// Topics are the names that delivery reads and writes.
type Topics struct{ Events, Progress, DeadLetters string }

// IDs are what tells this cluster and these topics from others of the same names. That of
// the events topic holds for as long as a group runs; of the others, see [Group.Learn] and
// [Group.Renew].
type IDs struct{ Cluster, Events, Progress, Streams string }

// Specs are the streams as read from the streams topic, and how far it was read.
type Specs struct {
	Streams []Spec
	Offset  int64  // first offset not read
	TopicID string // of the streams topic; empty: the one that the group knows
	Bad     []BadSpec
}

// BadSpec is a stream whose last record has no effect: it cannot be read, or nobody knows who
// wrote it. The spec before it stays in force.
type BadSpec struct {
	ID     string
	Offset int64     // of the record
	Time   time.Time // its append time
	Why    string
	Held   bool // no spec before it is known: the stream is not delivered, and its progress stays as it is
	Alien  bool // it may be right all the same: a newer binary, or somebody with another key, wrote it
}

// held says whether there are streams that nobody can deliver, and that may begin below where
// the groups are once their records are mended.
func (s Specs) held() bool {
	return slices.ContainsFunc(s.Bad, func(b BadSpec) bool { return b.Held })
}

// Group delivers the streams of one kind: one consumer group, so that kinds fail, scale
// and deploy apart. Lock order: learning, committing, partition.saving, mu, partition.mu,
// lane.mu.
type Group struct {
	cfg     Config
	client  *kgo.Client // the group's consumer
	member  membership  // of client
	out     producer    // of progress and dead letters
	reader  source
	offsets offsets
	invalid *stream
	pace    *pace    // of a job that is capped, else nil
	letters Letters  // of a redrive, else nil
	run     *jobSpan // of a job that is traced, else nil
	metrics *Metrics
	log     *zap.Logger
	chunks  chunkPool
	reading *nag // of the poll loop
	opening *nag // of partitions
	sweeps  *nag // of the catch-up loop
	records *nag // of progress
	formats formatBuffers
	ledger  ledger // of checkpoints
	forged  *nag   // of checkpoints in Kafka

	catchUpWake     chan struct{}
	saveWake        chan struct{} // a token when early records are due
	keysWake        chan struct{} // a token when streams have come whose masks need keys
	guardWake       chan struct{} // a token when lanes have come whose age is not known
	joined          atomic.Bool
	began           time.Time    // of New
	retention       atomic.Int64 // of the events topic, in nanoseconds; 0: for ever, or not known
	topicPartitions atomic.Int64 // of the events topic; 0: not known
	committing      turn         // one commit at a time

	learning sync.Mutex      // one change of the streams, or opening of a partition, at a time
	retired  []*stream       // replaced or deleted, perhaps with lanes that still finish; guarded by learning
	known    map[string]bool // uids of all streams, of every kind; guarded by learning
	deleted  map[string]bool // uids of streams that are deleted, of every kind; guarded by learning
	indices  []int           // free ones below size; guarded by learning
	size     int             // of every slice by stream index; guarded by learning

	mu         sync.Mutex
	router     *router              // the streams as they are now; guarded by mu
	specs      reached              // guarded by mu
	progressID string               // of the progress topic; guarded by mu
	forget     func(...string)      // has the producer ask anew what topics are; nil before Run; guarded by mu
	partitions map[int32]*partition // owned now; guarded by mu
	assigned   map[int32]bool       // by Kafka, open or not; guarded by mu
	fetched    map[int32]*commit    // as the last rebalance found them; guarded by mu
}

// New opens the sinks of the kind's streams. It does not talk to Kafka.
func New(cfg Config) (*Group, error) {
	if cfg.Reading == nil {
		cfg.Reading = NewReading(0.5)
	}
	g := &Group{
		cfg: cfg, began: time.Now(), log: cfg.Log.With(zap.String("kind", cfg.Kind.Name)), metrics: cfg.Metrics,
		catchUpWake: make(chan struct{}, 1), saveWake: make(chan struct{}, 1), guardWake: make(chan struct{}, 1), keysWake: make(chan struct{}, 1), committing: newTurn(),
		partitions: map[int32]*partition{}, assigned: map[int32]bool{}, fetched: map[int32]*commit{},
	}
	g.ledger.reading = newTurn()
	g.forged = &nag{what: "checkpoints in Kafka count for nothing here: no key of this process has signed them", log: g.log}
	g.reading = &nag{what: "reading is held", over: "reading goes on", log: g.log}
	g.opening = &nag{what: "partitions cannot be opened yet, trying again", over: "partitions are open", log: g.log}
	g.sweeps = &nag{what: "catching up is held: Kafka cannot be read", over: "catching up goes on", log: g.log}
	g.records = &nag{what: "progress is not saved: what is delivered now may be repeated after a crash", over: "progress is saved again", log: g.log}
	var streams []*stream
	left := false // a stream, where it stands
	for _, spec := range cfg.Specs.Streams {
		if spec.Kind != cfg.Kind.Name || spec.State == SpecDeleted {
			continue
		}
		s, err := g.open(spec)
		if err != nil && spec.Owner == sinks.OwnerAPI {
			// Whoever made it is not at hand, and the others are no worse for it.
			g.log.Error("a stream cannot be delivered by this binary, and is left where it stands", zap.String("stream", spec.ID), zap.Error(err))
			left = true
			continue
		}
		if err != nil {
			return nil, errors.Join(err, closeSinks(streams))
		}
		s.index = g.index()
		streams = append(streams, s)
	}
	g.invalid = invalidStream(cfg.Kind.Name)
	g.invalid.index = g.index()
	g.known, g.deleted = uidsOf(cfg.Specs)
	g.router, g.progressID = newRouter(streams), cfg.IDs.Progress
	g.specs = reached{cmp.Or(cfg.Specs.TopicID, cfg.IDs.Streams), cfg.Specs.Offset}
	if left || cfg.Specs.held() {
		g.specs.offset = 0 // or a stream that is mended later would seem known; see Learn
	}
	g.metrics.watch(g)
	g.metrics.know(streams)
	return g, nil
}

// invalidUID names the lane that takes what is no valid event to the dead letters. No
// stream can have the name. Each kind has its own lane and so its own progress: they read
// the events topic at different speeds, and from different beginnings.
const invalidUID = "_invalid"

func invalidStream(kind string) *stream {
	return &stream{
		spec: Spec{
			ID: invalidUID, UID: invalidUID + "." + kind, Epoch: 1, BaseEpoch: 1, Revision: 1,
			State: SpecActive, Start: StartBeginning, EpochOffset: new(int64(-1)), Kind: kind,
		},
		invalid: true,
	}
}

func (g *Group) open(spec Spec) (*stream, error) {
	settings := g.cfg.Kind.Defaults()
	if err := record.Strictly(spec.Settings, settings); err != nil {
		return nil, fmt.Errorf("stream %q: settings: %w", spec.ID, err)
	}
	if err := settings.Validate(); err != nil {
		return nil, fmt.Errorf("stream %q: settings: %w", spec.ID, err)
	}
	spec.Mask = slices.Clone(spec.Mask) // its keys are bound to this stream's place
	if g.cfg.Bind != nil {
		if err := g.cfg.Bind(spec, settings); err != nil {
			return nil, fmt.Errorf("stream %q: settings: %w", spec.ID, err)
		}
	}
	var format *Format
	if g.cfg.Format != nil {
		var err error
		if format, err = g.cfg.Format(spec.Format); err != nil {
			return nil, fmt.Errorf("stream %q: %w", spec.ID, err)
		}
	}
	opts := g.cfg.Sink
	opts.Log, opts.Owner = g.log.With(zap.String("stream", spec.ID)), spec.Owner
	opts.Note = func(what string, events int) { g.metrics.noted(spec.ID, what, events) }
	sink, err := g.cfg.Kind.Open(settings, opts)
	if err != nil {
		return nil, fmt.Errorf("stream %q: %w", spec.ID, err)
	}
	s := &stream{spec: spec, actions: newActionFilter(spec.Actions), sink: sink, batching: settings.Batching(), format: format, buffers: &g.formats}
	s.prepare()
	signal(g.keysWake)
	if n := g.cfg.StreamInFlight; n > 0 {
		s.inFlight = semaphore.NewWeighted(int64(n))
	}
	return s, nil
}

func closeSinks(streams []*stream) error {
	var errs []error
	for _, s := range streams {
		errs = append(errs, s.sink.Close())
	}
	return errors.Join(errs...)
}

// Ready says why the group does not deliver yet: it has not been joined, or partitions that
// were assigned are not open. A group all of whose partitions others own is ready.
func (g *Group) Ready() error {
	if !g.joined.Load() {
		return fmt.Errorf("joining the consumer group %s", g.cfg.ID)
	}
	g.mu.Lock()
	var closed []string
	for _, number := range slices.Sorted(maps.Keys(g.assigned)) {
		if g.partitions[number] == nil {
			closed = append(closed, strconv.Itoa(int(number)))
		}
	}
	g.mu.Unlock()
	if len(closed) == 0 {
		return nil
	}
	err := fmt.Errorf("opening partition %s of %s for the consumer group %s", strings.Join(closed, ", "), g.cfg.Topics.Events, g.cfg.ID)
	if why := g.opening.present(); why != "" {
		err = fmt.Errorf("%w: %s", err, why)
	}
	return err
}

// assignedNow takes note of partitions that are to be opened.
func (g *Group) assignedNow(_ context.Context, _ *kgo.Client, assigned map[string][]int32) {
	g.mu.Lock()
	for _, number := range assigned[g.cfg.Topics.Events] {
		g.assigned[number] = true
	}
	g.mu.Unlock()
	g.joined.Store(true)
}

// Run delivers until ctx ends; then it finishes or abandons what is under way within
// DrainTimeout, saves progress, commits and leaves the group. It returns an error only
// when it cannot begin.
func (g *Group) Run(ctx context.Context) error {
	defer g.closeAll()
	defer g.metrics.unwatch(g)
	out, err := g.connect()
	if err != nil {
		return err
	}
	defer out.Close()
	g.mu.Lock()
	g.forget = out.PurgeTopicsFromClient
	g.mu.Unlock()

	opts := slices.Concat(g.cfg.Kafka, kafka.FetchOptions(), kafka.Pooled(), []kgo.Opt{
		kgo.ConsumerGroup(g.cfg.ID),
		kgo.ConsumeTopics(g.cfg.Topics.Events),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(),
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.SessionTimeout(g.cfg.SessionTimeout),
		kgo.HeartbeatInterval(g.cfg.SessionTimeout / 5),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
		kgo.OnOffsetsFetched(g.offsetsFetched),
		kgo.AdjustFetchOffsetsFn(g.assign),
		kgo.OnPartitionsAssigned(g.assignedNow),
		kgo.OnPartitionsRevoked(g.revoked),
		kgo.OnPartitionsLost(g.lost),
	})
	if g.cfg.InstanceID != "" {
		opts = append(opts, kgo.InstanceID(g.cfg.InstanceID))
	}
	alive, kill := context.WithCancel(context.Background())
	defer kill()
	g.client, err = kgo.NewClient(append(opts, kgo.WithContext(alive))...) //nolint:contextcheck // it lives on after ctx, to leave the group
	if err != nil {
		return fmt.Errorf("consumer group %s: %w", g.cfg.ID, err)
	}
	g.member = groupMember{g.client, g.cfg.Topics.Events}

	g.cfg.Budget.subscribe(g.catchUpWake)
	defer g.cfg.Budget.unsubscribe(g.catchUpWake)
	var background sync.WaitGroup
	running, stop := context.WithCancel(ctx)
	background.Go(func() { g.commitLoop(running) })
	background.Go(func() { g.saveLoop(running) })
	background.Go(func() { g.makeReady(running) })
	background.Go(func() {
		g.watchRetention(running, func(ctx context.Context) (retentionLimits, error) {
			return topicRetention(ctx, out, g.cfg.Topics.Events)
		})
	})
	background.Go(func() {
		g.watchEnds(running, endsSource{
			find: func(ctx context.Context) (map[int32]ends, error) { return topicEnds(ctx, out, g.cfg.Topics.Events) },
			whose: func(ctx context.Context) ([]kafka.Hanging, error) {
				return kafka.Open(ctx, kadm.NewClient(out), g.cfg.Topics.Events, 0)
			},
		})
	})
	background.Go(func() { g.catchUp(running) })
	if c := g.cfg.Checkpoints; c != nil {
		background.Go(func() { newCheckpointer(g, c).run(running) })
	}
	g.poll(ctx)
	stop()
	background.Wait()
	patience := leaveTimeout
	if !g.finish() { //nolint:contextcheck // ctx has ended
		patience = leaveTimeout / 3 // Kafka does not answer, or does not take us for a member
	}
	g.leave(patience) //nolint:contextcheck // likewise
	// Closing waits for requests that were not answered, unless the client's context has
	// ended: a Kafka that hangs would hold up the end of the process.
	kill()
	g.client.CloseAllowingRebalance()
	// Closing leaves the group a second time, in a goroutine that it does not wait for when
	// the group was left already, and polls a last time. If that poll finds something (the
	// errors of a Kafka that is away), it holds up whoever leaves later, for ever. Nobody
	// polls after it, so from here on nothing does.
	g.client.AllowRebalance()
	return nil
}

// connect makes the client that writes progress and dead letters, and reads outside of the
// group. Whoever calls it closes it.
func (g *Group) connect() (*kgo.Client, error) {
	out, err := kgo.NewClient(slices.Concat(g.cfg.Kafka, []kgo.Opt{
		kgo.RecordPartitioner(partitioner(g.placed()...)),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchCompression(kgo.ZstdCompression(), kgo.NoCompression()),
		kgo.ProducerBatchMaxBytes(maxLetterBytes),
		kgo.RecordDeliveryTimeout(2 * produceTimeout),
		kgo.MaxBufferedRecords(maxBuffered),
		kgo.ProducerLinger(0),
	})...)
	if err != nil {
		return nil, fmt.Errorf("producer of progress: %w", err)
	}
	g.out, g.offsets = out, clusterOffsets{out}
	g.reader = &kafka.Reader{Client: out, IDs: map[string]string{g.cfg.Topics.Events: g.cfg.IDs.Events}}
	return out, nil
}

// leaveTimeout bounds the wait for Kafka to hear that the member is gone. If it does not,
// the session's end tells it.
const leaveTimeout = 3 * time.Second

func (g *Group) leave(patience time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := g.client.LeaveGroupContext(ctx); err != nil {
		g.log.Warn("Kafka has not heard that this member leaves: its partitions are free when its session ends", zap.Error(err))
	}
}

// placed are the topics whose records name their partition.
func (g *Group) placed() []string {
	topics := []string{g.cfg.Topics.Progress}
	if c := g.cfg.Checkpoints; c != nil {
		topics = append(topics, c.Topic)
	}
	return topics
}

// partitioner keeps the records of some topics in the partitions that they name, and
// everything else where every Kafka client would put its key.
func partitioner(placed ...string) kgo.Partitioner {
	keyed := kgo.StickyKeyPartitioner(nil)
	manual := kgo.ManualPartitioner()
	return partitionerFunc(func(topic string) kgo.TopicPartitioner {
		if slices.Contains(placed, topic) {
			return manual.ForTopic(topic)
		}
		return keyed.ForTopic(topic)
	})
}

type partitionerFunc func(string) kgo.TopicPartitioner

func (f partitionerFunc) ForTopic(topic string) kgo.TopicPartitioner { return f(topic) }

// maxLetterBytes bounds a produced batch: the largest event that a topic takes, and its
// headers. The broker's own bound counts, this one only must not be lower.
const maxLetterBytes = 64 << 20

// maxBuffered bounds the records that are on their way to Kafka: those of the lanes of one
// commit, and of others that were not waited for any longer.
const maxBuffered = 100_000

// poll hands what is fetched to the dispatchers until ctx ends.
func (g *Group) poll(ctx context.Context) {
	for ctx.Err() == nil {
		fetches := g.client.PollFetches(ctx)
		if fetches.IsClientClosed() {
			return
		}
		g.fetchesFailed(ctx, fetches)
		fetches.EachPartition(func(f kgo.FetchTopicPartition) {
			p := g.partition(f.Partition)
			if p == nil {
				return
			}
			if f.HighWatermark > 0 {
				p.end.Store(f.HighWatermark)
			}
			if len(f.Records) == 0 {
				return
			}
			g.reading.relieve()
			select {
			case p.in <- polled{records: f.Records}:
			case <-p.ctx.Done():
			}
		})
		g.client.AllowRebalance()
	}
}

func (g *Group) partition(number int32) *partition {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.partitions[number]
}

// fetchesFailed deals with what fetches report. The client itself goes on trying.
func (g *Group) fetchesFailed(ctx context.Context, fetches kgo.Fetches) {
	held := map[string]map[int32]bool{} // partitions, by reason
	fetches.EachError(func(topic string, number int32, err error) {
		p := g.partition(number)
		cut, truncated := errors.AsType[*kgo.ErrDataLoss](err)
		switch {
		case ctx.Err() != nil:
		case p != nil && truncated:
			p.truncated(cut.ResetTo)
		case p != nil && errors.Is(err, kerr.OffsetOutOfRange):
			if err := p.outOfRange(ctx); err != nil {
				p.log.Warn("the position is out of range", zap.Error(err))
			}
		default:
			reason := kafka.Reason(err)
			if held[reason] == nil {
				held[reason] = map[int32]bool{}
			}
			if topic == g.cfg.Topics.Events { // else it is about no partition
				held[reason][number] = true
			}
		}
	})
	for _, reason := range slices.Sorted(maps.Keys(held)) {
		var fields []zap.Field
		if numbers := slices.Sorted(maps.Keys(held[reason])); len(numbers) > 0 {
			fields = append(fields, zap.Int32s("partitions", numbers))
		}
		g.reading.complain(zap.WarnLevel, reason, fields...)
	}
	if len(held) > 0 {
		_ = pause(ctx, 200*time.Millisecond) // an error that comes back at once must not spin
	}
}

// settled waits until the dispatcher is through with what was polled: it counts, whatever
// happened to the log since. It reports false when the partition has ended.
func (p *partition) settled() bool {
	reached := make(chan struct{})
	select {
	case p.in <- polled{reached: reached}:
		<-reached
		return true
	case <-p.ctx.Done():
		return false
	}
}

// outOfRange goes on at the first offset that Kafka still has, every lane's loss on
// record.
func (p *partition) outOfRange(ctx context.Context) error {
	if !p.settled() {
		return nil
	}
	if err := p.g.committing.take(ctx); err != nil { // offsets must not be set during a commit
		return err
	}
	defer p.g.committing.give()
	start, end, err := p.g.bounds(ctx, p.number)
	if err != nil {
		return err
	}
	p.mu.Lock()
	position := p.position.Load()
	target := max(start, min(position, end))
	switch {
	case target < position:
		p.rewind(target)
	case target > position:
		p.skip(target)
	}
	p.mu.Unlock()
	if target == position {
		return pause(ctx, 200*time.Millisecond)
	}
	p.g.member.Seek(p.number, target)
	return nil
}

// truncated goes back with the client, which has found that the log was cut off at end
// and reads on from there.
func (p *partition) truncated(end int64) {
	if !p.settled() {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if end < p.position.Load() {
		p.rewind(end)
	}
}

// rewind goes back to end, where a log ends that has lost records. What Kafka takes there
// from now on is new. The caller holds mu.
func (p *partition) rewind(end int64) {
	p.log.Error("Kafka has lost records that it had acknowledged: the log ends below the position; whatever it takes there from now on is delivered",
		zap.Int64("position", p.position.Load()), zap.Int64("log_end", end))
	p.position.Store(end)
	p.epoch = -1
	for s, l := range p.lanes {
		if p.from[s] != later {
			p.from[s] = min(p.from[s], end)
		}
		if l != nil {
			l.rewind(end)
		}
	}
}

// skip goes on at start, the first offset that Kafka still has: every lane that the live
// reader feeds loses what lies between, also those that nobody has needed yet. The caller
// holds mu.
func (p *partition) skip(start int64) {
	position := p.position.Load()
	for s, l := range p.lanes {
		if l == nil {
			if p.streams[s] == nil || p.from[s] >= start {
				continue
			}
			l = p.addLane(p.streams[s], max(position, p.from[s]), nil)
			l.beginChain(l.begin, nil, "", nil)
			l.next, l.live, l.tally.abreast = l.begin, true, true
		}
		if _, behind := p.behind[l]; !behind && !l.isRetired() {
			next := max(position, l.nextOffset())
			l.lose(next, start, expiredPosition)
			l.misses(next)
			l.advance(start)
			l.expired(next, start)
		}
	}
	p.position.Store(start)
	p.epoch = -1
}

const expiredPosition = "expired in Kafka before delivery: the topic's retention passed the position"

// rewind moves a lane that stands above the end of the log back to it. What it has queued
// it delivers: Kafka has lost it, the lane has not. What comes then lies below, so it
// begins a chunk of its own. The caller holds p.mu.
func (l *lane) rewind(end int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stood = max(l.cursor(), l.onFileTo)
	if end < l.covered() || len(l.beyond) > 0 {
		defer l.breakChain(end, chainCutOff)
	}
	l.next = min(l.next, end)
	l.recount(l.next)
	if l.open != nil {
		l.ready = append(l.ready, l.open)
		l.open, l.due = nil, false
		l.wake()
	}
	l.dirty = true
}

// bounds are the first offset that Kafka has of a partition and the last stable one.
func (g *Group) bounds(ctx context.Context, number int32) (start, end int64, err error) {
	return g.offsets.Bounds(ctx, g.cfg.Topics.Events, number)
}
