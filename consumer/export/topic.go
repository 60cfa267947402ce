package export

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/internal/kafka"
)

const (
	// Life is how long an export can be downloaded after it was made.
	Life = 7 * 24 * time.Hour
	// Kept is how long it is known.
	Kept = 30 * 24 * time.Hour
	// MaxKept bounds the exports that are known of one organization: with one more the oldest
	// is forgotten that is not being counted.
	MaxKept = 100
	// writeTimeout bounds the writing of a record.
	writeTimeout = 30 * time.Second
)

// ErrUnknown says that there is no such export, or none any more.
var ErrUnknown = errors.New("no such export")

// Topic is the topic of exports. What is read from it was written before the question,
// whichever process did. It may be used by many goroutines at once.
type Topic struct {
	client *kgo.Client
	topic  string

	mu       sync.Mutex // held while the topic is read on
	follower *kafka.Follower
	exports  map[string]Export          // guarded by mu; by id
	bad      map[string]error           // guarded by mu; by id: of records that cannot be read
	links    map[string]map[string]Link // guarded by mu; by export, by hash
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
		t.exports, t.bad, t.links = map[string]Export{}, map[string]error{}, map[string]map[string]Link{}
	}, t.take)
	if err != nil {
		return fmt.Errorf("read %s: %w", t.topic, err)
	}
	return nil
}

func (t *Topic) take(r *kgo.Record) {
	key := string(r.Key)
	if id, hash, ok := strings.Cut(key, linkMark); ok {
		l, err := DecodeLink(key, r.Value)
		if r.Value == nil || err != nil { // a link that cannot be read opens nothing
			delete(t.links[id], hash)
			return
		}
		if t.links[id] == nil {
			t.links[id] = map[string]Link{}
		}
		t.links[id][hash] = l
		return
	}
	delete(t.exports, key)
	delete(t.bad, key)
	if r.Value == nil {
		return
	}
	if e, err := Decode(key, r.Value); err != nil {
		t.bad[key] = err
	} else {
		t.exports[key] = e
	}
}

// Find is the export with that id as it is on record.
func (t *Topic) Find(ctx context.Context, id string) (Export, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.read(ctx); err != nil {
		return Export{}, err
	}
	e, ok := t.exports[id]
	switch {
	case t.bad[id] != nil:
		return Export{}, t.bad[id]
	case !ok || time.Since(e.Made) > Kept:
		return Export{}, ErrUnknown
	}
	return e, nil
}

// List are the exports that are known, the oldest first.
func (t *Topic) List(ctx context.Context) ([]Export, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.read(ctx); err != nil {
		return nil, err
	}
	out := make([]Export, 0, len(t.exports))
	for _, e := range t.exports {
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b Export) int { return a.Made.Compare(b.Made) })
	return out, nil
}

// Opens says whether a token opens an export.
func (t *Topic) Opens(ctx context.Context, id, token string) (bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.read(ctx); err != nil {
		return false, err
	}
	return t.links[id][hashed(token)].Opens(token, time.Now()), nil
}

// Put writes an export's record and returns when all replicas have it.
func (t *Topic) Put(ctx context.Context, e Export) error {
	value, err := e.Encode()
	if err != nil {
		return err
	}
	return t.write(ctx, &kgo.Record{Key: []byte(e.ID), Value: value})
}

// PutLink writes a link's record, as Put does.
func (t *Topic) PutLink(ctx context.Context, l Link) error {
	value, err := l.Encode()
	if err != nil {
		return err
	}
	return t.write(ctx, &kgo.Record{Key: []byte(l.Key()), Value: value})
}

// Tidy forgets exports that are old, or too many of an organization, and links that are good
// no more, so that the topic does not grow for ever.
func (t *Topic) Tidy(ctx context.Context) error {
	t.mu.Lock()
	if err := t.read(ctx); err != nil {
		t.mu.Unlock()
		return err
	}
	gone := t.superfluous(time.Now())
	t.mu.Unlock()
	if len(gone) == 0 {
		return nil
	}
	return t.write(ctx, gone...)
}

// superfluous are tombstones for what is to be forgotten. The caller holds mu.
func (t *Topic) superfluous(now time.Time) []*kgo.Record {
	var gone []*kgo.Record
	forget := func(key string) { gone = append(gone, &kgo.Record{Key: []byte(key)}) }
	byOrganization := map[string][]Export{}
	for id, e := range t.exports {
		if now.Sub(e.Made) > Kept {
			forget(id)
			continue
		}
		byOrganization[e.OrganizationID] = append(byOrganization[e.OrganizationID], e)
	}
	for _, of := range byOrganization {
		slices.SortFunc(of, func(a, b Export) int { return a.Made.Compare(b.Made) })
		for i := range max(0, len(of)-MaxKept) {
			if of[i].State != Pending {
				forget(of[i].ID)
			}
		}
	}
	for _, links := range t.links {
		for _, l := range links {
			if now.After(l.Expires) {
				forget(l.Key())
			}
		}
	}
	return gone
}

func (t *Topic) write(ctx context.Context, records ...*kgo.Record) error {
	for _, r := range records {
		r.Topic = t.topic
	}
	if err := t.client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return fmt.Errorf("write to %s: %w", t.topic, err)
	}
	return nil
}
