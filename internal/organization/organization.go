// Package organization is what is kept of an organization: a record each, in a topic of its own.
// Organizations that have none are as good as any other.
package organization

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/internal/kafka"
)

// RecordVersion is the version of the records. A record of another version is refused: it was
// written by a newer binary.
const RecordVersion = 1

// Organization is an organization's record, keyed by ID.
type Organization struct {
	Version       int       `json:"v"`
	ID            string    `json:"id"`
	RetentionDays int       `json:"retention_days,omitempty"` // how far back its events may be seen; absent: as far as there are any
	By            string    `json:"by"`                       // who changed the record last
	Updated       time.Time `json:"updated"`
}

// Encode returns the value of the record.
func (o Organization) Encode() ([]byte, error) {
	o.Version = RecordVersion
	return json.Marshal(o)
}

// Decode reads the value of the record with that key.
func Decode(key string, value []byte) (Organization, error) {
	var version struct {
		V int `json:"v"`
	}
	var o Organization
	err := json.Unmarshal(value, &version)
	if err == nil && version.V != RecordVersion {
		err = fmt.Errorf("format version %d, known is %d: written by a newer version of auditstream, upgrade first", version.V, RecordVersion)
	}
	if err == nil {
		d := json.NewDecoder(bytes.NewReader(value))
		d.DisallowUnknownFields()
		if err = d.Decode(&o); err == nil {
			if _, end := d.Token(); !errors.Is(end, io.EOF) {
				err = errors.New("there is something behind the record's object")
			}
		}
	}
	if err == nil && (o.ID != key || o.ID == "" || o.RetentionDays < 0) {
		err = errors.New("the record was written under another key, or its retention is negative")
	}
	if err != nil {
		return Organization{}, fmt.Errorf("organization %q: %w", key, err)
	}
	return o, nil
}

// writeTimeout bounds the writing of a record.
const writeTimeout = 30 * time.Second

// Topic is the topic of organizations. What is read from it was written before the question,
// whichever process did. It may be used by many goroutines at once.
type Topic struct {
	client *kgo.Client
	topic  string

	mu       sync.Mutex // held while the topic is read on
	follower *kafka.Follower
	all      map[string]Organization // guarded by mu; by id
	bad      map[string]error        // guarded by mu; by id: of records that cannot be read
}

// Connect makes a client of its own. It does not wait for Kafka.
func Connect(opts []kgo.Opt, topic string) (*Topic, error) {
	client, err := kgo.NewClient(append(slices.Clone(opts), kgo.RequiredAcks(kgo.AllISRAcks()), kgo.RecordDeliveryTimeout(writeTimeout))...)
	if err != nil {
		return nil, err
	}
	return &Topic{client: client, topic: topic, follower: &kafka.Follower{Client: client, Topic: topic}}, nil
}

// Close disconnects.
func (t *Topic) Close() { t.client.Close() }

// read takes over what is new. The caller holds mu.
func (t *Topic) read(ctx context.Context) error {
	err := t.follower.Read(ctx, func() {
		t.all, t.bad = map[string]Organization{}, map[string]error{}
	}, func(r *kgo.Record) {
		key := string(r.Key)
		delete(t.all, key)
		delete(t.bad, key)
		if r.Value == nil {
			return
		}
		if o, err := Decode(key, r.Value); err != nil {
			t.bad[key] = err
		} else {
			t.all[key] = o
		}
	})
	if err != nil {
		return fmt.Errorf("read %s: %w", t.topic, err)
	}
	return nil
}

// Find is what is kept of an organization; nothing but its ID if it has no record.
func (t *Topic) Find(ctx context.Context, id string) (Organization, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.read(ctx); err != nil {
		return Organization{}, err
	}
	if err := t.bad[id]; err != nil {
		return Organization{}, err
	}
	o := t.all[id]
	o.ID = id
	return o, nil
}

// List are all organizations with a record, by their ids.
func (t *Topic) List(ctx context.Context) ([]Organization, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.read(ctx); err != nil {
		return nil, err
	}
	out := make([]Organization, 0, len(t.all))
	for _, o := range t.all {
		out = append(out, o)
	}
	slices.SortFunc(out, func(a, b Organization) int { return bytes.Compare([]byte(a.ID), []byte(b.ID)) })
	return out, nil
}

// Put writes an organization's record and returns when all replicas have it.
func (t *Topic) Put(ctx context.Context, o Organization) error {
	value, err := o.Encode()
	if err != nil {
		return err
	}
	if err := t.client.ProduceSync(ctx, &kgo.Record{Topic: t.topic, Key: []byte(o.ID), Value: value}).FirstErr(); err != nil {
		return fmt.Errorf("write to %s: %w", t.topic, err)
	}
	return nil
}
