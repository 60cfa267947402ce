package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/internal/app"
)

func newJob() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "job",
		Short: "See replays and redrives, and forget what is not to be gone on with",
		Long: `See replays and redrives, and forget what is not to be gone on with.

A job is made by "auditstream stream replay" or "auditstream deadletter redrive" and runs in
the process of that command. It is on record in the topic PREFIX.jobs, its progress in
PREFIX.progress: whoever has the uid goes on with it by --resume, on any machine. A job that
has ended is forgotten after 30 days.`,
	}
	cmd.AddCommand(newJobForget(), newJobList())
	return cmd
}

func newJobList() *cobra.Command {
	var f jobFlags
	cmd := &cobra.Command{
		Use:   "list --config FILE",
		Short: "List replays and redrives, the newest first",
		Long: `List replays and redrives, the newest first. One that has not ended may run somewhere, or
have been stopped: nobody can tell from here.

  table  what fits on a line
  json   one object a line, ranges included
  yaml   a list of the same

Exit codes: 0 also when there are none, 1 Kafka could not be asked, or a record could not be
read, 2 wrong arguments.`,
		Example: `  auditstream job list --config auditstream.yaml
  auditstream job list --config auditstream.yaml -o json | jq -r 'select(.ended == null) | .uid'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(f.output); err != nil {
				return err
			}
			return f.with(cmd, newJobScreen(cmd.ErrOrStderr()), func(jobs *app.Jobs) error {
				tasks, err := jobs.List(cmd.Context())
				if len(tasks) == 0 && err == nil {
					_, err := fmt.Fprintln(cmd.ErrOrStderr(), "no jobs")
					return err
				}
				return errors.Join(printJobs(cmd.OutOrStdout(), tasks, f.output), err)
			})
		},
	}
	f.streamFlags.add(cmd)
	addOutput(cmd, &f.output)
	return cmd
}

func printJobs(out io.Writer, tasks []consumer.Task, output string) error {
	switch output {
	case outputYAML:
		return printYAML(out, tasks)
	case outputJSON:
		encoder := json.NewEncoder(out)
		encoder.SetEscapeHTML(false)
		for i := range tasks {
			if err := encoder.Encode(tasks[i]); err != nil {
				return err
			}
		}
		return nil
	}
	if len(tasks) == 0 {
		return nil
	}
	t := newTable("JOB", "WHAT", "STREAM", "MADE", "BY", "EVENTS", "ENDED", "DELIVERED", "REFUSED", "EXPIRED")
	for _, job := range tasks {
		cells := []string{job.UID, job.Job, job.Stream, timeText(&job.Made), job.By, fmt.Sprint(job.Matched), timeText(job.Ended), "", "", ""}
		if r := job.Result; r != nil {
			cells = append(cells[:len(cells)-3], fmt.Sprint(r.Delivered), fmt.Sprint(r.Refused), fmt.Sprint(r.Expired))
		}
		t.row("", cells...)
	}
	return t.print(out)
}

func newJobForget() *cobra.Command {
	var f jobFlags
	cmd := &cobra.Command{
		Use:   "forget --config FILE JOB",
		Short: "Forget a job: what it has not sent it never will",
		Long: `Forget a job, and how far it is: what it has not sent it never will. What it has sent stays
where it is. Stop the process that runs it first.

Exit codes: 0 it is forgotten, 1 it is not, 2 wrong arguments.`,
		Example: `  auditstream job forget --config auditstream.yaml job_Y2WVCODWD3N6FOIU3LDAKWGFMV`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.with(cmd, newJobScreen(cmd.ErrOrStderr()), func(jobs *app.Jobs) error {
				t, err := jobs.Find(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				if err := jobs.Forget(cmd.Context(), t); err != nil {
					return err
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s %s forgotten\n", t.Job, t.UID)
				return err
			})
		},
	}
	f.streamFlags.add(cmd)
	cmd.ValidArgsFunction = f.completeJobs(true)
	return cmd
}
