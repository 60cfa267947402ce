// Package ddlogs is an honest double of Datadog's logs intake (v2): it takes, refuses and
// cuts entries as the real one does. It is what tests judge the Datadog sink by and
// what `auditstream dev` hosts, and it shares no code with that sink.
package ddlogs

import (
	"bytes"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/auditstream/auditstream/sinks/sinktest/faults"
	"github.com/auditstream/auditstream/sinks/sinktest/ledger"
)

// The limits of the intake, as Datadog documents them.
const (
	MaxRequest = 5_000_000 // bytes of a request, unpacked
	MaxEntries = 1000      // entries of a request
	MaxEntry   = 1_000_000 // bytes of an entry; what is longer is cut and answered as a success

	// Logs from further away may be submitted, and what becomes of them is not documented: the
	// double answers as for any other and drops them, which is the worst that can happen.
	MaxPast   = 18 * time.Hour
	MaxFuture = 2 * time.Hour
)

// Config is how an intake is set up.
type Config struct {
	Dir    string // where logs.ndjson is kept; "": in memory only
	Keep   int    // how many of the newest entries Events returns; 0: all
	APIKey string // the one key that is known
}

// checkpointTag is that of checkpoints of feeds, which are no events.
const checkpointTag = "auditstream.checkpoint:true"

// Checkpoint says whether it is no event of a feed, but a checkpoint of it.
func (e Event) Checkpoint() bool { return strings.Contains(e.Tags, checkpointTag) }

// Event is one log entry as the intake has stored it.
type Event struct {
	Message    json.RawMessage            `json:"message,omitempty"` // byte for byte; a JSON string of what is left if Truncated
	Truncated  bool                       `json:"truncated,omitempty"`
	Source     string                     `json:"ddsource,omitempty"`
	Tags       string                     `json:"ddtags,omitempty"`
	Hostname   string                     `json:"hostname,omitempty"`
	Service    string                     `json:"service,omitempty"`
	Attributes map[string]json.RawMessage `json:"attributes,omitempty"` // everything else at the top level
}

// Server is the intake: an http.Handler.
type Server struct {
	*faults.Handler // Program makes it fail

	key     string
	events  *ledger.Ledger[Event]
	dropped atomic.Int64
}

// New makes an intake; with a Dir, what an earlier one has taken there is there again.
func New(c Config) (*Server, error) {
	if c.APIKey == "" {
		return nil, errors.New("ddlogs: no API key")
	}
	events, err := ledger.Open(c.Dir, "logs.ndjson", c.Keep, func(e *Event) bool { return !e.Checkpoint() })
	if err != nil {
		return nil, err
	}
	s := &Server{key: c.APIKey, events: events}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/v2/logs", s.take)
	s.Handler = faults.New(mux)
	return s, nil
}

// Events returns the stored entries in order of arrival, the newest Config.Keep of
// them. One that was sent twice is there twice.
func (s *Server) Events() []Event { return s.events.All() }

// Dropped is how many entries were accepted and then dropped because of their time.
func (s *Server) Dropped() int { return int(s.dropped.Load()) }

// Len is how many entries are stored that are no checkpoints of feeds, those of earlier servers in the same Dir too.
func (s *Server) Len() int { return s.events.Len() }

// Path is the file that holds the entries, "" without Config.Dir.
func (s *Server) Path() string { return s.events.Path() }

// Close closes the file. Requests after it are answered with 500.
func (s *Server) Close() error { return s.events.Close() }

