package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/auditstream/auditstream/admin"
)

func newStreamSkip() *cobra.Command {
	var f controlFlags
	var d deedFlags
	s := skip{output: outputTable}
	cmd := &cobra.Command{
		Use:   "skip --config FILE STREAM (--to TIME | --partition N --offset O) --reason TEXT",
		Short: "Move a stream's cursor, on purpose and on record",
		Long: `Move a stream's cursor, forward over events that are then never delivered, or back to
events that are then delivered again. It takes effect between two batches, begins a new
epoch of the stream (in S3: new objects beside the old ones), and outlives every restart.

  --to now         pass over everything that waits; nothing is repeated
  --to beginning   deliver everything that Kafka still has once more
  --to TIME        go on with the first event that was appended then or later
  --partition N --offset O
                   move one partition alone

What is passed over stays on record as a gap, with who did it, when and why: see
"auditstream stream get". Replay a range beside the stream, instead of moving it back, with
"auditstream stream replay".

With --dry-run nothing is changed: the events of the stream that would be passed over, or
sent again, are counted in every partition, for ten minutes at most. Without it the same is
shown, counted for ten seconds at most, and asked about on a terminal; elsewhere --yes is
needed.

` + deedExitCodes,
		Example: `  auditstream stream skip --config auditstream.yaml --to now --reason "load test" --dry-run acme-splunk
  auditstream stream skip --config auditstream.yaml --to 2026-11-22T10:00:00Z --reason "index was lost" --yes acme-splunk
  auditstream stream skip --config auditstream.yaml --partition 3 --offset 4711 --reason "OPS-812" --yes acme-splunk`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := s.target(cmd)
			if err != nil {
				return usageError(err)
			}
			if err := checkOutput(s.output); err != nil {
				return err
			}
			if s.output != outputTable && !s.dry {
				return usageError(errors.New("--output is for --dry-run: a move says what it did in words"))
			}
			if strings.TrimSpace(d.reason) == "" {
				return usageError(errors.New("--reason is empty: whoever finds the gap later has to know"))
			}
			change, err := d.check(cmd, &f)
			if err != nil {
				return err
			}
			if !s.dry && !s.yes && !interactive(cmd) {
				return usageError(errors.New("without a terminal to ask on, --yes is needed (see first what it does: --dry-run)"))
			}
			return f.with(cmd.Context(), func(c admin.Service) error { return s.run(cmd, c, args[0], t, change) })
		},
		ValidArgsFunction: f.complete,
	}
	f.add(cmd)
	d.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&s.to, "to", "", "`TIME` (RFC 3339), now or beginning")
	flags.Int32Var(&s.partition, "partition", 0, "move partition `N` alone")
	flags.Int64Var(&s.offset, "offset", 0, "to this `OFFSET`")
	flags.BoolVar(&s.dry, "dry-run", false, "only say what it would pass over, or repeat")
	flags.BoolVar(&s.yes, "yes", false, "do not ask")
	addOutput(cmd, &s.output)
	_ = cmd.MarkFlagRequired("reason")
	_ = cmd.RegisterFlagCompletionFunc("to", cobra.FixedCompletions([]cobra.Completion{"now", "beginning"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// skip is what the command was asked for.
type skip struct {
	to        string
	partition int32
	offset    int64
	dry, yes  bool
	output    string
}

func (s *skip) target(cmd *cobra.Command) (admin.Target, error) {
	number, offset := cmd.Flags().Changed("partition"), cmd.Flags().Changed("offset")
	switch {
	case number != offset:
		return admin.Target{}, errors.New("--partition and --offset belong together: give both")
	case number == (s.to != ""):
		return admin.Target{}, errors.New("say where to: --to TIME, or --partition N and --offset O")
	case number && (s.partition < 0 || s.offset < 0):
		return admin.Target{}, fmt.Errorf("partition %d, offset %d: neither is ever below 0", s.partition, s.offset)
	case number:
		return admin.Target{Partition: &s.partition, Offset: &s.offset}, nil
	case s.to == "now":
		return admin.Target{Now: true}, nil
	case s.to == "beginning":
		return admin.Target{Beginning: true}, nil
	}
	t, err := time.Parse(time.RFC3339, s.to)
	if err != nil || t.Before(time.Unix(0, 0)) { // Kafka's times begin in 1970
		return admin.Target{}, fmt.Errorf("--to %q is none of now, beginning and a time such as 2026-11-22T10:00:00Z", s.to)
	}
	return admin.Target{Time: &t}, nil
}

// countPatience bounds how long is counted before a move, so that one is possible also over
// a backlog that takes minutes to read.
const countPatience = 10 * time.Second

func (s *skip) run(cmd *cobra.Command, c admin.Service, id string, t admin.Target, change admin.Change) error {
	plan := t
	plan.Within = int(countPatience / time.Second)
	if s.dry {
		plan.Within = admin.MaxPlanWithin
	}
	passages, err := c.PlanSkip(cmd.Context(), id, plan)
	if errors.Is(err, admin.CodeInvalid.Err()) {
		return usageError(fmt.Errorf("stream %q: %w", id, err))
	}
	if err != nil {
		return err
	}
	if err := printPlan(cmd.OutOrStdout(), passages, s.output); err != nil || s.dry {
		return err
	}
	if !s.yes {
		ok, err := ask(cmd, fmt.Sprintf("Move the stream %s?", id))
		if err != nil || !ok {
			return errors.Join(err, errors.New("nothing was changed"))
		}
	}
	now, err := c.SkipStream(cmd.Context(), id, t, change)
	if err != nil {
		return err
	}
	what := "moved"
	if n := len(now.Changes); n > 0 {
		what = now.Changes[n-1].What // as the record has it
	}
	return reportDeed(cmd, id, what, now, change)
}

func printPlan(out io.Writer, plan []admin.Passage, output string) error {
	switch output {
	case outputJSON:
		return printJSON(out, plan)
	case outputYAML:
		return printYAML(out, plan)
	}
	var sum admin.Passage
	t := newTable("PARTITION", "CURSOR", "TARGET", "PASSES OVER", "REPEATS")
	for _, p := range plan {
		t.row("", fmt.Sprint(p.Partition), fmt.Sprint(p.Cursor), fmt.Sprint(p.Target), events(p.Skipped, p.AtLeast && p.Target > p.Cursor), events(p.Repeated, p.AtLeast && p.Target < p.Cursor))
		sum.Skipped += p.Skipped
		sum.Repeated += p.Repeated
		sum.AtLeast = sum.AtLeast || p.AtLeast
	}
	if err := t.print(out); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "%s events of the stream are passed over, %s are sent again\n", events(sum.Skipped, sum.AtLeast), events(sum.Repeated, sum.AtLeast))
	return err
}

func events(n int64, atLeast bool) string {
	if atLeast {
		return fmt.Sprintf("at least %d", n)
	}
	return fmt.Sprint(n)
}

// interactive says whether there is somebody to ask.
func interactive(cmd *cobra.Command) bool {
	in, ok := cmd.InOrStdin().(*os.File)
	return ok && term.IsTerminal(int(in.Fd()))
}

// ask asks a question on the terminal; whatever is not yes is no.
func ask(cmd *cobra.Command, question string) (bool, error) {
	if _, err := fmt.Fprintf(cmd.ErrOrStderr(), "%s [y/N] ", question); err != nil {
		return false, err
	}
	answer := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(cmd.InOrStdin()).ReadString('\n') // what was read before an error is the answer
		answer <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case a := <-answer:
		return a == "y" || a == "yes", nil
	case <-cmd.Context().Done():
		return false, cmd.Context().Err()
	}
}
