package app

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/auditstream/auditstream/consumer"
)

// jobMetrics count the jobs that were started through the API and run in this process.
type jobMetrics struct {
	elected prometheus.Gauge
	jobs    *prometheus.GaugeVec   // by job and state
	ended   *prometheus.CounterVec // by job and outcome
}

// States of a job that a process runs.
const (
	jobRunning = "running"
	jobHeld    = "held"    // its destination does not take what it gets
	jobWaiting = "waiting" // it could not go on, and is tried again
)

// Outcomes of a run of a job.
const (
	runDone    = "done"
	runFailed  = "failed"  // it could not go on, and is tried again
	runStopped = "stopped" // by somebody, or with the process
)

func newJobMetrics(reg prometheus.Registerer) (*jobMetrics, error) {
	m := &jobMetrics{
		elected: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "auditstream", Subsystem: "admin", Name: "jobs_elected",
			Help: "1 while this process is the one that runs the replays and redrives that were started through the API, else 0. One process of all that serve it is.",
		}),
		jobs: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "auditstream", Subsystem: "admin", Name: "jobs",
			Help: "Replays and redrives in this process, by job (replay, redrive) and state: running, held (the destination does not take what it gets), waiting (it could not go on, and is tried again).",
		}, []string{"job", "state"}),
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "auditstream", Subsystem: "admin", Name: "job_runs_total",
			Help: "Runs of replays and redrives that have ended in this process, by job (replay, redrive) and outcome: done, failed (it is tried again), stopped (by somebody, or with the process).",
		}, []string{"job", "outcome"}),
	}
	for _, c := range []prometheus.Collector{m.elected, m.jobs, m.ended} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	for _, job := range jobSorts() {
		for _, outcome := range []string{runDone, runFailed, runStopped} {
			m.ended.WithLabelValues(job, outcome)
		}
	}
	m.show(nil)
	return m, nil
}

func jobSorts() []string { return []string{consumer.TaskReplay, consumer.TaskRedrive} }

// jobState is what is counted of one job.
type jobState struct{ job, state string }

// show says which jobs there are.
func (m *jobMetrics) show(now []jobState) {
	if m == nil {
		return
	}
	count := map[jobState]int{}
	for _, s := range now {
		count[s]++
	}
	for _, job := range jobSorts() {
		for _, state := range []string{jobRunning, jobHeld, jobWaiting} {
			m.jobs.WithLabelValues(job, state).Set(float64(count[jobState{job, state}]))
		}
	}
}

// elect says whether this process runs the jobs.
func (m *jobMetrics) elect(mine bool) {
	if m == nil {
		return
	}
	m.elected.Set(0)
	if mine {
		m.elected.Set(1)
	}
}

// end notes how a run of a job has ended.
func (m *jobMetrics) end(job, outcome string) {
	if m != nil {
		m.ended.WithLabelValues(job, outcome).Inc()
	}
}
