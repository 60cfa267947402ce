package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"

	"github.com/spf13/cobra"

	"github.com/auditstream/auditstream/internal/ndjson"
	"github.com/auditstream/auditstream/producer/workos"
	"github.com/auditstream/auditstream/schema"
)

func newSchema() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "schema",
		Short: "Work with the schema of audit events",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newSchemaCheck())
	return cmd
}

func newSchemaCheck() *cobra.Command {
	var pattern, output string
	var requireOrganization bool
	cmd := &cobra.Command{
		Use:   "check FILE|-",
		Short: "Check audit events, one JSON object a line",
		Long: `Check audit events, one JSON object a line (NDJSON), without sending them anywhere.

Lines may be what auditstream publish takes: audit events with names in snake_case or
camelCase, and WorkOS Events, which are checked as the audit events that they become.
Blank lines are passed over. Every violation is printed to standard output:

  table  FILE:LINE: /pointer: code: message
  json   {"file","line","pointer","code","message"}, one object a line

An event without organization_id is valid here, because publishing can give it one;
--require-organization says otherwise.

Exit codes: 0 every event is valid, 1 some are not, 2 the file could not be read.`,
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
	flags := cmd.Flags()
	flags.BoolVar(&requireOrganization, "require-organization", false, "an event without organization_id is invalid")
	flags.StringVar(&pattern, "organization-pattern", "", "regular expression for organization_id (default ^org_[A-Z0-9]{26}$)")
	flags.StringVarP(&output, "output", "o", "table", "how to print violations: table or json")
	return cmd
}

// eventCheck checks a stream of events in the memory of one line.
type eventCheck struct {
	file           string
	validator      schema.Validator
	print          func(v any) error // of a lineViolation
	valid, invalid int
}

// lineViolation is a violation and where its event stands.
type lineViolation struct {
	File string `json:"file"`
	Line int    `json:"line"` // from 1
	schema.Violation
}

func printViolation(w io.Writer) func(any) error {
	return func(v any) error {
		l, _ := v.(lineViolation)
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
		var violations schema.Violations
		if tooLong, ok := errors.AsType[*ndjson.TooLongError](err); ok {
			violations = schema.Violations{{Code: schema.CodeTooLarge, Message: tooLong.Error()}}
		} else if err != nil {
			return fmt.Errorf("%s, after line %d: %w", c.file, lines.Line(), err)
		} else {
			violations = c.check(line)
		}
		if len(violations) == 0 {
			c.valid++
			continue
		}
		c.invalid++
		for _, v := range violations {
			if err := c.print(lineViolation{c.file, lines.Line(), v}); err != nil {
				return err
			}
		}
	}
	return context.Cause(ctx)
}

func (c *eventCheck) check(line []byte) schema.Violations {
	if !workos.IsEvent(line) {
		return c.validator.Check(line)
	}
	event, err := workos.Convert(line, "")
	if violations, ok := errors.AsType[schema.Violations](err); ok {
		return violations
	}
	if err != nil {
		return schema.Violations{{Code: schema.CodeSyntax, Message: err.Error()}}
	}
	return c.validator.Validate(event)
}
