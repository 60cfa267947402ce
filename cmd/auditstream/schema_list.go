package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/auditstream/auditstream/schema/catalogue"
)

func newSchemaList() *cobra.Command {
	var source schemaSource
	var output string
	cmd := &cobra.Command{
		Use:   "list [GLOB…]",
		Short: "List the actions that have a schema",
		Long: `List the actions that have a schema, in every version: those that the binary knows, those
of a folder (--schemas), and those that are registered in a cluster (--config).

  GLOB   only actions that match one of them, as in 'user.*'

  table  one line an action
  json   one object a line, schemas included
  yaml   a list of the same

Exit codes: 0, also if there is none, 1 Kafka could not be asked, 2 wrong arguments.`,
		Example: `  auditstream schema list 'auth.*' 'sso.*'
  auditstream schema list -o json | jq -r 'select(.severity == "critical") | .action'`,
		Args: func(_ *cobra.Command, args []string) error {
			for _, glob := range args {
				if _, err := path.Match(glob, ""); err != nil {
					return fmt.Errorf("%q: %w", glob, err)
				}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			all, err := source.load(cmd.Context())
			if err != nil {
				return err
			}
			actions := slices.DeleteFunc(all.Actions(), func(a *catalogue.Action) bool {
				return len(args) > 0 && !slices.ContainsFunc(args, func(glob string) bool { ok, err := path.Match(glob, a.Name); return ok && err == nil })
			})
			err = printActions(cmd.OutOrStdout(), actions, output)
			if len(actions) == 0 {
				_, told := fmt.Fprintln(cmd.ErrOrStderr(), "no actions")
				err = errors.Join(err, told)
			}
			return err
		},
	}
	source.add(cmd)
	addOutput(cmd, &output)
	return cmd
}

func printActions(w io.Writer, actions []*catalogue.Action, output string) error {
	switch output {
	case outputYAML:
		if actions == nil {
			actions = []*catalogue.Action{}
		}
		return printYAML(w, actions)
	case outputJSON:
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		for _, a := range actions {
			if err := enc.Encode(a); err != nil {
				return err
			}
		}
		return nil
	}
	if len(actions) == 0 {
		return nil
	}
	t := newTable("ACTION", "VERSION", "SEVERITY", "OUTCOME", "FAMILY", "TITLE")
	for _, a := range actions {
		t.row("", a.Name, strconv.Itoa(a.Version), string(catalogue.SeverityOf(a)), string(a.Outcome), a.Family, a.Title)
	}
	return t.print(w)
}
