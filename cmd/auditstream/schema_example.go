package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"
)

func newSchemaExample() *cobra.Command {
	var source schemaSource
	var output string
	cmd := &cobra.Command{
		Use:   "example ACTION[@VERSION]",
		Short: "Print a valid event of an action",
		Long: `Print a valid event of an action, with everything that its schema names, as one line of
canonical JSON that auditstream schema check and auditstream publish take. It is the same
every time. Without a version it is the latest.

  table, json  one line
  yaml         the same as YAML

Exit codes: 0 printed, 1 no example can be made of the schema, or Kafka could not be asked,
2 wrong arguments or an action that is not known.`,
		Example: `  auditstream schema example user.invite | auditstream schema check -`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			all, err := source.load(cmd.Context())
			if err != nil {
				return err
			}
			a, err := namedAction(all, args[0])
			if err != nil {
				return err
			}
			_, value, err := exampleOf(all, a)
			if err != nil {
				return err
			}
			if output == outputYAML {
				return printYAML(cmd.OutOrStdout(), json.RawMessage(value))
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", value)
			return err
		},
	}
	source.add(cmd)
	addOutput(cmd, &output)
	return cmd
}
