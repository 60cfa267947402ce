package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/internal/app"
	"github.com/auditstream/auditstream/sinks/all"
)

// clusterFlags say which Kafka a command talks to.
type clusterFlags struct {
	config  string
	brokers []string
	timeout time.Duration
}

func (f *clusterFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.config, "config", "", "configuration `FILE`: its cluster and topics")
	flags.StringSliceVar(&f.brokers, "brokers", nil, "`HOST:PORT` of some brokers, instead of those of the file")
	flags.DurationVar(&f.timeout, "timeout", 10*time.Second, "how long to wait for an answer of Kafka")
	_ = cmd.MarkFlagRequired("config")
}

// load reads the configuration, in which the brokers are then set.
func (f *clusterFlags) load() (*config.Config, error) {
	if f.timeout <= 0 {
		return nil, usageError(fmt.Errorf("--timeout %s is no time to wait", f.timeout))
	}
	c, err := config.Load(f.config, all.Kinds())
	if err != nil {
		return nil, usageError(err)
	}
	if len(f.brokers) > 0 {
		c.Kafka.Brokers = f.brokers
	}
	if len(c.Kafka.Brokers) == 0 {
		return nil, usageError(fmt.Errorf("the Kafka of %s runs inside another process: give its address with --brokers", f.config))
	}
	return c, nil
}

// operate connects and hands an operator to do.
func (f *clusterFlags) operate(ctx context.Context, log *zap.Logger, do func(*config.Config, *app.Operator) error) error {
	c, err := f.load()
	if err != nil {
		return err
	}
	first, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	o, err := app.Operate(first, c, log)
	if err != nil {
		return err
	}
	defer o.Close()
	return do(c, o)
}
