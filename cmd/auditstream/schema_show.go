package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/internal/app"
	"github.com/auditstream/auditstream/schema"
	"github.com/auditstream/auditstream/schema/catalogue"
	"github.com/auditstream/auditstream/schema/registry"
)

func newSchemaShow() *cobra.Command {
	var source schemaSource
	var output, as string
	cmd := &cobra.Command{
		Use:   "show ACTION[@VERSION]",
		Short: "Show an action: what it means, what its events hold, what SIEMs call it",
		Long: `Show an action: what it means, what its events hold, and what it is called in OCSF, ECS
and CEF. Without a version the latest is shown.

--as shows an example event instead, as a destination gets it whose stream has that format:
workos, ocsf (or ocsf-1.4.0 to ocsf-1.8.0), ecs, cef.

Exit codes: 0 shown, 1 Kafka could not be asked or there is no example, 2 wrong arguments
or an action that is not known.`,
		Example: `  auditstream schema show user.invite
  auditstream schema show user.invite@1 -o json
  auditstream schema show auth.login.failure --as ocsf`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			if as != "" && !slices.Contains(config.Formats(), as) {
				return usageError(fmt.Errorf("--as %q is unknown; there are: %s", as, strings.Join(config.Formats(), ", ")))
			}
			all, err := source.load(cmd.Context())
			if err != nil {
				return err
			}
			a, err := namedAction(all, args[0])
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if as != "" {
				return printAs(out, all, a, as, output)
			}
			switch output {
			case outputJSON:
				return printJSON(out, a)
			case outputYAML:
				return printYAML(out, a)
			}
			return printAction(out, a)
		},
	}
	source.add(cmd)
	addOutput(cmd, &output)
	cmd.Flags().StringVar(&as, "as", "", "show an example in this `FORMAT`")
	_ = cmd.RegisterFlagCompletionFunc("as", cobra.FixedCompletions(config.Formats(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// exampleOf is an example of an action, and its canonical form.
func exampleOf(all *catalogue.Catalogue, a *catalogue.Action) (*schema.Event, []byte, error) {
	known, err := registry.New(registry.Config{}, all)
	if err != nil {
		return nil, nil, err
	}
	e, err := known.Example(a)
	if err != nil {
		return nil, nil, err
	}
	value, err := e.AppendCanonical(nil)
	return e, value, err
}

func printAs(out io.Writer, all *catalogue.Catalogue, a *catalogue.Action, as, output string) error {
	e, value, err := exampleOf(all, a)
	if err != nil {
		return err
	}
	f, err := app.FormatNamed(as, all.Action)
	if err != nil {
		return err
	}
	text := false
	if f != nil {
		if value, err = f.Append(nil, e, 0); err != nil {
			return err
		}
		text = f.Text
	}
	switch {
	case text && output == outputTable:
		_, err = fmt.Fprintf(out, "%s\n", value)
		return err
	case text:
		value = schema.AppendText(nil, value)
	}
	if output == outputYAML {
		return printYAML(out, json.RawMessage(value))
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, value, "", "  "); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s\n", indented.Bytes())
	return err
}

// printAction writes an action for people.
func printAction(out io.Writer, a *catalogue.Action) error {
	var b bytes.Buffer
	p := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }
	p("%s, version %d: %s\n", a.Name, a.Version, a.Title)
	if a.Description != "" {
		p("%s\n", a.Description)
	}
	outcome := string(a.Outcome)
	if a.OutcomeFrom != "" {
		outcome = "as metadata." + a.OutcomeFrom + " says, else " + outcome
	}
	p("\n  %-10s %s\n  %-10s %s\n  %-10s %s\n", "family", a.Family, "severity", catalogue.SeverityOf(a), "outcome", outcome)
	if o := a.OCSF; o != nil {
		p("  %-10s %s\n", "OCSF", strings.TrimSpace(fmt.Sprintf("class %d, activity %d %s", o.Class, o.Activity, o.ActivityName)))
	}
	if e := a.ECS; e != nil {
		p("  %-10s category %s, type %s\n", "ECS", strings.Join(e.Category, ", "), strings.Join(e.Type, ", "))
	}
	if c := a.CEF; c != nil {
		p("  %-10s %s, severity %d\n", "CEF", c.Name, c.Severity)
	}
	p("\nTargets\n")
	for _, t := range a.Targets {
		if t.Type == catalogue.AnyTarget {
			p("  any other\n")
			continue
		}
		what := ""
		if t.Required {
			what += ", required"
		}
		if t.Named {
			what += ", with a name"
		}
		p("  %s%s\n", t.Type, what)
		printMembers(p, "    ", t.Metadata)
	}
	if len(a.Targets) == 0 {
		p("  none\n")
	}
	for _, part := range []struct {
		title string
		text  json.RawMessage
	}{{"Actor metadata", a.Actor}, {"Metadata", a.Metadata}} {
		p("\n%s\n", part.title)
		printMembers(p, "  ", part.text)
	}
	_, err := out.Write(b.Bytes())
	return err
}

// printMembers writes what a schema says of the members of an object; the schema itself is
// what -o json shows.
func printMembers(p func(format string, args ...any), indent string, text json.RawMessage) {
	var s struct {
		Required   []string                   `json:"required"`
		Properties map[string]json.RawMessage `json:"properties"`
	}
	if text == nil || json.Unmarshal(text, &s) != nil || len(s.Properties) == 0 {
		p("%sanything\n", indent)
		return
	}
	names := make([]string, 0, len(s.Properties))
	width := 0
	for name := range s.Properties {
		names = append(names, name)
		width = max(width, len(name))
	}
	slices.Sort(names)
	for _, name := range names {
		var m struct {
			Type        any    `json:"type"`
			Description string `json:"description"`
		}
		_ = json.Unmarshal(s.Properties[name], &m)
		words := []string{typeText(m.Type)}
		if slices.Contains(s.Required, name) {
			words = append(words, "required")
		}
		line := strings.Join(words, ", ")
		if m.Description != "" {
			line += ". " + m.Description
		}
		p("%s%-"+strconv.Itoa(width)+"s  %s\n", indent, printable(name), printable(line))
	}
}

func typeText(t any) string {
	switch t := t.(type) {
	case string:
		return t
	case []any:
		words := make([]string, len(t))
		for i := range t {
			words[i] = fmt.Sprint(t[i])
		}
		return strings.Join(words, " or ")
	}
	return "anything"
}
