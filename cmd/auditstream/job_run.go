package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/internal/units"
)

// jobExitCodes are those of a replay and of a redrive.
const jobExitCodes = `Exit codes: 0 everything was sent, or there was nothing to send, or with --detach it is
handed over; 1 it was not sent, or not all of it yet: the message says how to go on; 2 wrong
arguments; 3 the job has come to its end, but some events were refused or had expired.`

// whoRunsJobs says which process runs a job.
const whoRunsJobs = `With --config the job runs in this process: it resolves the secrets of the stream here, and
stops with it. With --server, or with --detach, one of the processes that serve the API runs
it; this command only looks on, and with --detach does not. Either way it is on record with
its progress, so that any machine can go on with it: see "auditstream job".`

// jobFlags are what the commands that run a job have in common.
type jobFlags struct {
	controlFlags
	actor, reason string
	rate          float64
	dry           bool
	resume        string
	output        string
}

// defaultRate is a cap that any destination stands beside its live events.
const defaultRate = 1000

func (f *jobFlags) add(cmd *cobra.Command) {
	f.controlFlags.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.actor, "actor", whoami(), "`WHO` does it; stays on record")
	flags.StringVar(&f.reason, "reason", "", "why, in words: `TEXT` that stays on record")
	flags.Float64Var(&f.rate, "rate", defaultRate, "send at most `N` events a second; 0: as fast as the destination takes them")
	flags.BoolVar(&f.dry, "dry-run", false, "count what would be sent, and send nothing")
	flags.BoolVar(&f.handOver, "detach", false, "leave the job to the processes that serve the API, and return at once")
	flags.StringVar(&f.resume, "resume", "", "go on with the `JOB` of this uid where it was stopped")
	_ = cmd.RegisterFlagCompletionFunc("resume", func(cmd *cobra.Command, _ []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return f.completeJobs(unfinished)(cmd, nil, toComplete)
	})
	addOutput(cmd, &f.output)
}

// check refuses what no job can be made of. A job that is gone on with has its own rate and
// filter, which the flags of the command do not change.
func (f *jobFlags) check(cmd *cobra.Command, own ...string) error {
	if err := checkOutput(f.output); err != nil {
		return err
	}
	if f.resume != "" {
		for _, name := range append(own, "rate", "dry-run") {
			if cmd.Flags().Changed(name) {
				return usageError(fmt.Errorf("--%s and --resume exclude each other: the job is what it was made as", name))
			}
		}
	}
	switch {
	case f.rate < 0 || f.rate > 1e9 || math.IsNaN(f.rate):
		return usageError(fmt.Errorf("--rate %v is no number of events a second", f.rate))
	case f.dry && f.handOver:
		return usageError(errors.New("--dry-run and --detach exclude each other: what is only counted is nobody's job"))
	case strings.TrimSpace(f.actor) == "" || len(f.actor) > maxDeedText:
		return usageError(fmt.Errorf("--actor has to say who does it, in at most %d bytes", maxDeedText))
	case len(f.reason) > maxDeedText:
		return usageError(fmt.Errorf("--reason has %d bytes; at most %d are kept", len(f.reason), maxDeedText))
	}
	if err := f.signs(cmd, "actor"); err != nil {
		return usageError(err)
	}
	return nil
}

func (f *jobFlags) change() admin.Change { return admin.Change{By: f.actor, Reason: f.reason} }

// asked is what a command asks of a control plane.
type asked struct {
	plan  func(context.Context, admin.Service, counting) (*admin.JobPlan, error)
	start func(context.Context, admin.Service, counting) (*admin.Job, error)
	what  string // of job
}

// counting is told how far the counting of a job's events is.
type counting = func(passed, of int64)

// do counts, makes, or goes on with a job, and looks after it until it is done.
func (f *jobFlags) do(cmd *cobra.Command, a asked) error {
	screen := newJobScreen(cmd.ErrOrStderr())
	f.log, f.traced = screen.log, !f.dry && !f.handOver
	return f.with(cmd.Context(), func(s admin.Service) error {
		switch {
		case f.resume != "":
			return f.goOn(cmd, s, screen, a.what)
		case f.dry:
			return f.count(cmd, s, screen, a)
		}
		j, err := a.start(cmd.Context(), s, screen.counting())
		screen.done()
		switch {
		case errors.Is(err, admin.CodeNothing.Err()):
			return f.print(cmd.OutOrStdout(), &jobReport{What: a.what, Stream: f.named(cmd), Done: true})
		case errors.Is(err, admin.CodeExpired.Err()):
			e, _ := errors.AsType[*admin.Error](err)
			for _, p := range e.Problems {
				screen.print(p.Message)
			}
			return fmt.Errorf("%w: --allow-expired", err)
		case err != nil && cmd.Context().Err() != nil:
			return errors.New(`interrupted while it was counted what would be sent, or while the job was made: whether it was says "auditstream job list"`)
		case err != nil:
			return err
		}
		for _, e := range j.Expired {
			screen.print(e.String())
		}
		return f.run(cmd, s, screen, j)
	})
}

