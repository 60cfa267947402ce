package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/term"

	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/internal/app"
)

// jobExitCodes are those of a replay and of a redrive.
const jobExitCodes = `Exit codes: 0 everything was sent, or there was nothing to send; 1 it was not, or not all of
it yet: the message says how to go on; 2 wrong arguments; 3 the job has come to its end, but
some events were refused or had expired.`

// jobFlags are what the commands that run a job have in common.
type jobFlags struct {
	streamFlags
	actor  string
	rate   float64
	dry    bool
	resume string
	output string
}

// defaultRate is a cap that any destination stands beside its live events.
const defaultRate = 1000

func (f *jobFlags) add(cmd *cobra.Command) {
	f.streamFlags.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.actor, "actor", whoami(), "`WHO` does it; stays on record")
	flags.Float64Var(&f.rate, "rate", defaultRate, "send at most `N` events a second; 0: as fast as the destination takes them")
	flags.BoolVar(&f.dry, "dry-run", false, "count what would be sent, and send nothing")
	flags.StringVar(&f.resume, "resume", "", "go on with the `JOB` of this uid where it was stopped")
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
	case strings.TrimSpace(f.actor) == "" || len(f.actor) > maxDeedText:
		return usageError(fmt.Errorf("--actor has to say who does it, in at most %d bytes", maxDeedText))
	}
	return nil
}

// with connects and hands over what makes and runs jobs.
func (f *jobFlags) with(cmd *cobra.Command, s *jobScreen, do func(*app.Jobs) error) error {
	c, err := f.load()
	if err != nil {
		return err
	}
	first, cancel := context.WithTimeout(cmd.Context(), f.timeout)
	defer cancel()
	o, err := app.Operate(first, c, s.log)
	if err != nil {
		return err
	}
	defer o.Close()
	jobs, err := o.Jobs(first, c, versionString(), f.actor, s.log)
	if err != nil {
		return err
	}
	defer jobs.Close()
	traces, exported, err := app.Traces(cmd.Context(), versionString(), s.log)
	if err != nil {
		return err
	}
	defer exported()
	jobs.Traced(traces)
	return do(jobs)
}

// jobReport is what a job's command prints at its end.
type jobReport struct {
	Job     string         `json:"job,omitempty"` // absent: none was made
	What    string         `json:"what"`
	Stream  string         `json:"stream"`
	Ranges  []jobRange     `json:"ranges,omitempty"`
	Matched int64          `json:"matched"`
	Expired []app.Expired  `json:"expired,omitempty"`
	DryRun  bool           `json:"dry_run,omitempty"`
	Done    bool           `json:"done"`
	Passed  int64          `json:"passed"` // offsets of the ranges that are settled
	Offsets int64          `json:"offsets"`
	Result  consumer.Tally `json:"result"`
}

type jobRange struct {
	consumer.Range
	Matched int64 `json:"matched"`
}

func reportOf(t consumer.Task, counts []int64) *jobReport {
	r := &jobReport{What: t.Job, Stream: t.Stream, Matched: t.Matched}
	for i, have := range t.Ranges {
		one := jobRange{Range: have}
		if counts != nil {
			one.Matched = counts[i]
		}
		r.Ranges = append(r.Ranges, one)
		r.Offsets += have.To - have.From
	}
	return r
}

// run carries a job that is on record on to its end and prints what became of it.
func (f *jobFlags) run(cmd *cobra.Command, jobs *app.Jobs, s *jobScreen, t consumer.Task, r *jobReport) error {
	resume := fmt.Sprintf("%s --config %s --resume %s", cmd.CommandPath(), f.config, t.UID)
	s.print(fmt.Sprintf("%s %s of stream %s: %d events; if it is stopped: %s", t.Job, t.UID, t.Stream, t.Matched, resume))
	watch := s.watch(t)
	ended, standing, err := jobs.Run(cmd.Context(), t, watch.of)
	watch.end()
	r.Job, r.Result, r.Passed, r.Done = t.UID, standing.Tally, standing.Passed, ended.Ended != nil
	if printed := f.print(cmd.OutOrStdout(), r); printed != nil {
		err = errors.Join(err, printed)
	}
	switch {
	case err != nil:
		return fmt.Errorf("%w; to go on: %s", err, resume)
	case !r.Done:
		return fmt.Errorf("stopped after %d of %d events; to go on: %s", standing.Delivered+standing.Refused, t.Matched, resume)
	case standing.Refused > 0 || standing.Expired > 0:
		return &exitError{exitPartly, partly(t, standing.Tally)}
	}
	return nil
}

