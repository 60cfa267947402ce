package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/consumer/deadletter"
	"github.com/auditstream/auditstream/internal/kafka"
)

// What one job may take up beside live delivery: it runs in the process of a command, for
// which nobody has planned much memory, and its requests come on top of those of delivery.
const (
	jobMemory   = 32 << 20
	jobInFlight = 4
)

// Jobs makes replays and redrives, and runs them.
type Jobs struct {
	o       *Operator
	cfg     *config.Config
	version string
	by      string
	tracer  trace.Tracer // nil: no traces
	log     *zap.Logger
	jobs    *consumer.Jobs
	letters *deadletter.Topic
}

// Jobs connects what replays and redrives need. The topics of newer versions are made where
// they are missing; by stays on record with what is made and marked.
func (o *Operator) Jobs(ctx context.Context, cfg *config.Config, version, by string, log *zap.Logger) (*Jobs, error) {
	if err := kafka.EnsureTopics(ctx, kadm.NewClient(o.client), cfg.Topics.Kafka(), log); err != nil {
		return nil, err
	}
	jobs, err := consumer.ConnectJobs(o.opts, o.topics.Jobs(), o.topics.Progress())
	if err != nil {
		return nil, err
	}
	letters, err := deadletter.Connect(deadletter.Config{Kafka: o.opts, Topic: o.topics.DeadLetters(), By: by})
	if err != nil {
		jobs.Close()
		return nil, err
	}
	return &Jobs{o: o, cfg: cfg, version: version, by: by, log: log, jobs: jobs, letters: letters}, nil
}

// Close disconnects.
func (j *Jobs) Close() {
	j.letters.Close()
	j.jobs.Close()
}

// List lists all jobs, the newest first. The error is about records that cannot be read.
func (j *Jobs) List(ctx context.Context) ([]consumer.Task, error) { return j.jobs.List(ctx) }

// Find reads one job.
func (j *Jobs) Find(ctx context.Context, uid string) (consumer.Task, error) {
	return j.jobs.Find(ctx, uid)
}

// Forget deletes a job.
func (j *Jobs) Forget(ctx context.Context, t consumer.Task) error { return j.jobs.Forget(ctx, t) }

// JobError says that a job cannot be made, or changed, as things stand.
type JobError struct{ Why string }

func (e *JobError) Error() string { return e.Why }

// newTask begins a task of a stream.
func newTask(job string, s consumer.Spec, by string) consumer.Task {
	return consumer.Task{
		UID: "job_" + rand.Text(), Job: job, Stream: s.ID, StreamUID: s.UID, Epoch: 1, Place: placeOf(s.Kind, s),
		By: by, Made: time.Now().UTC(),
	}
}

// Count says of each range how many events the task would send.
func (j *Jobs) Count(ctx context.Context, t consumer.Task, told func(offsets int64)) ([]int64, error) {
	spec, _, err := j.stream(ctx, t)
	if err != nil {
		return nil, err
	}
	job, err := j.open(ctx, t, spec, nil)
	if err != nil {
		return nil, err
	}
	defer job.Close()
	return job.Count(ctx, told)
}

// Make puts a task on record. Jobs that ended long ago are forgotten on this occasion.
func (j *Jobs) Make(ctx context.Context, t consumer.Task) error {
	if err := j.jobs.Tidy(ctx, time.Now()); err != nil {
		j.log.Warn("jobs that ended long ago are not forgotten yet", zap.Error(err))
	}
	return j.jobs.Put(ctx, t)
}

// stream is the task's stream as it is now, and all streams.
func (j *Jobs) stream(ctx context.Context, t consumer.Task) (consumer.Spec, consumer.Specs, error) {
	specs, err := readSpecs(ctx, j.o.reader, j.o.topics, j.o.keys)
	if err != nil {
		return consumer.Spec{}, specs, err
	}
	s, err := specOf(specs, t)
	return s, specs, err
}

// specOf finds the task's stream by its identity: one made again under the same id would get
// what was never meant for it.
func specOf(specs consumer.Specs, t consumer.Task) (consumer.Spec, error) {
	for _, s := range specs.Streams {
		if s.UID == t.StreamUID && s.State != consumer.SpecDeleted {
			return s, nil
		}
	}
	return consumer.Spec{}, fmt.Errorf("job %s: stream %q is deleted, or was made anew and is another one: forget the job and make a new one", t.UID, t.Stream)
}

// gone says whether a job's stream is deleted.
func gone(specs consumer.Specs, t consumer.Task) bool {
	_, err := specOf(specs, t)
	return err != nil
}

// changed says whether a job has to begin anew with what the streams topic says now.
func changed(specs consumer.Specs, t consumer.Task, s consumer.Spec) bool {
	now, err := specOf(specs, t)
	return err != nil || now.Revision != s.Revision || now.Epoch != s.Epoch
}