// named is the stream that the command line names.
func (f *jobFlags) named(cmd *cobra.Command) string {
	if flag := cmd.Flags().Lookup("stream"); flag != nil {
		return flag.Value.String()
	}
	return cmd.Flags().Arg(0)
}

// count says what would be sent.
func (f *jobFlags) count(cmd *cobra.Command, s admin.Service, screen *jobScreen, a asked) error {
	p, err := a.plan(cmd.Context(), s, screen.counting())
	screen.done()
	switch {
	case err != nil && cmd.Context().Err() != nil:
		return errors.New("interrupted while it was counted what would be sent: nothing was")
	case err != nil:
		return err
	}
	for _, e := range p.Expired {
		screen.print(e.String())
	}
	r := &jobReport{What: a.what, Stream: p.Stream, Ranges: p.Ranges, Matched: p.Matched, Expired: p.Expired, DryRun: true}
	for _, have := range p.Ranges {
		r.Offsets += have.To - have.From
	}
	return f.print(cmd.OutOrStdout(), r)
}

// goOn goes on with a job that is on record.
func (f *jobFlags) goOn(cmd *cobra.Command, s admin.Service, screen *jobScreen, what string) error {
	j, err := s.Job(cmd.Context(), f.resume)
	if err != nil {
		return err
	}
	if j.Job != what {
		return usageError(fmt.Errorf("job %s is a %s", j.UID, j.Job))
	}
	if j.Ended != nil {
		screen.print(fmt.Sprintf("%s %s has ended, %s", j.Job, j.UID, timeText(j.Ended)))
		return f.print(cmd.OutOrStdout(), reportOf(j))
	}
	if j, err = s.ResumeJob(cmd.Context(), j.UID, f.change()); err != nil {
		return err
	}
	return f.run(cmd, s, screen, j)
}

// runsJobs is a control plane that runs jobs where it is.
type runsJobs interface {
	RunJob(ctx context.Context, uid string) error
}

// run looks after a job until it is done, and prints what became of it. Here it runs if nobody
// else is to run it.
func (f *jobFlags) run(cmd *cobra.Command, s admin.Service, screen *jobScreen, j *admin.Job) error {
	runner, _ := s.(runsJobs)
	here := runner != nil && j.Runner != consumer.RunnerServer
	again := fmt.Sprintf("%s%s --resume %s", cmd.CommandPath(), f.asks(), j.UID)
	begun := fmt.Sprintf("%s %s of stream %s: %s", j.Job, j.UID, j.Stream, eventsText(j.Matched))
	switch {
	case here:
		screen.print(begun + "; if it is stopped: " + again)
	case f.handOver:
		screen.print(begun + "; it is run where the API is served: auditstream job list" + f.asks())
		return f.print(cmd.OutOrStdout(), reportOf(j))
	default:
		screen.print(begun + "; it goes on also without this command: auditstream job stop" + f.asks() + " " + j.UID)
	}
	watch := jobWatch{service: s, screen: screen, here: here}
	screen.show(j.Job, offsetsOf(j))
	var err error
	if here {
		err = watch.beside(cmd.Context(), j.UID, func(ctx context.Context) error { return runner.RunJob(ctx, j.UID) })
	} else {
		err = watch.until(cmd.Context(), j.UID)
	}
	screen.done()
	// How far it is, is told also when the command is interrupted.
	last, cancel := context.WithTimeout(context.WithoutCancel(cmd.Context()), lastLook)
	defer cancel()
	end, looked := s.Job(last, j.UID)
	if looked != nil {
		return errors.Join(err, fmt.Errorf("how far job %s is cannot be told: %w", j.UID, looked))
	}
	if printed := f.print(cmd.OutOrStdout(), reportOf(end)); printed != nil {
		err = errors.Join(err, printed)
	}
	sent := fmt.Sprintf("%d of %s", end.Done.Delivered+end.Done.Refused, eventsText(end.Matched))
	switch {
	case err != nil:
		return fmt.Errorf("%w; to go on: %s", err, again)
	case end.Ended == nil && end.Stopped != nil:
		return fmt.Errorf("%s after %s; to go on: %s", end.Stopped, sent, again)
	case end.Ended == nil && !here:
		return fmt.Errorf("interrupted after %s; the job goes on without this command; to look on again: %s", sent, again)
	case end.Ended == nil:
		return fmt.Errorf("stopped after %s; to go on: %s", sent, again)
	case end.Done.Refused > 0 || end.Done.Expired > 0:
		return &exitError{exitPartly, partly(end)}
	}
	return nil
}

