package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/producer"
	"github.com/auditstream/auditstream/producer/gateway"
	"github.com/auditstream/auditstream/producer/idempotency"
	"github.com/auditstream/auditstream/producer/spool"
)

// accepted is how a gateway remembers what it has accepted.
type accepted struct {
	*idempotency.Once
	patience time.Duration // for the outcome of the same event in another request
}

func (g Gateway) accepted(opts []kgo.Opt, figures prometheus.Registerer, log *zap.Logger) (accepted, error) {
	once, err := idempotency.New(idempotency.Config{
		Kafka: opts, Topic: g.Config.Topics.Kafka().Idempotency(), Memory: int64(g.Config.Gateway.Idempotency.Memory),
		Metrics: figures, Log: log,
	})
	return accepted{once, g.Config.Gateway.Timeout.Std()}, err
}

// Claim implements gateway.Once.
func (a accepted) Claim(ctx context.Context, organization, key string, content []byte) (gateway.Claim, error) {
	waiting, cancel := context.WithTimeout(ctx, a.patience)
	defer cancel()
	claim, err := a.Once.Claim(waiting, organization, key, content)
	switch {
	case errors.Is(err, idempotency.ErrConflict):
		return nil, gateway.ErrConflict
	case errors.Is(err, idempotency.ErrBusy):
		return nil, fmt.Errorf("%w: %w", gateway.ErrBusy, err)
	case err != nil:
		return nil, err
	}
	return claim, nil
}

// closingNotes is how long a shutdown writes what is left to be noted.
const closingNotes = 3 * time.Second

// end writes the notes that are left. Without them a repeat is published again, under the
// same id: no reason to call the shutdown a failure.
func (a accepted) end(ctx context.Context, log *zap.Logger) {
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), closingNotes)
	defer cancel()
	if err := a.Close(ending); err != nil {
		log.Warn("a repeat of what was accepted last may be published again", zap.Error(err))
	}
}

// opened is the spool in front of a client; nil if there is to be none.
func (g Gateway) opened(client *producer.Client, figures prometheus.Registerer, log *zap.Logger) (*spool.Spool, error) {
	c := g.Config.Gateway.Spool
	if c.Dir == "" {
		return nil, nil //nolint:nilnil // there is none
	}
	s, err := spool.Open(spool.Config{
		Dir: c.Dir, Max: int64(c.Max), After: c.After.Std(), Kafka: client, Validator: g.validator(), Metrics: figures, Log: log,
	})
	if err != nil {
		return nil, fmt.Errorf("gateway.spool.dir: %w", err)
	}
	return s, nil
}

// withoutKafka says whether events may be taken before Kafka has ever answered: with a spool,
// unless the schemas in Kafka decide about them. A mistaken refusal loses an event that its
// sender does not send again.
func (g Gateway) withoutKafka() bool {
	return g.Config.Gateway.Spool.Dir != "" && g.Config.Events.Check != config.CheckSchema
}