// partly says what was not delivered, and where it is.
func partly(t consumer.Task, result consumer.Tally) error {
	var errs []string
	if result.Refused > 0 {
		where := "they are in the dead letters"
		if t.Job == consumer.TaskRedrive {
			where = "their letters stay open"
		}
		errs = append(errs, fmt.Sprintf("%d events were not taken, %s: auditstream deadletter list --stream %s", result.Refused, where, t.Stream))
	}
	if result.Expired > 0 {
		errs = append(errs, fmt.Sprintf("%d offsets expired in Kafka before their turn", result.Expired))
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
		_, err := fmt.Fprintf(out, "%d events of stream %s would be sent\n", r.Matched, r.Stream)
		return err
	}
	if r.Job == "" {
		_, err := fmt.Fprintf(out, "stream %s: no events to send\n", r.Stream)
		return err
	}
	_, err := fmt.Fprintf(out, "%s %s: delivered %d, refused %d, expired %d of %d; attempts repeated %d\n",
		r.What, r.Job, r.Result.Delivered, r.Result.Refused, r.Result.Expired, r.Matched, r.Result.Retried)
	return err
}

// expiredText says what is missing at the beginning of a range.
func expiredText(e app.Expired) string {
	since := "and holds nothing of it"
	if !e.Since.IsZero() {
		since = "appended " + e.Since.Format(time.RFC3339)
	}
	if e.Offsets > 0 {
		return fmt.Sprintf("partition %d: %d of the offsets have expired, Kafka begins at %d, %s", e.Partition, e.Offsets, e.Begins, since)
	}
	return fmt.Sprintf("partition %d: what was appended before has expired: Kafka begins at offset %d, %s", e.Partition, e.Begins, since)
}

// jobScreen is what the user sees on standard error while a job runs: on a terminal a bar,
// and everywhere what the job has to say.
type jobScreen struct {
	*screen
	log *zap.Logger
}

func newJobScreen(out io.Writer) *jobScreen {
	s := &jobScreen{screen: &screen{out: out}}
	format := zap.NewProductionEncoderConfig()
	format.TimeKey = zapcore.OmitKey
	format.EncodeDuration = zapcore.StringDurationEncoder
	s.log = zap.New(zapcore.NewCore(zapcore.NewConsoleEncoder(format), zapcore.AddSync(s), zapcore.WarnLevel))
	return s
}

// Write prints a line of the log.
func (s *jobScreen) Write(line []byte) (int, error) {
	s.print(strings.TrimRight(string(line), "\n"))
	return len(line), nil
}

// bar shows a new bar, in place of the one before.
func (s *jobScreen) show(what string, size int64) {
	file, ok := s.out.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return
	}
	s.done()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bar = progressbar.NewOptions64(size,
		progressbar.OptionSetWriter(s.out),
		progressbar.OptionSetDescription(what),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish(),
		progressbar.OptionFullWidth(),
	)
}

// done takes the bar away.
func (s *jobScreen) done() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bar != nil {
		_ = s.bar.Finish()
		s.bar = nil
	}
}

// count counts what a task would send.
func (s *jobScreen) count(ctx context.Context, jobs *app.Jobs, t *consumer.Task) ([]int64, error) {
	total := int64(0)
	for _, r := range t.Ranges {
		total += r.To - r.From
	}
	if total == 0 {
		return nil, nil
	}
	s.show("counting", total)
	counts, err := jobs.Count(ctx, *t, func(n int64) { s.move(n, false) })
	s.done()
	if ctx.Err() != nil {
		return nil, errors.New("interrupted while it was counted what would be sent: nothing was")
	}
	for _, n := range counts {
		t.Matched += n
	}
	return counts, err
}

// move moves the bar by n, or to n.
func (s *jobScreen) move(n int64, to bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.bar == nil:
	case to:
		_ = s.bar.Set64(n)
	default:
		_ = s.bar.Add64(n)
	}
}

// jobWatch looks after a job that runs.
type jobWatch struct {
	s    *jobScreen
	jobs chan *consumer.Job
	done chan struct{}
}

// watchEvery is the time between two looks.
const watchEvery = 200 * time.Millisecond

func (s *jobScreen) watch(t consumer.Task) *jobWatch {
	w := &jobWatch{s: s, jobs: make(chan *consumer.Job), done: make(chan struct{})}
	total := int64(0)
	for _, r := range t.Ranges {
		total += r.To - r.From
	}
	s.show(t.Job, total)
	go w.loop()
	return w
}

// of has the job be watched in place of the one before.
func (w *jobWatch) of(j *consumer.Job) { w.jobs <- j }

// end returns when nothing more is shown.
func (w *jobWatch) end() {
	close(w.jobs)
	<-w.done
	w.s.done()
}

func (w *jobWatch) loop() {
	defer close(w.done)
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	var job *consumer.Job
	said := ""
	for {
		select {
		case next, ok := <-w.jobs:
			if !ok {
				return
			}
			job = next
			continue
		case <-tick.C:
		}
		if job == nil {
			continue
		}
		standing := job.Standing()
		w.s.move(standing.Passed, true)
		text := ""
		if len(standing.Held) > 0 {
			h := standing.Held[0]
			text = fmt.Sprintf("held (%s) in %d partitions: %s", h.State, len(standing.Held), printable(h.Error))
		}
		if text != "" && text != said {
			w.s.print(text)
		}
		said = text
	}
}
