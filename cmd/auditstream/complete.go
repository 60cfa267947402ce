package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/consumer/deadletter"
	"github.com/auditstream/auditstream/schema/catalogue"
)

// completionTimeout bounds what a shell waits for: a name that comes later is of no use.
const completionTimeout = 2 * time.Second

// live asks the control plane, if it is known whom to ask, for what completes a command line.
func (f *controlFlags) live(cmd *cobra.Command, ask func(context.Context, admin.Service) error) {
	if cmp.Or(f.config, f.server) == "" {
		return
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTimeout)
	defer cancel()
	f.timeout = min(f.timeout, completionTimeout)
	if err := f.with(ctx, func(s admin.Service) error { return ask(ctx, s) }); err != nil {
		cobra.CompDebugln(err.Error(), false)
	}
}

// complete offers the ids of streams for the first argument.
func (f *controlFlags) complete(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var ids []cobra.Completion
	f.live(cmd, func(ctx context.Context, s admin.Service) error {
		streams, err := s.Streams(ctx)
		slices.SortFunc(streams, func(a, b admin.Stream) int { return cmp.Compare(a.ID, b.ID) })
		for _, st := range streams {
			ids = append(ids, cobra.CompletionWithDesc(st.ID, st.Kind+", "+st.State))
		}
		return err
	})
	return ids, cobra.ShellCompDirectiveNoFileComp
}

// completeFlag offers them for a flag.
func (f *controlFlags) completeFlag(cmd *cobra.Command, _ []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return f.complete(cmd, nil, toComplete)
}

// completeOrFile offers files while nobody is named who knows which streams there are.
func (f *controlFlags) completeOrFile(cmd *cobra.Command, args []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if cmp.Or(f.config, f.server) == "" && len(args) == 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return f.complete(cmd, args, toComplete)
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
func (f *controlFlags) completeLetters(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var out []cobra.Completion
	f.live(cmd, func(ctx context.Context, s admin.Service) error {
		listing, err := s.DeadLetters(ctx, deadletter.Query{State: deadletter.Open, Limit: completedLetters})
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
	return out, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
}

// completeJobs offers the jobs for which which holds, the newest first.
func (f *controlFlags) completeJobs(which func(*admin.Job) bool) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		const keep = cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
		if len(args) > 0 {
			return nil, keep
		}
		var out []cobra.Completion
		f.live(cmd, func(ctx context.Context, s admin.Service) error {
			jobs, err := s.Jobs(ctx)
			for _, j := range jobs {
				if which(&j) {
					out = append(out, cobra.CompletionWithDesc(j.UID, fmt.Sprintf("%s of %s, %s, made %s", j.Job, j.Stream, j.State, timeText(&j.Made))))
				}
			}
			return err
		})
		return out, keep
	}
}

// unfinished is for those that have something left.
func unfinished(j *admin.Job) bool { return j.Ended == nil }
