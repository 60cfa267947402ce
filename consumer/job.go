package consumer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
)

// JobConfig is what a Job needs beside a group's configuration, of which ID, InstanceID,
// Specs, SessionTimeout and RetentionGuard mean nothing to it.
type JobConfig struct {
	Config
	Task    Task
	Spec    Spec    // of the task's stream, as it is now
	Letters Letters // of a redrive, else nil
}

// Job sends events of one stream another time, beside live delivery and without touching
// it. It is delivery as a [Group] does it, with lanes, retry, halving, breaker and dead
// letters, but without a place in a consumer group: each range of the task is a partition
// whose position is fixed at the range's end, and whose one lane is behind, from the
// range's beginning on. So the catch-up reader feeds it, and it is done when the lane has
// joined and is empty. Its progress stands under the job's own uid, its budget, its
// requests and its pace are its own.
//
// Two processes that run the same job cause repeats (none in S3), nothing worse: cursors
// only ever name what is settled.
type Job struct {
	g      *Group
	task   Task
	spec   Spec // of the task's stream
	stream *stream

	mu    sync.Mutex
	parts []*partition // by range, as far as they are open; guarded by mu
}

// OpenJob opens the sink. It does not talk to Kafka.
func OpenJob(cfg JobConfig) (*Job, error) {
	t, s := cfg.Task, cfg.Spec
	switch {
	case s.UID != t.StreamUID:
		return nil, fmt.Errorf("job %s is about a stream %q that is gone: the one of that name is another", t.UID, t.Stream)
	case s.State == SpecDeleted:
		return nil, fmt.Errorf("stream %q is deleted", t.Stream)
	case s.Paused():
		return nil, fmt.Errorf("stream %q is paused: nothing is sent to its destination before it is resumed", t.Stream)
	case t.OrganizationID != "" && s.OrganizationID != AllOrganizations && s.OrganizationID != t.OrganizationID:
		return nil, fmt.Errorf("stream %q carries organization %s only, not %s", t.Stream, s.OrganizationID, t.OrganizationID)
	case (t.Job == TaskRedrive) != (cfg.Letters != nil):
		return nil, fmt.Errorf("job %s: only a redrive, and every redrive, reads dead letters", t.UID)
	}
	c := cfg.Config
	c.Topics.Events, c.IDs.Events = t.Topic, t.TopicID
	c.Sink.Replay = t.UID
	c.RetentionGuard = 0 // live delivery looks after what expires
	if t.Job == TaskRedrive {
		c.Rejections = 0 // nothing is drained: what is refused again stays where it is
	}
	c.Specs = Specs{Streams: []Spec{t.spec(s)}}
	g, err := New(c)
	if err != nil {
		return nil, err
	}
	if len(g.router.streams) != 1 {
		return nil, errors.Join(fmt.Errorf("stream %q is of kind %s", t.Stream, s.Kind), closeSinks(g.router.streams))
	}
	j := &Job{g: g, task: t, spec: s, stream: g.router.streams[0]}
	j.stream.of = t.StreamUID
	if len(t.Actions) > 0 {
		j.stream.actions.also = newActionFilter(t.Actions)
	}
	g.pace = newPace(t.Rate, j.wake)
	g.letters = cfg.Letters
	g.member = alone{}
	return j, nil
}

// alone is the membership of a job, which has no group offset.
type alone struct{}

func (alone) Commit(context.Context, map[int32]int64, map[int32]string) error { return nil }
func (alone) Seek(int32, int64)                                               {}

// Close lets go of a job that was not run.
func (j *Job) Close() { j.g.closeAll() }

