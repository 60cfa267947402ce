package export

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
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
)

// ErrUnknown says that there is no such export, or none any more.
var ErrUnknown = errors.New("no such export")

// Topic is the topic of exports. It may be used by many goroutines at once.
type Topic struct {
	book    *kafka.Notebook
	exports map[string]Export          // guarded by book; by id
	bad     map[string]error           // guarded by book; by id: of records that cannot be read
	links   map[string]map[string]Link // guarded by book; by export, by hash
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
		t.exports, t.bad, t.links = map[string]Export{}, map[string]error{}, map[string]map[string]Link{}
	}, t.take, look)
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
func (t *Topic) Find(ctx context.Context, id string) (e Export, err error) {
	var known bool
	var unreadable error
	if err := t.read(ctx, func() {
		e, known = t.exports[id]
		unreadable = t.bad[id]
	}); err != nil {
		return Export{}, err
	}
	switch {
	case unreadable != nil:
		return Export{}, unreadable
	case !known || time.Since(e.Made) > Kept:
		return Export{}, ErrUnknown
	}
	return e, nil
}

// List are the exports that are known, the oldest first.
func (t *Topic) List(ctx context.Context) ([]Export, error) {
	var out []Export
	if err := t.read(ctx, func() { out = slices.Collect(maps.Values(t.exports)) }); err != nil {
		return nil, err
	}
	slices.SortFunc(out, func(a, b Export) int { return a.Made.Compare(b.Made) })
	return out, nil
}

// Opens says whether a token opens an export.
func (t *Topic) Opens(ctx context.Context, id, token string) (bool, error) {
	var l Link
	if err := t.read(ctx, func() { l = t.links[id][hashed(token)] }); err != nil {
		return false, err
	}
	return l.Opens(token, time.Now()), nil
}

// Put writes an export's record and returns when all replicas have it.
func (t *Topic) Put(ctx context.Context, e Export) error {
	value, err := e.Encode()
	if err != nil {
		return err
	}
	return t.book.Write(ctx, &kgo.Record{Key: []byte(e.ID), Value: value})
}

// PutLink writes a link's record, as Put does.
func (t *Topic) PutLink(ctx context.Context, l Link) error {
	value, err := l.Encode()
	if err != nil {
		return err
	}
	return t.book.Write(ctx, &kgo.Record{Key: []byte(l.Key()), Value: value})
}

// Tidy forgets exports that are old, or too many of an organization, and links that are good
// no more, so that the topic does not grow for ever.
func (t *Topic) Tidy(ctx context.Context) error {
	var gone []*kgo.Record
	if err := t.read(ctx, func() { gone = t.superfluous(time.Now()) }); err != nil {
		return err
	}
	if len(gone) == 0 {
		return nil
	}
	return t.book.Write(ctx, gone...)
}

// superfluous are tombstones for what is to be forgotten. It looks at what was read.
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
