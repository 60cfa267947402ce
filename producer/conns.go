package producer

import (
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// conns remembers why the last connection failed, for messages: the library retries by
// itself and in the end reports only that time is up.
type conns struct {
	failure atomic.Pointer[error] // nil after a connection that succeeded
}

var _ kgo.HookBrokerConnect = (*conns)(nil)

// OnBrokerConnect implements kgo.HookBrokerConnect.
func (c *conns) OnBrokerConnect(broker kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	if err == nil {
		c.failure.Store(nil)
		return
	}
	err = fmt.Errorf("connect to %s:%d: %w", broker.Host, broker.Port, err)
	c.failure.Store(&err)
}

func (c *conns) lastFailure() error {
	if p := c.failure.Load(); p != nil {
		return *p
	}
	return nil
}
