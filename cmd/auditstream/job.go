package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/consumer"
)

func newJob() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "job",
		Short: "See replays and redrives, stop them, go on with them, forget them",
		Long: `See replays and redrives, stop them, go on with them, forget them.

A job is made by "auditstream stream replay" or "auditstream deadletter redrive", by the
console, or over the API. It runs in the process of its command, or in one that serves the
API. It is on record in the topic PREFIX.jobs, its progress in PREFIX.progress: whoever has
the uid goes on with it, on any machine. A job that has ended is forgotten after 30 days.`,
	}
	cmd.AddCommand(newJobForget(), newJobList(), newJobResume(), newJobStop())
	return cmd
}

func newJobList() *cobra.Command {
	var f controlFlags
	var output string
	cmd := &cobra.Command{
		Use:   "list --config FILE",
		Short: "List replays and redrives, the newest first",
		Long: `List replays and redrives, the newest first.

  running  somebody runs it: it has told of its progress within the last seconds
  waiting  it has something left, and nobody is seen to run it: its command was stopped, or
           its turn has not come where the API is served
  stopped  by an operator, until somebody resumes it
  done     nothing of it is left

  table  what fits on a line
  json   one object a line, ranges included
  yaml   a list of the same

Exit codes: 0 also when there are none, 1 Kafka could not be asked, or a record could not be
read, 2 wrong arguments.`,
		Example: `  auditstream job list --config auditstream.yaml
  auditstream job list --config auditstream.yaml -o json | jq -r 'select(.ended == null) | .uid'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			return f.with(cmd.Context(), func(s admin.Service) error {
				jobs, err := s.Jobs(cmd.Context())
				if err != nil {
					return err
				}
				if len(jobs) == 0 {
					if _, err := fmt.Fprintln(cmd.ErrOrStderr(), "no jobs"); err != nil {
						return err
					}
				}
				return printJobs(cmd.OutOrStdout(), jobs, output)
			})
		},
	}
	f.add(cmd)
	addOutput(cmd, &output)
	return cmd
}

func printJobs(out io.Writer, jobs []admin.Job, output string) error {
	switch output {
	case outputYAML:
		return printYAML(out, jobs)
	case outputJSON:
		encoder := json.NewEncoder(out)
		encoder.SetEscapeHTML(false)
		for i := range jobs {
			if err := encoder.Encode(&jobs[i]); err != nil {
				return err
			}
		}
		return nil
	}
	if len(jobs) == 0 {
		return nil
	}
	t := newTable("JOB", "WHAT", "STREAM", "STATE", "MADE", "BY", "EVENTS", "DELIVERED", "REFUSED", "EXPIRED", "LEFT", "ENDED", "PROBLEM")
	for _, j := range jobs {
		t.row(jobColour(&j), j.UID, j.Job, j.Stream, j.State, timeText(&j.Made), j.By, fmt.Sprint(j.Matched),
			fmt.Sprint(j.Done.Delivered), fmt.Sprint(j.Done.Refused), fmt.Sprint(j.Done.Expired), fmt.Sprint(j.Left), timeText(j.Ended), cut(j.Problem, maxReasonShown))
	}
	return t.print(out)
}

func jobColour(j *admin.Job) string {
	switch {
	case j.Problem != "":
		return colourBad
	case j.State == admin.JobWaiting || j.State == admin.JobStopped:
		return colourHeld
	}
	return ""
}

// jobDeed is a command that does something to one job.
type jobDeed struct {
	use, short, long string
	which            func(*admin.Job) bool // it is offered for
	do               func(cmd *cobra.Command, s admin.Service, uid string, c admin.Change) (string, error)
}

func newJobDeed(d jobDeed) *cobra.Command {
	f := controlFlags{handOver: true} // this command runs none
	var deed deedFlags
	cmd := &cobra.Command{
		Use: d.use + " --config FILE JOB", Short: d.short, Long: d.long,
		Example: "  auditstream job " + d.use + " --config auditstream.yaml job_Y2WVCODWD3N6FOIU3LDAKWGFMV",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			change, err := deed.check(cmd, &f)
			if err != nil {
				return err
			}
			change.Wait = 0
			return f.with(cmd.Context(), func(s admin.Service) error {
				text, err := d.do(cmd, s, args[0], change)
				if err == nil {
					_, err = fmt.Fprintln(cmd.OutOrStdout(), printable(text))
				}
				return err
			})
		},
	}
	f.add(cmd)
	deed.sign(cmd)
	cmd.ValidArgsFunction = f.completeJobs(d.which)
	return cmd
}

func newJobStop() *cobra.Command {
	return newJobDeed(jobDeed{
		use: "stop", short: "Stop a job where it is",
		long: `Stop a job that runs where the API is served. It stays on record, and goes on where it is by
"auditstream job resume". One that runs in the process of a command is stopped there, by
Ctrl-C.

Exit codes: 0 it is stopped, 1 it is not, 2 wrong arguments.`,
		which: func(j *admin.Job) bool {
			return j.Ended == nil && j.Stopped == nil && j.Runner == consumer.RunnerServer
		},
		do: func(cmd *cobra.Command, s admin.Service, uid string, c admin.Change) (string, error) {
			j, err := s.StopJob(cmd.Context(), uid, c)
			if err != nil {
				return "", err
			}
			return fmt.Sprintf("%s %s: %s, %d of %s sent", j.Job, j.UID, j.Stopped, j.Done.Delivered, eventsText(j.Matched)), nil
		},
	})
}

func newJobResume() *cobra.Command {
	return newJobDeed(jobDeed{
		use: "resume", short: "Have a job go on where the API is served",
		long: `Have a job go on in one of the processes that serve the API: one that was stopped there, or
one that the process of a command has left. To go on with it in this process, and look on:
"auditstream stream replay --resume", "auditstream deadletter redrive --resume".

Exit codes: 0 it is on record that it goes on, 1 it does not, 2 wrong arguments.`,
		which: func(j *admin.Job) bool { return j.Ended == nil && j.State != admin.JobRunning },
		do: func(cmd *cobra.Command, s admin.Service, uid string, c admin.Change) (string, error) {
			j, err := s.ResumeJob(cmd.Context(), uid, c)
			if err != nil {
				return "", err
			}
			return fmt.Sprintf("%s %s: goes on where the API is served, %d of %s sent", j.Job, j.UID, j.Done.Delivered, eventsText(j.Matched)), nil
		},
	})
}

func newJobForget() *cobra.Command {
	return newJobDeed(jobDeed{
		use: "forget", short: "Forget a job: what it has not sent it never will",
		long: `Forget a job, and how far it is: what it has not sent it never will. What it has sent stays
where it is. Stop it first.

Exit codes: 0 it is forgotten, 1 it is not, 2 wrong arguments.`,
		which: func(*admin.Job) bool { return true },
		do: func(cmd *cobra.Command, s admin.Service, uid string, c admin.Change) (string, error) {
			j, err := s.Job(cmd.Context(), uid)
			if err != nil {
				return "", err
			}
			return fmt.Sprintf("%s %s forgotten", j.Job, j.UID), s.ForgetJob(cmd.Context(), uid, c)
		},
	})
}
