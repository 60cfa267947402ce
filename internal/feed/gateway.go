package feed

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/semaphore"

	"github.com/auditstream/auditstream/schema"
)

// GatewayConfig says where a gateway is, and how long to try. URL and Key are required.
type GatewayConfig struct {
	URL string
	// Key reads the API key; it is asked for before each request, and neither kept nor logged.
	Key func(context.Context) (string, error)
	// Gzip packs requests with gzip in place of zstd.
	Gzip bool
	// Timeout bounds how long an event is tried; default 30s. Where the gateway asks for time
	// because of a rate (429), that time does not count.
	Timeout time.Duration
	// Stopping ends the waits that a rate causes.
	Stopping context.Context //nolint:containedctx // it is of the program, not of a call
	// Waiting is told why nothing is sent for a while; may be nil.
	Waiting func(why string, pause time.Duration)
	Client  *http.Client // default: one that follows no redirect, which would show the key to others
}

// Bounds of what is sent at once, and of what waits.
const (
	batchItems     = 1000
	batchBytes     = 1 << 20
	batchLinger    = 20 * time.Millisecond
	waitingBytes   = 32 << 20
	waitingItems   = 4 * batchItems
	answerBytes    = 64 << 20
	requestTimeout = 2 * time.Minute
	retryFirst     = 500 * time.Millisecond
	retryMost      = 15 * time.Second
	maxAsked       = time.Hour // of what an answer may make us wait
)

// Gateway publishes events through a gateway, in batches, in their order, one request at a
// time. Each event has its id as its idempotency key: a request that is sent again, or a line
// that is read again, is published once as far as the gateway remembers, and has the same id
// anyway.
type Gateway struct {
	conf   GatewayConfig
	queue  chan *sending
	memory *semaphore.Weighted
	zstd   *zstd.Encoder
	done   chan struct{}

	mu       sync.Mutex
	underWay int   // events; guarded by mu
	broken   error // what is behind an event that was not taken must not overtake it; guarded by mu
}

// sending is an event on its way.
type sending struct {
	item []byte
	size int64
	done func(error)
}

// NewGateway makes a client, which does not connect yet.
func NewGateway(c GatewayConfig) (*Gateway, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.User != nil {
		return nil, fmt.Errorf("%q is no address of a gateway, as in https://audit.example", c.URL)
	}
	c.URL = strings.TrimSuffix(c.URL, "/") + "/audit_logs/events/batch"
	if c.Timeout == 0 {
		c.Timeout = 30 * time.Second
	}
	if c.Stopping == nil {
		c.Stopping = context.Background()
	}
	if c.Waiting == nil {
		c.Waiting = func(string, time.Duration) {}
	}
	if c.Client == nil {
		c.Client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	g := &Gateway{conf: c, queue: make(chan *sending, waitingItems), memory: semaphore.NewWeighted(waitingBytes), done: make(chan struct{})}
	if g.zstd, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1)); err != nil {
		return nil, err
	}
	go g.run()
	return g, nil
}

// Close waits until every event was taken, refused or given up. Nothing is published after it.
func (g *Gateway) Close() {
	close(g.queue)
	<-g.done
	g.conf.Client.CloseIdleConnections()
}

// PublishAsync hands an event over. It blocks while too much waits; ctx ends that.
func (g *Gateway) PublishAsync(ctx context.Context, e *schema.Event, done func(error)) {
	if e.ID == "" {
		e.ID = schema.NewID(time.Now())
	}
	s, err := item(e)
	if err != nil {
		done(err)
		return
	}
	s.done = done
	if err := g.begins(); err != nil {
		done(err)
		return
	}
	if err := g.memory.Acquire(ctx, s.size); err != nil {
		g.ended()
		done(fmt.Errorf("not sent: %w", context.Cause(ctx)))
		return
	}
	select {
	case g.queue <- s:
	case <-ctx.Done():
		g.settle(s, fmt.Errorf("not sent: %w", context.Cause(ctx)))
	}
}

