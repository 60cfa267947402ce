package kafka

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
)

// Pauses between two tries to reach Kafka, and how long one try may take: a host that
// drops packets never refuses.
const (
	waitFirst = 500 * time.Millisecond
	waitMost  = 15 * time.Second
	waitTry   = 10 * time.Second
)

// WaitReady returns nil as soon as a broker answers. Until then it logs what it waits for
// and why, in growing intervals. Only the end of ctx makes it give up: the error then is
// ctx's, with the last reason.
func WaitReady(ctx context.Context, client *kgo.Client, log *zap.Logger) error {
	brokers := strings.Join(seeds(client), ", ")
	for pause := waitFirst; ; pause = min(2*pause, waitMost) {
		err := ping(ctx, client)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil {
			log.Warn(fmt.Sprintf("waiting for Kafka at %s: %s", brokers, Reason(err)), zap.Duration("next_try_in", pause))
			timer := time.NewTimer(pause)
			select {
			case <-timer.C:
				continue
			case <-ctx.Done():
				timer.Stop()
			}
		}
		return fmt.Errorf("gave up waiting for Kafka at %s (%s): %w", brokers, Reason(err), context.Cause(ctx))
	}
}

func ping(ctx context.Context, client *kgo.Client) error {
	ctx, cancel := context.WithTimeout(ctx, waitTry)
	defer cancel()
	return client.Ping(ctx)
}

func seeds(client *kgo.Client) []string {
	s, _ := client.OptValue(kgo.SeedBrokers).([]string)
	return s
}

// Reason is the innermost cause of a failure to reach Kafka, without the layers around it:
// "connection refused" rather than "unable to dial: dial tcp 127.0.0.1:9092: connect: ...".
func Reason(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer"
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err
	}
	for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(err) {
		err = next
	}
	return err.Error()
}
