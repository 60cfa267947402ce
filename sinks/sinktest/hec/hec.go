// Package hec is an honest double of Splunk's HTTP Event Collector: it takes, refuses and
// loses events as the real one was seen to do. It is what tests judge the Splunk sink
// by and what `auditstream dev` hosts, and it shares no code with that sink.
package hec

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/auditstream/auditstream/sinks/sinktest/faults"
	"github.com/auditstream/auditstream/sinks/sinktest/ledger"
)

// MaxContentLength is what Splunk Enterprise takes in one request unless told otherwise
// (max_content_length in limits.conf), in bytes.
const MaxContentLength = 838_860_800

// Config is how a collector is set up.
type Config struct {
	Dir             string   // where events.ndjson is kept; "": in memory only
	Keep            int      // how many of the newest events Events returns; 0: all
	Token           string   // the one token that is known
	Disabled        bool     // the token is known, but switched off
	Indexes         []string // that the token may write to; empty: any
	DefaultIndex    string   // of events that name none; "": main
	MaxRequest      int      // in bytes, unpacked; 0: MaxContentLength
	Acknowledgement bool     // the token demands indexer acknowledgement
}

// checkpointType is the source type of checkpoints of feeds, which are no events.
const checkpointType = "auditstream:checkpoint"

// Checkpoint says whether it is no event of a feed, but a checkpoint of it.
func (e Event) Checkpoint() bool { return e.SourceType == checkpointType }

// Event is one event as the collector has indexed it.
type Event struct {
	Event      json.RawMessage `json:"event"`         // byte for byte; after a restart without white space outside strings
	Time       time.Time       `json:"time,omitzero"` // as Splunk reads it, to the microsecond; zero if none was sent
	Host       string          `json:"host,omitempty"`
	Source     string          `json:"source,omitempty"`
	SourceType string          `json:"sourcetype,omitempty"`
	Index      string          `json:"index"`
	Fields     json.RawMessage `json:"fields,omitempty"`
	Channel    string          `json:"channel,omitempty"`
}

// Server is the collector: an http.Handler.
type Server struct {
	*faults.Handler // Program makes it fail

	config Config
	events *ledger.Ledger[Event]

	taking sync.RWMutex // held while events are taken in: before mu

	mu       sync.Mutex
	disabled bool                // guarded by mu
	limit    int                 // of a request, in bytes, unpacked; guarded by mu
	channels map[string]*channel // guarded by mu
	queue    []queued            // guarded by mu
	queues   bool                // guarded by mu
	mute     bool                // guarded by mu
}

// New makes a collector; with a Dir, what an earlier one has taken there is there again.
func New(c Config) (*Server, error) {
	if c.Token == "" {
		return nil, errors.New("hec: no token")
	}
	if c.MaxRequest == 0 {
		c.MaxRequest = MaxContentLength
	}
	if c.DefaultIndex == "" {
		c.DefaultIndex = "main"
	}
	c.Indexes = slices.Clone(c.Indexes)
	events, err := ledger.Open(c.Dir, "events.ndjson", c.Keep, func(e *Event) bool { return !e.Checkpoint() })
	if err != nil {
		return nil, err
	}
	s := &Server{config: c, events: events, disabled: c.Disabled, limit: c.MaxRequest, channels: map[string]*channel{}}
	s.Handler = faults.New(s.routes())
	return s, nil
}

// Administer changes what an administrator of Splunk may change while it runs: whether the
// token is switched off, and the largest request in bytes, unpacked.
func (s *Server) Administer(disabled bool, maxRequest int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.disabled, s.limit = disabled, maxRequest
}

// administered is what Administer, or the Config, has said last.
func (s *Server) administered() (disabled bool, maxRequest int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.disabled, s.limit
}

// Events returns the durable events in order of arrival, the newest Config.Keep of them.
func (s *Server) Events() []Event { return s.events.All() }

// Len is how many events are durable, those of earlier servers in the same Dir too.
func (s *Server) Len() int { return s.events.Len() }

// Path is the file that holds the events, "" without Config.Dir.
func (s *Server) Path() string { return s.events.Path() }

// Close closes the file. Requests after it are answered with code 8.
func (s *Server) Close() error { return s.events.Close() }

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	for _, path := range []string{"/services/collector", "/services/collector/event", "/services/collector/event/1.0"} {
		mux.HandleFunc("POST "+path, s.authorized(s.takeEvents))
	}
	mux.HandleFunc("POST /services/collector/raw", s.authorized(s.takeRaw))
	mux.HandleFunc("POST /services/collector/ack", s.authorized(s.queryAcks))
	// It looks at no token, so that it says nothing about one.
	mux.HandleFunc("GET /services/collector/health", func(w http.ResponseWriter, _ *http.Request) {
		write(w, answer{Code: codeHealthy})
	})
	return mux
}
