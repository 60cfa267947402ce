package verify

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/internal/ndjson"
)

// Bounds of an object with events, far above what the sink for S3 writes: 256 MiB of lines.
const (
	maxUnpacked = 1 << 30
	maxLeaves   = 2 << 20
)

// share is how many events of an object are kept while others before it are not checked yet:
// with it, objects of the usual size are ready when their turn comes, and those of the
// largest wait.
const share = 64 << 10

// loaded is an object with events, as far as the checker needs it.
type loaded struct {
	key     string
	gone    bool           // it is not there any more
	damaged error          // it cannot be read to its end
	unread  bool           // not even begun
	broken  error          // it should be a table of the sink's, and is none
	why     string         // the rows of a table cannot be hashed as they were; empty: they can
	sum     integrity.Hash // of its lines, of Parquet of the object itself
	digests []integrity.Hash
	ids     []byte // of the events, one behind another
	ends    []int  // of each, in ids
	jumps   bool   // the numbers that rows have do not follow one another

	wantedID string // the event to prove, if it is in here
	wanted   []byte
}

// table says whether it is one of rows, by its name.
func (o *loaded) table() bool { return strings.HasSuffix(o.key, endingParquet) }

// readable says whether the events can be hashed as they were.
func (o *loaded) readable() bool { return !o.unread && o.broken == nil && o.why == "" }

// disordered says whether the order of the events is not known. A row of a replay has the
// number that the event had at first, which tells the order of the replay where these follow
// one another, and else if it leads to the hash that is to be led to: no other order does.
func (o *loaded) disordered(as *integrity.Stored) bool {
	if !o.table() || !o.jumps || !strings.Contains(o.key, replayMark) {
		return false
	}
	var head integrity.Head
	var end integrity.Hash
	switch {
	case as.Listed != nil:
		head, end = integrity.Head{Size: as.Listed.First - 1, Hash: as.Listed.Before}, as.Listed.After
	case as.Run != nil:
		head, end = integrity.Head{Size: as.Run.First - 1, Hash: as.Run.Before}, as.Run.After
	default:
		return true
	}
	for _, digest := range o.digests {
		head = head.Next(digest)
	}
	return head.Hash != end
}

// all goes through the events: their digests and ids.
func (o *loaded) all(yield func(digest integrity.Hash, id []byte) bool) {
	begin := 0
	for i, digest := range o.digests {
		if !yield(digest, o.ids[begin:o.ends[i]]) {
			return
		}
		begin = o.ends[i]
	}
}

// load reads an object. Several are loaded at the same time: one that holds much waits for
// its turn with most of it.
func (s *Store) load(ctx context.Context, to *Sink, key string, turn <-chan struct{}) (*loaded, error) {
	var o *loaded
	err := s.attempts(ctx, key, func() error {
		o = &loaded{key: key}
		return s.opened(ctx, to, key, func(body io.Reader) error { return o.read(ctx, body, to.want, turn) })
	})
	out, isOut := errors.AsType[*outOfReachError](err)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &loaded{key: key, gone: true}, nil
	case isOut:
		return &loaded{key: key, damaged: out, unread: true}, nil
	}
	return o, err
}

// read takes in the events. What is wrong with the object itself is no error.
func (o *loaded) read(ctx context.Context, body io.Reader, want string, turn <-chan struct{}) error {
	sum := sha256.New()
	defer func() { o.sum = integrity.Hash(sum.Sum(nil)) }()
	if o.table() {
		return o.readRows(ctx, io.TeeReader(body, sum), want, turn)
	}
	plain, err := unpacked(body)
	if err != nil {
		return o.blame(err)
	}
	defer plain.Close() //nolint:errcheck // it was only read
	bounded := &io.LimitedReader{R: plain, N: maxUnpacked}
	lines := ndjson.NewReader(io.TeeReader(bounded, sum), maxEntry)
	for {
		line, err := lines.Next()
		switch {
		case errors.Is(err, io.EOF) && bounded.N == 0, len(o.digests) == maxLeaves:
			o.damaged = fmt.Errorf("it holds more than %d bytes or %d events, and none is made so large", maxUnpacked, maxLeaves)
			return nil
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return o.blame(err)
		}
		event := bytes.TrimSuffix(line, []byte("\r"))
		id := idOf(event)
		if want != "" && o.wanted == nil && string(id) == want {
			o.wantedID, o.wanted = want, bytes.Clone(event)
		}
		o.digests, o.ids = append(o.digests, integrity.Digest(event)), append(o.ids, id...)
		o.ends = append(o.ends, len(o.ids))
		if len(o.digests) == share {
			select {
			case <-turn:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
}

// blame tells what is wrong with the way to an object from what is wrong with the object.
func (o *loaded) blame(err error) error {
	if _, ok := errors.AsType[*wayError](err); ok {
		return err
	}
	o.damaged = err
	return nil
}

// wayError says that reading broke off, for no fault of what is read.
type wayError struct{ error }

func (e *wayError) Unwrap() error { return e.error }

// way marks the errors of r.
type way struct{ r io.Reader }

func (w way) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = &wayError{err}
	}
	return n, err
}

// opened calls do with what is read of an object, and takes the progress back where that
// fails.
func (s *Store) opened(ctx context.Context, to *Sink, key string, do func(io.Reader) error) error {
	body, err := s.in.open(ctx, key)
	if err != nil {
		return err
	}
	defer body.Close() //nolint:errcheck // it was only read
	counted := &countedReader{r: way{body}, tell: to.progress}
	if err = do(counted); err != nil {
		to.progress(-counted.n)
	}
	return err
}

// Reading is tried again where it broke off on its way. What asking for an object is tried
// again for, the client of the bucket knows.
const (
	tries = 4
	pause = 200 * time.Millisecond // doubled each time
)

func (s *Store) attempts(ctx context.Context, key string, attempt func() error) error {
	for i := range tries {
		err := attempt()
		if _, again := errors.AsType[*wayError](err); !again || ctx.Err() != nil {
			return err
		}
		if i == tries-1 {
			return fmt.Errorf("%s: reading it broke off %d times: %w", s.at(key), tries, err)
		}
		select {
		case <-time.After(pause << i):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
