package consumer

import (
	"math"
	"time"
)

// traffic is what a lane's work is for.
type traffic int

const (
	live       traffic = iota // events as they come
	catchingUp                // a backlog
)

// share divides something scarce between live traffic and catching up, while both want it:
// what one does not want the other may have whole. It remembers for about a second, so
// that nobody has to pay for what was used while nobody else wanted it.
type share struct {
	catchUp float64 // between 0 and 1
	used    [2]float64
	at      time.Time // of used
}

// remembered is the time in which the share forgets two thirds.
const remembered = time.Second

// add notes that one of both has used some.
func (s *share) add(t traffic, n float64, now time.Time) {
	if d := now.Sub(s.at); d > 0 {
		kept := math.Exp(-d.Seconds() / remembered.Seconds())
		s.used[live] *= kept
		s.used[catchingUp] *= kept
		s.at = now
	}
	s.used[t] += n
}

// next says whose turn it is when both want some. In doubt it is live traffic's.
func (s *share) next() traffic {
	if s.used[live]*s.catchUp <= s.used[catchingUp]*(1-s.catchUp) {
		return live
	}
	return catchingUp
}
