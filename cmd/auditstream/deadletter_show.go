package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/consumer/deadletter"
	"github.com/auditstream/auditstream/internal/units"
)

func newDeadletterShow() *cobra.Command {
	var f controlFlags
	var raw bool
	output := "text"
	cmd := &cobra.Command{
		Use:   "show --config FILE PARTITION:OFFSET",
		Short: "Show everything about one dead letter",
		Long: `Show everything about one dead letter: why it was written, what the destination answered,
every violation, what was decided about it, and the record as its producer wrote it.

  text  for people: JSON is indented, what a terminal would act upon is escaped
  json  one object; the record's value as "value" if it is JSON, else in "value_base64"

With --raw the value alone is written, byte for byte.

Exit codes: 0 it was shown, 1 there is no letter at that position, or Kafka does not answer,
2 wrong arguments.`,
		Example: `  auditstream deadletter show --config auditstream.yaml 3:41
  auditstream deadletter show --config auditstream.yaml 3:41 --raw | jq .`,
		Args: cobra.ExactArgs(1),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return f.completeLetters(cmd, args, toComplete)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := deadletter.ParsePosition(args[0])
			if err != nil {
				return usageError(err)
			}
			if output != "text" && output != "json" {
				return usageError(fmt.Errorf("--output %q is unknown; there are: text, json", output))
			}
			if raw && cmd.Flags().Changed("output") {
				return usageError(errors.New("--raw and --output exclude each other"))
			}
			return f.with(cmd.Context(), func(s admin.Service) error {
				l, err := s.DeadLetter(cmd.Context(), p)
				if err != nil {
					return err
				}
				out := cmd.OutOrStdout()
				switch {
				case raw && l.Record == nil:
					return errors.New("the token may not see what events hold: that needs the role operator")
				case raw:
					_, err := out.Write(l.Record.Value)
					return err
				case output == outputJSON:
					return showJSON(out, l)
				}
				return showText(out, l)
			})
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&raw, "raw", false, "write the record's value alone, byte for byte")
	cmd.Flags().StringVarP(&output, "output", "o", output, "text or json")
	return cmd
}

// shown is what show prints with -o json.
type shown struct {
	deadletter.Letter
	State   deadletter.State  `json:"state"`
	Written int               `json:"written"`
	Marks   []deadletter.Mark `json:"marks,omitempty"`
	Record  *shownRecord      `json:"record,omitempty"` // nil: it may not be seen
}

// shownRecord is the record as its producer wrote it. Of key and value at most one form is
// set, none where the record has none.
type shownRecord struct {
	Key         *string         `json:"key,omitempty"`
	KeyBase64   []byte          `json:"key_base64,omitempty"`
	Headers     []shownHeader   `json:"headers,omitempty"`
	Value       json.RawMessage `json:"value,omitempty"`
	ValueBase64 []byte          `json:"value_base64,omitempty"`
}

type shownHeader struct {
	Name        string  `json:"name"`
	Value       *string `json:"value,omitempty"`
	ValueBase64 []byte  `json:"value_base64,omitempty"`
}

func showJSON(w io.Writer, l *admin.DeadLetter) error {
	text := func(b []byte) (*string, []byte) {
		if b == nil || !utf8.Valid(b) {
			return nil, b
		}
		return new(string(b)), nil
	}
	v := shown{Letter: l.Letter, State: l.State, Written: l.Written, Marks: l.Marks}
	if r := l.Record; r != nil {
		v.Record = &shownRecord{}
		v.Record.Key, v.Record.KeyBase64 = text(r.Key)
		for _, h := range r.Headers {
			value, other := text(h.Value)
			v.Record.Headers = append(v.Record.Headers, shownHeader{strings.ToValidUTF8(h.Key, "\uFFFD"), value, other})
		}
		if utf8.Valid(r.Value) && json.Valid(r.Value) {
			v.Record.Value = r.Value
		} else {
			v.Record.ValueBase64 = r.Value
		}
	}
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}

func showText(out io.Writer, l *admin.DeadLetter) error {
	var b bytes.Buffer
	p := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-10s  %s\n", name, printable(fmt.Sprintf(format, args...)))
	}
	p("position", "%s, written %s", l.Position, l.Time.Format(time.RFC3339))
	p("letter", "%s", l.ID)
	if l.Written > 1 {
		p("repeated", "%d more since", l.Written-1)
	}
	p("state", "%s", l.State)
	for _, m := range l.Marks {
		p("", "%s %s by %s: %s", m.At.Format(time.RFC3339), m.State, m.By, m.Reason)
	}
	p("class", "%s", l.Class)
	for i, stream := range l.Streams {
		p(first(i, "streams"), "%s (uid %s, epoch %d, revision %d%s)", stream.ID, stream.UID, stream.Epoch, stream.Revision, replayOf(stream))
	}
	p("kind", "%s", l.Kind)
	p("reason", "%s", l.Reason)
	if l.Answer != "" {
		p("answer", "%s", l.Answer)
	}
	for i, v := range l.Violations {
		p(first(i, "violations"), "%s", v)
	}
	p("attempts", "%d, the first failed %s, the last %s", l.Attempts, l.FirstFailure.Format(time.RFC3339Nano), l.LastFailure.Format(time.RFC3339Nano))
	if l.Source.TopicID == deadletter.Outside {
		p("from", "%s, received %s", l.Source.Topic, l.Source.Time.Format(time.RFC3339Nano))
	} else {
		p("from", "%s, partition %d, offset %d, appended %s (topic id %s)", l.Source.Topic, l.Source.Partition, l.Source.Offset, l.Source.Time.Format(time.RFC3339Nano), l.Source.TopicID)
	}
	r := l.Record
	if r == nil {
		p("record", "not shown: that needs the role operator")
		_, err := out.Write(b.Bytes())
		return err
	}
	if r.Key == nil {
		p("key", "none")
	} else {
		p("key", "%s", r.Key)
	}
	for i, h := range r.Headers {
		p(first(i, "headers"), "%s: %s", h.Key, h.Value)
	}
	p("value", "%s", units.Count(len(r.Value), "byte", "bytes"))
	b.WriteByte('\n')
	showValue(&b, r.Value)
	_, err := out.Write(b.Bytes())
	return err
}

// first is the name on the first line of several.
func first(i int, name string) string {
	if i == 0 {
		return name
	}
	return ""
}

// showValue writes JSON indented, other text as it is, anything else in hexadecimal.
func showValue(b *bytes.Buffer, value []byte) {
	if !utf8.Valid(value) {
		b.WriteString(hex.Dump(value))
		return
	}
	var indented bytes.Buffer
	if json.Indent(&indented, value, "", "  ") == nil {
		value = indented.Bytes()
	}
	for line := range strings.Lines(string(value)) {
		b.WriteString(printable(strings.TrimSuffix(line, "\n")) + "\n")
	}
}

// replayOf says that the letter is about an event that a replay sent.
func replayOf(s deadletter.Stream) string {
	if s.Replay == "" {
		return ""
	}
	return ", replay " + s.Replay
}
