package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/auditstream/auditstream/internal/units"
	"github.com/auditstream/auditstream/schema/catalogue"
	"github.com/auditstream/auditstream/schema/registry"
)

func newSchemaDiff() *cobra.Command {
	var source schemaSource
	var output string
	var allow bool
	cmd := &cobra.Command{
		Use:   "diff OLD NEW | diff FILE",
		Short: "Say what a change of a schema breaks, and for whom",
		Long: `Say what a change of a schema breaks, and for whom. OLD and NEW are each ACTION,
ACTION@VERSION, or a file with one action. With a FILE alone, its actions are compared
with the latest versions that are known.

Writers break where events that were valid are not any more: a member newly required, a
narrowed type or enum, a target type removed. Readers break where something that they
relied upon may be missing or of another type: a member removed, no longer required, or
widened. Places are JSON pointers into the action.

  table  ACTION: /pointer: what changed (breaks whom)
  json   {"action","pointer","breaks","message"}, one object a line

Exit codes: 0 nothing breaks, or --allow-breaking, 1 something breaks, 2 wrong arguments.`,
		Example: `  auditstream schema diff user.invite@1 user.invite@2
  auditstream schema diff --config auditstream.yaml my-actions.json`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			all, err := source.load(cmd.Context())
			if err != nil {
				return err
			}
			pairs, err := pairsOf(all, args)
			if err != nil {
				return err
			}
			var changes []actionChange
			for _, pair := range pairs {
				found, err := registry.Compare(pair[0], pair[1])
				if err != nil {
					return usageError(err)
				}
				for _, c := range found {
					changes = append(changes, actionChange{pair[1].Name, c})
				}
			}
			if err := printChanges(cmd.OutOrStdout(), changes, output); err != nil {
				return err
			}
			breaking := 0
			for _, c := range changes {
				if c.Breaks != registry.Nobody {
					breaking++
				}
			}
			cmd.PrintErrf("%s, %d breaking\n", units.Count(len(changes), "change", "changes"), breaking)
			if breaking > 0 && !allow {
				return &exitError{exitFailed, nil} // each change has been told
			}
			return nil
		},
	}
	source.add(cmd)
	addOutput(cmd, &output)
	cmd.Flags().BoolVar(&allow, "allow-breaking", false, "exit with 0 whatever breaks")
	return cmd
}

// actionChange is a change, and of which action.
type actionChange struct {
	Action string `json:"action"`
	registry.Change
}

func printChanges(w io.Writer, changes []actionChange, output string) error {
	switch output {
	case outputYAML:
		if changes == nil {
			changes = []actionChange{}
		}
		return printYAML(w, changes)
	case outputJSON:
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		for _, c := range changes {
			if err := enc.Encode(c); err != nil {
				return err
			}
		}
		return nil
	}
	for _, c := range changes {
		if _, err := fmt.Fprintf(w, "%s: %s\n", c.Action, printable(c.String())); err != nil {
			return err
		}
	}
	return nil
}

// pairsOf are the actions to compare: each an old and a new one. An action that is new has
// nothing to break.
func pairsOf(all *catalogue.Catalogue, args []string) ([][2]*catalogue.Action, error) {
	if len(args) == 2 {
		before, errOld := oneAction(all, args[0])
		after, errNew := oneAction(all, args[1])
		return [][2]*catalogue.Action{{before, after}}, cmp.Or(errOld, errNew)
	}
	actions, err := readActions(args[0])
	if err != nil {
		return nil, err
	}
	var pairs [][2]*catalogue.Action
	for _, a := range actions {
		if latest := all.Action(a.Name, 0); latest != nil {
			pairs = append(pairs, [2]*catalogue.Action{latest, a})
		}
	}
	return pairs, nil
}

// oneAction is an action by its name, or that of a file.
func oneAction(all *catalogue.Catalogue, arg string) (*catalogue.Action, error) {
	if _, err := os.Stat(arg); errors.Is(err, fs.ErrNotExist) {
		return namedAction(all, arg)
	}
	actions, err := readActions(arg)
	if err != nil {
		return nil, err
	}
	if len(actions) != 1 {
		return nil, usageError(fmt.Errorf("%s holds %s; give a file with one", arg, units.Count(len(actions), "action", "actions")))
	}
	return actions[0], nil
}
