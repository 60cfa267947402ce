package app

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/auditstream/auditstream/consumer"
)

const (
	// runnerGroup names the consumer group in which processes choose who runs jobs.
	runnerGroup = "admin-jobs"
	// runnerEvery is how often the jobs topic is looked at while nothing new is in it.
	runnerEvery = time.Second
	// maxRunning bounds the jobs that run at once; see jobMemory.
	maxRunning = 4
	// failedPause is the wait before a job is tried again that could not go on: its stream is
	// paused, or Kafka was away.
	failedPause = 15 * time.Second
)

// jobRunner runs the jobs that were started through the API. All processes that serve it are
// members of one consumer group on the jobs topic, which has one partition: who has it runs
// the jobs. So there is one runner as far as Kafka knows; one that Kafka has given up, and
// does not know it yet, causes repeats, like every stale owner.
type jobRunner struct {
	metrics *jobMetrics // nil: nobody counts

	mu      sync.Mutex
	running map[string]*jobRun // by uid; guarded by mu
}

// jobRun is a job under way, or one that waits to be tried again.
type jobRun struct {
	sort string // of the task
	stop context.CancelFunc
	done chan struct{}

	// Guarded by the runner's mu.
	job     *consumer.Job // nil: it does not run
	problem string
	again   time.Time // not before then
}

// jobHere is what is known of a job in this process.
type jobHere struct {
	job     *consumer.Job
	problem string
}

// of is what is known of a job here; nil: nothing.
func (r *jobRunner) of(uid string) *jobHere {
	r.mu.Lock()
	defer r.mu.Unlock()
	if run := r.running[uid]; run != nil {
		return &jobHere{run.job, run.problem}
	}
	return nil
}

// here runs one job, which is known here as long.
func (r *jobRunner) here(ctx context.Context, uid string, do func(context.Context, *jobRun) error) error {
	running, stop := context.WithCancel(ctx)
	defer stop()
	run := &jobRun{stop: stop, done: make(chan struct{})}
	r.mu.Lock()
	if r.running == nil {
		r.running = map[string]*jobRun{}
	}
	r.running[uid] = run
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		close(run.done)
		delete(r.running, uid)
	}()
	return do(running, run)
}

// RunJobs runs jobs whenever this process is the one to do so, until ctx ends.
func (c *Control) RunJobs(ctx context.Context) error {
	if _, err := c.jobs(ctx); err != nil { // makes the topic
		return err
	}
	e := election{
		opts: c.operator.opts, group: groupID(c.operator.topics.Prefix, runnerGroup), topic: c.operator.topics.Jobs(),
	}
	return e.run(ctx, func(ctx context.Context, seat *seat) {
		c.runner.metrics.elect(true)
		defer c.runner.metrics.elect(false)
		defer c.runner.stopAll()
		tick := time.NewTicker(runnerEvery)
		defer tick.Stop()
		for ctx.Err() == nil {
			c.lookAtJobs(ctx)
			select {
			case <-seat.news: // what is new is only that there is something
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	})
}

// stopAll stops all jobs and returns when they have ended.
func (r *jobRunner) stopAll() {
	r.mu.Lock()
	runs := make([]*jobRun, 0, len(r.running))
	for _, run := range r.running {
		run.stop()
		runs = append(runs, run)
	}
	r.mu.Unlock()
	for _, run := range runs {
		<-run.done
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.running)
	r.metrics.show(nil)
}

// states are those of the jobs that are here. The caller holds mu.
func (r *jobRunner) states() []jobState {
	var now []jobState
	for _, run := range r.running {
		state := jobRunning
		switch {
		case run.job == nil && run.problem != "":
			state = jobWaiting
		case run.job != nil && len(run.job.Standing().Held) > 0:
			state = jobHeld
		}
		now = append(now, jobState{run.sort, state})
	}
	return now
}

// lookAtJobs begins what is to run and stops what is not.
func (c *Control) lookAtJobs(ctx context.Context) {
	jobs, err := c.jobs(ctx)
	if err != nil {
		return // it is closed
	}
	tasks, err := jobs.List(ctx)
	if err != nil {
		if ctx.Err() == nil {
			c.log.Warn("jobs cannot be looked at", zap.Error(err))
		}
		return
	}
	wanted := map[string]consumer.Task{}
	for _, t := range tasks {
		if t.Runner == consumer.RunnerServer && t.Ended == nil && t.Stopped == nil {
			wanted[t.UID] = t
		}
	}
	r := &c.runner
	r.mu.Lock()
	defer r.mu.Unlock()
	active := 0
	for uid, run := range r.running {
		_, wants := wanted[uid]
		if !wants {
			run.stop()
		}
		select {
		case <-run.done:
			if !wants || time.Now().After(run.again) {
				delete(r.running, uid)
			}
		default:
			active++
		}
	}
	for i := len(tasks) - 1; i >= 0 && active < maxRunning; i-- { // the oldest first
		t := tasks[i]
		if _, wants := wanted[t.UID]; wants && r.running[t.UID] == nil {
			c.begin(ctx, t)
			active++
		}
	}
	r.metrics.show(r.states())
}

// begin starts a job. The runner's mu is held.
func (c *Control) begin(ctx context.Context, t consumer.Task) {
	if c.runner.running == nil {
		c.runner.running = map[string]*jobRun{}
	}
	running, stop := context.WithCancel(ctx)
	run := &jobRun{sort: t.Job, stop: stop, done: make(chan struct{})}
	c.runner.running[t.UID] = run
	go func() {
		defer close(run.done)
		defer stop()
		err := c.runJob(running, t, run)
		c.runner.mu.Lock()
		defer c.runner.mu.Unlock()
		run.job = nil
		switch {
		case err == nil && running.Err() == nil:
			c.runner.metrics.end(t.Job, runDone)
		case running.Err() != nil:
			c.runner.metrics.end(t.Job, runStopped)
		default:
			c.runner.metrics.end(t.Job, runFailed)
			run.problem, run.again = err.Error(), time.Now().Add(failedPause)
			c.log.Warn("a job does not go on", zap.String("job", t.UID), zap.String("stream", t.Stream), zap.Error(err), zap.Duration("next_try_in", failedPause))
		}
	}()
}

// runJob carries a job on, with connections of its own: it notes which topics it knows.
func (c *Control) runJob(ctx context.Context, t consumer.Task, run *jobRun) error {
	o, err := operate(ctx, c.operator.opts, c.config, c.operator.keys, c.log)
	if err != nil {
		return err
	}
	defer o.Close()
	jobs, err := o.Jobs(ctx, c.config, c.version, "", c.log.Named("jobs"))
	if err != nil {
		return err
	}
	defer jobs.Close()
	jobs.tracer = c.tracer
	c.log.Info("job begins", zap.String("job", t.UID), zap.String("what", t.Job), zap.String("stream", t.Stream), zap.String("by", t.By))
	ended, standing, err := jobs.Run(ctx, t, func(j *consumer.Job) {
		c.runner.mu.Lock()
		defer c.runner.mu.Unlock()
		run.job, run.problem = j, ""
	})
	switch {
	case err != nil:
		return err
	case ended.Ended != nil:
		c.log.Info("job is done", zap.String("job", t.UID), zap.Int64("delivered", standing.Delivered), zap.Int64("refused", standing.Refused), zap.Int64("expired", standing.Expired))
		return nil
	case ctx.Err() == nil:
		return errors.New("it has ended with something left")
	}
	return nil
}
