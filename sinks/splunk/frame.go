package splunk

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/internal/rfc3339"
)

// framer wraps events in HEC's envelope. Splunk loses an event with an unknown key in its
// envelope, and all after it, and calls that a success: there are only known keys.
type framer struct {
	timed   string // what precedes a time
	mid     string // what follows it and precedes the event
	untimed string // what precedes an event without a time
}

func newFramer(s *Settings) framer {
	var members strings.Builder
	for _, m := range []struct{ key, value string }{
		{"host", s.Host}, {"source", s.Source}, {"sourcetype", s.SourceType}, {"index", s.Index},
	} {
		if m.value == "" {
			continue
		}
		text, err := json.Marshal(m.value)
		if err != nil {
			panic(err) // a string always encodes
		}
		members.WriteString(`"` + m.key + `":` + string(text) + ",")
	}
	members.WriteString(`"event":`)
	return framer{timed: `{"time":`, mid: "," + members.String(), untimed: "{" + members.String()}
}

// replayField is the indexed field that tells what a replay sent from what came live.
const replayField = "auditstream_replay"

// replays has every envelope name the job that sends it, if there is one.
func (f *framer) replays(job string) {
	if job == "" {
		return
	}
	fields, err := json.Marshal(map[string]string{replayField: job})
	if err != nil {
		panic(err) // strings always encode
	}
	const event = `"event":`
	member := `"fields":` + string(fields) + "," + event
	f.mid = strings.TrimSuffix(f.mid, event) + member
	f.untimed = strings.TrimSuffix(f.untimed, event) + member
}

// Frame implements sinks.Sink. The event's bytes stay as they are. Its time is in seconds
// with three decimals, always: Splunk takes a long integer for milliseconds.
func (f *framer) Frame(dst []byte, e *sinks.Event) ([]byte, error) {
	if ms, ok := rfc3339.EventMillis(e); ok {
		dst = append(dst, f.timed...)
		dst = appendSeconds(dst, ms)
		dst = append(dst, f.mid...)
	} else {
		dst = append(dst, f.untimed...)
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
