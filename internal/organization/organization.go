// Package organization is what is kept of an organization: a record each, in a topic of its own.
// Organizations that have none are as good as any other.
package organization

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/auditstream/auditstream/internal/record"
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
	var o Organization
	err := record.Decode(value, RecordVersion, &o)
	if err == nil && (o.ID != key || o.ID == "" || o.RetentionDays < 0) {
		err = errors.New("the record was written under another key, or its retention is negative")
	}
	if err != nil {
		return Organization{}, fmt.Errorf("organization %q: %w", key, err)
	}
	return o, nil
}

// Topic is the topic of organizations. It may be used by many goroutines at once.
type Topic struct {
	book *kafka.Notebook
	all  map[string]Organization // guarded by book; by id
	bad  map[string]error        // guarded by book; by id: of records that cannot be read
}

// Connect makes a client of its own. It does not wait for Kafka.
func Connect(opts []kgo.Opt, topic string) (*Topic, error) {
	book, err := kafka.OpenNotebook(opts, topic)
	if err != nil {
		return nil, err
	}
	return &Topic{book: book}, nil
}

// Close disconnects.
func (t *Topic) Close() { t.book.Close() }

// read takes over what is new, and has look look at it.
func (t *Topic) read(ctx context.Context, look func()) error {
	return t.book.Read(ctx, func() {
		t.all, t.bad = map[string]Organization{}, map[string]error{}
	}, t.take, look)
}

func (t *Topic) take(r *kgo.Record) {
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
}

// Find is what is kept of an organization; nothing but its ID if it has no record.
func (t *Topic) Find(ctx context.Context, id string) (o Organization, err error) {
	var unreadable error
	if err := t.read(ctx, func() { o, unreadable = t.all[id], t.bad[id] }); err != nil {
		return Organization{}, err
	}
	o.ID = id
	return o, unreadable
}

// List are all organizations with a record, by their ids.
func (t *Topic) List(ctx context.Context) ([]Organization, error) {
	var out []Organization
	if err := t.read(ctx, func() { out = slices.Collect(maps.Values(t.all)) }); err != nil {
		return nil, err
	}
	slices.SortFunc(out, func(a, b Organization) int { return strings.Compare(a.ID, b.ID) })
	return out, nil
}

// Put writes an organization's record and returns when all replicas have it.
func (t *Topic) Put(ctx context.Context, o Organization) error {
	value, err := o.Encode()
	if err != nil {
		return err
	}
	return t.book.Write(ctx, &kgo.Record{Key: []byte(o.ID), Value: value})
}
