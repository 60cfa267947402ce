package bench

import (
	"strconv"
	"time"
)

// envelope puts events into the collector's envelope, the same bytes that delivery sends
// by default.
type envelope struct {
	date string // the day of the event before
	day  int64  // its beginning, in Unix seconds
}

// append appends the event. occurredAt is what the Generator writes.
func (e *envelope) append(dst, value, occurredAt []byte) []byte {
	const date, form = len("2006-01-02"), "2006-01-02T15:04:05.000Z"
	if len(occurredAt) == len(form) {
		if string(occurredAt[:date]) != e.date {
			e.date = string(occurredAt[:date])
			day, _ := time.Parse(time.DateOnly, e.date) // the generator wrote it
			e.day = day.Unix()
		}
		digits := func(i int) int64 { return int64(occurredAt[i]-'0')*10 + int64(occurredAt[i+1]-'0') }
		dst = append(dst, `{"time":`...)
		dst = strconv.AppendInt(dst, e.day+digits(11)*3600+digits(14)*60+digits(17), 10)
		dst = append(dst, '.')
		dst = append(dst, occurredAt[20:23]...)
		dst = append(dst, `,"source":"auditstream","sourcetype":"_json","event":`...)
	} else {
		dst = append(dst, `{"source":"auditstream","sourcetype":"_json","event":`...)
	}
	dst = append(dst, value...)
	return append(dst, '}')
}