func (j *Jobs) open(ctx context.Context, t consumer.Task, s consumer.Spec, v *voucher) (*consumer.Job, error) {
	kind, ok := kindNamed(s.Kind)
	if !ok {
		return nil, fmt.Errorf("stream %q is of kind %q: written by a newer version of auditstream", s.ID, s.Kind)
	}
	delivery := j.cfg.Delivery
	budget := consumer.NewBudget(min(int64(delivery.Memory), jobMemory), 1)
	metrics, err := consumer.NewMetrics(prometheus.NewRegistry(), consumer.MetricsConfig{Budget: budget}) // nobody scrapes a command
	if err != nil {
		return nil, err
	}
	actions, err := newKnownActions()
	if err != nil {
		return nil, err
	}
	if err := actions.read(ctx, j.o.client, j.o.topics.Schemas()); err != nil {
		return nil, fmt.Errorf("read %s: %w", j.o.topics.Schemas(), err)
	}
	cfg := consumer.JobConfig{Task: t, Spec: s, Config: streamConfig(j.cfg, j.version, j.o.keys, actions.Action, newGuard(j.cfg))}
	cfg.Kafka, cfg.IDs, cfg.Kind = j.o.opts, j.o.ids, kind
	cfg.Topics = consumer.Topics{Progress: j.o.topics.Progress(), DeadLetters: j.o.topics.DeadLetters()}
	cfg.Budget, cfg.InFlight = budget, consumer.NewSlots(consumer.SlotsConfig{Max: min(delivery.InFlight, jobInFlight), MaxSlow: jobInFlight, CatchUp: 1})
	cfg.Metrics, cfg.Tracer, cfg.Log = metrics, j.tracer, j.log
	cfg.Checkpoints = v.checkpoints(j.o.topics)
	if t.Job == consumer.TaskRedrive {
		selection := deadletter.Selection{UID: t.StreamUID, Class: t.Class, Organization: t.OrganizationID, IDs: t.Letters, Reason: t.UID}
		if t.Since != nil {
			selection.Since = *t.Since
		}
		selection.Until = map[int32]int64{}
		for _, r := range t.Ranges {
			selection.Until[r.Partition] = r.To
		}
		letters := j.letters
		if j.by == "" {
			letters = letters.As(t.By) // nobody else is there whose marks they are
		}
		cfg.Letters = letters.Redrive(selection)
	}
	return consumer.OpenJob(cfg)
}

// Run sends what is left of a task until nothing is, or ctx ends. It follows the stream: a
// change takes effect between two batches, a stream that is paused or deleted ends the run.
// running is told of each job that carries the task on. The task is returned as it is on
// record then; Ended says whether it is done.
func (j *Jobs) Run(ctx context.Context, t consumer.Task, running func(*consumer.Job)) (consumer.Task, consumer.JobStanding, error) {
	v, done := j.voucher(ctx)
	defer done()
	for {
		spec, specs, err := j.stream(ctx, t)
		if err != nil {
			return t, consumer.JobStanding{}, err
		}
		if err := j.checkTopic(ctx, t); err != nil {
			return t, consumer.JobStanding{}, err
		}
		if place := placeOf(spec.Kind, spec); place != t.Place {
			if now, err := j.jobs.Find(ctx, t.UID); err == nil {
				t.Stopped = now.Stopped // somebody may have stopped it meanwhile
			}
			t.Place, t.Epoch = place, t.Epoch+1 // the destination cannot tell there what it has
			if err := j.jobs.Put(ctx, t); err != nil {
				return t, consumer.JobStanding{}, err
			}
		}
		if err := j.know(ctx, &t, spec, specs); err != nil {
			return t, consumer.JobStanding{}, err
		}
		job, err := j.open(ctx, t, spec, v)
		if err != nil {
			return t, consumer.JobStanding{}, err
		}
		running(job)
		sent, again, err := j.run(ctx, job, t, spec, specs)
		standing := job.Standing()
		if err == nil && sent {
			now := time.Now().UTC()
			// The work is done: what says so is written even if ctx has ended meanwhile.
			end, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
			err = j.jobs.End(end, t, standing.Tally, now)
			cancel()
			if err == nil {
				t.Ended, t.Result = &now, &standing.Tally
			}
		}
		if err != nil || sent || !again {
			return t, standing, err
		}
		j.log.Info("the job goes on with what the stream is now", zap.String("stream", t.Stream))
	}
}

