package verify

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/internal/ndjson"
)

// Marks of keys, and endings of objects with events, as the sink for S3 has them.
const (
	checkpointMark = "_checkpoints/"
	digestMark     = "_digests/"

	endingParquet = ".parquet"
)

// Bounds of what is read of a store.
const (
	maxKeys   = 2_000_000
	maxDigest = 64 << 20
)

// objects is where objects are: a bucket, or a folder with a copy of one.
type objects interface {
	// list calls each with every object.
	list(ctx context.Context, each func(key string, size int64) error) error
	// open reads an object; metadata are nil where they are not kept.
	open(ctx context.Context, key string) (body io.ReadCloser, metadata map[string]string, err error)
}

// Store is a bucket that the sink for S3 has written to, or a copy of it.
type Store struct {
	in          objects
	name        string
	size        int64
	checkpoints []string
	digests     []string
	events      map[string]bool // keys of objects with events; true: read by its digest
	hours       []storedHour
}

type storedHour struct {
	*integrity.Hour

	key string
	sum integrity.Hash // of the digest's own bytes
}

// openStore lists what is there.
func openStore(ctx context.Context, in objects, name string) (*Store, error) {
	s := &Store{in: in, name: name, events: map[string]bool{}}
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
	for _, key := range s.checkpoints {
		text, err := s.whole(ctx, to, key, 1<<20)
		if err != nil {
			return err
		}
		if err := to.checkpoint(text); err != nil {
			return err
		}
	}
	for _, key := range s.digests {
		text, err := s.whole(ctx, to, key, maxDigest)
		if err != nil {
			return err
		}
		h, err := to.keys.OpenHour(text)
		if err != nil {
			to.checker.Unreadable(fmt.Sprintf("%s: %v", s.at(key), err))
			continue
		}
		s.hours = append(s.hours, storedHour{h, key, sha256.Sum256(text)})
		for _, head := range []integrity.Head{h.Before, h.After} {
			if err := to.checker.Vouch(h.Origin, head, h.Time, to.keys != nil); err != nil {
				return err
			}
		}
	}
	slices.SortFunc(s.hours, func(a, b storedHour) int {
		return cmp.Or(cmp.Compare(a.Origin, b.Origin), a.Hour.Hour.Compare(b.Hour.Hour))
	})
	return nil
}

func (s *Store) at(key string) string { return s.name + "/" + key }

// whole reads a small object.
func (s *Store) whole(ctx context.Context, to *Sink, key string, limit int64) ([]byte, error) {
	body, _, err := s.in.open(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.at(key), err)
	}
	defer body.Close() //nolint:errcheck // it was only read
	text, err := io.ReadAll(io.LimitReader(to.counted(body), limit+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", s.at(key), err)
	case int64(len(text)) > limit:
		return nil, fmt.Errorf("%s has more than %d bytes", s.at(key), limit)
	}
	return text, nil
}

// Events implements Source: first what the digests name, in the order of the chains, then
// what they do not name yet.
func (s *Store) Events(ctx context.Context, to *Sink) error {
	last := map[string]storedHour{} // by origin
	for _, h := range s.hours {
		before, ok := last[h.Origin]
		last[h.Origin] = h
		if err := s.follows(to, before, h, ok); err != nil {
			return err
		}
		for i := range h.Objects {
			if err := s.listed(ctx, to, h.Origin, &h.Objects[i]); err != nil {
				return err
			}
		}
	}
	return s.rest(ctx, to, last)
}

// follows finds digests that are missing before h.
func (s *Store) follows(to *Sink, before, h storedHour, ok bool) error {
	x := integrity.Finding{Kind: integrity.Missing, Where: s.at(h.key)}
	switch {
	case !ok && h.Previous != (integrity.Hash{}) && to.from.IsZero():
		x.Detail = "the digests before this one are not there"
	case !ok, h.Previous == before.sum:
		return nil
	case before.Hour.Hour.Equal(h.Hour.Hour):
		x.Kind, x.Detail = integrity.Forked, "there are two digests of this hour: whoever signs has told two stories"
	default:
		x.Detail = fmt.Sprintf("between the digests of %s and of %s others are missing", before.Hour.Hour.Format(time.RFC3339), h.Hour.Hour.Format(time.RFC3339))
	}
	return to.checker.Find(h.Origin, x)
}

