package consumer

import (
	"unsafe"

	"github.com/auditstream/auditstream/integrity"
)

// were is which events those of a chunk of a job were at first: all of one feed, with growing
// numbers, or nobody knows of any. That of live delivery is empty.
type were struct {
	feed    string
	unknown string  // why nobody knows
	numbers []int64 // one an event, where it is known
	runs    int     // of numbers that follow one another
}

// wereSize is what the budget counts for an event of a job.
const wereSize = int(unsafe.Sizeof(int64(0)))

// takes says whether an event may stand behind the others, with at most so many runs, if that
// is not 0.
func (w *were) takes(o integrity.Original, unknown string, runs int) bool {
	if w.feed != o.Feed || w.unknown != unknown {
		return false
	}
	if len(w.numbers) == 0 {
		return true
	}
	last := w.numbers[len(w.numbers)-1]
	return o.Number == last+1 || o.Number > last && (runs == 0 || w.runs < runs)
}

// add puts an event behind the others.
func (w *were) add(o integrity.Original, unknown string) {
	w.feed, w.unknown = o.Feed, unknown
	if !o.Known() {
		return
	}
	if n := len(w.numbers); n == 0 || w.numbers[n-1]+1 != o.Number {
		w.runs++
	}
	w.numbers = append(w.numbers, o.Number)
}

// slice is that of the events [i, j).
func (w *were) slice(i, j int) were {
	s := were{feed: w.feed, unknown: w.unknown}
	if len(w.numbers) > 0 {
		s.numbers = w.numbers[i:j]
	}
	return s
}

// again takes what the events with the links were at first into a list, as checkpoints have it.
func (w *were) again(list []integrity.Again, links []integrity.Link) []integrity.Again {
	first, last := links[0].Number, links[len(links)-1].Number
	if w.unknown != "" {
		return integrity.JoinAgain(list, integrity.Again{From: first, To: last, Reason: w.unknown})
	}
	for i := 0; i < len(w.numbers); {
		j := i + 1
		for j < len(w.numbers) && w.numbers[j] == w.numbers[j-1]+1 {
			j++
		}
		list = integrity.JoinAgain(list, integrity.Again{From: links[i].Number, To: links[j-1].Number, Feed: w.feed, First: w.numbers[i], Last: w.numbers[j-1]})
		i = j
	}
	return list
}

// original is which event the one that is offered was at first; of live delivery nothing. The
// caller holds p.mu and mu.
func (l *lane) original(offset int64) (o integrity.Original, unknown string) {
	if l.p.originals == nil || l.taking == nil {
		return o, ""
	}
	return l.p.originals.of(offset)
}

// recall puts down which event the one that was queued last was at first. The caller holds mu.
func (l *lane) recall(c *chunk, o integrity.Original, unknown string) {
	if o.Known() {
		l.charge(c, wereSize)
	}
	c.were.add(o, unknown)
}

// forgets begins another chain where the lane stands: what was sent from there on may have said
// which events they were, and what is sent now cannot. The caller is the only one who knows the
// lane.
func (l *lane) forgets() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.chains) > 0 && l.proof.head.Size > 0 {
		l.breakChain(l.next, chainExpired)
	}
}

// since are what a list says of events behind a number.
func since(list []integrity.Again, number int64) []integrity.Again {
	var out []integrity.Again
	for _, a := range list {
		if a.To <= number {
			continue
		}
		if n := number + 1 - a.From; n > 0 {
			a.From += n
			if a.Feed != "" && !a.Among {
				a.First += n
			}
		}
		out = append(out, a)
	}
	return out
}
