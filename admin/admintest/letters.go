package admintest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/consumer/deadletter"
)

// AddLetter adds a dead letter as it is.
func (s *Service) AddLetter(l admin.DeadLetter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.letters = append(s.letters, l)
}

// AddJob adds a job as it is.
func (s *Service) AddJob(j admin.Job) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.jobs = append(s.jobs, j)
}

// DeadLetters implements [admin.DeadLetterService].
func (s *Service) DeadLetters(_ context.Context, q deadletter.Query) (*deadletter.Listing, error) {
	end, err := s.begin()
	if err != nil {
		return nil, err
	}
	defer end()
	out := &deadletter.Listing{}
	for _, l := range slices.Backward(s.letters) {
		if !matches(l, q) {
			continue
		}
		if len(out.Letters) == q.Limit {
			out.More++
			continue
		}
		listed := l.Listed
		listed.Violations, listed.Headers, listed.Value, listed.Key = nil, nil, nil, nil
		out.Letters = append(out.Letters, listed)
	}
	return out, nil
}

func matches(l admin.DeadLetter, q deadletter.Query) bool {
	of := func(st deadletter.Stream) bool { return st.ID == q.Stream || st.UID == q.Stream }
	return (q.Stream == "" || slices.ContainsFunc(l.Streams, of)) &&
		(q.Class == "" || l.Class == q.Class) &&
		(q.Organization == "" || l.OrganizationID == q.Organization) &&
		(q.State == "" || l.State == q.State) &&
		!l.Time.Before(q.Since)
}

// DeadLetter implements [admin.DeadLetterService].
func (s *Service) DeadLetter(_ context.Context, at deadletter.Position) (*admin.DeadLetter, error) {
	end, err := s.begin()
	if err != nil {
		return nil, err
	}
	defer end()
	i := s.letterAt(at)
	if i < 0 {
		return nil, admin.CodeNotFound.Errorf("there is no letter at %s", at)
	}
	out := s.letters[i]
	return &out, nil
}

func (s *Service) letterAt(at deadletter.Position) int {
	return slices.IndexFunc(s.letters, func(l admin.DeadLetter) bool { return l.Position == at })
}

// DiscardDeadLetters implements [admin.DeadLetterService].
func (s *Service) DiscardDeadLetters(_ context.Context, at []deadletter.Position, c admin.Change) (*admin.Discarded, error) {
	end, err := s.begin()
	if err != nil {
		return nil, err
	}
	defer end()
	for _, p := range at {
		switch i := s.letterAt(p); {
		case i < 0:
			return nil, admin.CodeNotFound.Errorf("there is no letter at %s", p)
		case s.letters[i].State == deadletter.Redriven:
			return nil, admin.CodeConflict.Errorf("the letter at %s was redriven", p)
		}
	}
	out := &admin.Discarded{}
	for _, p := range at {
		l := &s.letters[s.letterAt(p)]
		if l.State == deadletter.Discarded {
			out.Before = append(out.Before, p)
			continue
		}
		l.State = deadletter.Discarded
		l.Mark = &deadletter.Mark{Letter: l.ID, State: deadletter.Discarded, Reason: c.Reason, By: c.By, At: time.Now()}
		l.Marks = append(l.Marks, *l.Mark)
		out.Discarded = append(out.Discarded, p)
		s.deeds = append(s.deeds, deed("letter "+p.String(), "discarded", c))
	}
	return out, nil
}

// PlanReplay implements [admin.JobService].
func (s *Service) PlanReplay(_ context.Context, r admin.Replay) (*admin.JobPlan, error) {
	end, err := s.begin()
	if err != nil {
		return nil, err
	}
	defer end()
	st, err := s.named(r.Stream)
	if err != nil {
		return nil, err
	}
	if r.From != nil && r.To != nil && !r.From.Before(*r.To) {
		return nil, admin.CodeInvalid.Errorf("from must lie before to")
	}
	plan := &admin.JobPlan{Stream: st.ID}
	for _, l := range st.Lanes {
		n := l.Cursor - l.Start
		plan.Matched += n
		plan.Ranges = append(plan.Ranges, admin.JobRange{Range: consumer.Range{Partition: l.Partition, From: l.Start, To: l.Cursor}, Matched: n})
	}
	return plan, nil
}

// PlanRedrive implements [admin.JobService].
func (s *Service) PlanRedrive(_ context.Context, r admin.Redrive) (*admin.JobPlan, error) {
	end, err := s.begin()
	if err != nil {
		return nil, err
	}
	defer end()
	st, err := s.named(r.Stream)
	if err != nil {
		return nil, err
	}
	return &admin.JobPlan{Stream: st.ID, Matched: int64(len(s.redriven(r)))}, nil
}

