package scs

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/internal/proof"
	"github.com/auditstream/auditstream/sinks/internal/rfc3339"
)

// framer wraps events as the service reads them. It refuses a request with a member that it
// does not know: there are only known ones. Each frame begins with the comma that separates
// it from the one before; Deliver turns the first into a bracket.
type framer struct {
	members    string // those that are the same for all
	attributes string // likewise, of the attributes
	witness    string // what checkpoints have in place of members
}

func newFramer(s *Settings, job string) framer {
	attributes := ""
	if job != "" {
		attributes = `"` + replayAttribute + `":` + quote(job)
	}
	own := *s
	own.SourceType = checkpointType
	return framer{members: members(s), attributes: attributes, witness: members(&own)}
}

func members(s *Settings) string {
	var text strings.Builder
	for _, m := range []struct{ key, value string }{{"host", s.Host}, {"source", s.Source}, {"sourcetype", s.SourceType}} {
		if m.value != "" {
			text.WriteString(`,"` + m.key + `":` + quote(m.value))
		}
	}
	return text.String()
}

// replayAttribute tells what a replay sent from what came live.
const replayAttribute = "auditstream.replay"

func quote(s string) string {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string always encodes
	}
	return string(text)
}

// Frame implements sinks.Sink. The event's bytes stay as they are, as the body; its id is the
// event's own, so that it is the same however often it is sent. What counts against the
// service's limit is the whole element, not the event alone.
func (f *framer) Frame(dst []byte, e *sinks.Event) ([]byte, error) {
	before := len(dst)
	dst = append(dst, `,{"id":`...)
	dst = appendText(dst, e.ID)
	if ms, ok := rfc3339.EventMillis(e); ok {
		dst = append(dst, `,"timestamp":`...)
		dst = strconv.AppendInt(dst, ms, 10)
	}
	dst = append(dst, f.members...)
	if f.attributes != "" || e.Feed != "" {
		dst = append(append(dst, `,"attributes":{`...), f.attributes...)
		if f.attributes != "" && e.Feed != "" {
			dst = append(dst, ',')
		}
		if e.Feed != "" {
			dst = proof.AppendFields(dst, e)
		}
		dst = append(dst, '}')
	}
	dst = append(dst, `,"body":`...)
	dst = append(dst, e.Value...)
	dst = append(dst, '}')
	if size := len(dst) - before - len(",") + len("[]"); size > maxRequest {
		return dst[:before], &sinks.Error{Class: sinks.Rejected, Err: fmt.Errorf(
			"a request with the event alone has %d bytes, more than the %d that %s takes", size, maxRequest, service)}
	}
	return dst, nil
}

// appendText appends text as a JSON string. Ids of ours need no escapes.
func appendText(dst, text []byte) []byte {
	for _, c := range text {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			return append(dst, quote(string(text))...)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, text...)
	return append(dst, '"')
}
