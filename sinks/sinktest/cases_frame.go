//nolint:thelper // cases are tests, not helpers: a failure names its own line
package sinktest

import (
	"bytes"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/auditstream/auditstream/sinks"
)

func frameAppends(t *testing.T, h *Harness) {
	r := newRig(t, h)
	head := []byte("what was there before")
	for _, e := range append(oddEvents(0), event(0, 1)) {
		first, err := r.sink.Frame(nil, e)
		if err != nil {
			t.Fatalf("Frame of %s: %v", e.Value, err)
		}
		kept := slices.Clone(first)

		copied := cloneEvent(e)
		second, err := r.sink.Frame(slices.Clone(head), copied)
		if err != nil {
			t.Fatalf("Frame of %s: %v", e.Value, err)
		}
		for _, b := range [][]byte{copied.Value, copied.ID, copied.OrganizationID, copied.Action, copied.OccurredAt} {
			for i := range b {
				b[i] = '!'
			}
		}
		if !bytes.HasPrefix(second, head) {
			t.Fatalf("Frame changed what was there before: %q", second)
		}
		if diff := cmp.Diff(string(kept), string(second[len(head):])); diff != "" {
			t.Errorf("a second frame of the same event differs (-first +second):\n%s", diff)
		}
		if !bytes.Equal(kept, first) {
			t.Error("a later Frame changed an earlier one")
		}
	}
}

func cloneEvent(e *sinks.Event) *sinks.Event {
	c := *e
	c.Value, c.ID = slices.Clone(e.Value), slices.Clone(e.ID)
	c.OrganizationID, c.Action = slices.Clone(e.OrganizationID), slices.Clone(e.Action)
	c.OccurredAt = slices.Clone(e.OccurredAt)
	return &c
}

func frameConcurrently(t *testing.T, h *Harness) {
	r := newRig(t, h)
	want, err := r.sink.Frame(nil, event(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				if got, err := r.sink.Frame(nil, event(0, 0)); err != nil || !bytes.Equal(got, want) {
					t.Errorf("Frame: %q, %v; want %q", got, err, want)
					return
				}
			}
		})
	}
	wg.Wait()
}

func frameTooLarge(t *testing.T, h *Harness) {
	if h.TooLarge == 0 {
		t.Skip("this destination has no limit")
	}
	r := newRig(t, h)
	head := []byte("what was there before")
	got, err := r.sink.Frame(head, largeEvent(h.TooLarge))
	if err == nil {
		t.Fatalf("Frame takes an event of %d bytes", h.TooLarge)
	}
	checkClass(t, err, sinks.Rejected)
	if string(got) != "what was there before" {
		t.Errorf("Frame with an error returns %.80q, not what it was given", got)
	}
}
