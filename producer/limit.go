package producer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"
)

const (
	// fallbackLimit is assumed where the topic's setting may not be read: a round figure
	// below Kafka's default of 1,048,588 bytes.
	fallbackLimit = 1_000_000
	// leastLimit and mostLimit are bounds of what we take from a topic. The lower one is the
	// client library's; the upper keeps a request below its 100 MiB.
	leastLimit = 512
	mostLimit  = 64 << 20
)

// limit is the topic's max.message.bytes, read when the first event is published. It counts
// until the client is closed: a changed setting needs a new client.
type limit struct {
	value   atomic.Int32  // 0 until it is known
	reading chan struct{} // holds one token: who has it reads the setting
}

func newLimit() *limit { return &limit{reading: make(chan struct{}, 1)} }

func (l *limit) bytes() int32 { return cmp.Or(l.value.Load(), fallbackLimit) }

// awaitLimit returns nil when the limit is known, else why Kafka did not tell it. That is
// how a Kafka which is not there is noticed before anything was sent.
func (c *Client) awaitLimit(ctx context.Context, k *call) error {
	if c.limit.value.Load() != 0 {
		return nil
	}
	wait, cancel := k.handover(ctx)
	defer cancel()
	select {
	case c.limit.reading <- struct{}{}:
	case <-wait.Done():
		return k.notHandedOver(ctx, c.timeout())
	}
	if c.limit.value.Load() != 0 {
		<-c.limit.reading
		return nil
	}
	read := make(chan error, 1)
	c.gate.RLock()
	if c.closed {
		c.gate.RUnlock()
		<-c.limit.reading
		return ErrClosed
	}
	// The library may take longer than wait lasts, while a connection is being made.
	c.reading.Go(func() {
		defer func() { <-c.limit.reading }()
		n, err := c.readLimit(wait)
		if err == nil {
			c.limit.value.Store(n)
		}
		read <- err
	})
	c.gate.RUnlock()
	select {
	case err := <-read:
		if wait.Err() != nil {
			return k.notHandedOver(ctx, c.timeout())
		}
		return c.explainLimit(err)
	case <-wait.Done():
		return k.notHandedOver(ctx, c.timeout())
	}
}

func (c *Client) explainLimit(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		return c.unknownTopic()
	case errors.Is(err, kgo.ErrClientClosed):
		return ErrClosed
	}
	if why := c.conns.lastFailure(); why != nil {
		err = why
	}
	return fmt.Errorf("%w: not sent: %w", ErrUnavailable, err)
}

func (c *Client) readLimit(ctx context.Context) (int32, error) {
	const name = "max.message.bytes"
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.Resources = []kmsg.DescribeConfigsRequestResource{{
		ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: c.conf.Topic, ConfigNames: []string{name},
	}}
	resp, err := req.RequestWith(ctx, c.kafka)
	if err != nil {
		return 0, err
	}
	if len(resp.Resources) != 1 {
		return 0, fmt.Errorf("asked for the settings of one topic, got those of %d", len(resp.Resources))
	}
	r := resp.Resources[0]
	switch err := kerr.ErrorForCode(r.ErrorCode); {
	case errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.ClusterAuthorizationFailed):
		c.conf.Logger.Debug("may not read the topic's size limit, assuming the default",
			zap.String("topic", c.conf.Topic), zap.Int("bytes", fallbackLimit))
		return fallbackLimit, nil
	case err != nil:
		return 0, err
	}
	for _, conf := range r.Configs {
		if conf.Name == name && conf.Value != nil {
			if n, err := strconv.ParseInt(*conf.Value, 10, 64); err == nil {
				return int32(min(max(n, leastLimit), mostLimit)), nil
			}
		}
	}
	return fallbackLimit, nil
}
