package main

import "github.com/spf13/cobra"

func newStream() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "stream",
		Short: "See where streams stand, and manage them",
		Long: `See where streams stand, and manage them.

These commands talk to Kafka alone (--config), or to a server of the API (--server): both see
and change the same whichever process delivers, and also when none does. Processes follow a
change within a second.`,
	}
	cmd.AddCommand(
		newStreamApply(),
		newStreamDelete(),
		newStreamGet(),
		newStreamList(),
		newStreamPause(),
		newStreamPlan(),
		newStreamReplay(),
		newStreamReport(),
		newStreamResume(),
		newStreamSkip(),
		newStreamTest(),
		newStreamTry(),
	)
	return cmd
}
