package app

import (
	"context"
	"math"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/consumer"
)

// What a process that serves the API has seen of the last hours. Where it has not looked
// itself, before its start, the counts that records of progress carry say what became of
// events; how many waited then nobody knows.

const (
	historyStep    = 15 * time.Second
	historySteps   = 720  // three hours
	historyStreams = 1000 // that have one of their own: 14 KiB each
)

// history keeps samples in rings. The zero value has none.
type history struct {
	mu    sync.Mutex
	rings map[string]*ring // by uid; "" is all streams together; guarded by mu
}

// moment is one step of a stream; NaN is what was not measured.
type moment struct{ delivered, deadLettered, retried, lag, seconds float32 }

func unmeasured() moment {
	nan := float32(math.NaN())
	return moment{nan, nan, nan, nan, nan}
}

// ring holds the last samples; that of step n stands at n modulo its size.
type ring struct {
	last    int64 // the newest step, counted from 1970
	samples [historySteps]moment
	totals  consumer.Totals // of the newest step
	at      time.Time       // when they were found
}

// note takes a survey down.
func (h *history) note(list []consumer.Status, at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.rings == nil {
		h.rings = map[string]*ring{}
		h.of("")
	}
	all := consumer.Status{Waiting: consumer.Waiting{LagSeconds: new(0.0)}}
	present := map[string]bool{"": true}
	for _, st := range list {
		all.Sum(st)
		present[st.Spec.UID] = true
		if h.rings[st.Spec.UID] == nil && len(h.rings) > historyStreams {
			continue
		}
		h.of(st.Spec.UID).note(st, at)
	}
	h.of("").note(all, at)
	for uid := range h.rings {
		if !present[uid] {
			delete(h.rings, uid)
		}
	}
}

// of is the ring of a stream. The caller holds mu.
func (h *history) of(uid string) *ring {
	r := h.rings[uid]
	if r == nil {
		r = &ring{}
		for i := range r.samples {
			r.samples[i] = unmeasured()
		}
		h.rings[uid] = r
	}
	return r
}

func stepOf(t time.Time) int64 { return t.Unix() / int64(historyStep/time.Second) }

func (r *ring) note(st consumer.Status, at time.Time) {
	step := stepOf(at)
	if r.last == 0 {
		r.seed(st, step)
	}
	for s := max(r.last+1, step-historySteps+1); s <= step; s++ { // what was slept through was not measured
		r.samples[s%historySteps] = unmeasured()
	}
	now := &r.samples[step%historySteps]
	if seconds := at.Sub(r.at).Seconds(); !r.at.IsZero() && seconds > 0 && seconds < 4*historyStep.Seconds() {
		rate := func(from, to int64) float32 {
			if to < from { // counts have gone back with a cursor, or begun anew with a move
				return float32(math.NaN())
			}
			return float32(float64(to-from) / seconds)
		}
		now.delivered = rate(r.totals.Delivered, st.Totals.Delivered)
		now.deadLettered = rate(r.totals.DeadLettered, st.Totals.DeadLettered)
		now.retried = rate(r.totals.Retried, st.Totals.Retried)
	}
	now.lag = float32(st.Lag)
	if st.LagSeconds != nil {
		now.seconds = float32(*st.LagSeconds)
	}
	r.totals, r.at, r.last = st.Totals, at, step
}

// seed puts the counts of records of progress where this process has not looked.
func (r *ring) seed(st consumer.Status, step int64) {
	for s := step - historySteps + 1; s < step; s++ {
		from := time.Unix(s*int64(historyStep/time.Second), 0)
		if rates, ok := st.Recent.During(from); ok {
			now := &r.samples[s%historySteps]
			now.delivered, now.deadLettered, now.retried = float32(rates.Delivered), float32(rates.DeadLettered), float32(rates.Retried)
		}
	}
}

// get is the history of a stream, or of all; of one that has none, nothing was measured.
func (h *history) get(uid string, now time.Time) *admin.History {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := &admin.History{Step: int(historyStep / time.Second)}
	step := stepOf(now)
	first := step - historySteps + 1
	r := h.rings[uid]
	if r == nil {
		first = step
	}
	out.From = time.Unix(first*int64(historyStep/time.Second), 0).UTC()
	add := func(to *[]*float64, v float32) {
		if v != v {
			*to = append(*to, nil)
			return
		}
		*to = append(*to, new(float64(v)))
	}
	for s := first; s <= step; s++ {
		x := unmeasured()
		if r != nil && s <= r.last {
			x = r.samples[s%historySteps]
		}
		add(&out.Delivered, x.delivered)
		add(&out.DeadLettered, x.deadLettered)
		add(&out.Retried, x.retried)
		add(&out.Lag, x.lag)
		add(&out.LagSeconds, x.seconds)
	}
	return out
}

// KeepHistory looks where the streams stand again and again, until ctx ends.
func (c *Control) KeepHistory(ctx context.Context) error {
	tick := time.NewTicker(historyStep)
	defer tick.Stop()
	said := false
	for {
		list, at, err := c.board.statuses(ctx, c.operator.List)
		switch {
		case err == nil:
			c.history.note(list, at)
			said = false
		case ctx.Err() == nil && !said:
			said = true
			c.log.Warn("where streams stand cannot be told: their history has a hole", zap.Error(err))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