// Run sends what is left of the task until nothing is, or ctx ends; then requests under way
// may end within DrainTimeout, and progress is saved. It reports whether the task is done.
// An error says why it could not begin.
func (j *Job) Run(ctx context.Context) (done bool, err error) {
	g := j.g
	defer g.closeAll()
	ended := j.traceRun(ctx)
	defer func() { ended(done, err) }()
	out, err := j.connect()
	if err != nil {
		return false, err
	}
	defer out.Close()
	g.cfg.Budget.subscribe(g.catchUpWake)
	defer g.cfg.Budget.unsubscribe(g.catchUpWake)
	for _, r := range j.task.Ranges {
		if err := j.open(ctx, r); err != nil {
			g.finish() //nolint:contextcheck // what was opened ends whatever became of ctx
			return false, err
		}
	}
	var background sync.WaitGroup
	running, stop := context.WithCancel(ctx)
	background.Go(func() { g.commitLoop(running) })
	background.Go(func() { g.saveLoop(running) })
	background.Go(func() { g.makeReady(running) })
	var vouching *checkpointer
	if c := g.cfg.Checkpoints; c != nil {
		vouching = newCheckpointer(g, c)
		background.Go(func() { vouching.run(running) })
	}
	j.read(ctx)
	g.pace.stop()
	stop()
	background.Wait()
	if vouching != nil && j.settled() && ctx.Err() == nil {
		err = j.vouch(ctx, vouching)
	}
	j.giveUp(ctx, vouching)
	if err != nil || !j.settled() {
		return false, err
	}
	// What a lane has settled since is worth little before it is on record: the job would be
	// said to be done, and begun again.
	for _, p := range j.opened() {
		if err := j.saved(p); err != nil {
			return false, err
		}
	}
	return true, nil
}

// vouch makes the last checkpoints of the job's feeds: whoever has them can tell that he has
// everything that the job has sent.
func (j *Job) vouch(ctx context.Context, c *checkpointer) error {
	if err := j.g.commit(ctx, j.g.owned()); err != nil {
		return fmt.Errorf("everything was sent, but that is not on record: %w", err)
	}
	return c.finish(ctx)
}

// What has become of a job's stream, as the cause of the end of a run's context.
var (
	// ErrStreamChanged says that the job is gone on with at once, with what the stream is now.
	ErrStreamChanged = errors.New("the stream has changed")
	// ErrStreamGone says that the stream is deleted: its destination is to get nothing more.
	ErrStreamGone = errors.New("the stream is deleted")
)

// partingTime bounds the checkpoints of a job that is stopped.
const partingTime = 5 * time.Second

// giveUp ends the partitions. A job that is stopped may never be gone on with: its feeds get a
// checkpoint of what was sent, or nobody could tell an event that was refused from one that was
// taken out.
func (j *Job) giveUp(ctx context.Context, vouching *checkpointer) {
	g, cause := j.g, context.Cause(ctx)
	if vouching == nil || ctx.Err() == nil || errors.Is(cause, ErrStreamChanged) {
		g.finish() //nolint:contextcheck // ctx may have ended
		return
	}
	ctx = context.WithoutCancel(ctx)
	parts := g.owned()
	stopAll(parts, g.cfg.DrainTimeout)
	committed := g.commitLast(ctx, parts)
	if committed {
		limited, cancel := context.WithTimeout(ctx, partingTime)
		defer cancel()
		if err := vouching.part(limited, errors.Is(cause, ErrStreamGone)); err != nil {
			g.log.Info("not everybody who takes checkpoints has one of what the stopped job has sent", zap.Error(err))
		}
		committed = g.commitLast(ctx, parts) // which checkpoints there are
	}
	g.letGo(g.allRemoved(), committed)
}

// connect is that of the group, from which a redrive reads letters.
func (j *Job) connect() (*kgo.Client, error) {
	out, err := j.g.connect()
	if err == nil && j.g.letters != nil {
		j.g.reader = letterSource{source: j.g.reader, topic: j.task.Topic, from: j.g.letters}
	}
	return out, err
}

// saved says whether the last record of a partition's lane got through.
func (j *Job) saved(p *partition) error {
	l := p.lanes[j.stream.index]
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dirty || l.recorded < l.cursor() {
		return fmt.Errorf("everything was sent, but that is not on record: Kafka did not take the progress of partition %d", p.number)
	}
	return nil
}

