package app

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/consumer"
)

// desk is a control plane that runs jobs, until the test ends or end is called.
type desk struct {
	*Control
	end func()
}

func (s *site) desk(cfg *config.Config) *desk {
	s.t.Helper()
	d := &desk{Control: s.control(cfg)}
	ctx, stop := context.WithCancel(s.t.Context())
	done := make(chan error, 1)
	go func() { done <- d.RunJobs(ctx) }()
	d.end = sync.OnceFunc(func() {
		stop()
		if err := <-done; err != nil {
			s.t.Error(err)
		}
	})
	s.t.Cleanup(d.end)
	return d
}

// job waits until a job is in a state.
func (s *site) job(c *Control, uid, state string) *admin.Job {
	s.t.Helper()
	var last *admin.Job
	eventually(s.t, "job "+uid+" is "+state, func() bool {
		j, err := c.Job(s.t.Context(), uid)
		if err != nil {
			s.t.Fatal(err)
		}
		last = j
		return j.State == state
	})
	return last
}

func TestAReplayThatTheAPIStartsIsStoppedAndGoneOnWith(t *testing.T) {
	s := newSite(t)
	s.there()
	cfg := s.config(oneStream)
	s.applied(cfg)
	first, second := s.desk(cfg), s.desk(cfg)
	plan, err := first.PlanReplay(t.Context(), admin.Replay{Stream: "everything"})
	if err != nil || plan.Matched != 30 || len(plan.Ranges) == 0 {
		t.Fatalf("%+v, %v", plan, err)
	}
	takesAll := s.busy(31)
	j, err := first.StartReplay(t.Context(), admin.Replay{Stream: "everything", Rate: 5}, admin.Change{By: "ada"})
	if err != nil || j.By != "ada" || j.Matched != 30 || j.Runner != consumer.RunnerServer {
		t.Fatalf("%+v, %v", j, err)
	}
	eventually(t, "the first event comes again", func() bool { return s.splunk.Len() > 30 })
	if _, err := second.StopJob(t.Context(), j.UID, admin.Change{By: "bob", Reason: "too early"}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "nobody runs it", func() bool { return first.runner.of(j.UID) == nil && second.runner.of(j.UID) == nil })
	if j = s.job(first.Control, j.UID, admin.JobStopped); j.Stopped.By != "bob" || j.Left == 0 || j.Done.Delivered == 0 {
		t.Errorf("%+v", j)
	}
	had := s.splunk.Len()
	if list, err := second.Jobs(t.Context()); err != nil || len(list) != 1 || list[0].State != admin.JobStopped {
		t.Errorf("%+v, %v", list, err)
	}
	// Both processes go, and another one comes: what is resumed then goes on.
	first.end()
	second.end()
	takesAll()
	third := s.desk(cfg)
	if _, err := third.ResumeJob(t.Context(), j.UID, admin.Change{By: "ada"}); err != nil {
		t.Fatal(err)
	}
	j = s.job(third.Control, j.UID, admin.JobDone)
	if j.Result == nil || j.Result.Delivered != 30 || j.Done.Delivered != 30 || j.Left != 0 || s.splunk.Len() < 60 || had >= 60 {
		t.Errorf("%+v; Splunk has %d, had %d", j, s.splunk.Len(), had)
	}
	if _, err := third.StopJob(t.Context(), j.UID, admin.Change{}); !errors.Is(err, admin.CodeConflict.Err()) {
		t.Errorf("a job that has ended is stopped: %v", err)
	}
	if err := third.ForgetJob(t.Context(), j.UID, admin.Change{By: "ada"}); err != nil {
		t.Fatal(err)
	}
	if _, err := third.Job(t.Context(), j.UID); !errors.Is(err, admin.CodeNotFound.Err()) {
		t.Errorf("a job that is forgotten: %v", err)
	}
}

func TestOfTwoProcessesOneRunsAJob(t *testing.T) {
	s := newSite(t)
	s.there()
	cfg := s.config(oneStream)
	s.applied(cfg)
	first, second := s.desk(cfg), s.desk(cfg)
	takesAll := s.busy(0)
	j, err := first.StartReplay(t.Context(), admin.Replay{Stream: "everything", Rate: 100}, admin.Change{By: "ada"})
	if err != nil {
		t.Fatal(err)
	}
	s.job(second.Control, j.UID, admin.JobRunning)
	here, there := first.runner.of(j.UID), second.runner.of(j.UID)
	if here != nil && there != nil {
		t.Error("both run it")
	}
	// Whoever runs it goes; the other one takes over.
	if here != nil {
		first.end()
	} else {
		second.end()
	}
	left := second
	if here == nil {
		left = first
	}
	takesAll()
	if j = s.job(left.Control, j.UID, admin.JobDone); j.Result.Delivered != 30 {
		t.Errorf("%+v", j)
	}
}

func TestWhatNoJobIsMadeOf(t *testing.T) {
	s := newSite(t)
	s.there()
	cfg := s.config(oneStream)
	s.applied(cfg)
	c := s.control(cfg)
	early, late := time.Now().Add(-time.Hour), time.Now()
	for name, r := range map[string]admin.Replay{
		"times and offsets":  {From: &early, Offsets: []consumer.Range{{From: 0, To: 1}}},
		"to before from":     {From: &late, To: &early},
		"an empty range":     {Offsets: []consumer.Range{{From: 1, To: 1}}},
		"a range twice":      {Offsets: []consumer.Range{{From: 0, To: 1}, {From: 1, To: 2}}},
		"no such partition":  {Offsets: []consumer.Range{{Partition: 99, From: 0, To: 1}}},
		"what is to come":    {Offsets: []consumer.Range{{Partition: 0, From: 0, To: 1 << 40}}},
		"less than no event": {Rate: -1},
	} {
		r.Stream = "everything"
		if _, err := c.PlanReplay(t.Context(), r); !errors.Is(err, admin.CodeInvalid.Err()) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := c.PlanReplay(t.Context(), admin.Replay{Stream: "nothing"}); !errors.Is(err, admin.CodeNotFound.Err()) {
		t.Errorf("no stream: %v", err)
	}
	if _, err := c.StartRedrive(t.Context(), admin.Redrive{Stream: "everything"}, admin.Change{}); !errors.Is(err, admin.CodeNothing.Err()) {
		t.Errorf("nothing to redrive: %v", err)
	}
	if _, err := c.PlanRedrive(t.Context(), admin.Redrive{}); !errors.Is(err, admin.CodeInvalid.Err()) {
		t.Errorf("which letters: %v", err)
	}
	if _, err := c.PauseStream(t.Context(), "everything", admin.Change{By: "ada"}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.StartReplay(t.Context(), admin.Replay{Stream: "everything"}, admin.Change{}); !errors.Is(err, admin.CodeConflict.Err()) {
		t.Errorf("a stream that is paused: %v", err)
	}
}
