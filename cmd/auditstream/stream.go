package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/internal/app"
)

func newStream() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "stream",
		Short: "See where streams stand, and manage them",
		Long: `See where streams stand, and manage them.

These commands talk to Kafka alone: they see and change the same whichever process
delivers, and also when none does. Processes follow a change within a second.`,
	}
	cmd.AddCommand(
		newStreamApply(),
		newStreamDelete(),
		newStreamGet(),
		newStreamList(),
		newStreamPause(),
		newStreamPlan(),
		newStreamReplay(),
		newStreamResume(),
		newStreamSkip(),
		newStreamTest(),
		newStreamTry(),
	)
	return cmd
}

// streamFlags are what the commands have in common.
type streamFlags struct{ clusterFlags }

// with connects and hands an operator to do.
func (f *streamFlags) with(ctx context.Context, do func(*app.Operator) error) error {
	c, err := f.load()
	if err != nil {
		return err
	}
	first, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	o, err := app.Operate(first, c, zap.NewNop())
	if err != nil {
		return err
	}
	defer o.Close()
	return do(o)
}

// completionTimeout bounds what a shell waits for: a name that comes later is of no use.
const completionTimeout = 2 * time.Second

// complete offers the ids of streams for the first argument.
func (f *streamFlags) complete(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 || f.config == "" {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTimeout)
	defer cancel()
	var ids []cobra.Completion
	err := f.with(ctx, func(o *app.Operator) error {
		streams, err := o.Streams(ctx)
		for _, s := range streams {
			ids = append(ids, cobra.CompletionWithDesc(s.ID, s.Kind+", "+specState(s)))
		}
		return err
	})
	if err != nil {
		cobra.CompDebugln(err.Error(), false)
	}
	return ids, cobra.ShellCompDirectiveNoFileComp
}

// specState is the state of a stream by its spec alone.
func specState(s consumer.Spec) string {
	if s.Paused() {
		return consumer.StatusPaused
	}
	return s.State
}
