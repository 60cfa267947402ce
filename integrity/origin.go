package integrity

import (
	"encoding/base32"
	"fmt"
	"strconv"
	"strings"
)

// Origin names one chain: no two chains that ever were have the same. Each revision of a
// stream begins a chain of its own, and so does every place at which its delivery begins
// anew: after a move of the cursor, and behind events that Kafka no longer had.
type Origin struct {
	Stream    string // id that people use
	UID       string // identity of the stream
	TopicID   string // of the events topic
	Partition int32
	Epoch     int64
	Revision  int64
	Begin     int64 // offset of the events topic: the chain has nothing from below it
}

// String is the origin as hashes, checkpoints and feeds have it:
// auditstream/STREAM/UID/TOPIC/PARTITION/EPOCH.REVISION.BEGIN.
func (o Origin) String() string {
	return fmt.Sprintf("auditstream/%s/%s/%s/%d/%d.%d.%d", o.Stream, o.UID, o.TopicID, o.Partition, o.Epoch, o.Revision, o.Begin)
}

// FeedID is what each event of the chain with the origin carries in its place: 16 letters
// and digits, the first 80 bits of the origin's SHA-256 in base32.
func FeedID(origin string) string {
	hash := Begin(origin).Hash
	return strings.ToLower(base32.StdEncoding.EncodeToString(hash[:10]))
}

// ParseOrigin reads what String has written.
func ParseOrigin(text string) (Origin, error) {
	bad := fmt.Errorf("%q is not an origin of a feed (auditstream/STREAM/UID/TOPIC/PARTITION/EPOCH.REVISION.BEGIN)", text)
	parts := strings.Split(text, "/")
	if len(parts) != 6 || parts[0] != "auditstream" {
		return Origin{}, bad
	}
	o := Origin{Stream: parts[1], UID: parts[2], TopicID: parts[3]}
	numbers := append([]string{parts[4]}, strings.Split(parts[5], ".")...)
	if len(numbers) != 4 {
		return Origin{}, bad
	}
	var n [4]int64
	for i, s := range numbers {
		var err error
		if n[i], err = strconv.ParseInt(s, 10, 64); err != nil {
			return Origin{}, bad
		}
	}
	if n[0] < 0 || n[0] > 1<<31-1 {
		return Origin{}, bad
	}
	o.Partition, o.Epoch, o.Revision, o.Begin = int32(n[0]), n[1], n[2], n[3]
	if o.String() != text {
		return Origin{}, bad
	}
	return o, nil
}
