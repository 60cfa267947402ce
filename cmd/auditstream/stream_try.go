package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/internal/app"
	"github.com/auditstream/auditstream/internal/ndjson"
	"github.com/auditstream/auditstream/internal/units"
	"github.com/auditstream/auditstream/sinks/all"
)

func newStreamTry() *cobra.Command {
	var f controlFlags
	var only, output string
	cmd := &cobra.Command{
		Use:   "try SPEC EVENTS | try (--config FILE | --server URL) STREAM EVENTS",
		Short: "Show what would become of events in a stream, and the bytes that would be sent",
		Long: `Show what would become of events in a stream: whether they are valid, whether organization
and actions let them pass, what the filter says and which part of it decides, what is masked,
and the exact bytes that would be sent, before compression, with secrets masked. Nothing is
sent, and for a file neither Kafka nor the network is needed.

  try SPEC EVENTS                  SPEC is a file with a stream, or with several as a
                                   configuration lists them: --stream says which
  try --config FILE STREAM EVENTS  a stream as it is in force
  try --server URL STREAM EVENTS   the same; what its mask hashes is hashed with another key,
                                   since who has the key's hashes could tell whose they are

EVENTS is a file with one event, or one a line; - is standard input.

  table  for people
  json   one object a line for each event
  yaml   a list

Exit codes: 0 every event would be sent, 1 some would not, or Kafka could not be asked,
2 wrong arguments or specification, 3 some event is not valid.`,
		Example: `  auditstream stream try stream.yaml event.json
  auditstream stream try --config auditstream.yaml acme-splunk event.json`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			events := cmd.InOrStdin()
			if args[1] != "-" {
				file, err := os.Open(args[1])
				if err != nil {
					return usageError(err)
				}
				defer file.Close() //nolint:errcheck // only read
				events = file
			}
			if f.file(args[0]) {
				try, err := triedFile(args[0], only)
				if err != nil {
					return err
				}
				return tryEvents(cmd, *try, events, output)
			}
			if only != "" {
				return usageError(errors.New("--stream goes with a SPEC; with --config or --server the stream is the argument"))
			}
			return f.with(cmd.Context(), func(s admin.Service) error {
				st, err := s.Stream(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				return tryEvents(cmd, triedStream{st.ID, st.Kind, func(ctx context.Context, event []byte) (*admin.Trial, error) {
					return s.TryStream(ctx, args[0], event)
				}}, events, output)
			})
		},
		ValidArgsFunction: f.completeOrFile,
	}
	f.add(cmd)
	cmd.Flags().StringVar(&only, "stream", "", "of SPEC the stream with this `ID`")
	addOutput(cmd, &output)
	return cmd
}

// triedStream is a stream on which events are tried.
type triedStream struct {
	id, kind string
	try      func(ctx context.Context, event []byte) (*admin.Trial, error)
}

// triedFile is a stream of a file.
func triedFile(name, only string) (*triedStream, error) {
	t := app.StreamTrial{Config: config.Defaults(), Keys: true, Version: versionString()}
	data, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, usageError(fmt.Errorf("%w; a stream by its id is tried with --config FILE or --server URL", err))
	}
	if err != nil {
		return nil, usageError(err)
	}
	streams, err := streamsIn(name, data, &t)
	if err != nil {
		return nil, usageError(err)
	}
	var ids []string
	for _, s := range streams {
		ids = append(ids, s.ID)
		if only == s.ID || only == "" && len(streams) == 1 {
			t.Spec, t.Settings = app.SpecOf(s), s.Settings
			return &triedStream{s.ID, s.Kind, func(ctx context.Context, event []byte) (*admin.Trial, error) {
				trial, err := t.Run(ctx, event)
				if err != nil {
					err = usageError(err) // the file's stream cannot be made ready
				}
				return trial, err
			}}, nil
		}
	}
	switch {
	case len(ids) == 0:
		err = fmt.Errorf("%s lists no streams", name)
	case only == "":
		err = fmt.Errorf("%s lists several streams; say which one: --stream %s", name, strings.Join(ids, ", --stream "))
	default:
		err = &app.NoStreamError{ID: only, Near: config.Closest(only, ids)}
	}
	return nil, usageError(err)
}

// streamsIn are the streams of a configuration, or of a file that has nothing but streams.
func streamsIn(name string, data []byte, t *app.StreamTrial) ([]config.Stream, error) {
	whole, err := config.Parse(name, data, all.Kinds())
	if err == nil {
		t.Config = whole
		return whole.Streams, nil
	}
	// What was meant as a whole configuration is one with Kafka in it; whatever is wrong with
	// that is told.
	var members map[string]any
	if yaml.Unmarshal(data, &members) == nil && members["kafka"] != nil {
		return nil, err
	}
	declared, err := config.ParseDeclared(name, data, all.Kinds(), t.Config.Events.OrganizationPattern)
	var streams []config.Stream
	for _, d := range declared {
		streams = append(streams, *d.Stream)
	}
	return streams, err
}

