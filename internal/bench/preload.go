package bench

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"
)

// PreloadOptions are the options of a client for Preload, beside how it connects: the
// record format of producers, in batches as large as a busy one's.
func PreloadOptions() []kgo.Opt {
	return []kgo.Opt{
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), // Kafka's murmur2
		kgo.ProducerBatchCompression(kgo.ZstdCompression()),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.MaxBufferedRecords(20_000),
	}
}

// eventHeaders are those of an event in canonical form.
func eventHeaders() []kgo.RecordHeader {
	return []kgo.RecordHeader{{Key: "encoding", Value: []byte("jcs")}, {Key: "version", Value: []byte("1")}}
}

// Preload writes the generator's next n events to topic and returns how many of them each
// organization has, by index, when all are acknowledged. Progress, if not nil, is told now
// and then how many are; it is called by one goroutine at a time.
func Preload(ctx context.Context, client *kgo.Client, topic string, n int, g *Generator, progress func(done int)) ([]int64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	headers := eventHeaders()
	keys := make([][]byte, len(g.organizations))
	for i, id := range g.organizations {
		keys[i] = []byte(id)
	}
	counts := make([]int64, len(keys))
	var done atomic.Int64
	var buf []byte
	for i := range n {
		value, organization := g.Event(buf[:0])
		buf = value
		counts[organization]++
		client.Produce(ctx, &kgo.Record{
			Topic: topic, Key: keys[organization], Value: append([]byte(nil), value...), Headers: headers,
		}, func(_ *kgo.Record, err error) {
			if err != nil {
				cancel(fmt.Errorf("write event %d of %d to %s: %w", done.Load()+1, n, topic, err))
				return
			}
			done.Add(1)
		})
		if ctx.Err() != nil {
			break
		}
		if progress != nil && i%1000 == 0 {
			progress(int(done.Load()))
		}
	}
	err := client.Flush(ctx)
	if cause := context.Cause(ctx); cause != nil {
		return nil, cause
	}
	if err != nil {
		return nil, fmt.Errorf("write events to %s: %w", topic, err)
	}
	if progress != nil {
		progress(n)
	}
	return counts, nil
}
