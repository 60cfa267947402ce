// Package webhook is an honest double of what people write to receive webhooks: it verifies
// signatures with the library of the Standard Webhooks project, unpacks, refuses what is no
// JSON, and stores. It shares no code with the sink that it judges.
package webhook

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"sync"

	"github.com/klauspost/compress/zstd"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/auditstream/auditstream/sinks/sinktest/faults"
)

// Config is how a receiver is set up.
type Config struct {
	Secrets  []string          // whsec_…: one of them must have signed; none: signatures are not looked at
	Require  map[string]string // headers, and what they must be
	MaxBytes int64             // of an unpacked body; 0: 1 MiB
	Dedupe   bool              // a batch whose webhook-id is known is answered as a success and not stored again
}

// Event is one event as it arrived.
type Event struct {
	Value  []byte // byte for byte
	Batch  string // webhook-id
	Stream string
	Replay string
	Kind   string      // what the request says that it carries, if not events
	Header http.Header // of its request
	Index  int         // in its request
}

// Server is the receiver: an http.Handler.
type Server struct {
	*faults.Handler // Program makes it fail

	config Config

	mu     sync.Mutex
	events []Event         // guarded by mu
	known  map[string]bool // guarded by mu: webhook-ids
}

// New makes a receiver.
func New(c Config) *Server {
	if c.MaxBytes == 0 {
		c.MaxBytes = 1 << 20
	}
	s := &Server{config: c, known: map[string]bool{}}
	s.Handler = faults.New(http.HandlerFunc(s.take))
	return s
}

// Events returns what has arrived, in order.
func (s *Server) Events() []Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Event(nil), s.events...)
}

// problem is why a request is refused.
type problem struct {
	status int
	text   string
}

func (s *Server) take(w http.ResponseWriter, r *http.Request) {
	events, p := s.read(r)
	if p != nil {
		http.Error(w, p.text, p.status)
		return
	}
	id := r.Header.Get("webhook-id")
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.config.Dedupe || !s.known[id] {
		s.known[id] = true
		for i, value := range events {
			s.events = append(s.events, Event{
				Value: value, Batch: id, Stream: r.Header.Get("auditstream-stream"), Replay: r.Header.Get("auditstream-replay"),
				Kind: r.Header.Get("auditstream-kind"), Header: r.Header.Clone(), Index: i,
			})
		}
	}
	_, _ = io.WriteString(w, `{"success":true}`) // a client that has left gets no answer
}

func (s *Server) read(r *http.Request) ([][]byte, *problem) {
	if r.Method != http.MethodPost && r.Method != http.MethodPut {
		return nil, &problem{http.StatusMethodNotAllowed, "only POST and PUT"}
	}
	for name, value := range s.config.Require {
		if r.Header.Get(name) != value {
			return nil, &problem{http.StatusUnauthorized, "who are you?"}
		}
	}
	raw, err := io.ReadAll(io.LimitReader(r.Body, s.config.MaxBytes+1))
	if err != nil {
		panic(http.ErrAbortHandler) // the client broke off: nothing was taken, nobody listens
	}
	if int64(len(raw)) > s.config.MaxBytes {
		return nil, &problem{http.StatusRequestEntityTooLarge, "too large"}
	}
	if p := s.verify(raw, r.Header); p != nil {
		return nil, p
	}
	body, p := s.unpack(raw, r.Header.Get("Content-Encoding"))
	if p != nil {
		return nil, p
	}
	switch r.Header.Get("Content-Type") {
	case "application/json":
		var values []json.RawMessage
		if json.Unmarshal(body, &values) != nil {
			return nil, &problem{http.StatusUnprocessableEntity, "no JSON array"}
		}
		events := make([][]byte, len(values))
		for i, v := range values {
			events[i] = v
		}
		return events, nil
	case "application/x-ndjson":
		return lines(body)
	}
	return nil, &problem{http.StatusUnsupportedMediaType, "neither JSON nor NDJSON"}
}

func (s *Server) verify(raw []byte, h http.Header) *problem {
	if len(s.config.Secrets) == 0 {
		return nil
	}
	for _, secret := range s.config.Secrets {
		known, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			return &problem{http.StatusInternalServerError, "the receiver's secret is none"}
		}
		if known.Verify(raw, h) == nil {
			return nil
		}
	}
	return &problem{http.StatusUnauthorized, "the signature is not valid"}
}

func (s *Server) unpack(raw []byte, encoding string) ([]byte, *problem) {
	var in io.Reader
	switch encoding {
	case "":
		return raw, nil
	case "gzip":
		z, err := gzip.NewReader(bytes.NewReader(raw))
		if err != nil {
			return nil, &problem{http.StatusBadRequest, "no gzip"}
		}
		in = z
	case "zstd":
		z, err := zstd.NewReader(bytes.NewReader(raw), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, &problem{http.StatusBadRequest, "no zstd"}
		}
		defer z.Close()
		in = z
	default:
		return nil, &problem{http.StatusUnsupportedMediaType, "unknown encoding"}
	}
	body, err := io.ReadAll(io.LimitReader(in, s.config.MaxBytes+1))
	switch {
	case err != nil:
		return nil, &problem{http.StatusBadRequest, "damaged"}
	case int64(len(body)) > s.config.MaxBytes:
		return nil, &problem{http.StatusRequestEntityTooLarge, "too large"}
	}
	return body, nil
}

// lines reads a body of one JSON value a line, each with its line end.
func lines(body []byte) ([][]byte, *problem) {
	bad := &problem{http.StatusUnprocessableEntity, "a line is no JSON"}
	var events [][]byte
	in := bufio.NewReader(bytes.NewReader(body))
	for {
		line, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			if len(line) > 0 {
				return nil, bad // cut off in a line
			}
			return events, nil
		}
		line = bytes.TrimSuffix(line, []byte("\n"))
		if !json.Valid(line) {
			return nil, bad
		}
		events = append(events, line)
	}
}
