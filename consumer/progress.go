package consumer

import (
	"cmp"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/internal/record"
)

// progressVersion is the version of the progress record.
const progressVersion = 1

// Lane states as the progress record and the metrics name them.
const (
	StateActive  = "active"
	StateError   = "error"    // being retried; next_attempt says when
	StateInvalid = "invalid"  // credentials or configuration; probed slowly
	StatePaused  = "inactive" // the operator's wish; the cursor stays
)

// maxGaps bounds the gaps that a record lists; the oldest are dropped first, their
// events stay counted in Expired.
const maxGaps = 16

// progress is where one lane stands: a record of the progress topic, in the partition
// with the number of the events' partition, keyed by uid, epoch and revision. Of
// several revisions of one epoch the highest counts, so that a stale writer can only
// cause repeats.
type progress struct {
	Version      int        `json:"v"`
	Stream       string     `json:"stream"`
	UID          string     `json:"uid"`
	Epoch        int64      `json:"epoch"`
	Revision     int64      `json:"revision"`
	TopicID      string     `json:"topic_id"`       // of the events topic; a record of another one is void
	Begin        int64      `json:"begin"`          // where the revision begins
	Cursor       int64      `json:"cursor"`         // first offset not settled
	Live         bool       `json:"live,omitempty"` // fed by the live reader: what the group's commit passes is settled
	Mark         string     `json:"mark,omitempty"` // the sink's note, a hint
	State        string     `json:"state"`
	Since        time.Time  `json:"since"` // when the lane entered State
	Error        string     `json:"error,omitempty"`
	Class        string     `json:"class,omitempty"`       // of the error, where the destination's kind gave it one
	HTTPStatus   int        `json:"http_status,omitempty"` // of the answer that made the error
	NextAttempt  *time.Time `json:"next_attempt,omitempty"`
	Matched      int64      `json:"matched,omitempty"`     // events, since the epoch began, below CountedTo
	CountedTo    int64      `json:"counted_to,omitempty"`  // 0: an older binary wrote the record, Matched is not known
	CountedAll   bool       `json:"counted_all,omitempty"` // and up to where the group has read: what a commit passes is counted
	AtMost       bool       `json:"at_most,omitempty"`     // of what matched, retention took some that is in no other count
	Delivered    int64      `json:"delivered"`             // events, since the epoch began; goes back with the cursor
	DeadLettered int64      `json:"dead_lettered"`
	Filtered     int64      `json:"filtered,omitempty"` // that the stream's expression did not let through
	Lost         int64      `json:"lost,omitempty"`     // that matched, and that retention took
	Retried      int64      `json:"retried"`            // attempts beyond the first
	Expired      int64      `json:"expired"`            // offsets lost to retention, an upper bound of events
	Oldest       *time.Time `json:"oldest,omitempty"`   // append time of the oldest event that is not settled; absent: there is none, or nobody knows

	// As of the commit, and often later than it: see commitMeta.
	Position    int64  `json:"position,omitempty"`
	LeaderEpoch *int32 `json:"leader_epoch,omitempty"`

	Chain   *chainRecord  `json:"chain,omitempty"`  // of the events below Cursor
	Recent  *recentRecord `json:"recent,omitempty"` // what became of events lately
	Gaps    []gap         `json:"gaps,omitempty"`
	Updated time.Time     `json:"updated"`
}

// gap is a range of offsets that was not delivered and never will be: lost before it could
// be, or passed over on purpose.
type gap struct {
	From   int64     `json:"from"`
	To     int64     `json:"to"` // exclusive
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
	By     string    `json:"by,omitempty"` // who passed it over; empty: it was lost
}

// OfFormerTopic says whether the offsets are those of an events topic that is gone.
func (g gap) OfFormerTopic() bool { return strings.HasPrefix(g.Reason, goneTopic) }

// progressKey names a lane's record.
type progressKey struct {
	uid             string
	epoch, revision int64
}

func (k progressKey) String() string {
	return fmt.Sprintf("%s/%d/%d", k.uid, k.epoch, k.revision)
}

func parseProgressKey(key []byte) (progressKey, error) {
	parts := strings.Split(string(key), "/")
	if len(parts) != 3 || parts[0] == "" {
		return progressKey{}, fmt.Errorf("progress key %q is not uid/epoch/revision", key)
	}
	epoch, err1 := strconv.ParseInt(parts[1], 10, 64)
	revision, err2 := strconv.ParseInt(parts[2], 10, 64)
	if err1 != nil || err2 != nil {
		return progressKey{}, fmt.Errorf("progress key %q is not uid/epoch/revision", key)
	}
	return progressKey{parts[0], epoch, revision}, nil
}

func (p *progress) key() progressKey { return progressKey{p.UID, p.Epoch, p.Revision} }

func (p *progress) encode() ([]byte, error) {
	p.Version = progressVersion
	return json.Marshal(p)
}

// table is what one partition of the progress topic holds: the last record of each key.
type table map[progressKey]*progress

// add takes a record in. A record that a newer binary wrote is an error: going on
// without it would place its lane wrongly.
func (t table) add(r *kgo.Record) error {
	key, err := parseProgressKey(r.Key)
	if err != nil {
		return err
	}
	if r.Value == nil {
		delete(t, key)
		return nil
	}
	var p progress
	if err := record.DecodeTolerantly(r.Value, progressVersion, &p); err != nil {
		return fmt.Errorf("progress %s: %w", key, err)
	}
	if p.key() != key {
		return fmt.Errorf("progress %s: the record speaks of %s", key, p.key())
	}
	t[key] = &p
	return nil
}

