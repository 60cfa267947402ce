package producer

import (
	"context"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/auditstream/auditstream/internal/kafka/dial"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/semaphore"
)

// Client publishes events. It may be used by many goroutines at once; one a process is
// enough.
type Client struct {
	conf   Config
	kafka  *kgo.Client
	conns  *conns
	limit  *limit
	tracer trace.Tracer // nil: no traces
	counts *metrics     // nil: none

	reading    sync.WaitGroup // the goroutines that read the limit and forget the topic; added to with gate held, or before an event's memory is released
	forgetting atomic.Bool    // the latter is under way

	// memory counts the bytes of unacknowledged events. The library has bounds of its own,
	// but who waits there can be called back only by failing the events of others.
	memory *semaphore.Weighted

	gate   sync.RWMutex // held for reading while an event is handed to the library, or reading begins
	closed bool         // guarded by gate

	stop    context.Context // ends when Close has given up waiting
	stopNow context.CancelFunc
	close   sync.Once
	result  error // of Close
}

// instrumentation is what the spans of this package say they come from.
const instrumentation = "github.com/auditstream/auditstream/producer"

// New makes a client. It does not need Kafka to be up: it connects when the first event is
// published.
func New(c Config) (*Client, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	d, err := c.dial()
	if err != nil {
		return nil, err
	}
	client := &Client{
		conf: c, conns: &conns{}, limit: newLimit(),
		memory: semaphore.NewWeighted(c.MaxBufferedBytes),
	}
	if client.counts, err = newMetrics(c.Metrics); err != nil {
		return nil, fmt.Errorf("producer.Config.Metrics: %w", err)
	}
	if c.Traces != nil {
		client.tracer = c.Traces.Tracer(instrumentation)
	}
	// Some requests do not end with the events that wait for them (that for a producer id,
	// while connections hang), so they are bounded by a part of what an event may take.
	request := min(max(c.DeliveryTimeout/3, time.Second), 10*time.Second)
	opts := append(dial.Options(d),
		kgo.WithHooks(client.conns),
		// Kafka's murmur2 of the key, as in every other Kafka client.
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchCompression(kgo.ZstdCompression()),
		kgo.ProducerBatchMaxBytesFn(func(string) int32 { return client.limit.bytes() }),
		kgo.ProduceRequestTimeout(request),
		kgo.RequestTimeoutOverhead(request),
		kgo.DialTimeout(min(request, dial.Timeout)),
		// No wait for company: a caller waits for the acknowledgement, and what arrives while
		// a request is under way makes up the next batch.
		kgo.ProducerLinger(0),
		// Every record carries its own deadline. Without this option the library would try for
		// ever to deliver what was under way when a connection broke, and behind it everything
		// of the same partition.
		kgo.AllowIdempotentProduceCancellation(),
		kgo.MaxBufferedRecords(math.MaxInt32), // memory bounds them
	)
	if client.kafka, err = kgo.NewClient(opts...); err != nil {
		return nil, fmt.Errorf("producer: %w", err)
	}
	client.stop, client.stopNow = context.WithCancel(context.Background())
	return client, nil
}

// forgetTopic has the library ask anew what the topic is. It holds fast to the id of a
// topic that was deleted and made anew, and would refuse every event from then on.
func (c *Client) forgetTopic() {
	if !c.forgetting.CompareAndSwap(false, true) {
		return
	}
	c.reading.Go(func() {
		defer c.forgetting.Store(false)
		c.kafka.PurgeTopicsFromClient(c.conf.Topic)
	})
}

// Flush returns when every event that was published before is acknowledged or has failed,
// or with ctx's error when ctx ends before that.
func (c *Client) Flush(ctx context.Context) error {
	if err := c.kafka.Flush(ctx); err != nil {
		return fmt.Errorf("flush: %d events are not acknowledged yet: %w", c.kafka.BufferedProduceRecords(), context.Cause(ctx))
	}
	return nil
}

// Close refuses new events, waits for those under way as Flush does, then fails the rest
// with [ErrClosed] and disconnects. It returns an error if ctx ended before every event was
// acknowledged or had failed. Every callback has returned when Close returns. Closing
// again does nothing and returns the same.
func (c *Client) Close(ctx context.Context) error {
	c.close.Do(func() {
		c.gate.Lock()
		c.closed = true
		c.gate.Unlock()
		c.result = c.Flush(ctx)
		c.stopNow()
		c.kafka.Close()
		// Each event gives its share back after its callback; whoever waits for a share has
		// been sent away by stopNow. The error is that of a context that never ends.
		_ = c.memory.Acquire(context.WithoutCancel(ctx), c.conf.MaxBufferedBytes)
		c.reading.Wait()
	})
	return c.result
}
