package app

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/internal/organization"
	"github.com/auditstream/auditstream/producer/gateway"
	"github.com/auditstream/auditstream/schema"
)

// retentions keep how far back the exports of organizations reach. They implement
// gateway.Retentions.
type retentions struct {
	topic  *organization.Topic
	client *kgo.Client
	events string                                     // the topic
	tell   func(context.Context, *schema.Event) error // publishes an audit event
	log    *zap.Logger
}

// Retention implements gateway.Retentions.
func (t *retentions) Retention(ctx context.Context, id string) (gateway.Retention, error) {
	o, err := t.topic.Find(ctx, id)
	if err != nil {
		return gateway.Retention{}, err
	}
	kept, err := t.kept(ctx)
	return gateway.Retention{Days: o.RetentionDays, Kept: kept}, err
}

// SetRetention implements gateway.Retentions.
func (t *retentions) SetRetention(ctx context.Context, id string, days int, by string) (gateway.Retention, error) {
	kept, err := t.kept(ctx)
	if err != nil {
		return gateway.Retention{}, err
	}
	o, err := t.topic.Find(ctx, id)
	if err != nil {
		return gateway.Retention{}, err
	}
	if o.RetentionDays != days {
		before := o.RetentionDays
		o.RetentionDays, o.By, o.Updated = days, by, time.Now().UTC()
		if err := t.tell(ctx, retentionUpdated(id, before, days, by, o.Updated)); err != nil {
			return gateway.Retention{}, err
		}
		if err := t.topic.Put(ctx, o); err != nil {
			return gateway.Retention{}, err
		}
		t.log.Info("the retention of an organization was set", zap.String("organization", id), zap.Int("days", days), zap.Int("before", before), zap.String("key", by))
	}
	return gateway.Retention{Days: days, Kept: kept}, nil
}

// kept is how long Kafka keeps events; less than 0 is without end.
func (t *retentions) kept(ctx context.Context) (time.Duration, error) {
	described, err := kadm.NewClient(t.client).DescribeTopicConfigs(ctx, t.events)
	if err != nil {
		return 0, fmt.Errorf("ask Kafka for the retention of %s: %w", t.events, err)
	}
	for _, topic := range described {
		if topic.Err != nil {
			return 0, fmt.Errorf("ask Kafka for the retention of %s: %w", t.events, topic.Err)
		}
		for _, c := range topic.Configs {
			if c.Key != "retention.ms" {
				continue
			}
			ms, err := strconv.ParseInt(c.MaybeValue(), 10, 64)
			if err != nil || ms < 0 || ms > int64(1<<62)/int64(time.Millisecond) {
				return -1, nil //nolint:nilerr // Kafka's own numbers: -1, or longer than anybody lives
			}
			return time.Duration(ms) * time.Millisecond, nil
		}
	}
	return 0, fmt.Errorf("ask Kafka for the retention of %s: it does not say", t.events)
}
