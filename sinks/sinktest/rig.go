package sinktest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/sinktest/faults"
)

// rig is one sink before one fresh double.
type rig struct {
	harness  *Harness
	target   *Target
	faults   *faults.Handler
	url      string // of the double
	sink     sinks.Sink
	attempts atomic.Int64

	mu   sync.Mutex
	hook faults.Hook // guarded by mu; asked for requests that deliver
	asks faults.Hook // guarded by mu; asked for the others
}

// newRig starts a double and opens a sink to it. When the test ends it closes both and
// checks that no goroutine is left and that no secret was logged.
func newRig(t *testing.T, h *Harness) *rig {
	t.Helper()
	return openRig(t, h, "")
}

// openRig is newRig with a sink that goes to url in place of the double, if not empty.
func openRig(t *testing.T, h *Harness, url string) *rig {
	t.Helper()
	before := goleak.IgnoreCurrent()
	r := &rig{harness: h, target: h.Start(t)}
	r.faults = faults.New(r.target.Handler)
	r.faults.Program(r.decide)
	server := httptest.NewUnstartedServer(r.faults)
	conns := &connections{open: map[net.Conn]bool{}, none: make(chan struct{}, 1)}
	server.Config.ConnState = conns.note
	server.Start()
	if url == "" {
		url = server.URL
	}
	core, logs := observer.New(zapcore.DebugLevel)
	r.url = url
	r.sink = r.open(t, sinks.Options{Log: zap.New(core), Version: "1.2.3"})
	t.Cleanup(func() {
		if err := r.sink.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		conns.wait(t)
		server.Close()
		if r.target.Close != nil {
			r.target.Close()
		}
		for _, entry := range logs.All() {
			r.checkSecrets(t, "the log", fmt.Sprintf("%s %+v", entry.Message, entry.ContextMap()))
		}
		goleak.VerifyNone(t, before)
	})
	return r
}

// open makes a sink. Whoever calls it closes the sink.
func (r *rig) open(t *testing.T, o sinks.Options) sinks.Sink {
	t.Helper()
	settings := r.target.Settings(r.url)
	if err := settings.Validate(); err != nil {
		t.Fatalf("the harness's settings are not valid: %v", err)
	}
	sink, err := r.harness.Kind.Open(settings, o)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return sink
}

// connections counts a server's open connections. Whether a sink closes its own shows
// only before the server closes them.
type connections struct {
	mu   sync.Mutex
	open map[net.Conn]bool // guarded by mu
	none chan struct{}     // gets an element when the last one has closed
}

func (c *connections) note(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch state {
	case http.StateNew:
		c.open[conn] = true
	case http.StateClosed, http.StateHijacked:
		delete(c.open, conn)
	case http.StateActive, http.StateIdle:
	}
	if len(c.open) == 0 {
		select {
		case c.none <- struct{}{}:
		default:
		}
	}
}

// wait waits until no connection is open.
func (c *connections) wait(t *testing.T) {
	t.Helper()
	patience := time.NewTimer(10 * time.Second)
	defer patience.Stop()
	for {
		c.mu.Lock()
		n := len(c.open)
		c.mu.Unlock()
		if n == 0 {
			return
		}
		select {
		case <-c.none:
		case <-patience.C:
			t.Errorf("%d connections are open after Close", n)
			return
		}
	}
}

func (r *rig) decide(req *http.Request) *faults.Answer {
	r.mu.Lock()
	hook, asks := r.hook, r.asks
	r.mu.Unlock()
	if r.harness.Delivers(req) {
		r.attempts.Add(1)
	} else {
		hook = asks
	}
	if hook == nil {
		return nil
	}
	return hook(req)
}

// program makes every later delivery end as a says; nil makes the double honest again.
func (r *rig) program(a *faults.Answer) {
	r.programHook(func(*http.Request) *faults.Answer { return a })
}

// programQuestions makes every later request that delivers nothing end as a says; nil makes
// the double honest again.
func (r *rig) programQuestions(a *faults.Answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asks = func(*http.Request) *faults.Answer { return a }
}

func (r *rig) programHook(hook faults.Hook) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hook = hook
}

