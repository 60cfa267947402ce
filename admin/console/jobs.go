package console

import (
	"net/url"

	"github.com/a-h/templ"

	"github.com/auditstream/auditstream/admin"
)

func jobURL(uid string) templ.SafeURL { return templ.SafeURL("/jobs/" + url.PathEscape(uid)) }

// maxJobs bounds the jobs that a page lists.
const maxJobs = 200

func (v *visit) jobs() error {
	list, err := v.service.Jobs(v.r.Context())
	if err != nil {
		return err
	}
	return v.live(v.page("Jobs", "Jobs"), jobsPage(list[:min(len(list), maxJobs)]))
}

func (v *visit) job() error {
	j, err := v.service.Job(v.r.Context(), v.r.PathValue("uid"))
	if err != nil {
		return err
	}
	p := v.page("Job "+j.UID, "Jobs")
	return v.live(p, jobPage(p, *j))
}

func (v *visit) decideJob() error {
	uid, c, ctx := v.r.PathValue("uid"), v.change(), v.r.Context()
	switch v.r.PostFormValue("what") {
	case "stop":
		if _, err := v.service.StopJob(ctx, uid, c); err != nil {
			return err
		}
		return v.done(jobPath(uid), "stopped; “Go on” takes it up where it is")
	case "resume":
		if _, err := v.service.ResumeJob(ctx, uid, c); err != nil {
			return err
		}
		return v.done(jobPath(uid), "goes on from where it was left")
	case "forget":
		if err := v.service.ForgetJob(ctx, uid, c); err != nil {
			return err
		}
		return v.done("/jobs", uid+" is taken off the record")
	}
	return admin.CodeInvalid.Errorf("say what shall become of the job")
}
