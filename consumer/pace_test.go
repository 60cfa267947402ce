package consumer

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestAPaceCapsEventsASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		woken := make(chan struct{}, 1)
		p := newPace(50, func() { signal(woken) })
		defer p.stop()
		count := func(d time.Duration) int {
			n, end := 0, time.Now().Add(d)
			for {
				for p.ready() {
					p.took()
					n++
				}
				<-woken
				if time.Now().After(end) {
					return n
				}
			}
		}
		if n := count(10 * time.Second); n < 495 || n > 510 {
			t.Errorf("%d events in 10 s at 50 a second", n)
		}
		<-time.After(time.Minute) // held up by something else
		if n := count(time.Second); n > 60 {
			t.Errorf("%d events in the second after a long pause at 50 a second", n)
		}
	})
}

func TestWithoutACapNobodyWaits(t *testing.T) {
	var none *pace
	for range 100 {
		if !none.ready() {
			t.Fatal("held back by no pace")
		}
		none.took()
	}
	none.stop()
	if newPace(0, func() {}) != nil {
		t.Error("a rate of 0 is no cap")
	}
}
