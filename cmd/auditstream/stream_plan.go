package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/auditstream/auditstream/admin"
)

func newStreamPlan() *cobra.Command {
	var f controlFlags
	var p planning
	output := outputTable
	cmd := &cobra.Command{
		Use:   "plan --config FILE STREAMS",
		Short: "Say what applying a file of streams would change",
		Long: `Say what "auditstream stream apply" would do with a file of streams, and do nothing: which
streams it would make, change or delete, setting by setting, and what becomes of each one's
cursor.

` + streamsFile + `

Exit codes: 0 the streams are as the file says; 1 they differ; 2 wrong arguments, or the
file is not valid; 3 it cannot be told, because Kafka does not answer, or a stream belongs to
the configuration file of a process.`,
		Example: `  auditstream stream plan --config auditstream.yaml streams.yaml
  auditstream stream plan --config auditstream.yaml --prune --drop -o json - < streams.yaml`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := errors.Join(checkOutput(output), p.check()); err != nil {
				return usageError(err)
			}
			streams, err := readStreams(cmd, args[0])
			if err != nil {
				return err
			}
			var plans *planned
			err = f.with(cmd.Context(), func(s admin.Service) error {
				plans, err = p.plan(cmd.Context(), s, streams)
				return err
			})
			if err == nil {
				err = plans.print(cmd.OutOrStdout(), output)
			}
			switch {
			case isUsage(err):
				return err
			case err != nil:
				return &exitError{exitUntold, err}
			case plans.differ():
				return &exitError{exitFailed, nil}
			}
			return nil
		},
	}
	f.add(cmd)
	p.add(cmd)
	addOutput(cmd, &output)
	return cmd
}

// streamsFile says what a file of streams is.
const streamsFile = `STREAMS is a file, or - for what is piped in: whole configurations, lists of streams, or
single streams, each as they stand under streams: in a configuration; several YAML documents
may follow each other. JSON is YAML. Secrets are {value: …}, which is sealed before it is
written anywhere, {sealed: true}, which keeps the one that the stream has, or named as in a
configuration, {env: NAME}, {file: PATH}, {exec: [PROGRAM]}: these are read here, by this
command, and go to the API as values.`

func isUsage(err error) bool {
	exit, ok := errors.AsType[*exitError](err)
	return ok && exit.code == exitUsage
}

// print writes what would change.
func (p *planned) print(out io.Writer, output string) error {
	switch output {
	case outputJSON:
		return printJSON(out, p)
	case outputYAML:
		return printYAML(out, p)
	}
	var b bytes.Buffer
	for _, plan := range p.Streams {
		fmt.Fprintf(&b, "%s: %s\n", plan.ID, actionText(plan.Action))
		for _, c := range plan.Changes {
			fmt.Fprintf(&b, "  %s\n", changeText(c))
		}
		if plan.Action != "none" {
			fmt.Fprintf(&b, "  cursor: %s\n", plan.Cursor)
		}
	}
	for _, d := range p.Deletions {
		fmt.Fprintf(&b, "%s: is to be deleted\n  cursor: %s\n", d.ID, d.Cursor)
	}
	if len(p.Streams)+len(p.Deletions) == 0 {
		b.WriteString("no streams\n")
	}
	_, err := out.Write(b.Bytes())
	return err
}

func actionText(action string) string {
	switch action {
	case "create":
		return "is to be made"
	case "update":
		return "is to be changed"
	}
	return "is as it should be"
}

// changeText is one setting that would change.
func changeText(c admin.PlanChange) string {
	switch {
	case c.From == nil:
		return fmt.Sprintf("+ %s: %s", c.Pointer, valueText(c.To))
	case c.To == nil:
		return fmt.Sprintf("- %s: %s", c.Pointer, valueText(c.From))
	}
	return fmt.Sprintf("~ %s: %s -> %s", c.Pointer, valueText(c.From), valueText(c.To))
}

// valueText is a value as a person writes it: encoders of JSON escape what HTML would take
// amiss, such as the && of a filter.
func valueText(v admin.Document) string {
	return printable(strings.NewReplacer(`\u0026`, "&", `\u003c`, "<", `\u003e`, ">").Replace(string(v)))
}

// summary is what a plan comes to, in a line.
func (p *planned) summary() string {
	count := map[string]int{"delete": len(p.Deletions)}
	for _, plan := range p.Streams {
		count[plan.Action]++
	}
	var texts []string
	for _, t := range []struct{ action, text string }{{"create", "make"}, {"update", "change"}, {"delete", "delete"}} {
		if n := count[t.action]; n > 0 {
			texts = append(texts, fmt.Sprintf("%s %d", t.text, n))
		}
	}
	return strings.Join(texts, ", ")
}