// deliver makes one Deliver and checks all that holds whatever happens.
func (r *rig) deliver(t *testing.T, ctx context.Context, b *batch) (sinks.Receipt, error) { //nolint:revive // t first, as in every test function
	t.Helper()
	receipt, err := r.sink.Deliver(ctx, &b.Batch)
	n := len(b.Events)
	if receipt.Settled < 0 || receipt.Settled > n {
		t.Fatalf("receipt settles %d of %d events", receipt.Settled, n)
	}
	durable := receipt.Settled
	if err == nil {
		durable = n
	}
	if receipt.Pending != "" && !r.confirm(t, b.Lane, receipt.Pending) { //nolint:contextcheck // ctx may have ended meanwhile, and the events be durable
		return receipt, err
	}
	if missing := r.missing(b.values[:durable]); missing != "" {
		t.Errorf("Deliver settles %d events and returns %v, yet %s", receipt.Settled, err, missing)
	}
	if err == nil {
		return receipt, nil
	}
	r.checkError(t, err)
	if e, ok := errors.AsType[*sinks.Error](err); ok {
		if e.Named && (e.Event < receipt.Settled || e.Event >= n) {
			t.Errorf("the error names event %d of the batch; %d of %d are settled", e.Event, receipt.Settled, n)
		}
		if e.RetryAfter < 0 {
			t.Errorf("RetryAfter is %v", e.RetryAfter)
		}
	}
	return receipt, err
}

// checkError checks what an error may hold.
func (r *rig) checkError(t *testing.T, err error) {
	t.Helper()
	r.checkSecrets(t, "the error", fmt.Sprintf("%v %+v", err, err))
	if e, ok := errors.AsType[*sinks.Error](err); ok {
		r.checkSecrets(t, "the error's answer", e.Answer)
		if len(e.Answer) > sinks.MaxAnswer {
			t.Errorf("the error keeps %d bytes of the answer, more than %d", len(e.Answer), sinks.MaxAnswer)
		}
		if !utf8.ValidString(e.Answer) {
			t.Errorf("the error's answer is not UTF-8: %q", e.Answer)
		}
	}
}

// confirm asks for a ticket until its events are durable, and reports whether they are.
func (r *rig) confirm(t *testing.T, lane sinks.Lane, ticket sinks.Ticket) bool {
	t.Helper()
	confirmer, ok := r.sink.(sinks.Confirmer)
	if !ok {
		t.Errorf("Deliver gives out the ticket %q, and the sink cannot be asked about it", ticket)
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for {
		standings, err := confirmer.Confirm(ctx, lane, []sinks.Ticket{ticket})
		switch {
		case err != nil:
			r.checkSecrets(t, "the error of Confirm", fmt.Sprintf("%v %+v", err, err))
			t.Errorf("Confirm: %v", err)
		case len(standings) != 1 || standings[0] == sinks.Lost:
			t.Errorf("Confirm of one ticket that an honest double knows: %v", standings)
		case standings[0] == sinks.Durable:
			return true
		default:
			continue // the context ends it
		}
		return false
	}
}

// missing says which of values did not arrive, "" if all did.
func (r *rig) missing(values [][]byte) string {
	counts := r.counts()
	for i, v := range values {
		if counts[string(v)] == 0 {
			return fmt.Sprintf("event %d did not arrive: %.80s", i, v)
		}
	}
	return ""
}

func (r *rig) counts() map[string]int {
	counts := map[string]int{}
	for _, v := range r.target.Arrived() {
		counts[string(v)]++
	}
	return counts
}

// mustArrive delivers b to an honest double and checks that each of its events is there;
// once, if that is what the kind promises.
func (r *rig) mustArrive(t *testing.T, b *batch) {
	t.Helper()
	r.program(nil)
	if len(b.Events) > 0 {
		if _, err := r.deliver(t, t.Context(), b); err != nil {
			t.Fatalf("Deliver, with the double honest again: %v", err)
		}
	}
	if !r.harness.ExactlyOnce {
		return
	}
	for v, n := range r.counts() {
		if n != 1 {
			t.Errorf("arrived %d times: %.80s", n, v)
		}
	}
}

// checkSecrets looks for every secret in text.
func (r *rig) checkSecrets(t *testing.T, where, text string) {
	t.Helper()
	for _, secret := range r.target.Secrets {
		if strings.Contains(text, secret) {
			t.Errorf("%s shows a secret: %s", where, strings.ReplaceAll(text, secret, "<SECRET>"))
		}
	}
}

// checkClass checks that err is an error of class want.
func checkClass(t *testing.T, err error, want sinks.Class) {
	t.Helper()
	if err == nil {
		t.Fatalf("Deliver returns no error, want one of class %v", want)
	}
	if got := sinks.ClassOf(err); got != want {
		t.Errorf("class of %q is %v, want %v", err, got, want)
	}
}