// lastLook bounds finding out how far a job was brought.
const lastLook = 10 * time.Second

// jobReport is what a job's command prints at its end.
type jobReport struct {
	Job     string           `json:"job,omitempty"` // absent: none was made
	What    string           `json:"what"`
	Stream  string           `json:"stream"`
	State   string           `json:"state,omitempty"`
	Ranges  []admin.JobRange `json:"ranges,omitempty"`
	Matched int64            `json:"matched"`
	Expired []admin.Expired  `json:"expired,omitempty"`
	DryRun  bool             `json:"dry_run,omitempty"`
	Done    bool             `json:"done"`
	Passed  int64            `json:"passed"` // offsets of the ranges that are settled
	Offsets int64            `json:"offsets"`
	Result  consumer.Tally   `json:"result"`
}

func offsetsOf(j *admin.Job) (n int64) {
	for _, r := range j.Ranges {
		n += r.To - r.From
	}
	return n
}

func reportOf(j *admin.Job) *jobReport {
	r := &jobReport{
		Job: j.UID, What: j.Job, Stream: j.Stream, State: j.State, Matched: j.Matched, Expired: j.Expired,
		Done: j.Ended != nil, Offsets: offsetsOf(j), Result: j.Done,
	}
	r.Passed = r.Offsets - j.Left
	return r
}

// partly says what was not delivered, and where it is.
func partly(j *admin.Job) error {
	var errs []string
	if n := j.Done.Refused; n > 0 {
		where := "they are in the dead letters"
		if j.Job == consumer.TaskRedrive {
			where = "their letters stay open"
		}
		errs = append(errs, fmt.Sprintf("%s not taken, %s: auditstream deadletter list --stream %s", units.Count(n, "event was", "events were"), where, j.Stream))
	}
	if n := j.Done.Expired; n > 0 {
		errs = append(errs, fmt.Sprintf("%s in Kafka before being sent", units.Count(n, "offset expired", "offsets expired")))
	}
	return errors.New(strings.Join(errs, "; "))
}

// print writes a report.
func (f *jobFlags) print(out io.Writer, r *jobReport) error {
	switch f.output {
	case outputJSON:
		return printJSON(out, r)
	case outputYAML:
		return printYAML(out, r)
	}
	if r.DryRun {
		t := newTable("PARTITION", "FIRST", "LAST", "OFFSETS", "EVENTS")
		for _, have := range r.Ranges {
			t.row("", fmt.Sprint(have.Partition), fmt.Sprint(have.From), fmt.Sprint(have.To-1), fmt.Sprint(have.To-have.From), fmt.Sprint(have.Matched))
		}
		if err := t.print(out); err != nil {
			return err
		}
		_, err := fmt.Fprintf(out, "%s of stream %s would be sent\n", eventsText(r.Matched), r.Stream)
		return err
	}
	if r.Job == "" && r.Stream == "" {
		_, err := fmt.Fprintln(out, "no events to send")
		return err
	}
	if r.Job == "" {
		_, err := fmt.Fprintf(out, "stream %s: no events to send\n", r.Stream)
		return err
	}
	if f.handOver {
		_, err := fmt.Fprintf(out, "%s %s: handed over, %s of stream %s\n", r.What, r.Job, eventsText(r.Matched), r.Stream)
		return err
	}
	_, err := fmt.Fprintf(out, "%s %s: delivered %d, refused %d, expired %d of %d; attempts repeated %d\n",
		r.What, r.Job, r.Result.Delivered, r.Result.Refused, r.Result.Expired, r.Matched, r.Result.Retried)
	return err
}

func eventsText(n int64) string { return units.Count(n, "event", "events") }