func item(e *schema.Event) (*sending, error) {
	event, err := e.AppendCanonical(nil)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(struct {
		OrganizationID string          `json:"organization_id"`
		Event          json.RawMessage `json:"event"`
		Key            string          `json:"idempotency_key"`
	}{e.OrganizationID, event, e.ID})
	if err != nil {
		return nil, err
	}
	return &sending{item: text, size: min(int64(len(text)), waitingBytes)}, nil
}

// begins notes that an event is under way, unless one before it was not taken and others are.
func (g *Gateway) begins() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.underWay == 0 {
		g.broken = nil
	}
	if g.broken != nil {
		return g.broken
	}
	g.underWay++
	return nil
}

func (g *Gateway) ended() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.underWay--
}

// settle tells what became of an event.
func (g *Gateway) settle(s *sending, err error) {
	s.done(err)
	g.memory.Release(s.size)
	g.ended()
}

// run sends batches until the queue is closed.
func (g *Gateway) run() {
	defer close(g.done)
	for first := range g.queue {
		batch := g.collect(first)
		g.mu.Lock()
		err := g.broken
		g.mu.Unlock()
		if err == nil {
			batch, err = g.send(batch)
		}
		if err != nil {
			g.mu.Lock()
			g.broken = err
			g.mu.Unlock()
		}
		for _, s := range batch { // what is left
			g.settle(s, err)
		}
	}
}

// collect makes a batch of what waits.
func (g *Gateway) collect(first *sending) []*sending {
	batch, size := []*sending{first}, len(first.item)
	linger := time.NewTimer(batchLinger)
	defer linger.Stop()
	for len(batch) < batchItems && size < batchBytes {
		select {
		case s, ok := <-g.queue:
			if !ok {
				return batch
			}
			batch, size = append(batch, s), size+len(s.item)
		case <-linger.C:
			return batch
		}
	}
	return batch
}

// send sends a batch until each event is taken or refused. It returns those that are neither,
// and why.
func (g *Gateway) send(batch []*sending) ([]*sending, error) {
	deadline := time.Now().Add(g.conf.Timeout)
	pause := retryFirst
	for {
		left, err := g.attempt(batch)
		if len(left) < len(batch) { // it gets on
			deadline, pause = time.Now().Add(g.conf.Timeout), retryFirst
		}
		batch = left
		if err == nil || len(batch) == 0 {
			return nil, nil
		}
		again, ok := errors.AsType[*againError](err)
		if !ok {
			return batch, err
		}
		wait := pause/2 + rand.N(pause/2)
		pause = min(2*pause, retryMost)
		if again.after > 0 {
			wait = again.after
		}
		if again.rate {
			deadline = deadline.Add(wait)
		}
		if time.Now().Add(wait).After(deadline) {
			return batch, fmt.Errorf("the gateway does not take it: %w", err)
		}
		g.conf.Waiting(err.Error(), wait)
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-g.conf.Stopping.Done():
			if again.rate {
				timer.Stop()
				return batch, fmt.Errorf("not sent: %w", err)
			}
			<-timer.C
		}
	}
}

// againError says that the same may be taken later.
type againError struct {
	after time.Duration // what the gateway asks for; 0: nothing
	rate  bool          // because too much was sent
	err   error
}

func (e *againError) Error() string { return e.err.Error() }

func (e *againError) Unwrap() error { return e.err }

