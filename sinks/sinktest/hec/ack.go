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
	pending map[int64]bool // ids that were not acknowledged yet: whether what they stand for is indexed
	used    time.Time
}

// queued is what the collector has taken in and the indexer has not written yet.
type queued struct {
	events  []Event
	channel *channel // nil without acknowledgement
	id      int64
}

// Queue has what is taken in from now on wait: it is neither durable nor acknowledged, as
// behind an indexer that is busy. Without it everything is indexed at once; what has waited
// is indexed then.
func (s *Server) Queue(wait bool) error {
	s.taking.Lock()
	defer s.taking.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queues = wait
	if wait {
		return nil
	}
	for _, q := range s.queue {
		if err := s.events.Append(q.events...); err != nil {
			return err
		}
		if q.channel != nil {
			if _, ok := q.channel.pending[q.id]; ok && !s.mute {
				q.channel.pending[q.id] = true
			}
		}
	}
	s.queue = nil
	return nil
}

// Queued is how many events wait to be indexed.
func (s *Server) Queued() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, q := range s.queue {
		n += len(q.events)
	}
	return n
}

// Mute has what is indexed from now on never be acknowledged.
func (s *Server) Mute(mute bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mute = mute
}

// Restart is a crash of the indexer: what waits in its queue is lost, and no channel is
// known any more. New ones count from 0 again.
func (s *Server) Restart() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue, s.channels = nil, map[string]*channel{}
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

// newAck gives out the next id of a channel, from 0 on. The caller holds mu.
func (s *Server) newAck(name string) (*channel, int64) {
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
	c.pending[id] = false
	delete(c.pending, id-maxPending)
	return c, id
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
		if c == nil {
			acks[id] = false // no error: that of a channel which never was
			continue
		}
		c.used = time.Now()
		if acks[id] = acks[id] || c.pending[id]; acks[id] {
			delete(c.pending, id)
		}
	}
	s.mu.Unlock()
	writeJSON(w, http.StatusOK, map[string]any{"acks": acks})
}