// listed reads an object that a digest names.
func (s *Store) listed(ctx context.Context, to *Sink, origin string, o *integrity.Object) error {
	key, ok := s.find(o.Key)
	if !ok {
		return nil // its numbers are missing, and Finish says so
	}
	s.events[key] = true
	run := integrity.Run{Feed: integrity.FeedID(origin), First: o.First, Last: o.Last, Before: o.Before, After: o.After, Where: s.at(key)}
	sum, right, err := s.read(ctx, to, key, run)
	if err != nil {
		return err
	}
	if sum != o.SHA256 && right {
		return to.checker.Find(origin, integrity.Finding{
			Kind: integrity.Altered, From: o.First, To: o.Last, Where: s.at(key), Detail: "the object has another SHA-256 than its digest says",
		})
	}
	return nil
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

// read takes in the events of an object, and returns the SHA-256 of its lines and whether
// they are those of the run. Of Parquet the object itself is summed up: its rows are not
// written as they were hashed.
func (s *Store) read(ctx context.Context, to *Sink, key string, run integrity.Run) (sum integrity.Hash, right bool, err error) {
	body, _, err := s.in.open(ctx, key)
	if err != nil {
		return sum, false, fmt.Errorf("%s: %w", s.at(key), err)
	}
	defer body.Close() //nolint:errcheck // it was only read
	h := sha256.New()
	if strings.HasSuffix(key, endingParquet) {
		if _, err := io.Copy(h, to.counted(body)); err != nil {
			return sum, false, fmt.Errorf("%s: %w", s.at(key), err)
		}
		to.digestOnly += run.Last - run.First + 1
		return integrity.Hash(h.Sum(nil)), true, to.checker.Claim(run)
	}
	piece, err := to.checker.Begin(run)
	if err != nil {
		return sum, false, err
	}
	damaged := s.lines(to, body, h, piece)
	if damaged != nil {
		if ctx.Err() != nil {
			return sum, false, ctx.Err()
		}
		to.checker.Unreadable(fmt.Sprintf("%s: %v", s.at(key), damaged))
	}
	right = damaged == nil && piece.Head() == integrity.Head{Size: run.Last, Hash: run.After}
	return integrity.Hash(h.Sum(nil)), right, piece.End()
}

// lines takes in the events of a packed object. An error is about the object.
func (s *Store) lines(to *Sink, body io.Reader, sum hash.Hash, piece *integrity.Piece) error {
	plain, err := unpacked(to.counted(body))
	if err != nil {
		return err
	}
	defer plain.Close() //nolint:errcheck // it was only read
	lines := ndjson.NewReader(io.TeeReader(plain, sum), maxEntry)
	for {
		line, err := lines.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		event := hashed(line)
		id := idOf(event)
		to.see(id, event)
		if err := piece.Event(integrity.Digest(event), id); err != nil {
			return err
		}
	}
}

// hashed is what was hashed of a line: all of it but its end.
func hashed(line []byte) []byte { return bytes.TrimSuffix(line, []byte("\r")) }

// loose is an object that no digest names.
type loose struct {
	key, lane string
	day       string
	slot      int64
	run       *integrity.Run // as its metadata say; nil: it has none
	origin    string
}

// rest reads the objects that no digest names: those of the last hour, and all of them
// where there are no digests. Where they stand in the chain their metadata say, which
// nobody has signed: the checkpoints are what they have to lead to. In a copy without metadata
// they are taken in the order of their names, from where the chain stands.
func (s *Store) rest(ctx context.Context, to *Sink, last map[string]storedHour) error {
	var rest []loose
	for key, read := range s.events {
		if read {
			continue
		}
		o, err := s.loose(ctx, key)
		if err != nil {
			return err
		}
		rest = append(rest, o)
	}
	slices.SortFunc(rest, func(a, b loose) int {
		if a.run != nil && b.run != nil {
			return cmp.Or(cmp.Compare(a.origin, b.origin), cmp.Compare(a.run.First, b.run.First), cmp.Compare(a.key, b.key))
		}
		return cmp.Or(cmp.Compare(a.lane, b.lane), cmp.Compare(a.day, b.day), cmp.Compare(a.slot, b.slot), cmp.Compare(a.key, b.key))
	})
	heads := map[string]*position{}
	for i := range rest {
		o := &rest[i]
		if o.run != nil {
			if _, _, err := s.read(ctx, to, o.key, *o.run); err != nil {
				return err
			}
			continue
		}
		at := heads[o.lane]
		if at == nil {
			at = s.stand(to, o.lane, last)
			heads[o.lane] = at
		}
		if err := s.roll(ctx, to, o, at); err != nil {
			return err
		}
	}
	return nil
}

// Names of metadata, as the sink for S3 has them.
const (
	metaOrigin = "auditstream-origin"
	metaFirst  = "auditstream-first"
	metaLast   = "auditstream-last"
	metaBefore = "auditstream-chain-before"
	metaAfter  = "auditstream-chain-after"
)

// loose reads key and metadata of an object.
func (s *Store) loose(ctx context.Context, key string) (loose, error) {
	o := loose{key: key}
	for part := range strings.SplitSeq(path.Dir(key), "/") {
		if name, day, ok := strings.Cut(part, "="); ok && (name == "day" || name == "eventDay") {
			o.day = day
		}
	}
	o.lane, o.slot = laneOf(key)
	body, m, err := s.in.open(ctx, key)
	if err != nil {
		return o, fmt.Errorf("%s: %w", s.at(key), err)
	}
	if err := body.Close(); err != nil || m[metaOrigin] == "" {
		return o, err
	}
	r := integrity.Run{Feed: integrity.FeedID(m[metaOrigin]), Where: s.at(key)}
	var errs [4]error
	r.First, errs[0] = strconv.ParseInt(m[metaFirst], 10, 64)
	r.Last, errs[1] = strconv.ParseInt(m[metaLast], 10, 64)
	r.Before, errs[2] = integrity.ParseHash(m[metaBefore])
	r.After, errs[3] = integrity.ParseHash(m[metaAfter])
	if errors.Join(errs[:]...) == nil && r.First > 0 && r.Last >= r.First {
		o.run, o.origin = &r, m[metaOrigin]
	}
	return o, nil
}

// laneOf takes the name of an object apart: UID.EPOCH.TOPIC.PARTITION.SLOT, the texts
// escaped. The lane is what comes before the slot, in the spelling of origins.
func laneOf(key string) (lane string, slot int64) {
	parts := strings.Split(path.Base(key), ".")
	if len(parts) < 5 || strings.Contains(key, "replay=") {
		return "", 0
	}
	epoch, err1 := strconv.ParseInt(parts[1], 10, 64)
	partition, err2 := strconv.ParseInt(parts[3], 10, 32)
	slot, err3 := strconv.ParseInt(parts[4], 10, 64)
	uid, err4 := unescape(parts[0])
	topic, err5 := unescape(parts[2])
	if errors.Join(err1, err2, err3, err4, err5) != nil {
		return "", 0
	}
	return laneName(uid, topic, int32(partition), epoch), slot
}

func laneName(uid, topic string, partition int32, epoch int64) string {
	return fmt.Sprintf("%s/%s/%d/%d", uid, topic, partition, epoch)
}

func unescape(s string) (string, error) { return url.PathUnescape(strings.ReplaceAll(s, "=", "%")) }

// position is where the chain of a lane stands.
type position struct {
	origin string // empty: nothing is known of the lane's chains
	head   integrity.Head
}

// stand is where the objects of a lane go on that no digest names: behind the last digest of
// its newest chain, or at the begin of its oldest.
func (s *Store) stand(to *Sink, lane string, last map[string]storedHour) *position {
	type known struct {
		origin          string
		revision, begin int64
	}
	var chains []known
	for _, origin := range to.checker.Origins() {
		if o, err := integrity.ParseOrigin(origin); err == nil && laneName(o.UID, o.TopicID, o.Partition, o.Epoch) == lane {
			chains = append(chains, known{origin, o.Revision, o.Begin})
		}
	}
	slices.SortFunc(chains, func(a, b known) int {
		return cmp.Or(cmp.Compare(a.revision, b.revision), cmp.Compare(a.begin, b.begin))
	})
	if len(chains) == 0 {
		return &position{}
	}
	for _, k := range slices.Backward(chains) {
		if h, ok := last[k.origin]; ok {
			return &position{k.origin, h.After}
		}
	}
	return &position{chains[0].origin, integrity.Begin(chains[0].origin)}
}

// roll takes in an object of which only its place among the others is known.
func (s *Store) roll(ctx context.Context, to *Sink, o *loose, at *position) error {
	if at.origin == "" || strings.HasSuffix(o.key, endingParquet) {
		to.checker.Unreadable(s.at(o.key) + ": neither a digest nor metadata say where its events stand in a feed")
		return nil
	}
	at.origin, at.head = to.checker.Onward(at.origin, at.head)
	body, _, err := s.in.open(ctx, o.key)
	if err != nil {
		return fmt.Errorf("%s: %w", s.at(o.key), err)
	}
	defer body.Close() //nolint:errcheck // it was only read
	piece, err := to.checker.Begin(integrity.Run{Feed: integrity.FeedID(at.origin), First: at.head.Size + 1, Before: at.head.Hash, Where: s.at(o.key)})
	if err != nil {
		return err
	}
	if err := s.lines(to, body, sha256.New(), piece); err != nil {
		to.checker.Unreadable(fmt.Sprintf("%s: %v", s.at(o.key), err))
	}
	at.head = piece.Head()
	return piece.End()
}
