//nolint:thelper // cases are tests, not helpers: a failure names its own line
package sinktest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/auditstream/auditstream/internal/closedport"

	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/sinktest/faults"
)

// tester is the rig's sink, if it can test itself.
func (r *rig) tester(t *testing.T) sinks.Tester {
	t.Helper()
	tester, ok := r.sink.(sinks.Tester)
	if !ok {
		t.Fatal("the sink is no sinks.Tester: nobody can try a stream of its kind")
	}
	return tester
}

// test runs a test and checks what holds of every one.
func (r *rig) test(t *testing.T, ctx context.Context) ([]sinks.Step, error) { //nolint:revive // t first, as in every test function
	t.Helper()
	var steps []sinks.Step
	b := r.newBatch(t, 0, 0, 1)
	err := r.tester(t).Test(ctx, &b.Batch, func(s sinks.Step) { steps = append(steps, s) })
	if len(steps) == 0 {
		t.Fatalf("no step was reported, and the error is %v", err)
	}
	for i, s := range steps {
		for _, text := range []string{s.Detail, s.Sent, s.Answer} {
			r.checkSecrets(t, "step "+s.Name, text)
		}
		if s.Err != nil {
			r.checkSecrets(t, "step "+s.Name, s.Err.Error())
		}
		if s.Name == "" {
			t.Errorf("step %d has no name", i)
		}
		if s.Err != nil && i < len(steps)-1 {
			t.Errorf("step %s failed, and %s follows it", s.Name, steps[i+1].Name)
		}
	}
	if last := steps[len(steps)-1]; !errors.Is(last.Err, err) {
		t.Errorf("the test returns %v, its last step, %s, ended with %v", err, last.Name, last.Err)
	}
	return steps, err
}

func testSteps(t *testing.T, h *Harness) {
	r := newRig(t, h)
	steps, err := r.test(t, t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	var sent strings.Builder
	for _, s := range steps {
		names = append(names, s.Name)
		sent.WriteString(s.Sent)
	}
	if !slices.Contains(names, sinks.StepWrite) {
		t.Errorf("the steps are %v, without a write", names)
	}
	if id := string(event(0, 0).ID); !h.ExactlyOnce && !strings.Contains(sent.String(), id) {
		t.Errorf("no step shows the event %s as it was sent: %q", id, sent.String())
	}
	// Whatever a test has left there, real events arrive as if there had been none.
	b := r.newBatch(t, 1, 0, 3)
	if _, err := r.deliver(t, t.Context(), b); err != nil {
		t.Errorf("Deliver after a test: %v", err)
	}
}

func testFailures(t *testing.T, h *Harness) {
	t.Run("nobody listens", func(t *testing.T) {
		r := openRig(t, h, "http://"+closedport.Address(t))
		steps, err := r.test(t, t.Context())
		checkClass(t, err, sinks.Unavailable)
		if got := steps[len(steps)-1].Name; got != sinks.StepTCP {
			t.Errorf("the step that failed is %s, not %s", got, sinks.StepTCP)
		}
	})
	t.Run("reset", func(t *testing.T) {
		r := newRig(t, h)
		r.program(&faults.Answer{Cut: faults.CutBeforeAnswer})
		_, err := r.test(t, t.Context())
		checkClass(t, err, sinks.Unavailable)
	})
	t.Run("given up", func(t *testing.T) {
		r := newRig(t, h)
		r.program(&faults.Answer{Hang: true})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := r.test(t, ctx)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("the error does not say that the context was cancelled: %v", err)
		}
	})
	for _, refusal := range h.Refusals {
		t.Run(refusal.Name, func(t *testing.T) {
			r := newRig(t, h)
			r.program(&refusal.Answer)
			_, err := r.test(t, t.Context())
			checkClass(t, err, refusal.Class)
		})
	}
}
