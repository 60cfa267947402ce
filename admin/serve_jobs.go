package admin

import (
	"net/http"
	"slices"
)

// ReplayRequest asks for events to be sent another time.
type ReplayRequest struct {
	Replay
	DryRun bool   `json:"dry_run,omitempty"` // only count
	Reason string `json:"reason,omitempty"`
}

func (r *request) replayStream() error {
	var in ReplayRequest
	c, err := r.change(r.query(), &in, &in.Reason)
	if err != nil {
		return err
	}
	id := r.PathValue("id")
	if in.Stream != "" && in.Stream != id {
		return CodeInvalid.Errorf("the body names the stream %q, the path %q", in.Stream, id)
	}
	in.Stream = id
	if in.DryRun {
		p, err := r.service.PlanReplay(r.Context(), in.Replay)
		return r.planned(p, err)
	}
	j, err := r.service.StartReplay(r.Context(), in.Replay, c)
	return r.started(j, err)
}

func (r *request) planned(p *JobPlan, err error) error {
	if err != nil {
		return err
	}
	out := *p
	out.Ranges = slices.Concat([]JobRange{}, p.Ranges)
	return r.respond(http.StatusOK, out)
}

// started answers with a job that is under way.
func (r *request) started(j *Job, err error) error {
	if err != nil {
		return err
	}
	r.w.Header().Set("Location", "/v1/jobs/"+j.UID)
	return r.respond(http.StatusCreated, j)
}

// JobList is a part of the jobs, the newest first.
type JobList struct {
	Jobs []Job `json:"jobs"`
	More int   `json:"more"` // older ones
}

func (r *request) jobs() error {
	q := r.query()
	stream, after, limit := q.text("stream"), q.text("after"), q.number("limit", 1000, maxLimit)
	if err := q.done(); err != nil {
		return err
	}
	all, err := r.service.Jobs(r.Context())
	if err != nil {
		return err
	}
	if after != "" {
		i := slices.IndexFunc(all, func(j Job) bool { return j.UID == after })
		if i < 0 {
			return CodeNotFound.Errorf("there is no job %q to go on after", after)
		}
		all = all[i+1:]
	}
	if stream != "" {
		all = slices.DeleteFunc(slices.Clone(all), func(j Job) bool { return j.Stream != stream })
	}
	return r.respond(http.StatusOK, JobList{Jobs: slices.Concat([]Job{}, all[:min(limit, len(all))]), More: max(0, len(all)-limit)})
}

func (r *request) job() error {
	if err := r.query().done(); err != nil {
		return err
	}
	j, err := r.service.Job(r.Context(), r.PathValue("uid"))
	if err != nil {
		return err
	}
	return r.respond(http.StatusOK, j)
}

func (r *request) stopJob() error {
	var in deed
	c, err := r.change(r.query(), &in, &in.Reason)
	if err != nil {
		return err
	}
	j, err := r.service.StopJob(r.Context(), r.PathValue("uid"), c)
	if err != nil {
		return err
	}
	return r.respond(http.StatusOK, j)
}

func (r *request) resumeJob() error {
	var in deed
	c, err := r.change(r.query(), &in, &in.Reason)
	if err != nil {
		return err
	}
	j, err := r.service.ResumeJob(r.Context(), r.PathValue("uid"), c)
	if err != nil {
		return err
	}
	return r.respond(http.StatusOK, j)
}

func (r *request) forgetJob() error {
	c, err := r.change(r.query(), nil, nil)
	if err != nil {
		return err
	}
	if err := r.service.ForgetJob(r.Context(), r.PathValue("uid"), c); err != nil {
		return err
	}
	r.w.WriteHeader(http.StatusNoContent)
	return nil
}
