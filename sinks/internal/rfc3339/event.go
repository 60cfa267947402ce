package rfc3339

import "github.com/auditstream/auditstream/sinks"

// EventMillis is when e happened, in milliseconds since 1970-01-01 UTC: its OccurredAt,
// or, where that is no time or lies before 1970, the append time of its record. ok is
// false if that is missing too. It is the same whenever it is asked for.
func EventMillis(e *sinks.Event) (ms int64, ok bool) {
	if ms, ok := Millis(e.OccurredAt); ok && ms >= 0 {
		return ms, true
	}
	ms = e.Time.UnixMilli() // the zero time lies before 1970 too
	return ms, ms >= 0
}
