package main

import (
	"errors"
	"fmt"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/auditstream/auditstream/config"
)

// version is set by the linker for releases; it can set nothing but a variable.
var version = ""

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "auditstream",
		Short:         "Carry audit events from services to SIEMs through Kafka",
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       versionString(),
	}
	root.SetFlagErrorFunc(wrongFlag)
	root.AddCommand(
		newBench(),
		newDeadletter(),
		newDev(),
		newDoctor(),
		newExplain(),
		newGateway(),
		newIntegrity(),
		newJob(),
		newPublish(),
		newServe(),
		newSchema(),
		newSecrets(),
		newStream(),
		newTail(),
		newValidate(),
		newVerify(),
		newVersion(),
	)
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		askRightly(c)
	}
	root.Args, root.RunE = cobra.ArbitraryArgs, needsCommand
	root.SetUsageTemplate(strings.Replace(root.UsageTemplate(), "{{if .Runnable}}", "{{if and .Runnable (or .HasExample (not .HasAvailableSubCommands))}}", 1))
	return root
}

// askRightly makes every wrong way to call c, or one of its commands, a usage error: the
// library calls some of them failures, and answers others with help and exit code 0.
func askRightly(c *cobra.Command) {
	if c.HasAvailableSubCommands() && !c.HasExample() { // a group of commands, and none itself
		c.Args, c.RunE = cobra.ArbitraryArgs, needsCommand
	}
	if right := c.Args; right != nil {
		c.Args = func(cmd *cobra.Command, args []string) error {
			if err := errors.Join(right(cmd, args), cmd.ValidateRequiredFlags()); err != nil {
				if _, ok := errors.AsType[*exitError](err); ok {
					return err
				}
				return usageError(fmt.Errorf("%w; see %s --help", err, cmd.CommandPath()))
			}
			return nil
		}
	}
	for _, sub := range c.Commands() {
		askRightly(sub)
	}
}

// wrongFlag is the error of a flag that cannot be read, or that there is not.
func wrongFlag(cmd *cobra.Command, err error) error {
	text := fmt.Sprintf("%v", err)
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok {
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden {
				names = append(names, f.Name)
			}
		})
		if near := config.Closest(unknown.GetSpecifiedName(), names); near != "" {
			text += fmt.Sprintf("; did you mean --%s?", near)
		}
	}
	return usageError(fmt.Errorf("%s; see %s --help", text, cmd.CommandPath()))
}

// needsCommand is what a command does that only holds others.
func needsCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	text := fmt.Sprintf("%s has no command %q", cmd.CommandPath(), args[0])
	var names []string
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	near := config.Closest(args[0], names)
	if begun := cmd.SuggestionsFor(args[0]); near == "" && len(begun) > 0 {
		near = begun[0]
	}
	if near != "" {
		text += fmt.Sprintf("; did you mean %q?", near)
	}
	return usageError(fmt.Errorf("%s; see %s --help", text, cmd.CommandPath()))
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Long: `Print the version.

Exit codes: 0 always.`,
		Example: `  auditstream version`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), versionString())
			return err
		},
	}
}

func versionString() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "devel"
}