// attempt sends a batch once, and returns what is to be sent again, or never.
func (g *Gateway) attempt(batch []*sending) ([]*sending, error) {
	// Not the command's: what is under way is finished.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(g.conf.Stopping), requestTimeout)
	defer cancel()
	req, err := g.request(ctx, batch)
	if err != nil {
		return batch, err
	}
	resp, err := g.conf.Client.Do(req)
	if err != nil {
		return batch, &againError{err: err}
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	body, err := io.ReadAll(io.LimitReader(resp.Body, answerBytes))
	after := askedFor(resp.Header.Get("Retry-After"))
	if err != nil {
		return batch, &againError{err: fmt.Errorf("read the gateway's answer: %w", err)}
	}
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusMultiStatus {
		var e gatewayError
		_ = json.Unmarshal(body, &e) // what is no answer of a gateway has no words
		err := fmt.Errorf("the gateway answers %d%s", resp.StatusCode, e.words())
		if resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusRequestTimeout {
			return batch, &againError{after: after, rate: resp.StatusCode == http.StatusTooManyRequests, err: err}
		}
		return batch, err
	}
	var answer struct {
		Results []struct {
			Status int           `json:"status"`
			Error  *gatewayError `json:"error"`
		} `json:"results"`
		Error *gatewayError `json:"error"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || len(answer.Results) > len(batch) {
		return batch, errors.New("what answers is no gateway of auditstream: it takes no batches")
	}
	var left []*sending
	var again *againError
	for i, s := range batch {
		if i >= len(answer.Results) {
			left = append(left, s)
			continue
		}
		switch r := answer.Results[i]; {
		case r.Status == http.StatusOK:
			g.settle(s, nil)
		case r.Status >= 500 || r.Status == http.StatusTooManyRequests:
			left = append(left, s)
			if again == nil || r.Status == http.StatusTooManyRequests {
				again = &againError{after: after, rate: r.Status == http.StatusTooManyRequests, err: fmt.Errorf("the gateway answers %d%s", r.Status, r.Error.words())}
			}
		default:
			g.settle(s, r.Error.violations(r.Status))
		}
	}
	if len(left) == 0 {
		return nil, nil
	}
	if again == nil {
		again = &againError{after: after, err: fmt.Errorf("the gateway has not read the whole batch%s", answer.Error.words())}
	}
	return left, again
}

func (g *Gateway) request(ctx context.Context, batch []*sending) (*http.Request, error) {
	var text bytes.Buffer
	for _, s := range batch {
		text.Write(s.item)
		text.WriteByte('\n')
	}
	body, encoding := text.Bytes(), "zstd"
	if g.conf.Gzip {
		var packed bytes.Buffer
		w := gzip.NewWriter(&packed)
		if _, err := w.Write(body); err != nil {
			return nil, err
		}
		if err := w.Close(); err != nil {
			return nil, err
		}
		body, encoding = packed.Bytes(), "gzip"
	} else {
		body = g.zstd.EncodeAll(body, nil)
	}
	key, err := g.conf.Key(ctx)
	if err != nil {
		return nil, fmt.Errorf("the API key: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.conf.URL, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/x-ndjson")
	req.Header.Set("Content-Encoding", encoding)
	return req, nil
}

func askedFor(retryAfter string) time.Duration {
	if n, err := strconv.ParseUint(strings.TrimSpace(retryAfter), 10, 32); err == nil {
		return min(time.Duration(n)*time.Second, maxAsked)
	}
	if at, err := http.ParseTime(retryAfter); err == nil {
		return min(max(0, time.Until(at)), maxAsked)
	}
	return 0
}

// gatewayError is an error of the gateway's, in WorkOS's form and with members of its own.
type gatewayError struct {
	Message string `json:"message"`
	Code    string `json:"code"`
	Remedy  string `json:"remedy"`
	Errors  []struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		Pointer string `json:"pointer"`
	} `json:"errors"`
}

// words are what the gateway says, for the end of a sentence.
func (e *gatewayError) words() string {
	if e == nil || e.Message == "" {
		return ""
	}
	return strings.TrimSpace(": " + e.Message + " " + e.Remedy)
}

// violations are why the gateway refuses an event for ever.
func (e *gatewayError) violations(status int) error {
	if e == nil {
		e = &gatewayError{Message: "the gateway answers " + strconv.Itoa(status)}
	}
	var out schema.Violations
	for _, d := range e.Errors {
		out = append(out, schema.Violation{Pointer: strings.TrimPrefix(d.Pointer, "/event"), Code: d.Code, Message: d.Message})
	}
	if out == nil {
		out = schema.Violations{{Code: e.Code, Message: strings.TrimPrefix(e.words(), ": ")}}
	}
	return out
}
