package kafka

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// noteTimeout bounds the writing of a note.
const noteTimeout = 30 * time.Second

// Notebook is a compacted topic of one partition in which processes keep little: each reads the
// whole of it, and what is read was written before the question, whichever process did. It may
// be used by many goroutines at once.
type Notebook struct {
	client *kgo.Client
	topic  string

	mu       sync.Mutex // held while the topic is read on, and while what was read is looked at
	follower *Follower
}

// OpenNotebook makes a client of its own. It does not wait for Kafka.
func OpenNotebook(opts []kgo.Opt, topic string) (*Notebook, error) {
	client, err := kgo.NewClient(append(slices.Clone(opts), kgo.RequiredAcks(kgo.AllISRAcks()), kgo.RecordDeliveryTimeout(noteTimeout))...)
	if err != nil {
		return nil, err
	}
	return &Notebook{client: client, topic: topic, follower: &Follower{Client: client, Topic: topic}}, nil
}

// Close disconnects.
func (n *Notebook) Close() { n.client.Close() }

// Read reads on, as Follower.Read does, and then has look look at what was read. The three are
// called by one goroutine at a time, so what they keep needs no lock of its own.
func (n *Notebook) Read(ctx context.Context, forget func(), take func(*kgo.Record), look func()) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.follower.Read(ctx, forget, take); err != nil {
		return fmt.Errorf("read %s: %w", n.topic, err)
	}
	look()
	return nil
}

// Write writes records and returns when all replicas have them.
func (n *Notebook) Write(ctx context.Context, records ...*kgo.Record) error {
	for _, r := range records {
		r.Topic = n.topic
	}
	if err := n.client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return fmt.Errorf("write to %s: %w", n.topic, err)
	}
	return nil
}