func (s *Server) take(w http.ResponseWriter, r *http.Request) {
	key := r.Header.Get("DD-API-KEY")
	if key == "" {
		refuse(w, http.StatusUnauthorized, "the header DD-API-KEY is missing")
		return
	}
	if subtle.ConstantTimeCompare([]byte(key), []byte(s.key)) != 1 {
		refuse(w, http.StatusForbidden, "the API key is not valid")
		return
	}
	body, err := unpack(r)
	switch {
	case errors.Is(err, errEncoding):
		refuse(w, http.StatusUnsupportedMediaType, "the content encoding is not supported")
		return
	case errors.Is(err, errTooLarge):
		refuse(w, http.StatusRequestEntityTooLarge, "the request is larger than 5 MB")
		return
	case errors.Is(err, errPacked):
		refuse(w, http.StatusBadRequest, "the body cannot be unpacked")
		return
	case err != nil:
		panic(http.ErrAbortHandler) // the client broke off: nothing was taken, nobody listens
	}
	events, err := read(body)
	events = slices.DeleteFunc(events, func(e Event) bool {
		far := isFar(e, time.Now())
		if far {
			s.dropped.Add(1)
		}
		return far
	})
	switch {
	case errors.Is(err, errTooMany):
		// Which status the real one gives is not documented; a sink halves after either.
		refuse(w, http.StatusRequestEntityTooLarge, err.Error())
	case err != nil:
		refuse(w, http.StatusBadRequest, err.Error())
	case s.events.Append(events...) != nil:
		refuse(w, http.StatusInternalServerError, "the entries cannot be stored")
	default:
		answer(w, http.StatusAccepted, []byte("{}"))
	}
}

// refuse answers with an error in the intake's form; none of the request is stored.
func refuse(w http.ResponseWriter, status int, detail string) {
	body, err := json.Marshal(map[string]any{"errors": []map[string]string{{
		"status": strconv.Itoa(status), "title": http.StatusText(status), "detail": detail,
	}}})
	if err != nil {
		panic(err) // strings always encode
	}
	answer(w, status, body)
}

func answer(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that has left gets no answer
}

// isFar reports an entry whose time is too far away to be taken. Of the attributes that
// Datadog takes for a time the double knows timestamp, in milliseconds.
func isFar(e Event, now time.Time) bool {
	var ms int64
	if json.Unmarshal(e.Attributes["timestamp"], &ms) != nil {
		return false
	}
	age := now.Sub(time.UnixMilli(ms))
	return age > MaxPast || age < -MaxFuture
}

var errTooMany = errors.New("more than 1000 entries")

// read reads an array of entries, or one entry alone.
func read(body []byte) ([]Event, error) {
	if trimmed := bytes.TrimSpace(body); len(trimmed) > 0 && trimmed[0] == '{' {
		body = append(append([]byte{'['}, trimmed...), ']')
	}
	var raw []json.RawMessage
	if err := json.Unmarshal(body, &raw); err != nil || raw == nil {
		return nil, errors.New("the body is no JSON array")
	}
	if len(raw) > MaxEntries {
		return nil, errTooMany
	}
	events := make([]Event, len(raw))
	for i, entry := range raw {
		var err error
		if events[i], err = decode(entry); err != nil {
			return nil, err
		}
	}
	return events, nil
}

func decode(entry json.RawMessage) (Event, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(entry, &fields); err != nil || fields == nil {
		return Event{}, errors.New("an entry is no JSON object")
	}
	e := Event{Message: fields["message"], Attributes: maps.Clone(fields)}
	delete(e.Attributes, "message")
	for name, to := range map[string]*string{"ddsource": &e.Source, "ddtags": &e.Tags, "hostname": &e.Hostname, "service": &e.Service} {
		raw, ok := fields[name]
		if !ok {
			continue
		}
		if err := json.Unmarshal(raw, to); err != nil {
			return Event{}, errors.New(name + " is no string")
		}
		delete(e.Attributes, name)
	}
	if len(e.Attributes) == 0 {
		e.Attributes = nil
	}
	if over := len(entry) - MaxEntry; over > 0 {
		left := string(e.Message[:max(0, len(e.Message)-over)])
		cut, err := json.Marshal(strings.ToValidUTF8(left, ""))
		if err != nil {
			return Event{}, err
		}
		e.Message, e.Truncated = cut, true
	}
	return e, nil
}
