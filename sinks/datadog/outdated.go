package datadog

import (
	"bytes"
	"strconv"
	"time"

	"github.com/auditstream/auditstream/sinks"
)

// Datadog documents that it takes logs up to 18 hours old and 2 hours ahead, and not what
// becomes of others: they may be dropped although they were accepted. A few minutes less are
// for clocks that differ, and for the request's own time.
const (
	maxPast   = 18*time.Hour - 10*time.Minute
	maxFuture = 2*time.Hour - 10*time.Minute
)

// untimed is what timed becomes when the time is too far away: an attribute with a name that
// means nothing to Datadog, which then takes the moment of arrival for the log's time.
const (
	untimed     = `,{"original_timestamp":`
	untimedMore = len(untimed) - len(timed)
)

// body returns the frames of b as an array that Datadog keeps: entries from too long ago, or
// from too far ahead, have their time in an attribute of their own. It says how many those
// are. The batch is not changed.
func body(b *sinks.Batch, now time.Time) (parts [][]byte, outdated int) {
	oldest, newest := now.Add(-maxPast).UnixMilli(), now.Add(maxFuture).UnixMilli()
	parts = append(make([][]byte, 0, 3), []byte("["))
	from := len(",")
	begin := 0
	for _, e := range b.Events {
		if ms, ok := frameTime(b.Body[begin:e.End]); ok && (ms < oldest || ms > newest) {
			// In front of the first entry stands the bracket in place of a comma.
			first := max(from, begin)
			parts = append(parts, b.Body[from:first], []byte(untimed)[first-begin:])
			from = begin + len(timed)
			outdated++
		}
		begin = e.End
	}
	return append(parts, b.Body[from:], []byte("]")), outdated
}

// frameTime is the time that a frame begins with.
func frameTime(frame []byte) (ms int64, ok bool) {
	rest, ok := bytes.CutPrefix(frame, []byte(timed))
	if !ok {
		return 0, false
	}
	digits, _, ok := bytes.Cut(rest[:min(len(rest), 24)], []byte(","))
	if !ok {
		return 0, false
	}
	ms, err := strconv.ParseInt(string(digits), 10, 64)
	return ms, err == nil
}
