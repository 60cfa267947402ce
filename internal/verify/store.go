package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/auditstream/auditstream/integrity"
)

// Marks of keys, and endings of objects with events, as the sink for S3 has them.
const (
	checkpointMark = "_checkpoints/"
	digestMark     = "_digests/"
	replayMark     = "replay="

	endingParquet = ".parquet"
)

// Bounds of what is read of a store.
const (
	maxKeys   = 2_000_000
	maxDigest = 64 << 20
)

// objects is where objects are: a bucket, or a folder with a copy of one. It is safe for
// concurrent use.
type objects interface {
	// list calls each with every object.
	list(ctx context.Context, each func(key string, size int64) error) error
	// open reads an object; one that is not there is fs.ErrNotExist, one that is there and
	// cannot be had an *outOfReachError.
	open(ctx context.Context, key string) (io.ReadCloser, error)
	// metadata are nil where they are not kept.
	metadata(ctx context.Context, key string) (map[string]string, error)
}

// outOfReachError is about one object; others can be read.
type outOfReachError struct{ error }

// Store is a bucket that the sink for S3 has written to, or a copy of it.
type Store struct {
	in          objects
	name        string
	width       int // objects that are read at once
	size        int64
	checkpoints []string
	digests     []string
	events      map[string]bool // keys of objects with events; true: read
	inventory   *integrity.Inventory
	listed      []*integrity.Listed
}

// openStore lists what is there, of which a number of objects are read at once.
func openStore(ctx context.Context, in objects, name string, width int) (*Store, error) {
	s := &Store{in: in, name: name, width: width, events: map[string]bool{}}
	n := 0
	err := in.list(ctx, func(key string, size int64) error {
		if n++; n > maxKeys {
			return fmt.Errorf("%s has more than %d objects: check a part of it, by stream or day, or with a prefix", name, maxKeys)
		}
		switch {
		case strings.Contains("/"+key, "/"+checkpointMark):
			s.checkpoints = append(s.checkpoints, key)
		case strings.Contains("/"+key, "/"+digestMark):
			s.digests = append(s.digests, key)
		case isEvents(key):
			s.events[key] = false
		default:
			return nil
		}
		s.size += size
		return nil
	})
	return s, err
}

func isEvents(key string) bool {
	return strings.HasSuffix(key, ".ndjson.gz") || strings.HasSuffix(key, ".ndjson.zst") || strings.HasSuffix(key, endingParquet)
}

// Size implements Source: everything is read once.
func (s *Store) Size() int64 { return s.size / 2 }

// Checkpoints implements Source. Digests vouch for the chain too.
func (s *Store) Checkpoints(ctx context.Context, to *Sink) error {
	s.inventory = to.checker.Inventory()
	small := func(limit int64) func(context.Context, string, <-chan struct{}) ([]byte, error) {
		return func(ctx context.Context, key string, _ <-chan struct{}) ([]byte, error) {
			return s.whole(ctx, to, key, limit)
		}
	}
	err := ahead(ctx, s.checkpoints, s.width, small(1<<20), func(_ string, text []byte) error {
		if text == nil {
			return nil
		}
		return to.checkpoint(text)
	})
	if err != nil {
		return err
	}
	err = ahead(ctx, s.digests, s.width, small(maxDigest), func(key string, text []byte) error {
		if text == nil {
			return nil
		}
		return s.inventory.Digest(s.at(key), text)
	})
	if err != nil {
		return err
	}
	s.listed, err = s.inventory.Close()
	return err
}

func (s *Store) at(key string) string { return s.name + "/" + key }

// whole reads a small object; nil if it is gone, as one may be that has expired since it was
// listed.
func (s *Store) whole(ctx context.Context, to *Sink, key string, limit int64) (text []byte, err error) {
	err = s.attempts(ctx, key, func() error {
		return s.opened(ctx, to, key, func(body io.Reader) error {
			text, err = io.ReadAll(io.LimitReader(body, limit+1))
			return err
		})
	})
	out, isOut := errors.AsType[*outOfReachError](err)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case isOut:
		return nil, fmt.Errorf("%s: %w", s.at(key), out)
	case err != nil:
		return nil, err
	case int64(len(text)) > limit:
		return nil, fmt.Errorf("%s has more than %d bytes", s.at(key), limit)
	}
	return text, nil
}

