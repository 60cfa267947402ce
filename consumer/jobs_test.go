package consumer_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/consumer"
)

func (r *rig) jobs() *consumer.Jobs {
	r.t.Helper()
	jobs, err := consumer.ConnectJobs(r.opts, r.topics.Jobs(), r.topics.Progress())
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(jobs.Close)
	return jobs
}

func uidsOf(tasks []consumer.Task) []string {
	var out []string
	for _, t := range tasks {
		out = append(out, t.UID)
	}
	return out
}

func TestJobsAreOnRecordUntilTheyAreForgotten(t *testing.T) {
	r := newRig(t, 1)
	r.stream("a", orgA)
	r.publish(orgA, 0, 10)
	jobs := r.jobs()
	now := time.Now().UTC()
	put := func(uid string, made time.Time) consumer.Task {
		task := r.task(0, 10)
		task.UID, task.Made = uid, made
		if err := jobs.Put(t.Context(), task); err != nil {
			t.Fatal(err)
		}
		return task
	}
	put("job_1", now.Add(-3*time.Hour))
	second := put("job_2", now.Add(-2*time.Hour))
	third := put("job_3", now.Add(-time.Hour))
	r.do(second)
	r.do(third)
	if n := r.liveProgress("job_2"); n != 1 {
		t.Errorf("%d records of progress", n)
	}
	if err := jobs.End(t.Context(), second, consumer.Tally{Delivered: 10}, now.Add(-31*24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := jobs.End(t.Context(), third, consumer.Tally{Delivered: 10}, now); err != nil {
		t.Fatal(err)
	}
	if n := r.liveProgress("job_2") + r.liveProgress("job_3"); n != 0 {
		t.Errorf("%d records of progress are left of jobs that have ended", n)
	}
	list, err := jobs.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"job_3", "job_2", "job_1"}, uidsOf(list)); diff != "" {
		t.Errorf("listed (-want +got):\n%s", diff)
	}
	if list[0].Ended == nil || list[0].Result.Delivered != 10 || list[2].Ended != nil {
		t.Errorf("listed %+v", list)
	}
	r.do(second) // by a process that did not know better
	if err := jobs.Tidy(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	if n := r.liveProgress("job_2"); n != 0 {
		t.Errorf("%d records of progress are left of a job that is forgotten", n)
	}
	if list, err = jobs.List(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"job_3", "job_1"}, uidsOf(list)); diff != "" {
		t.Errorf("listed (-want +got):\n%s", diff)
	}
	if _, err := jobs.Find(t.Context(), "job_2"); err == nil {
		t.Error("a job that is forgotten was found")
	}
}

func TestAJobOfANewerVersionHidesNoOther(t *testing.T) {
	r := newRig(t, 1)
	r.stream("a", orgA)
	jobs := r.jobs()
	task := r.task(0, 1)
	if err := jobs.Put(t.Context(), task); err != nil {
		t.Fatal(err)
	}
	r.produce(&kgo.Record{Topic: r.topics.Jobs(), Key: []byte("job_new"), Value: []byte(`{"v":2}`)})
	list, err := jobs.List(t.Context())
	if err == nil || len(list) != 1 {
		t.Errorf("%d jobs, %v", len(list), err)
	}
	if _, err := jobs.Find(t.Context(), task.UID); err != nil {
		t.Error(err)
	}
	if _, err := jobs.Find(t.Context(), "job_new"); err == nil {
		t.Error("a job of a newer version was read")
	}
}
