package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/auditstream/auditstream/integrity"
)

// loose is an object that no digest names.
type loose struct {
	key, lane string
	day       string
	slot      int64
	run       *integrity.Run // as its metadata say; nil: it has none
}

// rest reads the objects whose names are in no digest: those of the last hour, those that
// were renamed, and all of them where there are no digests. Where they stand in the chain
// their metadata say, which nobody has signed: the checkpoints are what they have to lead
// to. In a copy without metadata they are taken in the order of their names, from where the
// chain stands.
func (s *Store) rest(ctx context.Context, to *Sink) error {
	var keys []string
	for key, read := range s.events {
		if !read {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	var rest []loose
	err := ahead(ctx, keys, s.width, s.loose, func(_ string, o loose) error {
		rest = append(rest, o)
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortFunc(rest, func(a, b loose) int {
		if a.run != nil && b.run != nil {
			return cmp.Or(cmp.Compare(a.run.Origin, b.run.Origin), cmp.Compare(a.run.First, b.run.First), cmp.Compare(a.key, b.key))
		}
		if (a.run == nil) != (b.run == nil) {
			return map[bool]int{true: -1, false: 1}[a.run != nil]
		}
		return cmp.Or(cmp.Compare(a.lane, b.lane), cmp.Compare(a.day, b.day), cmp.Compare(a.slot, b.slot), cmp.Compare(a.key, b.key))
	})
	heads := map[string]*position{}
	return ahead(ctx, rest, s.width, func(ctx context.Context, l loose, turn <-chan struct{}) (*loaded, error) {
		return s.load(ctx, to, l.key, turn)
	}, func(l loose, o *loaded) error {
		if l.run != nil || l.lane == "" || !o.readable() {
			return s.take(to, o, &integrity.Stored{Run: l.run})
		}
		placed, err := s.place(to, o, &integrity.Stored{})
		if err != nil || placed || o.gone {
			return err
		}
		at := heads[l.lane]
		if at == nil {
			at = s.stand(to, l.lane)
			heads[l.lane] = at
		}
		return s.roll(to, o, at)
	})
}

// Names of metadata, as the sink for S3 has them.
const (
	metaOrigin = "auditstream-origin"
	metaFirst  = "auditstream-first"
	metaLast   = "auditstream-last"
	metaBefore = "auditstream-chain-before"
	metaAfter  = "auditstream-chain-after"
)

// loose reads name and metadata of an object.
func (s *Store) loose(ctx context.Context, key string, _ <-chan struct{}) (loose, error) {
	o := loose{key: key}
	for part := range strings.SplitSeq(path.Dir(key), "/") {
		if name, day, ok := strings.Cut(part, "="); ok && (name == "day" || name == "eventDay") {
			o.day = day
		}
	}
	if name, ok := parseName(key); ok {
		o.lane, o.slot = laneName(name.uid, name.topic, name.partition, name.epoch), name.slot
	}
	m, err := s.in.metadata(ctx, key)
	if err != nil || m[metaOrigin] == "" {
		return o, err
	}
	r := integrity.Run{Feed: integrity.FeedID(m[metaOrigin]), Origin: m[metaOrigin], Where: s.at(key)}
	var errs [5]error
	r.First, errs[0] = strconv.ParseInt(m[metaFirst], 10, 64)
	r.Last, errs[1] = strconv.ParseInt(m[metaLast], 10, 64)
	r.Before, errs[2] = integrity.ParseHash(m[metaBefore])
	r.After, errs[3] = integrity.ParseHash(m[metaAfter])
	_, errs[4] = integrity.ParseOrigin(r.Origin)
	if errors.Join(errs[:]...) == nil && r.First > 0 && r.Last >= r.First && r.Last <= integrity.MaxNumber {
		o.run = &r
	}
	return o, nil
}

// objectName is the name of an object: UID.EPOCH.TOPIC.PARTITION.SLOT, the texts escaped, and
// what more a format has.
type objectName struct {
	uid, topic string
	epoch      int64
	partition  int32
	slot       int64
}

// parseName takes a key apart. What replays have written is named after them, and not after
// a lane.
func parseName(key string) (n objectName, ok bool) {
	if strings.Contains(key, replayMark) {
		return n, false
	}
	return parseBase(key)
}

// otherThan says of origins whether an object is of another chain, by its metadata, if there are
// any, else by its name.
func otherThan(key string, run *integrity.Run) func(origin string) bool {
	return func(origin string) bool {
		if run != nil {
			return run.Origin != origin
		}
		n, ok := parseBase(key)
		o, err := integrity.ParseOrigin(origin)
		return ok && err == nil && (n.uid != o.UID || n.topic != o.TopicID || n.partition != o.Partition)
	}
}

// slotDigits is how many digits slots have in names, whatever they are.
const slotDigits = 20

// parseBase takes the last part of a key apart, whoever has written the object.
func parseBase(key string) (n objectName, ok bool) {
	parts := strings.Split(path.Base(key), ".")
	if len(parts) < 5 {
		return n, false
	}
	slot, _, _ := strings.Cut(parts[4], "-")
	if len(slot) != slotDigits { // a name with dots of somebody else
		return n, false
	}
	var partition int64
	var errs [5]error
	n.uid, errs[0] = unescape(parts[0])
	n.epoch, errs[1] = strconv.ParseInt(parts[1], 10, 64)
	n.topic, errs[2] = unescape(parts[2])
	partition, errs[3] = strconv.ParseInt(parts[3], 10, 32)
	n.slot, errs[4] = strconv.ParseInt(slot, 10, 64)
	n.partition = int32(partition)
	return n, errors.Join(errs[:]...) == nil
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
func (s *Store) stand(to *Sink, lane string) *position {
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
		if head, ok := s.inventory.After(k.origin); ok {
			return &position{k.origin, head}
		}
	}
	return &position{chains[0].origin, integrity.Begin(chains[0].origin)}
}

// roll takes in an object of which only its place among the others is known.
func (s *Store) roll(to *Sink, o *loaded, at *position) error {
	if at.origin == "" {
		to.checker.Unreadable(s.at(o.key) + ": neither a digest nor metadata say where its events stand in a feed")
		return nil
	}
	at.origin, at.head = to.checker.Onward(at.origin, at.head)
	piece, err := to.checker.Begin(integrity.Run{Feed: integrity.FeedID(at.origin), First: at.head.Size + 1, Before: at.head.Hash, Where: s.at(o.key)})
	if err != nil {
		return err
	}
	for digest, id := range o.all {
		if err := piece.Event(digest, id); err != nil {
			return err
		}
	}
	at.head = piece.Head()
	return piece.End()
}