// open finds out where the job stands in one of its ranges.
func (j *Job) open(ctx context.Context, r Range) error {
	g := j.g
	logStart, logEnd, err := g.bounds(ctx, r.Partition)
	if err != nil {
		return err
	}
	if logEnd < r.To {
		return fmt.Errorf("%s[%d] ends at %d, the job was to read up to %d: Kafka has lost records that it had acknowledged; make another job of what is there",
			j.task.Topic, r.Partition, logEnd, r.To)
	}
	records, err := j.records(ctx, r.Partition)
	if err != nil {
		return err
	}
	start := laneStart{stream: j.stream, from: r.From}
	start.record, start.obsolete = records.of(j.stream.spec, g.cfg.IDs.Events)
	if start.record != nil {
		start.from = min(max(r.From, start.record.Cursor), r.To)
	}
	numbers, whole, err := j.numbers(ctx, r, start.from, logStart)
	if err != nil {
		return err
	}
	p := g.newPartition(r.Partition, g.router, reached{})
	p.position.Store(r.To)
	p.end.Store(r.To)
	p.obsolete = start.obsolete
	p.from[j.stream.index] = start.from
	p.originals = numbers
	p.place(start, min(logStart, r.To), r.To)
	if !whole {
		p.lanes[j.stream.index].forgets()
	}
	g.mu.Lock()
	g.partitions[r.Partition] = p
	g.mu.Unlock()
	j.mu.Lock()
	j.parts = append(j.parts, p)
	j.mu.Unlock()
	return nil
}

// opened are the partitions of the ranges. Nobody but Run adds any.
func (j *Job) opened() []*partition {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.parts
}

// records are the job's records of progress in a partition.
func (j *Job) records(ctx context.Context, number int32) (table, error) {
	own, bad := table{}, map[string]error{} // by key: only the last record of a key counts
	_, err := j.g.reader.ReadToEnd(ctx, j.g.cfg.Topics.Progress, number, func(r *kgo.Record) {
		if strings.HasPrefix(string(r.Key), j.task.UID+"/") {
			bad[string(r.Key)] = own.add(r)
		}
	})
	if err != nil {
		return nil, err
	}
	for _, err := range bad {
		if err != nil {
			return nil, err
		}
	}
	return own, nil
}

// read feeds the lanes until all have settled their ranges, or ctx ends.
func (j *Job) read(ctx context.Context) {
	turn := 0
	for ctx.Err() == nil {
		swept := j.g.sweepOne(ctx, &turn)
		if j.settled() {
			return
		}
		if swept {
			continue
		}
		select {
		case <-ctx.Done():
		case <-j.g.catchUpWake:
		}
	}
}

// settled says whether everything was offered and nothing is left of it. What lingers for
// more to come is sent: no more comes.
func (j *Job) settled() bool {
	done := true
	for _, p := range j.opened() {
		l := p.lanes[j.stream.index]
		l.mu.Lock()
		offered, empty := l.live, l.head() == nil
		l.mu.Unlock()
		if offered && !empty {
			l.flush()
		}
		done = done && offered && empty
	}
	return done
}

// wake is called when the pace lets the next event come.
func (j *Job) wake() {
	for _, p := range j.opened() {
		p.roomMade()
	}
}

// JobStanding is how far a job is.
type JobStanding struct {
	Tally
	Passed, Total int64 // offsets of the ranges: those below the cursors, and all
	Held          []JobHold
}

// JobHold is a partition whose destination does not take what it gets.
type JobHold struct {
	Partition int32
	State     string // StateError, StateInvalid
	Error     string
	Again     time.Time // of the next attempt
}

// Standing says how far the job is, whatever process has brought it there. It is complete
// once Run has opened the ranges.
func (j *Job) Standing() JobStanding {
	var s JobStanding
	for _, r := range j.task.Ranges {
		s.Total += r.To - r.From
	}
	for i, p := range j.opened() {
		r, l := j.task.Ranges[i], p.lanes[j.stream.index]
		l.mu.Lock()
		s.Passed += min(l.cursor(), r.To) - r.From
		s.Delivered += l.counts.delivered
		s.Refused += l.counts.deadLettered
		s.Retried += l.counts.retried
		s.Expired += l.counts.expired
		if h := l.health; h.state == StateError || h.state == StateInvalid {
			s.Held = append(s.Held, JobHold{r.Partition, h.state, h.err, h.again})
		}
		l.mu.Unlock()
	}
	return s
}
