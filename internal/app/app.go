// Package app puts the parts together: it alone sees configuration, Kafka, delivery and
// the kinds of destination at once.
package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/all"
)

func kindNamed(name string) (sinks.Kind, bool) {
	kinds := all.Kinds()
	i := slices.IndexFunc(kinds, func(k sinks.Kind) bool { return k.Name == name })
	if i < 0 {
		return sinks.Kind{}, false
	}
	return kinds[i], true
}

// connect returns the options of a client of the configured cluster, and starts the
// embedded broker where that is the cluster. done stops it.
func connect(cfg *config.Config, log *zap.Logger) (opts []kgo.Opt, done func() error, err error) {
	done = func() error { return nil }
	k := cfg.Kafka.Config
	if cfg.Kafka.Embedded != nil {
		broker, err := kafka.StartEmbedded(kafka.EmbeddedConfig{Dir: cfg.Kafka.Embedded.Dir, Port: int(cfg.Kafka.Embedded.Port), Log: log.Named("kafka")})
		if err != nil {
			return nil, done, err
		}
		k.Brokers = []string{broker.Addr()}
		done = broker.Close
	}
	opts, err = k.Options(sampled(log.Named("kafka")))
	if err != nil {
		return nil, done, errors.Join(err, done())
	}
	return opts, done, nil
}

// sampled passes on the first two of equal messages in ten seconds. While Kafka is away
// its clients, three a kind, say so at every attempt to connect.
func sampled(log *zap.Logger) *zap.Logger {
	return log.WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(core, 10*time.Second, 2, 0)
	}))
}

// prepare waits for Kafka, makes and checks the topics, and says which they are.
// waiting, which may be nil, is told what it waits for.
func prepare(ctx context.Context, opts []kgo.Opt, topics kafka.Topics, log *zap.Logger, waiting func(why string)) (consumer.IDs, error) {
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return consumer.IDs{}, err
	}
	defer client.Close()
	if err := kafka.WaitReady(ctx, client, log, waiting); err != nil {
		return consumer.IDs{}, err
	}
	admin := kadm.NewClient(client)
	if err := gathered(ctx, log, waiting, func() error { return kafka.EnsureTopics(ctx, admin, topics, log) }); err != nil {
		return consumer.IDs{}, err
	}
	cluster, err := kafka.ClusterID(ctx, admin)
	if err != nil {
		return consumer.IDs{}, fmt.Errorf("cluster id: %w", err)
	}
	ids, err := kafka.TopicIDs(ctx, admin, topics.Events(), topics.Progress(), topics.Streams())
	if err != nil {
		return consumer.IDs{}, err
	}
	return consumer.IDs{
		Cluster: cluster, Events: ids[topics.Events()], Progress: ids[topics.Progress()], Streams: ids[topics.Streams()],
	}, nil
}

// Times for a cluster that is starting to get its brokers together.
const (
	gatherTime = 30 * time.Second
	gatherStep = time.Second
)

// gathered makes the topics with ensure, and lets it try again for gatherTime while there are
// too few brokers: of a cluster that is just starting some are there before others.
func gathered(ctx context.Context, log *zap.Logger, waiting func(why string), ensure func() error) error {
	for began, told := time.Now(), false; ; {
		err := ensure()
		if _, few := errors.AsType[*kafka.TooFewBrokers](err); !few || time.Since(began) >= gatherTime {
			return err
		}
		if waiting != nil {
			waiting("waiting for more of Kafka's brokers: " + err.Error())
		}
		if !told {
			told = true
			log.Warn("waiting for more of Kafka's brokers", zap.Error(err), zap.Duration("at_most", gatherTime))
		}
		again := time.NewTimer(gatherStep)
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return context.Cause(ctx)
		}
	}
}
