package consumer

import (
	"sync"
	"time"
)

// pace caps how many events a second a job takes up. A lane that it holds back has no
// room: it stands where it is, holds no memory for what does not come, and is fed again
// when its time has come. A nil pace holds nobody back.
type pace struct {
	every time.Duration // between two events
	wake  func()        // tells whoever feeds that the next event may come

	mu    sync.Mutex  // a leaf; guards everything below
	next  time.Time   // of the next event
	timer *time.Timer // that calls wake; nil before the first wait
	armed bool        // it has been set and has not gone off
}

// paceSlack is how far a job that was held up by something else may make up for it at
// once: a cap is there to spare a destination, and a burst after each pause would not.
const paceSlack = 100 * time.Millisecond

func newPace(perSecond float64, wake func()) *pace {
	if perSecond <= 0 {
		return nil
	}
	return &pace{every: max(1, time.Duration(float64(time.Second)/perSecond)), wake: wake}
}

// ready says whether an event may be taken up. Whoever hears no is woken when it may.
func (p *pace) ready() bool {
	if p == nil {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	wait := time.Until(p.next)
	if wait <= 0 {
		return true
	}
	if p.armed {
		return false
	}
	p.armed = true
	if p.timer == nil {
		p.timer = time.AfterFunc(wait, p.due)
	} else {
		p.timer.Reset(wait)
	}
	return false
}

func (p *pace) due() {
	p.mu.Lock()
	p.armed = false
	p.mu.Unlock()
	p.wake()
}

// took counts an event.
func (p *pace) took() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if least := time.Now().Add(-paceSlack); p.next.Before(least) {
		p.next = least
	}
	p.next = p.next.Add(p.every)
}

// stop lets nobody be woken any more.
func (p *pace) stop() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer != nil {
		p.timer.Stop()
	}
	p.armed = true
}
