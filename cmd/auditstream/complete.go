package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/auditstream/auditstream/consumer/deadletter"
	"github.com/auditstream/auditstream/internal/app"
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

// completedLetters bounds the letters that are offered: nobody reads more.
const completedLetters = 50

// maxReasonOffered bounds a reason beside a completion, in runes.
const maxReasonOffered = 60

// completeLetters offers the positions of open letters, the newest first, with what they are.
func (f *deadletterFlags) completeLetters(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	const keep = cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	if f.config == "" {
		return nil, keep
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTimeout)
	defer cancel()
	var out []cobra.Completion
	err := f.with(ctx, "", func(t *deadletter.Topic) error {
		listing, err := t.List(ctx, deadletter.Query{State: deadletter.Open, Limit: completedLetters})
		if err != nil {
			return err
		}
		for _, l := range listing.Letters {
			if at := l.Position.String(); !slices.Contains(args, at) {
				out = append(out, cobra.CompletionWithDesc(at, printable(fmt.Sprintf("%s %s: %s", streamNames(l.Streams), l.Action, cut(l.Reason, maxReasonOffered)))))
			}
		}
		return nil
	})
	if err != nil {
		cobra.CompDebugln(err.Error(), false)
	}
	return out, keep
}

// completeStream offers streams for a flag of commands about letters.
func (f *deadletterFlags) completeStream(cmd *cobra.Command, _ []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return (&streamFlags{f.clusterFlags}).complete(cmd, nil, toComplete)
}

// completeJobs offers the jobs that have not ended, the newest first; or all.
func (f *jobFlags) completeJobs(all bool) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		const keep = cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
		if f.config == "" || all && len(args) > 0 {
			return nil, keep
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completionTimeout)
		defer cancel()
		cmd.SetContext(ctx)
		var out []cobra.Completion
		err := f.with(cmd, newJobScreen(cmd.ErrOrStderr()), func(jobs *app.Jobs) error {
			tasks, err := jobs.List(ctx)
			for _, t := range tasks {
				if all || t.Ended == nil {
					out = append(out, cobra.CompletionWithDesc(t.UID, fmt.Sprintf("%s of %s, made %s", t.Job, t.Stream, timeText(&t.Made))))
				}
			}
			return err
		})
		if err != nil {
			cobra.CompDebugln(err.Error(), false)
		}
		return out, keep
	}
}
