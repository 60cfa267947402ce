package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/internal/app"
	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/all"
)

func newStreamTest() *cobra.Command {
	var f streamFlags
	var only []string
	var output string
	within := 5 * time.Minute
	cmd := &cobra.Command{
		Use:   "test FILE | test --config FILE STREAM",
		Short: "Write one marked event to a destination, and show each step",
		Long: `Write one marked event to a destination, and show each step: the name looked up, the
connection, the certificate, the credentials, the write, and where there is one the
acknowledgement; the request as it was sent, secrets masked; the answer; and of a step that
failed what there is to mend.

  test FILE                  every stream of a configuration, without Kafka; before it is in force
  test --config FILE STREAM  one stream as it is in force

The event's action is ` + app.TestAction + `. It passes by Kafka: no progress, cursor or count
of the stream changes, and a stream that is paused or held can be tested too.

  table  for people
  json   one object a line for each stream
  yaml   a list

Exit codes: 0 every destination took its event, 1 one did not, or Kafka could not be asked,
2 wrong arguments or configuration.`,
		Example: `  auditstream stream test auditstream.yaml --stream acme-splunk
  auditstream stream test --config auditstream.yaml acme-splunk`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			if within <= 0 {
				return usageError(fmt.Errorf("--within %s is no time to wait", within))
			}
			c, specs, err := f.toTest(cmd.Context(), args[0], only)
			if err != nil {
				return err
			}
			return testStreams(cmd, c, specs, output, within)
		},
		ValidArgsFunction: f.completeOrFile,
	}
	f.add(cmd)
	delete(cmd.Flags().Lookup("config").Annotations, cobra.BashCompOneRequiredFlag) // FILE says it too
	cmd.Flags().StringSliceVar(&only, "stream", nil, "of FILE only the stream with this `ID`; may be repeated")
	cmd.Flags().DurationVar(&within, "within", within, "how long a test may take")
	addOutput(cmd, &output)
	return cmd
}

// completeOrFile offers files while no configuration says which streams there are.
func (f *streamFlags) completeOrFile(cmd *cobra.Command, args []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if f.config == "" && len(args) == 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return f.complete(cmd, args, toComplete)
}

// toTest finds out what name means: a file, or a stream of the cluster.
func (f *streamFlags) toTest(ctx context.Context, name string, only []string) (*config.Config, []consumer.Spec, error) {
	if f.config == "" {
		c, err := config.Load(name, all.Kinds())
		if errors.Is(err, os.ErrNotExist) {
			return nil, nil, usageError(fmt.Errorf("%w; a stream by its id is tested with --config FILE", err))
		}
		if err != nil {
			return nil, nil, usageError(err)
		}
		specs, err := chosen(c.Streams, only)
		if err == nil && len(specs) == 0 {
			err = fmt.Errorf("%s lists no streams", name)
		}
		if err != nil {
			return nil, nil, usageError(err)
		}
		return c, specs, nil
	}
	if len(only) > 0 {
		return nil, nil, usageError(errors.New("--stream goes with a FILE; with --config the stream is the argument"))
	}
	c, err := f.load()
	if err != nil {
		return nil, nil, err
	}
	var spec consumer.Spec
	err = f.with(ctx, func(o *app.Operator) error {
		spec, err = o.Spec(ctx, name)
		return err
	})
	return c, []consumer.Spec{spec}, err
}

// chosen are the streams with the ids of only, or all.
func chosen(streams []config.Stream, only []string) ([]consumer.Spec, error) {
	var specs []consumer.Spec
	var ids []string
	left := map[string]bool{}
	for _, id := range only {
		left[id] = true
	}
	for _, s := range streams {
		ids = append(ids, s.ID)
		if len(only) == 0 || left[s.ID] {
			specs = append(specs, app.SpecOf(s))
			delete(left, s.ID)
		}
	}
	for _, id := range only {
		if left[id] {
			return nil, &app.NoStreamError{ID: id, Near: config.Closest(id, ids)}
		}
	}
	return specs, nil
}

