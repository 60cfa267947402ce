//nolint:thelper // cases are tests, not helpers: a failure names its own line
package sinktest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/sinktest/faults"
)

// questionsFail meets every fault at the question after a delivery: what the answer does not
// say is not confirmed, and can be sent again.
func questionsFail(t *testing.T, h *Harness) {
	html := http.Header{"Content-Type": {"text/html; charset=utf-8"}}
	cases := []struct {
		name   string
		answer faults.Answer
	}{
		{"reset before the body was read", faults.Answer{Cut: faults.CutBeforeBody}},
		{"reset after the body", faults.Answer{Cut: faults.CutBeforeAnswer}},
		{"reset after an answer was decided", faults.Answer{Store: true, Cut: faults.CutBeforeAnswer}},
		{"cut off in the answer", faults.Answer{Store: true, Cut: faults.CutInAnswer}},
		{"200 with HTML", faults.Answer{Status: 200, Header: html, Body: []byte("<!doctype html>")}},
		{"200 with nothing", faults.Answer{Status: 200}},
		{"429", faults.Answer{Status: 429, Header: http.Header{"Retry-After": {"3"}}}},
		{"500", faults.Answer{Status: 500}},
		{"503 with HTML", faults.Answer{Status: 503, Header: html, Body: []byte("<html>")}},
		{"an answer of 1 GB", faults.Answer{Store: true, Pad: 1 << 30}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, h)
			confirmer := r.confirmer(t)
			b := r.newBatch(t, 0, 0, 3)
			receipt, err := r.sink.Deliver(t.Context(), &b.Batch)
			if err != nil || receipt.Pending == "" {
				t.Fatalf("Deliver: %+v, %v; want a ticket", receipt, err)
			}
			r.programQuestions(&c.answer)
			standings, err := confirmer.Confirm(t.Context(), b.Lane, []sinks.Ticket{receipt.Pending})
			if err == nil {
				t.Errorf("Confirm takes that for an answer: %v", standings)
			} else {
				r.checkSecrets(t, "the error of Confirm", fmt.Sprintf("%v %+v", err, err))
			}
			if sinks.ClassOf(err) == sinks.Rejected {
				t.Errorf("a question that fails rejects events: %v", err)
			}
			if r.faults.Padded() != 0 {
				t.Error("the sink read an answer of 1 GB to its end")
			}
			r.programQuestions(nil)
			r.mustArrive(t, r.newBatch(t, 0, 0, 3))
		})
	}
	t.Run("a context that ends", func(t *testing.T) {
		r := newRig(t, h)
		confirmer := r.confirmer(t)
		b := r.newBatch(t, 0, 0, 3)
		receipt, err := r.sink.Deliver(t.Context(), &b.Batch)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		standings, err := confirmer.Confirm(ctx, b.Lane, []sinks.Ticket{receipt.Pending})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Confirm: %v, %v; want the end of the context", standings, err)
		}
		if !r.confirm(t, b.Lane, receipt.Pending) {
			t.Error("a question that was given up has used the confirmation up")
		}
	})
}

// confirmer is the rig's sink, if its destination confirms later.
func (r *rig) confirmer(t *testing.T) sinks.Confirmer {
	t.Helper()
	confirmer, ok := r.sink.(sinks.Confirmer)
	if !ok {
		t.Skip("what this sink delivers is durable at once")
	}
	return confirmer
}
