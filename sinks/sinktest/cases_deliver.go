//nolint:thelper // cases are tests, not helpers: a failure names its own line
package sinktest

import (
	"bytes"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/sinks"
)

func arrive(t *testing.T, h *Harness) {
	r := newRig(t, h)
	batches := []*batch{r.batchOf(t, 0, oddEvents(0)), r.newBatch(t, 0, 100, 1), r.newBatch(t, 0, 101, 50)}
	var want []string
	mark := ""
	for i, b := range batches {
		body := slices.Clone(b.Body)
		b.Mark = mark
		receipt, err := r.deliver(t, t.Context(), b)
		if err != nil {
			t.Fatalf("Deliver of batch %d: %v", i, err)
		}
		if receipt.Mark != "" {
			mark = receipt.Mark
		}
		if !bytes.Equal(body, b.Body) {
			t.Error("Deliver changed the body of the batch")
		}
		for _, v := range b.values {
			want = append(want, string(v))
		}
	}
	var got []string
	for _, v := range r.target.Arrived() {
		got = append(got, string(v))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what arrived is not what was sent (-sent +arrived):\n%s", diff)
	}
	if n := r.attempts.Load(); n != int64(len(batches)) && !h.Local {
		t.Errorf("%d batches were sent in %d requests", len(batches), n)
	}
}

// replay sends the same batch live, by one job and by another, and each of them twice, as
// after an answer that was lost.
func replay(t *testing.T, h *Harness) {
	r := newRig(t, h)
	const events = 3
	jobs := []string{"", "job_AAAAAAAAAAAAAAAAAAAAAAAAAA", "job_BBBBBBBBBBBBBBBBBBBBBBBBBB"}
	got := map[string]int{}
	live := r.sink
	defer func() { r.sink = live }()
	for _, job := range jobs {
		r.sink = live
		if job != "" {
			r.sink = r.open(t, sinks.Options{Log: zap.NewNop(), Version: "1.2.3", Replay: job})
		}
		b := r.newBatch(t, 0, 100, events)
		for range 2 {
			if _, err := r.deliver(t, t.Context(), b); err != nil {
				t.Fatalf("Deliver of job %q: %v", job, err)
			}
		}
		if job != "" {
			if err := r.sink.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		}
	}
	said := r.target.Replays()
	if n := len(r.target.Arrived()); n != len(said) {
		t.Fatalf("%d events arrived, %d of them say whether they were replayed", n, len(said))
	}
	for _, job := range said {
		got[job]++
	}
	times := 2
	if h.ExactlyOnce {
		times = 1
	}
	want := map[string]int{}
	for _, job := range jobs {
		want[job] = times * events
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events by the job that they name (-sent +arrived):\n%s", diff)
	}
}

func deliverConcurrently(t *testing.T, h *Harness) {
	r := newRig(t, h)
	const lanes, batches, size = 8, 5, 20
	made := make([][]*batch, lanes)
	for l := range lanes {
		for i := range batches {
			made[l] = append(made[l], r.newBatch(t, l, int64(i*size), size))
		}
	}
	var wg sync.WaitGroup
	for _, mine := range made {
		wg.Go(func() {
			mark := ""
			for _, b := range mine {
				b.Mark = mark
				receipt, err := r.sink.Deliver(t.Context(), &b.Batch)
				if err != nil {
					t.Errorf("Deliver: %v", err)
					return
				}
				if receipt.Mark != "" {
					mark = receipt.Mark
				}
			}
		})
	}
	wg.Wait()
	place := map[string]int{}
	arrived := r.target.Arrived()
	for i, v := range arrived {
		place[string(v)] = i
	}
	if len(arrived) != lanes*batches*size || len(place) != len(arrived) {
		t.Errorf("%d events arrived, %d different ones; want %d", len(arrived), len(place), lanes*batches*size)
	}
	for l, mine := range made {
		last := -1
		for _, b := range mine {
			for i, v := range b.values {
				at, ok := place[string(v)]
				if !ok || at < last {
					t.Fatalf("lane %d: event %d is missing or out of order", l, i)
				}
				last = at
			}
		}
	}
	if n := r.attempts.Load(); n != lanes*batches && !h.Local {
		t.Errorf("%d batches were sent in %d requests", lanes*batches, n)
	}
}
