package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/gzip"
)

// Counts are what an Endpoint has taken.
type Counts struct {
	Events   int64     `json:"events"`
	Requests int64     `json:"requests"`
	Bytes    int64     `json:"bytes"` // on the wire, compressed ones where they were
	First    time.Time `json:"first"` // when the first request was answered; zero without one
	Last     time.Time `json:"last"`  // likewise the last

	Aged   int64 `json:"aged,omitempty"`    // events whose age was measured; see MeasureAges
	AgeP50 int   `json:"age_p50,omitempty"` // the median age, in milliseconds
	AgeP99 int   `json:"age_p99,omitempty"`
}

// Endpoint is a Splunk HTTP Event Collector that takes everything well-formed, counts it
// and keeps nothing. It does as little as an honest count allows, so that on a shared
// machine it is in the way of what is measured as little as can be.
//
// GET /counts answers with its Counts, POST /reset sets them to zero.
type Endpoint struct {
	token   string
	buffers sync.Pool // of *reading

	events, requests, bytes atomic.Int64
	first, last             atomic.Int64 // Unix nanoseconds
	ages                    *ages        // nil: they are not measured
}

// maxBody bounds a request, uncompressed. It is above any batch that delivery cuts.
const maxBody = 64 << 20

// NewEndpoint returns an endpoint that takes requests with this token.
func NewEndpoint(token string) *Endpoint {
	return &Endpoint{token: token, buffers: sync.Pool{New: func() any { return &reading{buf: make([]byte, 64<<10)} }}}
}

// MeasureAges has the endpoint compare the time of each event with that of its request.
func (e *Endpoint) MeasureAges() { e.ages = &ages{} }

// reading is what one request needs and the next one uses again.
type reading struct {
	gzip gzip.Reader
	buf  []byte
}

// ServeHTTP answers as the collector does.
func (e *Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/services/collector", "/services/collector/event", "/services/collector/event/1.0":
		e.collect(w, r)
	case "/services/collector/health":
		answer(w, http.StatusOK, 17, "HEC is healthy")
	case "/counts":
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(e.Counts()) // who asks sees that the answer is cut
	case "/reset":
		e.Reset()
		w.WriteHeader(http.StatusNoContent)
	default:
		answer(w, http.StatusNotFound, 404, "The requested URL was not found on this server.")
	}
}

// Counts is what has been taken since the start or the last Reset.
func (e *Endpoint) Counts() Counts {
	c := Counts{Events: e.events.Load(), Requests: e.requests.Load(), Bytes: e.bytes.Load()}
	if first := e.first.Load(); first != 0 {
		c.First, c.Last = time.Unix(0, first), time.Unix(0, e.last.Load())
	}
	if e.ages != nil {
		events, q := e.ages.quantiles(0.5, 0.99)
		c.Aged, c.AgeP50, c.AgeP99 = events, q[0], q[1]
	}
	return c
}

// Reset sets the counts to zero. No request may be under way.
func (e *Endpoint) Reset() {
	for _, n := range []*atomic.Int64{&e.events, &e.requests, &e.bytes, &e.first, &e.last} {
		n.Store(0)
	}
	if e.ages != nil {
		e.ages.reset()
	}
}

func (e *Endpoint) collect(w http.ResponseWriter, r *http.Request) {
	switch auth := r.Header.Get("Authorization"); auth {
	case "Splunk " + e.token:
	case "":
		answer(w, http.StatusUnauthorized, 2, "Token is required")
		return
	default:
		answer(w, http.StatusForbidden, 4, "Invalid token")
		return
	}
	events, wire, err := e.count(r)
	if err != nil {
		answer(w, http.StatusBadRequest, 6, "Invalid data format")
		return
	}
	if events == 0 {
		answer(w, http.StatusBadRequest, 5, "No data")
		return
	}
	now := time.Now().UnixNano()
	e.first.CompareAndSwap(0, now)
	e.last.Store(now)
	e.requests.Add(1)
	e.bytes.Add(wire)
	e.events.Add(events)
	answer(w, http.StatusOK, 0, "Success")
}

// count reads the body to its end and counts its top-level objects.
func (e *Endpoint) count(r *http.Request) (events, wire int64, err error) {
	reading, _ := e.buffers.Get().(*reading)
	defer e.buffers.Put(reading)
	raw := &counted{r: io.LimitReader(r.Body, maxBody)}
	body := io.Reader(raw)
	switch encoding := r.Header.Get("Content-Encoding"); encoding {
	case "gzip":
		if err := reading.gzip.Reset(raw); err != nil {
			return 0, 0, err
		}
		body = io.LimitReader(&reading.gzip, maxBody)
	case "":
	default:
		return 0, 0, fmt.Errorf("content encoding %q", encoding)
	}
	var objects objectCounter
	if e.ages != nil {
		now := time.Now()
		objects.begins = func(object []byte) { e.ages.add(object, now) }
	}
	for {
		n, err := body.Read(reading.buf)
		if err := objects.add(reading.buf[:n]); err != nil {
			return 0, 0, err
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return 0, 0, err
		}
	}
	events, err = objects.end()
	return events, raw.n, err
}

func answer(w http.ResponseWriter, status, code int, text string) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"text":%q,"code":%d}`, text, code) // the client is gone if this fails
}

// counted counts the bytes that are read through it.
type counted struct {
	r io.Reader
	n int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