// byUID divides the table by stream.
func (t table) byUID() map[string]table {
	out := make(map[string]table, len(t))
	for key, p := range t {
		of := out[key.uid]
		if of == nil {
			of = table{}
			out[key.uid] = of
		}
		of[key] = p
	}
	return out
}

// of returns the record that counts for a stream in the partition that the spec is for,
// nil without one, and the keys that it makes obsolete: the highest epoch from the base on,
// and of that the highest revision. Where there is none of an epoch that this process knows,
// one of a later epoch counts: others heard of it first. The lane then stands where they
// left it, and what retention has taken from there on becomes a gap, whether the cursor was
// moved in that epoch or not; a move is made again when this process hears of it.
func (t table) of(s Spec, topicID string) (best *progress, obsolete []progressKey) {
	best = t.highest(s.UID, s.BaseEpoch, s.Epoch, topicID)
	for key := range t {
		if key.uid == s.UID && (key.epoch < s.BaseEpoch || best != nil && key.before(best.key())) {
			obsolete = append(obsolete, key)
		}
	}
	slices.SortFunc(obsolete, progressKey.compare)
	if best == nil {
		best = t.highest(s.UID, s.Epoch+1, math.MaxInt64, topicID)
	}
	return best, obsolete
}

// highest is the record of a stream in an events topic with the highest epoch from one to
// another, and of that with the highest revision; nil without one.
func (t table) highest(uid string, from, to int64, topicID string) *progress {
	var best *progress
	for key, p := range t {
		if key.uid == uid && key.epoch >= from && key.epoch <= to && p.TopicID == topicID && (best == nil || best.key().before(key)) {
			best = p
		}
	}
	return best
}

// former is the record of a stream that counted in an events topic that is gone; nil without
// one. It is asked for when no record of the present topic is there.
func (t table) former(s Spec) *progress {
	var best *progress
	for key, p := range t {
		if key.uid == s.UID && key.epoch >= s.BaseEpoch && key.epoch <= s.Epoch && (best == nil || best.key().before(key)) {
			best = p
		}
	}
	return best
}

// ofDeleted are the keys of the records of streams that are deleted.
func (t table) ofDeleted(uids map[string]bool) []progressKey {
	var keys []progressKey
	for key := range t {
		if uids[key.uid] {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, progressKey.compare)
	return keys
}

// before returns the record that counted before the stream's last deliberate move.
func (t table) before(s Spec, topicID string) *progress {
	return t.highest(s.UID, 1, s.BaseEpoch-1, topicID)
}

func (k progressKey) compare(other progressKey) int {
	return cmp.Or(cmp.Compare(k.uid, other.uid), cmp.Compare(k.epoch, other.epoch), cmp.Compare(k.revision, other.revision))
}

func (k progressKey) before(other progressKey) bool {
	return k.epoch < other.epoch || k.epoch == other.epoch && k.revision < other.revision
}

// commitVersion is the version of the metadata beside a committed group offset.
const commitVersion = 1

// commitMeta stands beside the group offset of a partition. Kafka bounds it to 4,096
// bytes (offset.metadata.max.bytes).
type commitMeta struct {
	Version  int    `json:"v"`
	Floor    int64  `json:"floor"`           // lowest cursor of all lanes of the partition
	Lanes    string `json:"lanes,omitempty"` // fingerprint of the lanes on record; absent: not known
	Specs    int64  `json:"specs"`           // first offset of the streams topic that was not read
	Events   string `json:"events"`          // topic ids at the time of the commit
	Progress string `json:"progress"`        //
	Streams  string `json:"streams"`         //

	// The position up to which was dispatched, and the leader epoch of the last record below
	// it: with them the next owner finds out whether the log was cut off meanwhile. Absent:
	// not known.
	Position    int64  `json:"position,omitempty"`
	LeaderEpoch *int32 `json:"leader_epoch,omitempty"`
}

// commit is a committed group offset with its metadata.
type commit struct {
	offset int64
	meta   commitMeta
}

// fingerprint tells one set of lanes from another. It does not depend on their order: it
// is the exclusive or of a hash of each.
type fingerprint uint64

// with is the fingerprint with one lane more: that of a stream since its last deliberate
// move in the partition that the spec is for.
func (f fingerprint) with(s Spec) fingerprint {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%s/%d", s.UID, s.BaseEpoch)
	return f ^ fingerprint(h.Sum64())
}

func (f fingerprint) String() string { return fmt.Sprintf("%016x", uint64(f)) }

func (m commitMeta) encode() (string, error) {
	m.Version = commitVersion
	b, err := json.Marshal(m)
	return string(b), err
}

func decodeCommit(offset int64, metadata string) (*commit, error) {
	if offset < 0 {
		return nil, nil //nolint:nilnil // no commit is a fact, not a failure
	}
	if metadata == "" {
		return nil, fmt.Errorf("the group's commit at offset %d carries no metadata: it was not made by auditstream; use another consumer group or delete that one", offset)
	}
	c := &commit{offset: offset}
	if err := record.Decode([]byte(metadata), commitVersion, &c.meta); err != nil {
		return nil, fmt.Errorf("metadata of the group's commit at offset %d: %w", offset, err)
	}
	return c, nil
}
