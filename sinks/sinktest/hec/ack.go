package hec

import (
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"
)

const (
	// channelIdle is after which time without a request Splunk forgets a channel.
	channelIdle = 600 * time.Second
	maxAckQuery = 1 << 20 // in bytes
	maxPending  = 100_000 // acknowledgements of one channel that nobody has asked for; the oldest are forgotten
)

// channel is one client's sequence of acknowledgements.
type channel struct {
	next    int64          // id of the next request
	pending map[int64]bool // ids that nobody has asked for yet
	used    time.Time
}

var guid = regexp.MustCompile(`^(?i)[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$`)

// channel is the channel that r names. It answers and returns false if one is needed
// and not named.
func (s *Server) channel(w http.ResponseWriter, r *http.Request) (string, bool) {
	name := r.Header.Get("X-Splunk-Request-Channel")
	if name == "" {
		name = r.URL.Query().Get("channel")
	}
	name = strings.ToLower(name)
	switch {
	case name == "" && s.config.Acknowledgement:
		write(w, answer{Code: codeNoChannel})
	case name != "" && !guid.MatchString(name):
		write(w, answer{Code: codeInvalidChannel})
	default:
		return name, true
	}
	return "", false
}

// newAck gives out the next id of a channel, from 0 on. What it stands for is durable
// already, so the acknowledgement is there at once.
func (s *Server) newAck(name string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for other, c := range s.channels {
		if now.Sub(c.used) > channelIdle {
			delete(s.channels, other)
		}
	}
	c := s.channels[name]
	if c == nil {
		c = &channel{pending: map[int64]bool{}}
		s.channels[name] = c
	}
	id := c.next
	c.next++
	c.used = now
	c.pending[id] = true
	delete(c.pending, id-maxPending)
	return id
}

// queryAcks answers true once for each id that the channel has.
func (s *Server) queryAcks(w http.ResponseWriter, r *http.Request) {
	if !s.config.Acknowledgement {
		write(w, answer{Code: codeAckDisabled})
		return
	}
	name, ok := s.channel(w, r)
	if !ok {
		return
	}
	var query struct {
		Acks []int64 `json:"acks"`
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxAckQuery))
	if err != nil || json.Unmarshal(body, &query) != nil {
		write(w, answer{Code: codeInvalidData})
		return
	}
	acks := map[int64]bool{}
	s.mu.Lock()
	c := s.channels[name]
	for _, id := range query.Acks {
		acks[id] = acks[id] || c != nil && c.pending[id]
		if c != nil {
			delete(c.pending, id)
			c.used = time.Now()
		}
	}
	s.mu.Unlock()
	writeJSON(w, http.StatusOK, map[string]any{"acks": acks})
}
