package main

import (
	"slices"

	"github.com/spf13/cobra"

	"github.com/auditstream/auditstream/schema/catalogue"
)

// completeFlag offers the ids of streams for a flag.
func (f *streamFlags) completeFlag(cmd *cobra.Command, _ []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return f.complete(cmd, nil, toComplete)
}

// completeAction offers the actions of the catalogue.
func completeAction(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	known, err := catalogue.Embedded()
	if err != nil {
		cobra.CompDebugln(err.Error(), false)
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []cobra.Completion
	for _, a := range known.Actions() {
		if name := cobra.CompletionWithDesc(a.Name, a.Title); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
