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

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/internal/app"
	"github.com/auditstream/auditstream/internal/units"
	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/all"
)

func newStreamTest() *cobra.Command {
	var f controlFlags
	var only []string
	var output, actor string
	within := 5 * time.Minute
	cmd := &cobra.Command{
		Use:   "test FILE | test (--config FILE | --server URL) STREAM",
		Short: "Write one marked event to a destination, and show each step",
		Long: `Write one marked event to a destination, and show each step: the name looked up, the
connection, the certificate, the credentials, the write, and where there is one the
acknowledgement; the request as it was sent, secrets masked; the answer; and of a step that
failed what there is to mend.

  test FILE                  every stream of a configuration, without Kafka; before it is in force
  test --config FILE STREAM  one stream as it is in force, from this machine
  test --server URL STREAM   the same, from the server's

The event's action is ` + app.TestAction + `. It passes by Kafka: no progress, cursor or count
of the stream changes, and a stream that is paused or held can be tested too. That a
stream in force was tested, and by whom, is published as an audit event.

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
			if f.file(args[0]) {
				tests, err := testsOf(args[0], only)
				if err != nil {
					return err
				}
				return runTests(cmd, tests, output, within)
			}
			if len(only) > 0 {
				return usageError(errors.New("--stream goes with a FILE; with --config or --server the stream is the argument"))
			}
			if err := f.signs(cmd, "actor"); err != nil {
				return usageError(err)
			}
			return f.with(cmd.Context(), func(s admin.Service) error {
				st, err := s.Stream(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				test := streamTest{st.ID, st.Kind, func(ctx context.Context, step func(sinks.Step)) (string, error) {
					return s.TestStream(ctx, args[0], admin.Change{By: actor}, step)
				}}
				return runTests(cmd, []streamTest{test}, output, within)
			})
		},
		ValidArgsFunction: f.completeOrFile,
	}
	f.add(cmd)
	cmd.Flags().StringVar(&actor, "actor", whoami(), "`WHO` does it; stays on record")
	cmd.Flags().StringSliceVar(&only, "stream", nil, "of FILE only the stream with this `ID`; may be repeated")
	cmd.Flags().DurationVar(&within, "within", within, "how long a test may take")
	addOutput(cmd, &output)
	return cmd
}

// file says whether an argument that may be a file or a stream is a file: where nobody is
// named who knows streams, or only the environment names somebody.
func (f *controlFlags) file(name string) bool {
	if f.config != "" || f.server != os.Getenv(envServer) {
		return false
	}
	if f.server == "" || name == "-" {
		return true
	}
	_, err := os.Stat(name)
	return err == nil
}

// streamTest is one stream's test.
type streamTest struct {
	id, kind string
	run      func(ctx context.Context, step func(sinks.Step)) (eventID string, err error)
}

// testsOf are the tests of the streams of a file.
func testsOf(name string, only []string) ([]streamTest, error) {
	c, err := config.Load(name, all.Kinds())
	if errors.Is(err, os.ErrNotExist) {
		return nil, usageError(fmt.Errorf("%w; a stream by its id is tested with --config FILE or --server URL", err))
	}
	if err != nil {
		return nil, usageError(err)
	}
	specs, err := chosen(c.Streams, only)
	if err == nil && len(specs) == 0 {
		err = fmt.Errorf("%s lists no streams", name)
	}
	if err != nil {
		return nil, usageError(err)
	}
	var tests []streamTest
	for _, spec := range specs {
		tests = append(tests, streamTest{spec.ID, spec.Kind, app.StreamTest{Config: c, Spec: spec, Version: versionString()}.Run})
	}
	return tests, nil
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

func runTests(cmd *cobra.Command, tests []streamTest, output string, within time.Duration) error {
	out := cmd.OutOrStdout()
	var list []testedStream
	failed := 0
	for _, test := range tests {
		ctx, cancel := context.WithTimeout(cmd.Context(), within)
		tested, err := runTest(ctx, out, test, output)
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
	if failed > 0 || len(list) < len(tests) {
		return &exitError{exitFailed, fmt.Errorf("%d of %s failed", failed, units.Count(len(list), "stream tested has", "streams tested have"))}
	}
	return nil
}

// runTest tests one; for people each step is shown as soon as it ends. An error is one of the
// output.
func runTest(ctx context.Context, out io.Writer, test streamTest, output string) (testedStream, error) {
	tested := testedStream{Stream: test.id, Kind: test.kind}
	var written error
	show := func(text string) {
		if output == outputTable && written == nil {
			_, written = io.WriteString(out, text)
		}
	}
	show(fmt.Sprintf("%s (%s)\n", test.id, test.kind))
	reported := false // the last step tells the error
	id, err := test.run(ctx, func(s sinks.Step) {
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
