//nolint:thelper // cases are tests, not helpers: a failure names its own line
package sinktest

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/auditstream/auditstream/internal/closedport"

	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/sinktest/faults"
)

func refusals(t *testing.T, h *Harness) {
	if len(h.Refusals) == 0 {
		t.Fatal("the harness knows no refusals of its service")
	}
	for _, refusal := range h.Refusals {
		t.Run(refusal.Name, func(t *testing.T) {
			r := newRig(t, h)
			r.program(&refusal.Answer)
			b := r.newBatch(t, 0, 0, 3)
			receipt, err := r.deliver(t, t.Context(), b)
			checkClass(t, err, refusal.Class)
			if receipt.Settled != 0 {
				t.Errorf("the receipt settles %d events", receipt.Settled)
			}
			if n := r.attempts.Load(); n != 1 {
				t.Errorf("%d attempts in one Deliver", n)
			}
			if e, ok := errors.AsType[*sinks.Error](err); ok {
				if e.RetryAfter != refusal.RetryAfter {
					t.Errorf("RetryAfter is %v, want %v", e.RetryAfter, refusal.RetryAfter)
				}
				if e.Status != refusal.Answer.Status {
					t.Errorf("the error says HTTP %d, the answer was %d", e.Status, refusal.Answer.Status)
				}
			} else {
				t.Errorf("the error is no *sinks.Error: %v", err)
			}
			r.mustArrive(t, b)
		})
	}
}

func nobodyListens(t *testing.T, h *Harness) {
	r := openRig(t, h, "http://"+closedport.Address(t))
	receipt, err := r.deliver(t, t.Context(), r.newBatch(t, 0, 0, 3))
	checkClass(t, err, sinks.Unavailable)
	if receipt.Settled != 0 {
		t.Errorf("the receipt settles %d events", receipt.Settled)
	}
}

func cuts(t *testing.T, h *Harness) {
	cases := []struct {
		name   string
		answer faults.Answer
	}{
		{"before the body was read", faults.Answer{Cut: faults.CutBeforeBody}},
		{"after the body, which is not stored", faults.Answer{Cut: faults.CutBeforeAnswer}},
		{"after the body, which is stored", faults.Answer{Store: true, Cut: faults.CutBeforeAnswer}},
		{"in the answer, with the body stored", faults.Answer{Store: true, Cut: faults.CutInAnswer}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, h)
			r.program(&c.answer)
			b := r.newBatch(t, 0, 0, 20)
			receipt, err := r.deliver(t, t.Context(), b)
			if !h.ExactlyOnce || err != nil { // a sink that can look finds out what was stored
				checkClass(t, err, sinks.Unavailable)
			}
			if n := r.attempts.Load(); n != 1 {
				t.Errorf("%d attempts in one Deliver", n)
			}
			if err == nil {
				receipt.Settled = len(b.Events)
			}
			r.mustArrive(t, b.rest(receipt))
			if missing := r.missing(b.values); missing != "" {
				t.Errorf("in the end %s", missing)
			}
		})
	}
}

func htmlPage(t *testing.T, h *Harness) {
	for _, status := range []int{200, 202, 302, 403, 502} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			r := newRig(t, h)
			r.program(&faults.Answer{
				Status: status,
				Header: http.Header{"Content-Type": {"text/html; charset=utf-8"}, "Location": {"https://login.example/?next=1"}},
				Body:   []byte("<!doctype html><title>Please log in</title>"),
			})
			b := r.newBatch(t, 0, 0, 3)
			receipt, err := r.deliver(t, t.Context(), b)
			if err == nil {
				t.Fatal("a page of HTML counts as a delivery")
			}
			if sinks.ClassOf(err) == sinks.Rejected {
				t.Errorf("a page of HTML rejects events: %v", err)
			}
			if receipt.Settled != 0 {
				t.Errorf("the receipt settles %d events", receipt.Settled)
			}
			if n := r.attempts.Load(); n != 1 {
				t.Errorf("%d attempts in one Deliver", n)
			}
			r.mustArrive(t, b)
		})
	}
}

func endlessAnswer(t *testing.T, h *Harness) {
	for name, answer := range map[string]faults.Answer{
		"of a success": {Store: true, Pad: 1 << 30},
		"of a failure": {Status: http.StatusServiceUnavailable, Pad: 1 << 30},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, h)
			r.program(&answer)
			b := r.newBatch(t, 0, 0, 3)
			receipt, err := r.deliver(t, t.Context(), b)
			if err == nil {
				receipt.Settled = len(b.Events)
			} else {
				checkClass(t, err, sinks.Unavailable)
			}
			if r.faults.Padded() != 0 {
				t.Error("the sink read an answer of 1 GB to its end")
			}
			r.mustArrive(t, b.rest(receipt))
		})
	}
}

func echo(t *testing.T, h *Harness) {
	for _, status := range []int{200, 400, 403, 500} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			r := newRig(t, h)
			r.programHook(func(req *http.Request) *faults.Answer {
				var dump bytes.Buffer
				dump.WriteString(req.RequestURI + "\n")
				_ = req.Header.Write(&dump)
				return &faults.Answer{
					Status: status, Body: dump.Bytes(),
					Header: http.Header{"Content-Type": {"text/plain"}, "X-Echo": {req.Header.Get("Authorization")}},
				}
			})
			b := r.newBatch(t, 0, 0, 3)
			_, err := r.sink.Deliver(t.Context(), &b.Batch)
			if err == nil && (status != http.StatusOK || !h.AnyAnswer) {
				t.Error("an echo counts as a delivery")
			}
			r.checkError(t, err)
		})
	}
}

func deadline(t *testing.T, h *Harness) {
	r := newRig(t, h)
	r.program(&faults.Answer{Store: true, Hang: true})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	b := r.newBatch(t, 0, 0, 3)
	receipt, err := r.deliver(t, ctx, b)
	checkClass(t, err, sinks.Unavailable)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the error does not say that the deadline passed: %v", err)
	}
	r.mustArrive(t, b.rest(receipt))
}

func cancelledBefore(t *testing.T, h *Harness) {
	r := newRig(t, h)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b := r.newBatch(t, 0, 0, 3)
	receipt, err := r.deliver(t, ctx, b)
	checkClass(t, err, sinks.Unavailable)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the error does not say that the context was cancelled: %v", err)
	}
	if n := r.attempts.Load(); n != 0 || receipt.Settled != 0 {
		t.Errorf("%d requests were sent, %d events settled", n, receipt.Settled)
	}
	r.mustArrive(t, b)
}

func cancelledDuring(t *testing.T, h *Harness) {
	r := newRig(t, h)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r.programHook(func(*http.Request) *faults.Answer {
		cancel()
		return &faults.Answer{Hang: true}
	})
	b := r.newBatch(t, 0, 0, 3)
	receipt, err := r.deliver(t, ctx, b)
	checkClass(t, err, sinks.Unavailable)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the error does not say that the context was cancelled: %v", err)
	}
	if n := r.attempts.Load(); n > 1 || receipt.Settled != 0 {
		t.Errorf("%d attempts, %d events settled", n, receipt.Settled)
	}
	r.mustArrive(t, b)
}
