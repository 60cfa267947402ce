// Package scsingest is an honest double of the Ingest service of Splunk Cloud Services and of
// its authorization server: it gives out tokens that expire and can be revoked, refuses
// members that it does not know, and counts whole requests. It shares no code with the sink
// that it judges.
package scsingest

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/auditstream/auditstream/sinks/sinktest/faults"
)

// The limits of the service.
const (
	MaxRequest = 1_040_000 // bytes of a request, unpacked
	MaxEvents  = 500       // events of a request
)

// Config is how the service is set up.
type Config struct {
	Tenant       string
	ClientID     string
	ClientSecret string
	Lifetime     time.Duration // of a token; 0: 12 h
}

// Event is one event as the service has stored it.
type Event struct {
	Body       json.RawMessage            `json:"body"`
	ID         string                     `json:"id"`
	Timestamp  int64                      `json:"timestamp"`
	Nanos      int32                      `json:"nanos"`
	Host       string                     `json:"host"`
	Source     string                     `json:"source"`
	SourceType string                     `json:"sourcetype"`
	Attributes map[string]json.RawMessage `json:"attributes"`
}

// Server is the service, and at /token its authorization server: an http.Handler.
type Server struct {
	*faults.Handler // Program makes it fail

	config Config

	mu     sync.Mutex
	tokens map[string]time.Time // guarded by mu: until when each is valid
	asked  int                  // guarded by mu: tokens given out
	events []Event              // guarded by mu
}

// New makes a service.
func New(c Config) *Server {
	if c.Lifetime == 0 {
		c.Lifetime = 12 * time.Hour
	}
	s := &Server{config: c, tokens: map[string]time.Time{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", s.login)
	mux.HandleFunc("POST /{tenant}/ingest/v1beta2/events", s.take)
	s.Handler = faults.New(mux)
	return s
}

// Events returns what is stored, in order of arrival. One that was sent twice is there twice.
func (s *Server) Events() []Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Event(nil), s.events...)
}

// Revoke makes every token invalid that was given out.
func (s *Server) Revoke() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.tokens)
}

// Tokens is how many tokens were given out.
func (s *Server) Tokens() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// Live are the tokens that are valid now.
func (s *Server) Live() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var live []string
	for token := range s.tokens {
		live = append(live, token)
	}
	return live
}

func (s *Server) login(w http.ResponseWriter, r *http.Request) {
	refuse := func(status int, code string) { answer(w, status, map[string]any{"error": code}) }
	user, password, ok := r.BasicAuth()
	// Both parts are encoded: RFC 6749, 2.3.1.
	id, badID := url.QueryUnescape(user)
	secret, badSecret := url.QueryUnescape(password)
	if !ok || badID != nil || badSecret != nil || id != s.config.ClientID || secret != s.config.ClientSecret {
		w.Header().Set("WWW-Authenticate", "Basic")
		refuse(http.StatusUnauthorized, "invalid_client")
		return
	}
	if err := r.ParseForm(); err != nil || r.PostForm.Get("grant_type") != "client_credentials" {
		refuse(http.StatusBadRequest, "unsupported_grant_type")
		return
	}
	token := "eyJ" + rand.Text()
	s.mu.Lock()
	s.tokens[token] = time.Now().Add(s.config.Lifetime)
	s.asked++
	s.mu.Unlock()
	answer(w, http.StatusOK, map[string]any{
		"access_token": token, "token_type": "Bearer", "expires_in": int64(s.config.Lifetime / time.Second), "scope": "client_credentials",
	})
}

func (s *Server) take(w http.ResponseWriter, r *http.Request) {
	refuse := func(status int, code, message string) {
		answer(w, status, map[string]any{"code": code, "message": message, "details": []string{}})
	}
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	s.mu.Lock()
	until, known := s.tokens[token]
	s.mu.Unlock()
	if !known || time.Now().After(until) {
		refuse(http.StatusUnauthorized, "UNAUTHORIZED", "Error validating request")
		return
	}
	if r.PathValue("tenant") != s.config.Tenant {
		refuse(http.StatusNotFound, "NOT_FOUND", "no such tenant")
		return
	}
	body, err := read(r)
	switch {
	case errors.Is(err, errTooLarge):
		refuse(http.StatusRequestEntityTooLarge, "PAYLOAD_TOO_LARGE", "the request is too large")
		return
	case errors.Is(err, errPacked):
		refuse(http.StatusBadRequest, "INVALID_DATA", "the body cannot be unpacked")
		return
	case err != nil:
		panic(http.ErrAbortHandler) // the client broke off: nothing was taken, nobody listens
	}
	events, problem := decode(body)
	if problem != "" {
		refuse(http.StatusBadRequest, "INVALID_DATA", problem)
		return
	}
	s.mu.Lock()
	s.events = append(s.events, events...)
	s.mu.Unlock()
	answer(w, http.StatusOK, map[string]any{"code": "SUCCESS", "message": "Success"})
}

var (
	errTooLarge = errors.New("too large")
	errPacked   = errors.New("damaged body")
)

func read(r *http.Request) ([]byte, error) {
	in := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			return nil, errPacked
		}
		in = z
	}
	body, err := io.ReadAll(io.LimitReader(in, MaxRequest+1))
	if err == nil && len(body) > MaxRequest {
		err = errTooLarge
	}
	return body, err
}

// decode reads a request; problem says why it is refused as a whole.
func decode(body []byte) (events []Event, problem string) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&events); err != nil || events == nil {
		return nil, "the body is no array of events, or an event has a member that is not known"
	}
	if len(events) > MaxEvents {
		return nil, "more than 500 events"
	}
	for _, e := range events {
		if len(e.Body) == 0 || string(e.Body) == "null" {
			return nil, "an event has no body"
		}
	}
	return events, ""
}

func answer(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err) // maps of texts and numbers always encode
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that has left gets no answer
}
