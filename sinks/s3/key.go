package s3

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/auditstream/auditstream/sinks"
)

// maxKey is S3's bound of a key, in bytes:
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html.
const maxKey = 1024

// chain is the objects of one stream, epoch, partition and UTC day.
type chain struct {
	layout layout
	prefix string // of the layout, and of a replay
	lane   sinks.Lane
	day    int32 // since 1970-01-01
}

// check refuses a lane whose chain could be taken for another's.
func (c chain) check() error {
	switch {
	case c.lane.Stream == "" || c.lane.UID == "" || c.lane.TopicID == "":
		return errors.New("the lane lacks the stream's id, its uid or the topic's id")
	case c.lane.Partition < 0 || c.lane.Epoch < 0 || c.lane.Revision < 0:
		return errors.New("the lane's partition, epoch or revision is negative")
	case len(c.key(0)) > maxKey:
		return fmt.Errorf("the object keys have %d bytes, S3 takes %d: shorten the prefix or the stream's id", len(c.key(0)), maxKey)
	}
	return nil
}

// key is the name of the object that begins at slot. Its last part has a fixed width
// for every offset, so that a listing shows a chain in its order. The form is persisted:
// it never changes within a format.
func (c chain) key(slot int64) string {
	return fmt.Sprintf("%s%s%s.%06d.%s.%05d.%020d%s",
		c.prefix, c.layout.directory(c.lane, c.day),
		escape(c.lane.UID), c.lane.Epoch, escape(c.lane.TopicID), c.lane.Partition, slot, c.layout.ending)
}

// replayPrefix follows the prefix of the settings in the keys of what a replay sends: its
// chains are its own, and no reader of the stream's objects counts an event twice.
func replayPrefix(job string) string {
	if job == "" {
		return ""
	}
	return "replay=" + escape(job) + "/"
}

// dayText is a day as YYYY-MM-DD.
func dayText(day int32) string {
	const seconds = 24 * 60 * 60
	return time.Unix(int64(day)*seconds, 0).UTC().Format(time.DateOnly)
}

// escape writes every byte but letters, digits, - and _ as = and two hexadecimal
// digits, so that different texts stay different, and neither the dots nor the slashes
// of a key can come out of an id.
func escape(s string) string {
	plain := func(c byte) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
	}
	var b strings.Builder
	for i := range len(s) {
		if plain(s[i]) {
			b.WriteByte(s[i])
			continue
		}
		fmt.Fprintf(&b, "=%02X", s[i])
	}
	return b.String()
}