// Events implements Source: first what the digests name, in the order of the chains, then
// what they do not name.
func (s *Store) Events(ctx context.Context, to *Sink) error {
	type named struct {
		key    string
		listed *integrity.Listed
	}
	var order []named
	for _, l := range s.listed {
		if key, ok := s.find(l.Key); ok && !s.events[key] {
			s.events[key] = true
			order = append(order, named{key, l})
		}
	}
	err := ahead(ctx, order, s.width, func(ctx context.Context, n named, turn <-chan struct{}) (*loaded, error) {
		return s.load(ctx, to, n.key, turn)
	}, func(n named, o *loaded) error { return s.take(to, o, &integrity.Stored{Listed: n.listed}) })
	if err == nil {
		err = s.rest(ctx, to)
	}
	s.inventory.Finish()
	return err
}

// find is the key under which an object of a digest is here: a copy may lack the beginning
// of the bucket's keys.
func (s *Store) find(key string) (string, bool) {
	for {
		if _, ok := s.events[key]; ok {
			return key, true
		}
		_, rest, ok := strings.Cut(key, "/")
		if !ok {
			return "", false
		}
		key = rest
	}
}

// take hands an object to the inventory, with what is known of it.
func (s *Store) take(to *Sink, o *loaded, as *integrity.Stored) error {
	placed, err := s.place(to, o, as)
	if err == nil && !placed && !o.gone && o.broken == nil {
		to.checker.Unreadable(s.at(o.key) + ": neither a digest nor metadata say where its events stand in a feed")
	}
	return err
}

// place says whether something says where an object belongs.
func (s *Store) place(to *Sink, o *loaded, as *integrity.Stored) (bool, error) {
	if o.gone {
		return false, nil // its numbers are missing, and Finish says so
	}
	if o.damaged != nil {
		to.checker.Unreadable(fmt.Sprintf("%s: %v", s.at(o.key), o.damaged))
	}
	as.Where, as.Sum = s.at(o.key), o.sum
	as.Table, as.Unread = o.table(), o.unread
	if o.unread && as.Listed != nil {
		as.Sum = as.Listed.SHA256 // nothing says that it is another
	}
	switch {
	case o.broken != nil && !s.inventory.Vouched(o.sum):
		// What is no table of the sink's holds none of the events that its metadata speak of.
		to.checker.Unreadable(fmt.Sprintf("%s: %v", s.at(o.key), o.broken))
		as.Events = o.all
	case o.readable() && !o.disordered(as):
		as.Events = o.all
	case o.unread:
		as.Why = "the object could not be read"
	case o.broken != nil:
		as.Why = o.broken.Error()
	default:
		as.Why = cmp.Or(o.why, "the numbers of its rows do not tell their order")
	}
	as.Other = otherThan(o.key, as.Run)
	to.see([]byte(o.wantedID), o.wanted)
	origin, err := s.inventory.Take(as)
	if err != nil || origin == "" {
		return false, err
	}
	return true, s.strange(to, o.key, origin)
}

// strange finds an object whose name is that of another feed: who reads by names would take
// the events of one organization for those of another.
func (s *Store) strange(to *Sink, key, origin string) error {
	o, err := integrity.ParseOrigin(origin)
	if err != nil {
		return err // digests and metadata with another one are not taken in
	}
	if name, ok := parseName(key); !ok || name.uid == o.UID && name.topic == o.TopicID && name.partition == o.Partition {
		return nil
	}
	return to.checker.Find(origin, integrity.Finding{Kind: integrity.Altered, Where: s.at(key), Detail: "an object of this feed lies under the name of one of another feed"})
}
