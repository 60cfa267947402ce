package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"

	"github.com/spf13/cobra"

	"github.com/auditstream/auditstream/internal/ndjson"
	"github.com/auditstream/auditstream/producer/workos"
	"github.com/auditstream/auditstream/schema"
	"github.com/auditstream/auditstream/schema/registry"
)

func newSchema() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "schema",
		Short: "Work with the schema of audit events",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newSchemaCheck(), newSchemaDiff(), newSchemaExample(), newSchemaList(), newSchemaRegister(), newSchemaShow())
	return cmd
}

func newSchemaCheck() *cobra.Command {
	var pattern, output, unknown string
	var requireOrganization, envelope bool
	var source schemaSource
	cmd := &cobra.Command{
		Use:   "check FILE|-",
		Short: "Check audit events, one JSON object a line",
		Long: `Check audit events, one JSON object a line (NDJSON), without sending them anywhere.

Lines may be what auditstream publish takes: audit events with names in snake_case or
camelCase, and WorkOS Events, which are checked as the audit events that they become.
Blank lines are passed over. Events are checked against the schemas of their actions, and
metadata against the limits of WorkOS; --envelope looks at neither. Every violation is
printed to standard output:

  table  FILE:LINE: /pointer: code: message
  json   {"file","line","pointer","code","message"}, one object a line

A warning is printed likewise, with "warning: " before its code or "warning": true; an
event with nothing else is valid.

An event without organization_id is valid here, because publishing can give it one;
--require-organization says otherwise.

Exit codes: 0 every event is valid, 1 some are not, 2 the file could not be read.`,
		Example: `  auditstream schema check events.ndjson
  auditstream schema example user.invite | auditstream schema check -`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError(errors.New("give one FILE, or - for standard input; see auditstream schema check --help"))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			c := eventCheck{
				file:      args[0],
				validator: schema.Validator{OrganizationOptional: !requireOrganization},
			}
			policy := registry.Policy(unknown)
			if !slices.Contains(registry.Policies(), policy) {
				return usageError(fmt.Errorf("--unknown %q is unknown; there are: accept, warn, reject", unknown))
			}
			switch output {
			case "table":
				c.print = printViolation(cmd.OutOrStdout())
			case "json":
				enc := json.NewEncoder(cmd.OutOrStdout())
				enc.SetEscapeHTML(false)
				c.print = enc.Encode
			default:
				return usageError(fmt.Errorf("--output %q is unknown; there are: table, json", output))
			}
			if pattern != "" {
				var err error
				if c.validator.OrganizationPattern, err = regexp.Compile(pattern); err != nil {
					return usageError(fmt.Errorf("--organization-pattern: %w", err))
				}
			}
			if !envelope {
				all, err := source.load(cmd.Context())
				if err != nil {
					return err
				}
				if c.known, err = registry.New(registry.Config{Validator: c.validator, Unknown: policy}, all); err != nil {
					return err
				}
			}
			input, _, err := openInput(cmd, args[0])
			if err != nil {
				return usageError(err)
			}
			err = c.run(cmd.Context(), input)
			if err = errors.Join(err, input.Close()); err != nil {
				return &exitError{exitFailed, err}
			}
			cmd.PrintErrf("%d valid, %d invalid\n", c.valid, c.invalid)
			if c.invalid > 0 {
				return &exitError{exitFailed, nil} // each violation has been told
			}
			return nil
		},
	}
	source.add(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&envelope, "envelope", false, "check the envelope only")
	flags.StringVar(&unknown, "unknown", "accept", "actions and versions without a schema: accept, warn or `reject` them")
	flags.BoolVar(&requireOrganization, "require-organization", false, "an event without organization_id is invalid")
	flags.StringVar(&pattern, "organization-pattern", "", "regular expression for organization_id (default ^org_[A-Z0-9]{26}$)")
	flags.StringVarP(&output, "output", "o", "table", "how to print violations: table or json")
	return cmd
}

// eventCheck checks a stream of events in the memory of one line.
type eventCheck struct {
	file           string
	validator      schema.Validator
	known          *registry.Registry // nil: only the envelope is checked
	print          func(v any) error  // of a lineViolation
	valid, invalid int
}

// lineViolation is a violation and where its event stands.
type lineViolation struct {
	File string `json:"file"`
	Line int    `json:"line"` // from 1
	schema.Violation
	Warning bool `json:"warning,omitempty"`
}

func printViolation(w io.Writer) func(any) error {
	return func(v any) error {
		l, _ := v.(lineViolation)
		if l.Warning {
			l.Code = "warning: " + l.Code
		}
		_, err := fmt.Fprintf(w, "%s:%d: %s\n", l.File, l.Line, l.Violation)
		return err
	}
}

// run checks every line of input, and stops at an error of input, of the output, or when
// ctx ends.
func (c *eventCheck) run(ctx context.Context, input io.Reader) error {
	lines := ndjson.NewReader(input, ndjson.MaxLine)
	for ctx.Err() == nil {
		line, err := lines.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		var violations, warnings schema.Violations
		if tooLong, ok := errors.AsType[*ndjson.TooLongError](err); ok {
			violations = schema.Violations{{Code: schema.CodeTooLarge, Message: tooLong.Error()}}
		} else if err != nil {
			return fmt.Errorf("%s, after line %d: %w", c.file, lines.Line(), err)
		} else {
			found := c.check(line)
			violations, warnings = found.Violations, found.Warnings
		}
		for _, v := range warnings {
			if err := c.print(lineViolation{c.file, lines.Line(), v, true}); err != nil {
				return err
			}
		}
		if len(violations) == 0 {
			c.valid++
			continue
		}
		c.invalid++
		for _, v := range violations {
			if err := c.print(lineViolation{c.file, lines.Line(), v, false}); err != nil {
				return err
			}
		}
	}
	return context.Cause(ctx)
}

func (c *eventCheck) check(line []byte) registry.Result {
	if !workos.IsEvent(line) {
		if c.known == nil {
			return registry.Result{Violations: c.validator.Check(line)}
		}
		return c.known.Check(line)
	}
	event, err := workos.Convert(line, "")
	switch violations, ok := errors.AsType[schema.Violations](err); {
	case ok:
		return registry.Result{Violations: violations}
	case err != nil:
		return registry.Result{Violations: schema.Violations{{Code: schema.CodeSyntax, Message: err.Error()}}}
	case c.known == nil:
		return registry.Result{Violations: c.validator.Validate(event)}
	}
	return c.known.Validate(event)
}
