//nolint:thelper // cases are tests, not helpers: a failure names its own line
package sinktest

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/auditstream/auditstream/internal/closedport"
	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/sinktest/faults"
	"github.com/auditstream/auditstream/sinks/sinktest/pki"
)

// fault is what befalls one delivery in the middle of a stream.
type fault struct {
	name   string
	answer faults.Answer
	slow   bool // the caller gives up waiting

	// What the double has when the fault is over: nothing of the batch, all of it, or either.
	stored stored

	class      []sinks.Class // one of these, if there is an error
	retryAfter time.Duration
	dated      bool // it is told as a date, and by whose clock it counts is the sink's choice
}

type stored int

const (
	nothing stored = iota
	everything
	perhaps
)

// matrix is every way in which a network, a proxy or a service fails, as far as it does not
// depend on the kind.
func matrix() []fault {
	// A date of now: some clients set their clock by it.
	now := time.Now().UTC()
	date, later := now.Format(http.TimeFormat), now.Add(30*time.Minute).Format(http.TimeFormat)
	unavailable := []sinks.Class{sinks.Unavailable}
	says := func(status int, header http.Header) faults.Answer {
		return faults.Answer{Status: status, Header: header}
	}
	return []fault{
		{name: "reset before the body", answer: faults.Answer{Cut: faults.CutBeforeBody}, class: unavailable},
		{name: "reset behind the body, which is lost", answer: faults.Answer{Cut: faults.CutBeforeAnswer}, class: unavailable},
		{name: "reset behind the body, which is stored", answer: faults.Answer{Store: true, Cut: faults.CutBeforeAnswer}, stored: everything, class: unavailable},
		{name: "answer cut off", answer: faults.Answer{Store: true, Cut: faults.CutInAnswer}, stored: everything, class: unavailable},
		{name: "slow answer, body lost", answer: faults.Answer{Hang: true}, slow: true, class: unavailable},
		{name: "slow answer, body stored", answer: faults.Answer{Store: true, Hang: true}, slow: true, stored: perhaps, class: unavailable},
		{
			name: "200 with HTML", class: []sinks.Class{sinks.Unavailable, sinks.Misconfigured},
			answer: faults.Answer{Status: 200, Header: http.Header{"Content-Type": {"text/html"}}, Body: []byte("<!doctype html><title>Log in</title>")},
		},
		{name: "429", answer: says(429, nil), class: unavailable},
		{name: "429 with seconds", answer: says(429, http.Header{"Retry-After": {"7"}}), class: unavailable, retryAfter: 7 * time.Second},
		{name: "429 with a date", answer: says(429, http.Header{"Retry-After": {later}, "Date": {date}}), class: unavailable, retryAfter: 30 * time.Minute, dated: true},
		{name: "500", answer: says(500, nil), class: unavailable},
		{name: "503", answer: says(503, nil), class: unavailable},
		{name: "503, and the body is stored", answer: faults.Answer{Store: true, Status: 503}, stored: everything, class: unavailable},
		{name: "a success of 1 GB", answer: faults.Answer{Store: true, Pad: 1 << 30}, stored: everything, class: unavailable},
		{name: "a failure of 1 GB", answer: faults.Answer{Status: 503, Pad: 1 << 30}, class: unavailable},
	}
}

