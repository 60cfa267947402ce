package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/consumer"
)

// replayFlags are what the command line says.
type replayFlags struct {
	jobFlags
	from, to     string
	offsets      []string
	actions      []string
	organization string
	allowExpired bool
}

func newStreamReplay() *cobra.Command {
	var f replayFlags
	cmd := &cobra.Command{
		Use:   "replay --config FILE STREAM --from TIME [--to TIME] | --resume JOB",
		Short: "Send events of a stream another time, beside live delivery",
		Long: `Send events of a stream another time, beside live delivery, which neither waits for it nor
is changed by it: its cursor, its order and its records are its own.

The range is by the time at which Kafka took the events, or by offsets (--offsets, of one
partition each, both ends included). The stream's own filter holds, and the filters here
beside it. What the destination gets is marked with the job: in Splunk the indexed field
auditstream_replay, in Datadog the tag auditstream.replay, in S3 objects below replay=JOB/,
where each event is once, however often the job is stopped and gone on with (for the other
kinds see docs/replay.md). Elsewhere a
job that was killed repeats what it sent last; one that is stopped by ^C repeats nothing.

What would be sent is counted first; --dry-run does nothing else. Where Kafka has given up
the beginning of the range, the command says so and sends nothing, unless --allow-expired.

It follows the stream: a change takes effect between two batches, a pause stops it. Two
processes that run the same job cause repeats, no more. Events that the destination refuses
get a dead letter that names the job.

` + whoRunsJobs + `

` + jobExitCodes,
		Example: `  auditstream stream replay --config auditstream.yaml acme-splunk --from 2026-11-20T08:00:00Z --to 2026-11-20T12:00:00Z --dry-run
  auditstream stream replay --config auditstream.yaml acme-archive --from 3d --actions 'user.*' --rate 500
  auditstream stream replay --config auditstream.yaml acme-splunk --offsets 3:1200-1350
  auditstream stream replay --server https://auditstream.example:8082 acme-splunk --from 1d --detach`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := f.request(cmd, args, time.Now())
			if err != nil {
				return err
			}
			return f.do(cmd, asked{
				what: consumer.TaskReplay,
				plan: func(ctx context.Context, s admin.Service, told counting) (*admin.JobPlan, error) {
					r.Progress = told
					return s.PlanReplay(ctx, r)
				},
				start: func(ctx context.Context, s admin.Service, told counting) (*admin.Job, error) {
					r.Progress = told
					return s.StartReplay(ctx, r, f.change())
				},
			})
		},
		ValidArgsFunction: f.complete,
	}
	f.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.from, "from", "", "events appended at `TIME` or later: RFC 3339, a date, an age as in 90m or 7d, or beginning")
	flags.StringVar(&f.to, "to", "now", "events appended before `TIME`: likewise, or now")
	flags.StringArrayVar(&f.offsets, "offsets", nil, "`PARTITION:FIRST-LAST` instead of times; may be given for several partitions")
	flags.StringSliceVar(&f.actions, "actions", nil, "only events whose action one of these `GLOBS` matches")
	flags.StringVar(&f.organization, "organization", "", "only events of the organization with this `ID`")
	flags.BoolVar(&f.allowExpired, "allow-expired", false, "send what is left of a range whose beginning has expired")
	return cmd
}

// request reads what the command line asks for.
func (f *replayFlags) request(cmd *cobra.Command, args []string, now time.Time) (admin.Replay, error) {
	r := admin.Replay{Actions: f.actions, OrganizationID: f.organization, Rate: f.rate, AllowExpired: f.allowExpired}
	if err := f.check(cmd, "from", "to", "offsets", "actions", "organization", "allow-expired"); err != nil {
		return r, err
	}
	if f.resume != "" {
		if len(args) > 0 {
			return r, usageError(errors.New("--resume goes on with a job, which knows its stream: name none"))
		}
		return r, nil
	}
	if len(args) == 0 {
		return r, usageError(errors.New("name the stream"))
	}
	r.Stream = args[0]
	var err error
	switch byTime := cmd.Flags().Changed("from") || cmd.Flags().Changed("to"); {
	case byTime && len(f.offsets) > 0:
		err = errors.New("--offsets and times exclude each other")
	case len(f.offsets) > 0:
		r.Offsets, err = parseOffsets(f.offsets)
	case f.from == "":
		err = errors.New("which events? give --from TIME or --offsets PARTITION:FIRST-LAST")
	default:
		var from, to time.Time
		from, to, err = parseSpan(f.from, f.to, now)
		r.From, r.To = instant(from), instant(to)
	}
	for _, glob := range f.actions {
		if glob == "" {
			err = errors.Join(err, errors.New("--actions has an empty glob, which no action matches"))
		}
	}
	if err != nil {
		return r, usageError(err)
	}
	return r, nil
}

// instant is a time that may not be set.
func instant(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// parseSpan reads two times; a zero one is the beginning, or now.
func parseSpan(from, to string, now time.Time) (first, last time.Time, err error) {
	if from != consumer.StartBeginning {
		if first, err = parseSince(from, now); err != nil {
			return first, last, fmt.Errorf("--from: %w", err)
		}
	}
	if to != consumer.StartNow {
		if last, err = parseSince(to, now); err == nil && last.IsZero() {
			err = errors.New("it is empty")
		}
		if err != nil {
			return first, last, fmt.Errorf("--to: %w", err)
		}
	}
	end := last
	if end.IsZero() {
		end = now
	}
	if !first.Before(end) {
		return first, last, fmt.Errorf("--from %s is not before --to %s", from, to)
	}
	return first, last, nil
}

// parseOffsets reads ranges of offsets, each PARTITION:FIRST-LAST.
func parseOffsets(texts []string) ([]consumer.Range, error) {
	var out []consumer.Range
	for _, text := range texts {
		bad := fmt.Errorf("--offsets %q is not PARTITION:FIRST-LAST as in 3:1200-1350", text)
		partition, span, ok1 := strings.Cut(text, ":")
		first, last, ok2 := strings.Cut(span, "-")
		p, err1 := strconv.ParseUint(partition, 10, 31)
		from, err2 := strconv.ParseUint(first, 10, 62)
		to, err3 := strconv.ParseUint(last, 10, 62)
		if !ok1 || !ok2 || errors.Join(err1, err2, err3) != nil || to < from {
			return nil, bad
		}
		if slices.ContainsFunc(out, func(r consumer.Range) bool { return r.Partition == int32(p) }) {
			return nil, fmt.Errorf("--offsets has partition %d twice: make a job of each range", p)
		}
		out = append(out, consumer.Range{Partition: int32(p), From: int64(from), To: int64(to) + 1})
	}
	slices.SortFunc(out, func(a, b consumer.Range) int { return cmp.Compare(a.Partition, b.Partition) })
	return out, nil
}
