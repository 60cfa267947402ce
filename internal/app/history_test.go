package app

import (
	"testing"
	"time"

	"github.com/auditstream/auditstream/consumer"
)

func TestHistoryTellsRatesFromCountsAndNullFromZero(t *testing.T) {
	var h history
	at := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	survey := func(delivered, lag int64, seconds *float64) []consumer.Status {
		return []consumer.Status{{
			Spec: consumer.Spec{ID: "a", UID: "str_a"}, Totals: consumer.Totals{Delivered: delivered},
			Waiting: consumer.Waiting{Lag: lag, LagSeconds: seconds},
		}}
	}
	h.note(survey(1000, 5, new(2.0)), at)
	h.note(survey(1150, 0, new(0.0)), at.Add(15*time.Second))
	// Two steps nobody looked.
	h.note(survey(1195, 7, nil), at.Add(60*time.Second))
	h.note(survey(900, 7, nil), at.Add(75*time.Second)) // a crash, and the counts have gone back
	for _, uid := range []string{"str_a", ""} {
		got := h.get(uid, at.Add(75*time.Second))
		n := len(got.Delivered)
		if n != historySteps || got.Step != 15 || !got.From.Add(time.Duration(n-1)*historyStep).Equal(at.Add(75*time.Second)) {
			t.Fatalf("%d steps of %d s from %s", n, got.Step, got.From)
		}
		check := func(what string, values []*float64, want ...*float64) {
			t.Helper()
			for i, w := range want {
				v := values[n-len(want)+i]
				if (v == nil) != (w == nil) || v != nil && *v != *w {
					t.Errorf("%q: %s, step %d: %v, want %v", uid, what, i, number(v), number(w))
				}
			}
		}
		check("delivered", got.Delivered, nil, nil, new(10.0), nil, nil, new(1.0), nil)
		check("lag", got.Lag, nil, new(5.0), new(0.0), nil, nil, new(7.0), new(7.0))
		check("age", got.LagSeconds, nil, new(2.0), new(0.0), nil, nil, nil, nil)
	}
	if got := h.get("str_b", at); len(got.Delivered) != 1 || got.Delivered[0] != nil {
		t.Errorf("of a stream that nobody has seen: %+v", got)
	}
	h.note(nil, at.Add(90*time.Second))
	if len(h.rings) != 1 {
		t.Errorf("%d rings are kept of streams that are gone", len(h.rings)-1)
	}
}

func number(v *float64) any {
	if v == nil {
		return "unknown"
	}
	return *v
}

func TestHistoryIsBounded(t *testing.T) {
	var h history
	var list []consumer.Status
	for i := range historyStreams + 50 {
		list = append(list, consumer.Status{Spec: consumer.Spec{UID: eventID(i)}})
	}
	h.note(list, time.Now())
	if n := len(h.rings); n != historyStreams+1 {
		t.Errorf("%d rings", n)
	}
}