// redriven are the letters that a redrive is about. The caller holds mu.
func (s *Service) redriven(r admin.Redrive) []int {
	q := deadletter.Query{Stream: r.Stream, Class: r.Class, Organization: r.OrganizationID, State: deadletter.Open}
	if r.Since != nil {
		q.Since = *r.Since
	}
	var list []int
	for i, l := range s.letters {
		if matches(l, q) && (len(r.Letters) == 0 || slices.Contains(r.Letters, l.Position)) {
			list = append(list, i)
		}
	}
	return list
}

// StartReplay implements [admin.JobService].
func (s *Service) StartReplay(ctx context.Context, r admin.Replay, c admin.Change) (*admin.Job, error) {
	plan, err := s.PlanReplay(ctx, r)
	if err != nil {
		return nil, err
	}
	task := consumer.Task{Job: consumer.TaskReplay, Stream: r.Stream, Actions: r.Actions, Rate: r.Rate, OrganizationID: r.OrganizationID, Matched: plan.Matched}
	for _, p := range plan.Ranges {
		task.Ranges = append(task.Ranges, p.Range)
	}
	return s.start(task, "replayed", c), nil
}

// StartRedrive implements [admin.JobService].
func (s *Service) StartRedrive(_ context.Context, r admin.Redrive, c admin.Change) (*admin.Job, error) {
	end, err := s.begin()
	if err != nil {
		return nil, err
	}
	if _, err := s.named(r.Stream); err != nil {
		end()
		return nil, err
	}
	list := s.redriven(r)
	if len(list) == 0 {
		end()
		return nil, admin.CodeNothing.Errorf("no open letter of stream %s is meant", r.Stream)
	}
	for _, i := range list {
		l := &s.letters[i]
		l.State = deadletter.Redriven
		l.Mark = &deadletter.Mark{Letter: l.ID, State: deadletter.Redriven, Reason: c.Reason, By: c.By, At: time.Now()}
		l.Marks = append(l.Marks, *l.Mark)
	}
	end()
	return s.start(consumer.Task{Job: consumer.TaskRedrive, Stream: r.Stream, Class: r.Class, Rate: r.Rate, Matched: int64(len(list))}, "redriven", c), nil
}

func (s *Service) start(t consumer.Task, what string, c admin.Change) *admin.Job {
	s.mu.Lock()
	defer s.mu.Unlock()
	t.UID, t.By, t.Made = fmt.Sprintf("job_%05d", len(s.jobs)+1), c.By, time.Now()
	j := admin.Job{Task: t, State: "running", Left: t.Matched}
	s.jobs = append(s.jobs, j)
	s.deeds = append(s.deeds, deed(t.Stream, what, c))
	return &j
}

// Jobs implements [admin.JobService].
func (s *Service) Jobs(context.Context) ([]admin.Job, error) {
	end, err := s.begin()
	if err != nil {
		return nil, err
	}
	defer end()
	list := slices.Clone(s.jobs)
	slices.Reverse(list)
	return list, nil
}

// Job implements [admin.JobService].
func (s *Service) Job(_ context.Context, uid string) (*admin.Job, error) {
	return s.ofJob(uid, func(*admin.Job) error { return nil })
}

func (s *Service) ofJob(uid string, f func(*admin.Job) error) (*admin.Job, error) {
	end, err := s.begin()
	if err != nil {
		return nil, err
	}
	defer end()
	i := slices.IndexFunc(s.jobs, func(j admin.Job) bool { return j.UID == uid })
	if i < 0 {
		return nil, admin.CodeNotFound.Errorf("there is no job %q", uid)
	}
	if err := f(&s.jobs[i]); err != nil {
		return nil, err
	}
	out := s.jobs[i]
	return &out, nil
}

// StopJob implements [admin.JobService].
func (s *Service) StopJob(_ context.Context, uid string, c admin.Change) (*admin.Job, error) {
	return s.ofJob(uid, func(j *admin.Job) error {
		if j.State != "running" {
			return admin.CodeConflict.Errorf("job %s is not running", uid)
		}
		j.State = "waiting"
		s.deeds = append(s.deeds, deed(uid, "stopped", c))
		return nil
	})
}

// ResumeJob implements [admin.JobService].
func (s *Service) ResumeJob(_ context.Context, uid string, c admin.Change) (*admin.Job, error) {
	return s.ofJob(uid, func(j *admin.Job) error {
		j.State = "running"
		s.deeds = append(s.deeds, deed(uid, "resumed", c))
		return nil
	})
}

// ForgetJob implements [admin.JobService].
func (s *Service) ForgetJob(_ context.Context, uid string, c admin.Change) error {
	_, err := s.ofJob(uid, func(*admin.Job) error { return nil })
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.jobs = slices.DeleteFunc(s.jobs, func(j admin.Job) bool { return j.UID == uid })
	s.deeds = append(s.deeds, deed(uid, "forgotten", c))
	return nil
}
