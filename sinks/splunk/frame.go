package splunk

import (
	"slices"
	"strconv"
	"strings"

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
	pieces  []piece // of the envelope between time and event
	chained []piece // the same for an event in a chain
}

// newFramer makes the framer of settings that are valid. job is that of a replay, if it is one.
func newFramer(s *Settings, job string) (framer, error) {
	var f framer
	head, err := members([]member{
		{"host", s.Host}, {"source", s.Source}, {"sourcetype", s.SourceType}, {"index", s.Index},
	})
	if err != nil {
		return f, err
	}
	var named []member
	if job != "" {
		named = append(named, member{fieldPrefix + replayField, job})
	}
	for name, template := range s.Fields {
		named = append(named, member{fieldPrefix + name, template})
	}
	slices.SortFunc(named, func(a, b member) int { return strings.Compare(a.key, b.key) })
	fields, err := members(named)
	if err != nil {
		return f, err
	}
	f.pieces, f.chained = head, join(slices.Clone(head), piece{text: `"fields":{`}, piece{name: byPlace})
	if len(fields) > 0 {
		last := &fields[len(fields)-1]
		last.text = last.text[:len(last.text)-1] // its comma
		f.pieces = join(join(slices.Clone(head), piece{text: `"fields":{`}), fields...)
		f.pieces = join(f.pieces, piece{text: "},"})
		f.chained = join(join(f.chained, piece{text: ","}), fields...)
	}
	f.pieces = join(f.pieces, piece{text: `"event":`})
	f.chained = join(f.chained, piece{text: `},"event":`})
	return f, nil
}

// member is one of an object's, with a text that takes from the event.
type member struct{ key, template string }

// members are those that are not empty, each with a comma behind it.
func members(list []member) (pieces []piece, err error) {
	for _, m := range list {
		if m.template == "" {
			continue
		}
		value, err := parse(m.template)
		if err != nil {
			return nil, &sinks.FieldError{Field: m.key, Message: err.Error()}
		}
		pieces = join(pieces, piece{text: `"` + m.key + `":"`})
		pieces = join(pieces, value...)
		pieces = join(pieces, piece{text: `",`})
	}
	return pieces, nil
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
	pieces := f.pieces
	if e.Feed != "" {
		pieces = f.chained
	}
	for i := range pieces {
		dst = pieces[i].append(dst, e)
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
