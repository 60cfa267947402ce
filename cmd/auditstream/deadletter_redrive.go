package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/consumer"
)

// redriveFlags are what the command line says.
type redriveFlags struct {
	jobFlags
	stream, class, organization, since string
}

// maxNamed bounds the letters that are named one by one: the job's record lists them.
const maxNamed = 1000

func newDeadletterRedrive() *cobra.Command {
	var f redriveFlags
	cmd := &cobra.Command{
		Use:   "redrive --config FILE --stream STREAM | PARTITION:OFFSET… | --resume JOB",
		Short: "Send the events of open dead letters to their stream again",
		Long: `Send the events of open dead letters to their stream again: the original bytes, with the
ids that they had, in the order of the letters. Letters are named one by one, or all open
ones of a stream are meant that the filters let pass.

A letter is marked as redriven when the destination has acknowledged its event, not before:
a process that is killed in between sends the event again and loses nothing (in S3 each
event is once in every job). Nothing is deleted. What the destination refuses again, what is
no valid event, and what the stream does not take any more since it was changed, is counted
as refused: the letter stays open, and no new one is made. While the destination takes
nothing, the job waits as live delivery does. What it gets is marked with the job, as of a
replay: see "auditstream stream replay".

A letter about a record that is no valid event belongs to no stream and cannot be redriven:
mend the event (deadletter show --raw), publish it, and discard the letter.

A stream has one redrive at a time.

` + whoRunsJobs + `

` + jobExitCodes,
		Example: `  auditstream deadletter redrive --config auditstream.yaml --stream acme-splunk --since 24h --dry-run
  auditstream deadletter redrive --config auditstream.yaml 3:41 3:42`,
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := f.request(cmd, args, time.Now())
			if err != nil {
				return err
			}
			return f.do(cmd, asked{
				what: consumer.TaskRedrive,
				plan: func(ctx context.Context, s admin.Service, told counting) (*admin.JobPlan, error) {
					r.Progress = told
					p, err := s.PlanRedrive(ctx, r)
					return p, notSent(err)
				},
				start: func(ctx context.Context, s admin.Service, told counting) (*admin.Job, error) {
					r.Progress = told
					j, err := s.StartRedrive(ctx, r, f.change())
					return j, notSent(err)
				},
			})
		},
	}
	f.add(cmd)
	cmd.ValidArgsFunction = f.completeLetters
	flags := cmd.Flags()
	flags.StringVar(&f.stream, "stream", "", "open letters of the stream with this `ID`")
	flags.StringVar(&f.class, "class", "", "only letters of this `CLASS`: rejected, expiring")
	flags.StringVar(&f.organization, "organization", "", "only letters of the organization with this `ID`, the record's key")
	flags.StringVar(&f.since, "since", "", "only letters written since: an `AGE` as in 90m or 7d, or a time (RFC 3339)")
	_ = cmd.RegisterFlagCompletionFunc("stream", f.completeFlag)
	return cmd
}

// request reads what the command line asks for.
func (f *redriveFlags) request(cmd *cobra.Command, args []string, now time.Time) (admin.Redrive, error) {
	r := admin.Redrive{Stream: f.stream, Class: f.class, OrganizationID: f.organization, Rate: f.rate}
	if err := f.check(cmd, "stream", "class", "organization", "since"); err != nil {
		return r, err
	}
	since, err := parseSince(f.since, now)
	if err != nil {
		return r, usageError(fmt.Errorf("--since: %w", err))
	}
	r.Since = instant(since)
	if r.Letters, err = positions(args); err != nil {
		return r, usageError(err)
	}
	filtered := f.class != "" || f.organization != "" || f.since != ""
	switch {
	case f.resume != "" && len(args) > 0:
		err = errors.New("--resume goes on with a job, which knows its letters: name none")
	case f.resume != "":
	case len(args) > maxNamed:
		err = fmt.Errorf("%d letters are named, at most %d can be: choose them by --stream, --class, --organization, --since", len(args), maxNamed)
	case len(args) > 0 && filtered:
		err = errors.New("letters that are named need no filter")
	case len(args) == 0 && f.stream == "":
		err = errors.New("which letters? name them, or give --stream ID")
	case f.class == "invalid":
		err = errors.New("a letter about a record that is no valid event belongs to no stream and cannot be redriven: mend the event (deadletter show --raw), publish it, and discard the letter")
	}
	if err != nil {
		return r, usageError(err)
	}
	return r, nil
}

// notSent says of what was wrong with the letters what follows from that.
func notSent(err error) error {
	if errors.Is(err, admin.CodeNotFound.Err()) || errors.Is(err, admin.CodeConflict.Err()) {
		return fmt.Errorf("nothing was sent: %w", err)
	}
	return err
}
