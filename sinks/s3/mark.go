package s3

import (
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"

	"github.com/auditstream/auditstream/sinks"
)

// mark is where the chain of one day goes on: a note of a sink to its successor, kept
// beside the lane's cursor. It saves walking the chain and decides nothing: without it,
// or with an older one, the same place is found.
type mark struct {
	day      int32
	slot     int64  // the next object's
	revision int64  // of the last object
	feed     string // id of the chain that the events of the last object are in; empty: of none, or not known
}

// maxMarks is how many days are remembered. Around midnight the append times of two
// leaders may take turns on either side.
const maxMarks = 2

// marks are the latest days, the one used last in front.
type marks []mark

func (ms marks) of(day int32) (mark, bool) {
	i := slices.IndexFunc(ms, func(m mark) bool { return m.day == day })
	if i < 0 {
		return mark{day: day}, false
	}
	return ms[i], true
}

// with is ms with m in front, in place of an older mark of the same day.
func (ms marks) with(m mark) marks {
	out := marks{m}
	for _, o := range ms {
		if o.day != m.day && len(out) < maxMarks {
			out = append(out, o)
		}
	}
	return out
}

// text writes ms for the lane and the place (bucket, prefix) that they speak of: version,
// day:slot:revision:feed,… and a check sum.
func (ms marks) text(lane sinks.Lane, place string) string {
	if len(ms) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("2 ")
	for i, m := range ms {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%d:%d:%d:%s", m.day, m.slot, m.revision, m.feed)
	}
	return b.String() + " " + markSum(b.String(), lane, place)
}

// parseMarks reads what text wrote for the same lane and place. Anything else, be it
// damaged, of another epoch or of a newer version, is no mark: false.
func parseMarks(text string, lane sinks.Lane, place string) (marks, bool) {
	i := strings.LastIndexByte(text, ' ')
	if i < 0 || markSum(text[:i], lane, place) != text[i+1:] {
		return nil, false
	}
	version, list, _ := strings.Cut(text[:i], " ")
	fields, ok := map[string]int{"1": 3, "2": 4}[version] // version 1 knew no feeds
	if !ok || strings.Count(list, ",") >= maxMarks {
		return nil, false
	}
	var ms marks
	for item := range strings.SplitSeq(list, ",") {
		f := strings.Split(item, ":")
		if len(f) != fields {
			return nil, false
		}
		day, err1 := strconv.ParseInt(f[0], 10, 32)
		slot, err2 := strconv.ParseInt(f[1], 10, 64)
		revision, err3 := strconv.ParseInt(f[2], 10, 64)
		if err1 != nil || err2 != nil || err3 != nil || slot < 0 {
			return nil, false
		}
		m := mark{day: int32(day), slot: slot, revision: revision}
		if fields == 4 {
			m.feed = f[3]
		}
		ms = append(ms, m)
	}
	return ms, true
}

// markSum binds a mark to everything that makes a chain: a slot of another chain would
// leave a hole in this one.
func markSum(text string, lane sinks.Lane, place string) string {
	h := fnv.New64a()
	h.Write(fmt.Appendf(nil, "%s\n%q %q %d %q %d %q", text, lane.Stream, lane.UID, lane.Epoch, lane.TopicID, lane.Partition, place))
	return fmt.Sprintf("%016x", h.Sum64())
}
