package datadog

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/internal/proof"
	"github.com/auditstream/auditstream/sinks/internal/rfc3339"
)

// framer wraps events in Datadog's log entries. Each frame begins with the comma that
// separates it from the one before; Deliver turns the first into a bracket.
type framer struct {
	head     string             // from the first member on, up to and into the value of ddtags
	tail     string             // from the end of that value on: members that are the same for all
	witness  string             // what checkpoints have in place of both
	outcomes map[string]outcome // by action; nil: no attributes are added
}

func newFramer(s *Settings) framer {
	member := func(key, value string) string {
		if value == "" {
			return ""
		}
		return `"` + key + `":` + quote(value) + ","
	}
	tags := ""
	if len(s.Tags) > 0 {
		tags = strings.Join(s.Tags, ",") + ","
	}
	f := framer{
		head: member("ddsource", s.Source) + `"ddtags":"` + tags + "organization_id:",
		tail: `",` + member("hostname", s.Hostname) + member("service", s.Service),
	}
	f.witness = member("ddsource", s.Source) + member("ddtags", tags+"auditstream.checkpoint:true") + f.tail[len(`",`):]
	if s.Attributes {
		f.outcomes = outcomes()
	}
	return f
}

// replayTag is the name of the tag that tells what a replay sent from what came live.
const replayTag = "auditstream.replay"

// replayed is s with a tag that names the job that sends the entries, if there is one.
func (s *Settings) replayed(job string) *Settings {
	if job == "" {
		return s
	}
	tagged := *s
	tagged.Tags = append(slices.Clone(s.Tags), replayTag+":"+string(appendTag(nil, []byte(job))))
	return &tagged
}

func quote(s string) string {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string always encodes
	}
	return string(text)
}

// attribute is where an event's place in its feed stands, with its digest: Datadog may give
// an event back in other words than it got it.
const attribute = `"auditstream":`

// timed is how the frame of an event begins that has a time. It stands first, so that
// Deliver finds it.
const timed = `,{"timestamp":`

// Frame implements sinks.Sink. The event's bytes stay as they are, as the attribute
// message. An entry above 1,000,000 bytes is rejected: Datadog would cut it, and answer
// that all is well.
func (f *framer) Frame(dst []byte, e *sinks.Event) ([]byte, error) {
	before := len(dst)
	if ms, ok := rfc3339.EventMillis(e); ok {
		dst = append(dst, timed...)
		dst = strconv.AppendInt(dst, ms, 10)
		dst = append(dst, ',')
	} else {
		dst = append(dst, ",{"...)
	}
	dst = append(dst, f.head...)
	dst = appendTag(dst, e.OrganizationID)
	dst = append(dst, ",action:"...)
	dst = appendTag(dst, e.Action)
	dst = append(dst, f.tail...)
	if f.outcomes != nil {
		dst = f.appendAttributes(dst, e)
	}
	if e.Feed != "" {
		dst = append(dst, attribute...)
		dst = append(proof.AppendObject(dst, e, true), ',')
	}
	dst = append(dst, `"message":`...)
	dst = append(dst, e.Value...)
	dst = append(dst, '}')
	if size := len(dst) - before - len(",") + untimedMore; size > maxEntry {
		return dst[:before], &sinks.Error{Class: sinks.Rejected, Err: fmt.Errorf(
			"an entry of %d bytes is larger than the %d that Datadog takes whole", size, maxEntry)}
	}
	return dst, nil
}

// appendTag appends the text of a tag as Datadog would write it, so that an event's text
// can neither end the JSON string nor begin a tag of its own.
func appendTag(dst, text []byte) []byte {
	for _, b := range text {
		switch {
		case b >= 'a' && b <= 'z', b >= 'A' && b <= 'Z', b >= '0' && b <= '9',
			b == '_', b == '-', b == ':', b == '.', b == '/':
			dst = append(dst, b)
		default:
			dst = append(dst, '_')
		}
	}
	return dst
}
