package s3

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/sinks"
)

// Names of the user metadata; S3 puts x-amz-meta- before them. Persisted.
const (
	metaFormat    = "auditstream-format"
	metaCluster   = "auditstream-cluster"
	metaTopicID   = "auditstream-topic-id"
	metaPartition = "auditstream-partition"
	metaUID       = "auditstream-uid"
	metaEpoch     = "auditstream-epoch"
	metaRevision  = "auditstream-revision"
	metaSlot      = "auditstream-slot"
	metaNext      = "auditstream-next"
	metaCount     = "auditstream-count"
	metaSHA256    = "auditstream-sha256"

	// Of objects whose events are numbered only.
	metaOrigin = "auditstream-origin"
	metaFirst  = "auditstream-first"
	metaLast   = "auditstream-last"
	metaBefore = "auditstream-chain-before"
	metaAfter  = "auditstream-chain-after"

	// Of objects of a job, where it is known which events these were at first: numbers of the
	// feed among which all of them lie, in their order. Where there are as many numbers as events
	// they are all of these.
	metaOriginalFeed  = "auditstream-original-feed"
	metaOriginalFirst = "auditstream-original-first"
	metaOriginalLast  = "auditstream-original-last"
)

// link is one object of a chain: the matching events of the chain's day with offsets in
// [slot, next). Texts are escaped as in keys, for metadata have to be ASCII.
type link struct {
	format    int // of the object, see layout
	cluster   string
	topicID   string
	partition int32
	uid       string
	epoch     int64
	revision  int64 // of the stream, when the object was made
	slot      int64
	next      int64
	count     int64  // events in it
	sha256    string // of the uncompressed content, in hex

	// Where the events stand in the chain of their feed; empty: they are not numbered. It
	// decides nothing here: what does not fit is for whoever verifies.
	origin        string
	first, last   int64
	before, after integrity.Hash

	// Which events these were at first; empty: they are sent for the first time, or nobody knows.
	// It is written, and not read here.
	originalFeed                string
	originalFirst, originalLast int64
}

func newLink(c chain, slot, next int64, events int, content []byte, feed *sinks.Chain) link {
	sum, lane := sha256.Sum256(content), c.lane
	l := link{
		format:  c.layout.format,
		cluster: escape(lane.Cluster), topicID: escape(lane.TopicID), partition: lane.Partition,
		uid: escape(lane.UID), epoch: lane.Epoch, revision: lane.Revision,
		slot: slot, next: next, count: int64(events), sha256: hex.EncodeToString(sum[:]),
	}
	if feed != nil {
		after := feed.After()
		l.origin, l.first, l.last = feed.Origin, feed.Before.Size+1, after.Size
		l.before, l.after = feed.Before.Hash, after.Hash
		if n := feed.Originals; len(n) > 0 {
			l.originalFeed, l.originalFirst, l.originalLast = feed.OriginalFeed, slices.Min(n), slices.Max(n)
		}
	}
	return l
}

// mark is where the chain of the day goes on behind l.
func (l link) mark(day int32) mark {
	m := mark{day: day, slot: l.next, revision: l.revision}
	if l.origin != "" {
		m.feed = integrity.FeedID(l.origin)
	}
	return m
}

func (l link) metadata() map[string]string {
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	m := map[string]string{
		metaFormat:    number(int64(l.format)),
		metaCluster:   l.cluster,
		metaTopicID:   l.topicID,
		metaPartition: number(int64(l.partition)),
		metaUID:       l.uid,
		metaEpoch:     number(l.epoch),
		metaRevision:  number(l.revision),
		metaSlot:      number(l.slot),
		metaNext:      number(l.next),
		metaCount:     number(l.count),
		metaSHA256:    l.sha256,
	}
	if l.origin != "" {
		m[metaOrigin], m[metaFirst], m[metaLast] = l.origin, number(l.first), number(l.last)
		m[metaBefore], m[metaAfter] = l.before.String(), l.after.String()
	}
	if l.originalFeed != "" {
		m[metaOriginalFeed], m[metaOriginalFirst], m[metaOriginalLast] = l.originalFeed, number(l.originalFirst), number(l.originalLast)
	}
	return m
}

// place reads where the object's events stand in the chain of their feed. What makes no
// sense is no place: it must not hold up delivery.
func (l *link) place(m map[string]string) {
	first, err1 := strconv.ParseInt(m[metaFirst], 10, 64)
	last, err2 := strconv.ParseInt(m[metaLast], 10, 64)
	before, err3 := integrity.ParseHash(m[metaBefore])
	after, err4 := integrity.ParseHash(m[metaAfter])
	if errors.Join(err1, err2, err3, err4) != nil || first < 1 || last-first+1 != l.count {
		return
	}
	l.origin, l.first, l.last, l.before, l.after = m[metaOrigin], first, last, before, after
}

// parseLink reads what metadata wrote. What it does not know whole, it refuses: to go on
// from a misread next would lose or repeat events. The key leads to objects of one format
// only, which is that of the chain.
func parseLink(m map[string]string, format int) (link, error) {
	if m[metaFormat] == "" {
		return link{}, errors.New("it was not written by auditstream: its metadata " + metaFormat + " is missing")
	}
	if m[metaFormat] != strconv.Itoa(format) {
		return link{}, fmt.Errorf("its format is %.20q and this auditstream knows %d only under this name: use a newer auditstream", m[metaFormat], format)
	}
	var wrong error
	number := func(name string, bits int) int64 {
		n, err := strconv.ParseInt(m[name], 10, bits)
		if (err != nil || n < 0 || strconv.FormatInt(n, 10) != m[name]) && wrong == nil {
			wrong = fmt.Errorf("its metadata %s is %.40q, not a number", name, m[name])
		}
		return n
	}
	l := link{
		format: format, cluster: m[metaCluster], topicID: m[metaTopicID], uid: m[metaUID], sha256: m[metaSHA256],
		partition: int32(number(metaPartition, 32)), epoch: number(metaEpoch, 64), revision: number(metaRevision, 64),
		slot: number(metaSlot, 64), next: number(metaNext, 64), count: number(metaCount, 64),
	}
	if wrong == nil {
		if b, err := hex.DecodeString(l.sha256); err != nil || len(b) != sha256.Size {
			wrong = fmt.Errorf("its metadata %s is no SHA-256", metaSHA256)
		}
	}
	if wrong != nil {
		return link{}, wrong
	}
	l.place(m)
	return l, nil
}

// belongs says whether l can be the object of c at slot. That its next lies beyond the
// end of the log cannot be seen from here.
func (l link) belongs(c chain, slot int64) error {
	differ := func(name string, got, want any) error {
		return fmt.Errorf("its metadata %s is %v, where its name says %v", name, got, want)
	}
	switch {
	case l.uid != escape(c.lane.UID):
		return differ(metaUID, l.uid, escape(c.lane.UID))
	case l.topicID != escape(c.lane.TopicID):
		return differ(metaTopicID, l.topicID, escape(c.lane.TopicID))
	case l.partition != c.lane.Partition:
		return differ(metaPartition, l.partition, c.lane.Partition)
	case l.epoch != c.lane.Epoch:
		return differ(metaEpoch, l.epoch, c.lane.Epoch)
	case l.slot != slot:
		return differ(metaSlot, l.slot, slot)
	case l.next <= slot:
		return fmt.Errorf("it begins at offset %d and claims to end at %d", slot, l.next)
	case l.count < 1 || l.count > l.next-l.slot:
		return fmt.Errorf("it claims %d events between the offsets %d and %d", l.count, l.slot, l.next)
	}
	return nil
}
