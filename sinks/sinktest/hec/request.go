package hec

import (
	"bytes"
	"compress/gzip"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
)

var (
	errTooLarge = errors.New("too large")
	errEncoding = errors.New("unknown encoding")
	errPacked   = errors.New("damaged gzip")
)

// authorized lets requests with the token pass.
func (s *Server) authorized(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		header := r.Header.Get("Authorization")
		scheme, token, _ := strings.Cut(header, " ")
		disabled, _ := s.administered()
		switch {
		case header == "" && r.URL.Query().Has("token"):
			write(w, answer{Code: codeQueryToken})
		case header == "":
			write(w, answer{Code: codeNoToken})
		case scheme != "Splunk" || token == "":
			write(w, answer{Code: codeNoScheme})
		case subtle.ConstantTimeCompare([]byte(token), []byte(s.config.Token)) != 1:
			write(w, answer{Code: codeInvalidToken})
		case disabled:
			write(w, answer{Code: codeDisabled})
		default:
			next(w, r)
		}
	}
}

// body reads and unpacks what r carries. It answers and returns false if that cannot be.
func (s *Server) body(w http.ResponseWriter, r *http.Request) ([]byte, bool) {
	body, err := s.unpack(r)
	first := 0
	switch {
	case errors.Is(err, errEncoding):
		w.Header().Set("Content-Type", "text/html; charset=UTF-8")
		w.WriteHeader(http.StatusUnsupportedMediaType)
		_, _ = io.WriteString(w, "<!doctype html><html><head><title>415 Unsupported Media Type</title></head></html>")
	case errors.Is(err, errTooLarge):
		// As Splunk Cloud does, which names the first object whatever the objects are.
		write(w, answer{Code: codeInvalidData, Number: &first})
	case errors.Is(err, errPacked):
		write(w, answer{Code: codeInvalidData})
	case err != nil:
		panic(http.ErrAbortHandler) // the client broke off: nothing was taken, nobody listens
	case len(bytes.TrimSpace(body)) == 0:
		write(w, answer{Code: codeNoData})
	default:
		return body, true
	}
	return nil, false
}

func (s *Server) unpack(r *http.Request) ([]byte, error) {
	_, most := s.administered()
	limit := int64(most)
	var in io.Reader = r.Body
	packed := false
	switch r.Header.Get("Content-Encoding") {
	case "", "identity":
	case "gzip":
		packed = true
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			return nil, errPacked
		}
		in = z
	default:
		return nil, errEncoding
	}
	body, err := io.ReadAll(io.LimitReader(in, limit+1))
	switch {
	case err != nil && packed:
		return nil, errPacked
	case err != nil:
		return nil, err
	case int64(len(body)) > limit:
		return nil, errTooLarge
	}
	return body, nil
}

// takeEvents takes JSON objects that stand one after another.
func (s *Server) takeEvents(w http.ResponseWriter, r *http.Request) {
	channel, ok := s.channel(w, r)
	if !ok {
		return
	}
	body, ok := s.body(w, r)
	if !ok {
		return
	}
	events, refusal := s.read(body)
	for i := range events {
		events[i].Channel = channel
	}
	s.store(w, channel, events, refusal)
}

// takeRaw takes one event a line.
func (s *Server) takeRaw(w http.ResponseWriter, r *http.Request) {
	channel, ok := s.channel(w, r)
	if !ok {
		return
	}
	body, ok := s.body(w, r)
	if !ok {
		return
	}
	query := r.URL.Query()
	common := Event{
		Host: query.Get("host"), Source: query.Get("source"), SourceType: query.Get("sourcetype"),
		Index: query.Get("index"), Channel: channel,
	}
	if common.Index == "" {
		common.Index = s.config.DefaultIndex
	}
	if !s.mayWrite(common.Index) {
		write(w, answer{Code: codeIncorrectIndex})
		return
	}
	var events []Event
	for line := range bytes.Lines(body) {
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			continue
		}
		text, err := json.Marshal(string(line))
		if err != nil {
			panic(err) // a string always encodes
		}
		e := common
		e.Event = text
		events = append(events, e)
	}
	s.store(w, channel, events, answer{})
}

// store makes events durable and answers: with success, or with the refusal of what
// came after them.
func (s *Server) store(w http.ResponseWriter, channel string, events []Event, a answer) {
	s.taking.RLock()
	defer s.taking.RUnlock()
	s.mu.Lock()
	waits, mute := s.queues, s.mute
	s.mu.Unlock()
	if !waits {
		if err := s.events.Append(events...); err != nil {
			write(w, answer{Code: codeInternal})
			return
		}
	}
	q := queued{events: events}
	s.mu.Lock()
	// A refused request whose head was taken has an ack of its own too.
	if s.config.Acknowledgement && (a.Code == codeSuccess || len(events) > 0) {
		q.channel, q.id = s.newAck(channel)
		q.channel.pending[q.id] = !waits && !mute
		a.AckID = &q.id
	}
	if waits {
		s.queue = append(s.queue, q)
	}
	s.mu.Unlock()
	write(w, a)
}
