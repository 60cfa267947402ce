package deadletter

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/schema"
	"github.com/auditstream/auditstream/sinks"
)

// Letter is a dead letter: a record of the events topic that could not be delivered, and
// why.
type Letter struct {
	Position Position  `json:"position"`
	Time     time.Time `json:"time"` // when it was written

	// ID is the same for the same refusal, however often a crash repeats the letter.
	ID           string      `json:"letter"`
	Class        string      `json:"class"` // rejected, invalid, expiring
	Reason       string      `json:"reason"`
	Answer       string      `json:"answer,omitempty"` // of the destination
	Streams      []Stream    `json:"streams"`          // empty where no stream could carry the record
	Kind         string      `json:"kind"`             // of destination
	Attempts     int         `json:"attempts"`
	FirstFailure time.Time   `json:"first_failure"`
	LastFailure  time.Time   `json:"last_failure"`
	Source       Source      `json:"source"`
	Violations   []Violation `json:"violations,omitempty"`

	// The record itself, byte for byte as its producer wrote it. A nil Key is no key, a nil
	// Value no value.
	Key     []byte             `json:"-"`
	Value   []byte             `json:"-"`
	Headers []kgo.RecordHeader `json:"-"`
}

// Stream is a stream that an event was not delivered to.
type Stream struct {
	ID       string `json:"id"`
	UID      string `json:"uid"`
	Epoch    int64  `json:"epoch"`
	Revision int64  `json:"revision"`
	Replay   string `json:"replay,omitempty"` // uid of the job whose event it was; empty: of live delivery
	Feed     string `json:"feed,omitempty"`   // id of the chain that has the event withheld; empty: none, or an older version has written the letter
	Number   int64  `json:"seq,omitempty"`    // of the event in it
}

// Source is where the record stands, or stood, in the events topic.
type Source struct {
	Topic     string    `json:"topic"`
	TopicID   string    `json:"topic_id"`
	Partition int32     `json:"partition"`
	Offset    int64     `json:"offset"`
	Time      time.Time `json:"time"` // it was appended
}

// Violation is one thing that is wrong with an event.
type Violation struct {
	Pointer string `json:"pointer"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

// String is the violation as one line.
func (v Violation) String() string {
	return schema.Violation{Pointer: v.Pointer, Code: v.Code, Message: v.Message}.String()
}

// Of says whether the letter is about the stream with that uid. A letter about an invalid
// record is about none.
func (l *Letter) Of(uid string) bool {
	for _, s := range l.Streams {
		if s.UID == uid {
			return true
		}
	}
	return false
}

// Event reads action and id of the event, as far as the value lets them be read.
func (l *Letter) Event() (action, id string) {
	var f schema.Fields
	_ = schema.Scan(l.Value, &f) // what was found before an error is the best there is
	return string(f.Action), string(f.ID)
}

// Headers of letters begin with letterPrefix. The version is the first header of all, so
// that no header of the record behind it can make a letter, or a mark, of what is none.
const (
	letterPrefix  = "auditstream.letter."
	letterVersion = "1"
)

// What decode says about records that are neither letter nor mark of a known version.
var (
	errAlien = errors.New("neither a letter nor a mark")
	errNewer = errors.New("written by a newer version")
)

// decode reads a record of the topic, as a letter or as a mark. The letter aliases r.
func decode(r *kgo.Record) (*Letter, *Mark, error) {
	if len(r.Headers) == 0 {
		return nil, nil, errAlien
	}
	switch first := r.Headers[0]; first.Key {
	case letterPrefix + "version":
		if string(first.Value) != letterVersion {
			return nil, nil, fmt.Errorf("letter of version %.20q: %w: upgrade auditstream", first.Value, errNewer)
		}
		l, err := decodeLetter(r)
		if err != nil {
			return nil, nil, fmt.Errorf("damaged letter: %w", err)
		}
		return l, nil, nil
	case markPrefix + "version":
		if string(first.Value) != markVersion {
			return nil, nil, fmt.Errorf("mark of version %.20q: %w: upgrade auditstream", first.Value, errNewer)
		}
		m, err := decodeMark(r)
		if err != nil {
			return nil, nil, fmt.Errorf("damaged mark: %w", err)
		}
		return nil, m, nil
	}
	return nil, nil, errAlien
}

func decodeLetter(r *kgo.Record) (*Letter, error) {
	own, rest := split(r.Headers, letterPrefix)
	f := fields{values: own}
	l := &Letter{
		Position:     Position{r.Partition, r.Offset},
		Time:         r.Timestamp.UTC(),
		ID:           f.text("id", true),
		Class:        f.text("class", true),
		Reason:       f.text("reason", false),
		Answer:       f.text("answer", false),
		Kind:         f.text("kind", false),
		Attempts:     int(f.number("attempts", 31)),
		FirstFailure: f.time("first_failure"),
		LastFailure:  f.time("last_failure"),
		Source: Source{
			Topic:     f.text("topic", true),
			TopicID:   f.text("topic_id", true),
			Partition: int32(f.number("partition", 31)),
			Offset:    f.number("offset", 63),
			Time:      time.UnixMilli(f.number("timestamp", 63)).UTC(),
		},
		Key:     r.Key,
		Value:   r.Value,
		Headers: rest,
	}
	f.json("streams", &l.Streams)
	f.json("violations", &l.Violations)
	if f.err != nil {
		return nil, f.err
	}
	if l.Streams == nil {
		l.Streams = []Stream{} // [] in listings, not null
	}
	return l, nil
}

// split parts the headers that begin with prefix, by their names without it, from those
// behind them. Each name counts once: from a second one on they are the record's own.
func split(headers []kgo.RecordHeader, prefix string) (own map[string][]byte, rest []kgo.RecordHeader) {
	own = map[string][]byte{}
	for i, h := range headers {
		name, ok := strings.CutPrefix(h.Key, prefix)
		if _, again := own[name]; !ok || again {
			return own, headers[i:]
		}
		own[name] = h.Value
	}
	return own, nil
}

// fields reads headers and keeps the first error.
type fields struct {
	values map[string][]byte
	err    error
}

func (f *fields) fail(name string, err error) {
	if f.err == nil {
		f.err = fmt.Errorf("%s: %w", name, err)
	}
}

// text is bounded by what writers keep to, so that no foreign record fills a listing.
func (f *fields) text(name string, required bool) string {
	v := f.values[name]
	switch {
	case required && len(v) == 0:
		f.fail(name, errors.New("missing"))
	case len(v) > sinks.MaxAnswer:
		f.fail(name, fmt.Errorf("%d bytes, at most %d are written", len(v), sinks.MaxAnswer))
		return ""
	}
	return string(v)
}

func (f *fields) number(name string, bits int) int64 {
	n, err := strconv.ParseUint(string(f.values[name]), 10, bits)
	if err != nil {
		f.fail(name, fmt.Errorf("%.40q is no such number", f.values[name]))
	}
	return int64(n)
}

func (f *fields) time(name string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, string(f.values[name]))
	if err != nil {
		f.fail(name, fmt.Errorf("%.40q is no time", f.values[name]))
	}
	return t.UTC()
}

func (f *fields) json(name string, into any) {
	if v, ok := f.values[name]; ok {
		if err := json.Unmarshal(v, into); err != nil {
			f.fail(name, err)
		}
	}
}