// voucher is what the job's feeds get their checkpoints from, until done is called. Where the
// key cannot be read here there are none: what the stream was to get matters more, and the
// stream's own feed has its checkpoints.
func (j *Jobs) voucher(ctx context.Context) (v *voucher, done func()) {
	v, err := newVoucher(ctx, j.cfg, j.version, newGuard(j.cfg), j.log)
	if err != nil {
		j.log.Warn("what the job sends gets no checkpoints: nobody can verify it by them", zap.Error(err))
	}
	if v == nil {
		return nil, func() {}
	}
	v.look(ctx, j.o.opts, j.o.topics)
	ctx, stop := context.WithCancel(ctx)
	var keeping sync.WaitGroup
	keeping.Go(func() { v.keep(ctx, j.o.opts, j.o.topics) })
	return v, func() {
		stop()
		keeping.Wait()
		if err := v.close(); err != nil {
			j.log.Warn("the archive's connections are not closed", zap.Error(err))
		}
	}
}

// endTimeout bounds the writing of a job's end.
const endTimeout = 30 * time.Second

// run runs a job until it is done, ctx ends or its stream changes; then it is to be run
// again.
func (j *Jobs) run(ctx context.Context, job *consumer.Job, t consumer.Task, spec consumer.Spec, specs consumer.Specs) (done, again bool, err error) {
	running, stop := context.WithCancelCause(ctx)
	followed := make(chan struct{})
	go func() {
		defer close(followed)
		again := time.Now().Add(topicsEvery)
		for running.Err() == nil {
			if now := time.Now(); now.After(again) && j.progressRemade(running) {
				stop(consumer.ErrStreamChanged)
				return
			} else if now.After(again) {
				again = now.Add(topicsEvery)
			}
			next, err := j.news(running, specs)
			switch {
			case err != nil:
				select { // Kafka is away, or the record that of a newer version: what is in force stays so
				case <-time.After(followPause):
				case <-running.Done():
				}
			case gone(next, t):
				stop(consumer.ErrStreamGone)
			case changed(next, t, spec):
				stop(consumer.ErrStreamChanged)
			default:
				specs = next
			}
		}
	}()
	done, err = job.Run(running)
	cause := context.Cause(running)
	again = (errors.Is(cause, consumer.ErrStreamChanged) || errors.Is(cause, consumer.ErrStreamGone)) && ctx.Err() == nil
	stop(nil)
	<-followed
	return done, again, err
}

// progressRemade says whether the progress topic was made anew: clients hold fast to the one
// that they know, and the job would wait for it for ever. It is begun again and repeats what
// it had on record there.
func (j *Jobs) progressRemade(ctx context.Context) bool {
	id, err := j.topicID(ctx, j.o.topics.Progress())
	if err != nil || id == j.o.ids.Progress {
		return false
	}
	j.log.Warn("the progress topic was made anew: the job begins again, and repeats what it had on record there")
	j.o.ids.Progress = id
	return true
}

// news waits a moment for something new in the streams topic, and returns the streams as
// they are then.
func (j *Jobs) news(ctx context.Context, known consumer.Specs) (consumer.Specs, error) {
	span, err := j.o.reader.Read(ctx, j.o.topics.Streams(), 0, known.Offset, 1)
	if err == nil && span.Next == known.Offset {
		return known, nil
	}
	if err != nil && !errors.Is(err, kerr.OffsetOutOfRange) {
		return known, err
	}
	return readSpecs(ctx, j.o.reader, j.o.topics, j.o.keys)
}

// checkTopic refuses to go on with offsets of a topic that was made anew since.
func (j *Jobs) checkTopic(ctx context.Context, t consumer.Task) error {
	ids, err := kafka.TopicIDs(ctx, kadm.NewClient(j.o.client), t.Topic)
	if err != nil {
		return err
	}
	if ids[t.Topic] != t.TopicID {
		return fmt.Errorf("topic %s was made anew since job %s was made: its offsets mean nothing any more; forget the job", t.Topic, t.UID)
	}
	return nil
}

// Unfinished lists the jobs of one sort that have something left for a stream.
func (j *Jobs) Unfinished(ctx context.Context, job, streamUID string) ([]string, error) {
	tasks, err := j.jobs.List(ctx)
	var out []string
	for _, t := range tasks {
		if t.Job == job && t.StreamUID == streamUID && t.Ended == nil {
			out = append(out, t.UID)
		}
	}
	return out, err
}

// listed looks offsets of a topic up and drops what every partition reports as an error.
func listed(l kadm.ListedOffsets, topic string, err error) (map[int32]kadm.ListedOffset, error) {
	if err = errors.Join(err, l.Error()); err != nil {
		return nil, err
	}
	if len(l[topic]) == 0 {
		return nil, kerr.UnknownTopicOrPartition
	}
	return l[topic], nil
}

// sortRanges puts ranges in the order of their partitions.
func sortRanges(ranges []consumer.Range) {
	slices.SortFunc(ranges, func(a, b consumer.Range) int { return int(a.Partition) - int(b.Partition) })
}
