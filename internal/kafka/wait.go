package kafka

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
)

// ErrNoBroker is the answer of a broker that has just started: it is there, and the cluster
// does not count it yet.
var ErrNoBroker = errors.New("the cluster names no broker that serves")

// Pauses between two tries to reach Kafka, and how long one try may take: a host that
// drops packets never refuses.
const (
	waitFirst = 500 * time.Millisecond
	waitMost  = 15 * time.Second
	waitTry   = 10 * time.Second
)

// WaitReady returns nil as soon as a broker answers and the cluster has one that serves.
// Until then it says what it waits for and why, in growing intervals: to the log, and to
// waiting, which may be nil. Only the end of ctx makes it give up: the error then is ctx's,
// with the last reason.
func WaitReady(ctx context.Context, client *kgo.Client, log *zap.Logger, waiting func(why string)) error {
	brokers := strings.Join(seeds(client), ", ")
	for pause := waitFirst; ; pause = min(2*pause, waitMost) {
		err := ping(ctx, client)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil {
			why := fmt.Sprintf("waiting for Kafka at %s: %s", brokers, Reason(err))
			if waiting != nil {
				waiting(why)
			}
			log.Warn(why, zap.Duration("next_try_in", pause))
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
	if err := client.Ping(ctx); err != nil {
		return err
	}
	brokers, err := kadm.NewClient(client).ListBrokers(ctx)
	if err == nil && len(brokers) == 0 {
		err = ErrNoBroker
	}
	return err
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
