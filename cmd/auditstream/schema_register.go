package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/auditstream/auditstream/internal/app"
	"github.com/auditstream/auditstream/schema/registry"
)

func newSchemaRegister() *cobra.Command {
	var source schemaSource
	var output string
	var allow bool
	cmd := &cobra.Command{
		Use:   "register --config FILE ACTIONS.json",
		Short: "Register schemas of actions in a cluster",
		Long: `Register schemas of actions in a cluster: they are kept in the topic PREFIX.schemas. The
file holds a family of actions, or one action, in the form that schema show -o json has.

Versions never change, and their numbers in the file are not looked at: a schema that is
that of the latest version stays that version, one that differs becomes the next. What
breaks writers or readers of the version before (see auditstream schema diff) is refused,
unless --allow-breaking is given. All actions of the file are registered, or none.

Exit codes: 0 registered, 1 refused or Kafka could not be asked, 2 wrong arguments.`,
		Example: `  auditstream schema register --config auditstream.yaml my-actions.json`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			if source.config == "" {
				return usageError(errors.New("--config is required: the cluster to register in"))
			}
			actions, err := readActions(args[0])
			if err != nil {
				return err
			}
			base, err := source.files()
			if err != nil {
				return err
			}
			var done []registry.Registered
			err = source.topic(cmd.Context(), func(ctx context.Context, topic *app.Schemas) error {
				var err error
				done, err = topic.Register(ctx, base, actions, allow, whoami())
				return err
			})
			if err != nil {
				return err
			}
			list := make([]registeredAction, len(done))
			for i, r := range done {
				list[i] = registeredAction{actions[i].Name, r.Version, r.Made}
			}
			switch output {
			case outputJSON:
				return printJSON(cmd.OutOrStdout(), list)
			case outputYAML:
				return printYAML(cmd.OutOrStdout(), list)
			}
			for _, r := range list {
				what := "is version"
				if r.Made {
					what = "registered as version"
				}
				if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s %s %d\n", r.Action, what, r.Version); err != nil {
					return err
				}
			}
			return nil
		},
	}
	source.add(cmd)
	addOutput(cmd, &output)
	cmd.Flags().BoolVar(&allow, "allow-breaking", false, "register also what breaks writers or readers")
	return cmd
}

// registeredAction is what became of an action.
type registeredAction struct {
	Action  string `json:"action"`
	Version int    `json:"version"`
	Made    bool   `json:"made"` // the version is new
}
