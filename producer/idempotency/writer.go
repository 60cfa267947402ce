package idempotency

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
)

const (
	// notesMost bounds the notes that wait for Kafka, a few hundred bytes each. Events are
	// accepted only while Kafka takes them, or by the spool, which may last for longer.
	notesMost = 100_000
	// noteLinger is how long a note waits for others, so that a busy process writes few
	// batches; another process learns that much later of what was accepted.
	noteLinger = 10 * time.Millisecond
	// complainEvery is how often the same trouble is logged.
	complainEvery = time.Minute
)

// writer writes notes in the background. Nothing that goes wrong with one stops anybody: the
// event is accepted, only the other processes do not learn of it.
type writer struct {
	topic      string
	client     *kgo.Client
	counts     *metrics
	log        *zap.Logger
	forgetting atomic.Bool // the library forgets the topic
	work       sync.WaitGroup

	mu       sync.Mutex
	complain time.Time // when the next complaint is due; guarded by mu
}

func newWriter(c Config, counts *metrics) (*writer, error) {
	client, err := kgo.NewClient(append(slices.Clip(c.Kafka),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), // as events are
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchCompression(kgo.NoCompression()), // hashes do not compress
		kgo.ProducerLinger(noteLinger),
		kgo.MaxBufferedRecords(notesMost),
	)...)
	if err != nil {
		return nil, fmt.Errorf("idempotency: %w", err)
	}
	return &writer{topic: c.Topic, client: client, counts: counts, log: c.Log.Named("idempotency")}, nil
}

// write hands a note over. It does not wait: without room the note is dropped, and counted.
func (w *writer) write(organization string, n note) {
	record := &kgo.Record{Topic: w.topic, Key: []byte(organization), Value: n.encode(), Timestamp: n.at}
	w.client.TryProduce(context.Background(), record, func(_ *kgo.Record, err error) {
		switch {
		case err == nil:
			w.counts.noted(noteWritten)
			return
		case errors.Is(err, kgo.ErrMaxBuffered):
			w.counts.noted(noteDropped)
		default:
			w.counts.noted(noteFailed)
		}
		if errors.Is(err, kerr.UnknownTopicID) {
			w.forgetTopic()
		}
		w.say("accepted events are not noted: other processes, and this one after a restart, would take a repeat for new", err)
	})
}

// forgetTopic has the library ask anew what the topic is, after it was made anew.
func (w *writer) forgetTopic() {
	if w.forgetting.CompareAndSwap(false, true) {
		w.work.Go(func() {
			defer w.forgetting.Store(false)
			w.client.PurgeTopicsFromClient(w.topic)
		})
	}
}

// say logs trouble with the topic, once in a while.
func (w *writer) say(what string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if now := time.Now(); now.After(w.complain) {
		w.complain = now.Add(complainEvery)
		w.log.Warn(what, zap.String("topic", w.topic), zap.Error(err))
	}
}

// close writes what is left until ctx ends.
func (w *writer) close(ctx context.Context) error {
	err := w.client.Flush(ctx)
	if err != nil {
		err = fmt.Errorf("%d accepted events are not noted in %s: %w", w.client.BufferedProduceRecords(), w.topic, context.Cause(ctx))
	}
	w.client.Close()
	w.work.Wait()
	return err
}
