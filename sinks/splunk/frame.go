package splunk

import (
	"maps"
	"slices"
	"strconv"

	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/internal/rfc3339"
)

// fieldPrefix begins the name of every indexed field: none can stand for one of Splunk's
// own, or for one that it finds in the event.
const fieldPrefix = "auditstream_"

// replayField is the indexed field that tells what a replay sent from what came live.
const replayField = "replay"

// framer wraps events in HEC's envelope. Splunk loses an event with an unknown key in its
// envelope, and all after it, and calls that a success: there are only known keys.
type framer struct {
	pieces []piece // of the envelope between time and event
}

// newFramer makes the framer of settings that are valid. job is that of a replay, if it is one.
func newFramer(s *Settings, job string) (framer, error) {
	var f framer
	add := func(key, template string) error {
		if template == "" {
			return nil
		}
		pieces, err := parse(template)
		if err != nil {
			return &sinks.FieldError{Field: key, Message: err.Error()}
		}
		f.pieces = join(f.pieces, piece{text: `"` + key + `":"`})
		f.pieces = join(f.pieces, pieces...)
		f.pieces = join(f.pieces, piece{text: `",`})
		return nil
	}
	for _, m := range []struct{ key, template string }{
		{"host", s.Host}, {"source", s.Source}, {"sourcetype", s.SourceType}, {"index", s.Index},
	} {
		if err := add(m.key, m.template); err != nil {
			return f, err
		}
	}
	fields := maps.Clone(s.Fields)
	if job != "" {
		if fields == nil {
			fields = map[string]string{}
		}
		fields[replayField] = job
	}
	if len(fields) > 0 {
		f.pieces = join(f.pieces, piece{text: `"fields":{`})
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			if err := add(fieldPrefix+name, fields[name]); err != nil {
				return f, err
			}
		}
		last := &f.pieces[len(f.pieces)-1]
		last.text = last.text[:len(last.text)-1] + `},` // the last field's comma
	}
	f.pieces = join(f.pieces, piece{text: `"event":`})
	return f, nil
}

// Frame implements sinks.Sink. The event's bytes stay as they are. Its time is in seconds
// with three decimals, always: Splunk takes a long integer for milliseconds.
func (f *framer) Frame(dst []byte, e *sinks.Event) ([]byte, error) {
	dst = append(dst, '{')
	if ms, ok := rfc3339.EventMillis(e); ok {
		dst = append(dst, `"time":`...)
		dst = appendSeconds(dst, ms)
		dst = append(dst, ',')
	}
	for i := range f.pieces {
		dst = f.pieces[i].append(dst, e)
	}
	dst = append(dst, e.Value...)
	return append(dst, '}'), nil
}

// appendSeconds appends ms, which is not negative, as seconds with three decimals.
func appendSeconds(dst []byte, ms int64) []byte {
	dst = strconv.AppendInt(dst, ms/1000, 10)
	rest := ms % 1000
	return append(dst, '.', byte('0'+rest/100), byte('0'+rest/10%10), byte('0'+rest%10))
}