// faultMatrix lets each fault befall the second of three batches, and looks at what has
// arrived in the end: nothing is missing, and nothing is there twice but what the double had
// taken without anybody knowing.
func faultMatrix(t *testing.T, h *Harness) {
	list := matrix()
	for _, r := range h.Refusals {
		if s := r.Answer.Status; s == http.StatusUnauthorized || s == http.StatusForbidden {
			list = append(list, fault{
				name: "credentials revoked: " + r.Name, answer: r.Answer, retryAfter: r.RetryAfter,
				class: []sinks.Class{sinks.Misconfigured, sinks.Unavailable},
			})
		}
	}
	for _, f := range list {
		t.Run(f.name, func(t *testing.T) {
			r := newRig(t, h)
			first := r.newBatch(t, 0, 0, 3)
			mark := r.mustTake(t, first, "")
			second := r.newBatch(t, 0, 3, 3)
			second.Mark = mark

			r.program(&f.answer)
			ctx, cancel := context.WithCancel(t.Context())
			if f.slow {
				ctx, cancel = context.WithTimeout(t.Context(), 300*time.Millisecond)
			}
			receipt, err := r.deliver(t, ctx, second)
			cancel()
			f.check(t, err)
			rest := &batch{}
			if err != nil {
				rest = second.rest(receipt)
			}
			r.program(nil)
			if receipt.Mark != "" {
				mark = receipt.Mark
			}
			if len(rest.Events) > 0 {
				mark = r.mustTake(t, rest, mark)
			}
			third := r.newBatch(t, 0, 6, 3)
			r.mustTake(t, third, mark)
			r.settle(t, f, len(rest.Events), first, second, third)
		})
	}
	t.Run("connection refused, and a name that is none", func(t *testing.T) {
		r := newRig(t, h)
		b := r.newBatch(t, 0, 0, 3)
		for _, url := range []string{"http://" + closedport.Address(t), "http://auditstream.invalid"} {
			r.mustFail(t, url, b, sinks.Unavailable, "")
		}
		r.mustTake(t, b, "")
		r.settle(t, fault{}, 0, b)
	})
	t.Run("a certificate that has expired", func(t *testing.T) {
		r := newRig(t, h)
		b := r.newBatch(t, 0, 0, 3)
		authority := pki.New(t)
		server := httptest.NewUnstartedServer(r.faults)
		server.Config.ErrorLog = log.New(io.Discard, "", 0) // it is refused, and would say so
		server.TLS = &tls.Config{Certificates: []tls.Certificate{authority.Server(t, time.Now().Add(-time.Hour))}}
		server.StartTLS()
		defer server.Close()
		r.mustFail(t, server.URL, b, sinks.Misconfigured, "expired")
		r.mustTake(t, b, "")
		r.settle(t, fault{}, 0, b)
	})
}

// mustTake delivers b to the double and returns the mark for the next batch.
func (r *rig) mustTake(t *testing.T, b *batch, mark string) string {
	t.Helper()
	b.Mark = mark
	receipt, err := r.deliver(t, t.Context(), b)
	if err != nil {
		t.Fatalf("Deliver, with the double honest: %v", err)
	}
	if receipt.Mark != "" {
		return receipt.Mark
	}
	return mark
}

// mustFail delivers b to url with a sink of its own.
func (r *rig) mustFail(t *testing.T, url string, b *batch, class sinks.Class, words string) {
	t.Helper()
	double := r.url
	r.url = url
	sink := r.open(t, sinks.Options{Log: zap.NewNop(), Version: "1.2.3"})
	r.url = double
	_, err := sink.Deliver(t.Context(), &b.Batch)
	checkClass(t, err, class)
	if err != nil && !strings.Contains(err.Error(), words) {
		t.Errorf("error %q does not say %q", err, words)
	}
	r.checkError(t, err)
	if err := sink.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// check judges the error of the one attempt that met the fault.
func (f *fault) check(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		if f.stored == nothing {
			t.Error("what was not stored counts as delivered")
		}
		return
	}
	got, known := sinks.ClassOf(err), false
	for _, class := range f.class {
		known = known || class == got
	}
	if !known {
		t.Errorf("class of %q is %v, want one of %v", err, got, f.class)
	}
	if f.slow && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the error does not say that the deadline passed: %v", err)
	}
	if e, ok := errors.AsType[*sinks.Error](err); ok && e.RetryAfter != f.retryAfter && (!f.dated || e.RetryAfter <= 0 || e.RetryAfter > f.retryAfter) {
		t.Errorf("RetryAfter is %v, want %v", e.RetryAfter, f.retryAfter)
	}
}

// settle counts what has arrived. again is how many events were sent once more.
func (r *rig) settle(t *testing.T, f fault, again int, batches ...*batch) {
	t.Helper()
	counts := r.counts()
	repeats := 0
	for _, b := range batches {
		if missing := r.missing(b.values); missing != "" {
			t.Errorf("in the end %s", missing)
		}
		for _, v := range b.values {
			repeats += max(0, counts[string(v)]-1)
		}
	}
	least, most := 0, 0
	switch {
	case r.harness.ExactlyOnce, f.stored == nothing:
	case f.stored == everything:
		least, most = again, again
	default:
		most = again
	}
	if repeats < least || repeats > most {
		t.Errorf("%d events are there twice, want %d to %d", repeats, least, most)
	}
}