// testedStream is what is printed of one with -o json or yaml.
type testedStream struct {
	Stream  string       `json:"stream"`
	Kind    string       `json:"kind"`
	OK      bool         `json:"ok"`
	EventID string       `json:"event_id,omitempty"`
	Class   string       `json:"class,omitempty"` // of the error
	Error   string       `json:"error,omitempty"`
	Steps   []testedStep `json:"steps,omitempty"`
}

type testedStep struct {
	Step   string  `json:"step"`
	OK     bool    `json:"ok"`
	TookMS float64 `json:"took_ms,omitempty"`
	Detail string  `json:"detail,omitempty"`
	Error  string  `json:"error,omitempty"`
	Sent   string  `json:"sent,omitempty"`
	Answer string  `json:"answer,omitempty"`
}

func testStreams(cmd *cobra.Command, c *config.Config, specs []consumer.Spec, output string, within time.Duration) error {
	out := cmd.OutOrStdout()
	var list []testedStream
	failed := 0
	for _, spec := range specs {
		ctx, cancel := context.WithTimeout(cmd.Context(), within)
		tested, err := testStream(ctx, out, c, spec, output)
		cancel()
		if err != nil {
			return err
		}
		if !tested.OK {
			failed++
		}
		if output == outputJSON {
			encoder := json.NewEncoder(out)
			encoder.SetEscapeHTML(false)
			if err := encoder.Encode(tested); err != nil {
				return err
			}
		}
		list = append(list, tested)
		if cmd.Context().Err() != nil {
			break
		}
	}
	if output == outputYAML {
		if err := printYAML(out, list); err != nil {
			return err
		}
	}
	if failed > 0 || len(list) < len(specs) {
		return &exitError{exitFailed, fmt.Errorf("%d of %d streams tested have failed", failed, len(list))}
	}
	return nil
}

// testStream tests one; for people each step is shown as soon as it ends. An error is one of
// the output.
func testStream(ctx context.Context, out io.Writer, c *config.Config, spec consumer.Spec, output string) (testedStream, error) {
	tested := testedStream{Stream: spec.ID, Kind: spec.Kind}
	var written error
	show := func(text string) {
		if output == outputTable && written == nil {
			_, written = io.WriteString(out, text)
		}
	}
	show(fmt.Sprintf("%s (%s)\n", spec.ID, spec.Kind))
	reported := false // the last step tells the error
	id, err := app.StreamTest{Config: c, Spec: spec, Version: versionString()}.Run(ctx, func(s sinks.Step) {
		step := testedStep{
			Step: s.Name, OK: s.Err == nil, TookMS: float64(s.Took.Round(10*time.Microsecond)) / float64(time.Millisecond),
			Detail: s.Detail, Sent: s.Sent, Answer: s.Answer,
		}
		if s.Err != nil {
			step.Error, reported = s.Err.Error(), true
		}
		tested.Steps = append(tested.Steps, step)
		show(stepText(step))
	})
	tested.EventID, tested.OK = id, err == nil
	switch {
	case err != nil:
		tested.Error = err.Error()
		if e, ok := errors.AsType[*sinks.Error](err); ok {
			tested.Class = e.Class.String()
		}
		if !reported {
			show(stepText(testedStep{Step: "settings", Error: tested.Error}))
		}
	default:
		show(fmt.Sprintf("  the destination has the event %s\n", id))
	}
	show("\n")
	return tested, written
}

// stepText is a step as people read it.
func stepText(s testedStep) string {
	mark, text := "ok", s.Detail
	if !s.OK {
		mark, text = "FAILED", s.Error
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "  %-6s  %-11s  %s", mark, s.Step, printable(text))
	if s.TookMS > 0 {
		fmt.Fprintf(&b, " (%.4gms)", s.TookMS)
	}
	b.WriteByte('\n')
	for _, part := range []struct{ name, text string }{{"sent", s.Sent}, {"answered", s.Answer}} {
		if part.text == "" {
			continue
		}
		fmt.Fprintf(&b, "    %s:\n", part.name)
		for line := range strings.Lines(part.text) {
			fmt.Fprintf(&b, "      %s\n", printable(strings.TrimRight(line, "\r\n")))
		}
	}
	return b.String()
}