// triedEvent is what is printed of one with -o json or yaml.
type triedEvent struct {
	Line int  `json:"line"`
	Sent bool `json:"would_be_sent"`
	*admin.Trial
}

func tryEvents(cmd *cobra.Command, t triedStream, events io.Reader, output string) error {
	out := cmd.OutOrStdout()
	list, kept, invalid := []triedEvent{}, 0, 0
	one := func(line int, value []byte) error {
		trial, err := t.try(cmd.Context(), value)
		if err != nil {
			return err
		}
		tried := triedEvent{line, app.Sent(trial), trial}
		if len(trial.Violations) > 0 {
			invalid++
		} else if !tried.Sent {
			kept++
		}
		list = append(list, tried)
		switch output {
		case outputJSON:
			encoder := json.NewEncoder(out)
			encoder.SetEscapeHTML(false)
			return encoder.Encode(tried)
		case outputTable:
			_, err = io.WriteString(out, triedText(t, tried))
		}
		return err
	}
	if err := eachEvent(events, one); err != nil {
		return err
	}
	if output == outputYAML {
		if err := printYAML(out, list); err != nil {
			return err
		}
	}
	switch {
	case len(list) == 0:
		return usageError(errors.New("there is no event to try"))
	case invalid > 0:
		return &exitError{exitPartly, fmt.Errorf("%d of %s not valid", invalid, units.Count(len(list), "event is", "events are"))}
	case kept > 0:
		return &exitError{exitFailed, fmt.Errorf("%d of %s would not be sent", kept, eventsText(int64(len(list))))}
	}
	return nil
}

// maxTried bounds what is read at once: an event, however many lines it is written in.
const maxTried = 1 << 20

// eachEvent calls try for each event: one that may be written over several lines, or one a
// line.
func eachEvent(in io.Reader, try func(line int, value []byte) error) error {
	head, err := io.ReadAll(io.LimitReader(in, maxTried+1))
	if err != nil {
		return err
	}
	if trimmed := bytes.TrimSpace(head); len(head) <= maxTried && json.Valid(trimmed) {
		return try(1, trimmed)
	}
	lines := ndjson.NewReader(io.MultiReader(bytes.NewReader(head), in), maxTried)
	for {
		line, err := lines.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return usageError(err)
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		if err := try(lines.Line(), line); err != nil {
			return err
		}
	}
}

// triedText is a trial as people read it.
func triedText(s triedStream, t triedEvent) string {
	var b strings.Builder
	p := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "  %-8s  %s\n", name, printable(fmt.Sprintf(format, args...)))
	}
	verdict := func(name string, v admin.Verdict) {
		mark := "passes"
		if !v.Pass {
			mark = "stops"
		}
		p(name, "%s: %s", mark, v.Why)
	}
	fmt.Fprintf(&b, "line %d, stream %s (%s)\n", t.Line, s.id, s.kind)
	if len(t.Violations) > 0 {
		for _, v := range t.Violations {
			p("invalid", "%s", v)
		}
		p("result", "not sent: %s", t.Route.Why)
		return b.String() + "\n"
	}
	p("event", "valid")
	verdict("route", t.Route)
	if t.Filter != nil {
		verdict("filter", *t.Filter)
	}
	for _, m := range t.Masked {
		p("masked", "%s (%s)", m.Pointer, m.With)
	}
	for _, n := range t.Notes {
		p("note", "%s", n)
	}
	switch {
	case t.Refused != "":
		p("result", "not sent: %s", t.Refused)
	case !t.Sent:
		p("result", "not sent: the stream does not carry it")
	default:
		p("result", "sent, %s before compression:", units.Count(len(t.Bytes), "byte", "bytes"))
		if t.Method != "" {
			fmt.Fprintf(&b, "    %s %s\n", t.Method, printable(t.URL))
		}
		for _, name := range slices.Sorted(maps.Keys(t.Headers)) {
			fmt.Fprintf(&b, "    %s: %s\n", name, printable(t.Headers[name]))
		}
		b.WriteByte('\n')
		for line := range strings.Lines(t.Text) {
			fmt.Fprintf(&b, "    %s\n", printable(strings.TrimRight(line, "\r\n")))
		}
	}
	return b.String() + "\n"
}
