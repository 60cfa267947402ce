package consumer

import (
	"math"
	"slices"
	"time"
)

// What became of a lane's events lately goes with its record, so that whoever asks finds the
// same rates, whichever process owns the lane and however long it has run. A count of each of
// the last minutes and of the last spans of five minutes says enough for the last hour, and
// is small.

const (
	recentMinutes = 6  // the present one, and five that are over
	recentFives   = 13 // the present span of five minutes, and twelve that are over
)

// recently counts by time. The zero value has seen nothing.
type recently struct {
	minute                           int64 // since 1970, of the newest count
	delivered, deadLettered, retried *series
}

// series counts one thing, the newest first. What does not fit in is the largest number.
type series struct {
	minutes [recentMinutes]uint32
	fives   [recentFives]uint32
}

func (r *recently) add(what **series, n int64, now time.Time) {
	r.advance(now)
	s := *what
	if s == nil {
		s = &series{}
		*what = s
	}
	s.minutes[0], s.fives[0] = addUp(s.minutes[0], n), addUp(s.fives[0], n)
}

func addUp(have uint32, n int64) uint32 {
	return uint32(min(int64(have)+n, math.MaxUint32)) //nolint:gosec // bounded
}

func minuteOf(t time.Time) int64 { return t.Unix() / 60 }

// advance moves the counts to the present minute. A clock that goes back moves nothing.
func (r *recently) advance(now time.Time) {
	minute := minuteOf(now)
	if minute <= r.minute {
		return
	}
	for _, s := range []**series{&r.delivered, &r.deadLettered, &r.retried} {
		if *s == nil {
			continue
		}
		shift((*s).minutes[:], minute-r.minute)
		shift((*s).fives[:], minute/5-r.minute/5)
		if **s == (series{}) {
			*s = nil
		}
	}
	r.minute = minute
}

// shift moves counts n places towards the end.
func shift(counts []uint32, n int64) {
	k := int(min(n, int64(len(counts))))
	copy(counts[k:], counts)
	clear(counts[:k])
}

// clone is a copy that nobody else counts in.
func (r *recently) clone() recently {
	c := *r
	for _, s := range []**series{&c.delivered, &c.deadLettered, &c.retried} {
		if *s != nil {
			copied := **s
			*s = &copied
		}
	}
	return c
}

// recentRecord is what a record of progress says of it. Zeros at the end of a list are left
// out.
type recentRecord struct {
	Minute       int64         `json:"minute"` // since 1970: the first of each list is of this one
	Delivered    *seriesRecord `json:"delivered,omitempty"`
	DeadLettered *seriesRecord `json:"dead_lettered,omitempty"`
	Retried      *seriesRecord `json:"retried,omitempty"`
}

type seriesRecord struct {
	Minutes []uint32 `json:"1m,omitempty"`
	Fives   []uint32 `json:"5m,omitempty"`
}

// record is nil when there is nothing to say.
func (r *recently) record(now time.Time) *recentRecord {
	r.advance(now)
	if r.delivered == nil && r.deadLettered == nil && r.retried == nil {
		return nil
	}
	return &recentRecord{Minute: r.minute, Delivered: r.delivered.record(), DeadLettered: r.deadLettered.record(), Retried: r.retried.record()}
}

func (s *series) record() *seriesRecord {
	if s == nil {
		return nil
	}
	return &seriesRecord{trimmed(s.minutes[:]), trimmed(s.fives[:])}
}

func trimmed(counts []uint32) []uint32 {
	n := len(counts)
	for n > 0 && counts[n-1] == 0 {
		n--
	}
	return slices.Clone(counts[:n])
}

// decoded is what a record says; nil says nothing.
func (r *recentRecord) decoded() recently {
	if r == nil {
		return recently{}
	}
	return recently{r.Minute, r.Delivered.decoded(), r.DeadLettered.decoded(), r.Retried.decoded()}
}

func (s *seriesRecord) decoded() *series {
	if s == nil {
		return nil
	}
	var d series
	copy(d.minutes[:], s.Minutes)
	copy(d.fives[:], s.Fives)
	return &d
}

// Rates are how much became of a stream's events in a second, over the last minute, five
// minutes and hour.
type Rates struct {
	Delivered    Rate `json:"delivered"`
	DeadLettered Rate `json:"dead_lettered"`
	Retried      Rate `json:"retried"` // attempts
}

// Rate is a number a second, by how long it was measured.
type Rate struct {
	Minute float64 `json:"1m"`
	Five   float64 `json:"5m"`
	Hour   float64 `json:"1h"`
}

func (r *Rates) add(o Rates) {
	r.Delivered.add(o.Delivered)
	r.DeadLettered.add(o.DeadLettered)
	r.Retried.add(o.Retried)
}

func (r *Rate) add(o Rate) {
	r.Minute += o.Minute
	r.Five += o.Five
	r.Hour += o.Hour
}

// rates are those at a time.
func (r *recently) rates(now time.Time) Rates {
	r.advance(now)
	return Rates{r.delivered.rate(now), r.deadLettered.rate(now), r.retried.rate(now)}
}

// rate slides over the counts: of the oldest span the share is taken that still lies within.
func (s *series) rate(now time.Time) Rate {
	if s == nil {
		return Rate{}
	}
	of := func(counts []uint32, span float64) float64 {
		into := math.Mod(float64(now.UnixMilli())/1000, span) / span
		sum := 0.0
		for _, n := range counts[:len(counts)-1] {
			sum += float64(n)
		}
		return (sum + float64(counts[len(counts)-1])*(1-into)) / (float64(len(counts)-1) * span)
	}
	return Rate{Minute: of(s.minutes[:2], 60), Five: of(s.minutes[:], 60), Hour: of(s.fives[:], 300)}
}

// Recent is what became of a stream's events in the last hour, in spans of five minutes.
type Recent struct {
	five  int64 // since 1970, of the newest span
	spans [3][recentFives]int64
}

// Lately is how much became of events in a second.
type Lately struct{ Delivered, DeadLettered, Retried float64 }

// add adds a lane's, as of now.
func (r *Recent) add(l *recently, now time.Time) {
	r.five = minuteOf(now) / 5
	l.advance(now)
	for i, s := range []*series{l.delivered, l.deadLettered, l.retried} {
		if s == nil {
			continue
		}
		for j, n := range s.fives {
			r.spans[i][j] += int64(n)
		}
	}
}

// sum adds another stream's of the same survey.
func (r *Recent) sum(o Recent) {
	r.five = max(r.five, o.five)
	for i := range o.spans {
		for j, n := range o.spans[i] {
			r.spans[i][j] += n
		}
	}
}

// During is what became of events around a time; ok is false if that is not known: it lies
// too far back, or the span is not over.
func (r Recent) During(t time.Time) (rates Lately, ok bool) {
	i := r.five - minuteOf(t)/5
	if i < 1 || i >= recentFives {
		return Lately{}, false
	}
	of := func(spans [recentFives]int64) float64 { return float64(spans[i]) / 300 }
	return Lately{of(r.spans[0]), of(r.spans[1]), of(r.spans[2])}, true
}
