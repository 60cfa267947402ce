package consumer

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/sinks"
)

// The events of a stream are numbered and chained as its lane takes them (package integrity),
// those included that go to the dead letters then. What number an event gets depends on
// nothing but the log, the revision, and where the chain begins, all of which its origin
// names: whoever reads the records again comes to the same numbers, and owners that know
// nothing of each other cannot give one number to two events.
//
// A lane mostly has one chain. Another begins where that would not hold: behind offsets that
// were expired, and where a log was cut off. Events of the former one may still be queued
// then, so a lane has the chains of all that it holds. The first event of a chain is sent
// when all of the chain before is settled and the new one is on record.

// chain is one chain of a lane. Once it is the first of its lane nothing of it changes but what
// its first checkpoint says of the chains before it.
type chain struct {
	begin    int64  // offset of the first record that may be in it
	origin   string // see integrity.Origin
	feed     string // id that its events carry
	reason   string // why the one before it ended; empty: there was none
	previous *integrity.Former
	beside   []integrity.Beside // chains of the stream in other partitions before it began
	gaps     []integrity.Gap    // offsets passed over where it begins
	began    *time.Time         // if its first checkpoint is to look for chains before it; else nil
}

// Reasons for which a chain ends and another goes on, and for which a feed lacks events.
const (
	chainRevision = "revision" // the stream was changed
	chainMoved    = "moved"    // the cursor was moved on purpose
	chainExpired  = "expired"  // Kafka forgot records before they were read
	chainCutOff   = "cut_off"  // Kafka lost records that it had acknowledged: some may have been sent
	chainTopic    = "topic"    // the events topic was made anew
	chainOff      = "off"      // the stream was not chained for a time
	chainUnread   = "unread"   // events went to the dead letters, and nobody could tell what would have left of them

	withheldLost  = "lost"  // Kafka forgot the event before it could be dead-lettered
	withheldOther = "other" // an object in S3 that another chain made, or none, has the event
	withheldSome  = integrity.Some
)

// chained says whether the stream's events are numbered and chained.
func (s *stream) chained() bool { return !s.invalid && !s.spec.Unchained }

// withheldFor is why a feed does not have an event that went to the dead letters, or should
// have, as one of a class.
func withheldFor(what fate, class string) string {
	if what == fateLost {
		return withheldLost
	}
	return class
}

// proof is the chain of the events that are settled: of all below the cursor.
type proof struct {
	head     integrity.Head
	tree     integrity.Tree
	withheld []withheld        // since the last checkpoint
	again    []integrity.Again // likewise, of a job: which events its own were at first

	checkpoint *checkpointRecord // the last one; nil: there was none
}

// newChain is the chain of a lane that begins at an offset, after another one for a reason.
// Below is what its origin says of that, where it differs.
func newChain(id *sinks.Lane, begin, below int64, reason string, gaps []integrity.Gap) *chain {
	origin := integrity.Origin{
		Stream: id.Stream, UID: id.UID, TopicID: id.TopicID, Partition: id.Partition,
		Epoch: id.Epoch, Revision: id.Revision, Begin: below,
	}.String()
	return &chain{begin: begin, origin: origin, feed: integrity.FeedID(origin), reason: reason, gaps: gaps}
}

// originBegin is what the origin of a chain that begins at an offset says of that. Behind a cut the
// same offsets have other records: an origin that was used must not come back.
func originBegin(begin int64, cut bool) int64 {
	if cut {
		return -time.Now().UnixNano()
	}
	return begin
}

// beginChain begins the first chain of a lane that holds nothing, after a former one, if there
// was any, that ended for a reason. The caller holds mu, or nobody else knows the lane.
func (l *lane) beginChain(begin int64, former *chainRecord, reason string, gaps []integrity.Gap) {
	if l.stream.invalid {
		return
	}
	if !l.stream.chained() {
		if former != nil {
			l.off = &chainRecord{Previous: former.former(reason), Ended: former.over(time.Now())}
		}
		return
	}
	c := newChain(&l.id, begin, originBegin(begin, l.cut), reason, gaps)
	if f := former.former(reason); f != nil && f.Origin != c.origin {
		c.previous, l.ended = f, former.over(time.Now())
	} else if l.seeksLinks(begin) {
		c.began = new(time.Now().UTC())
	}
	l.chains, l.taking, l.tip = []*chain{c}, c, integrity.Begin(c.origin)
	l.proof = proof{head: l.tip}
	l.saved = false // whatever was on record does not speak of it
}

// breakChain has another chain begin at an offset, of which nothing was offered to the lane
// yet, or nothing that is in the log any more. The caller holds mu.
func (l *lane) breakChain(begin int64, reason string, gaps ...integrity.Gap) {
	if len(l.chains) == 0 {
		return
	}
	// What would have begun there or later, and has nothing queued, never begins.
	for n := len(l.chains) - 1; n > 0; n-- {
		last := l.chains[n]
		if idle := last != l.taking || l.tip.Size == 0; last.begin < begin && (!idle || reason == chainCutOff) {
			break
		}
		if reason == chainExpired {
			gaps, reason = joined(slices.Concat(last.gaps, gaps)), last.reason
		}
		l.chains = l.chains[:n]
	}
	c := newChain(&l.id, begin, originBegin(begin, reason == chainCutOff), reason, gaps)
	l.chains = append(l.chains, c)
	if !slices.Contains(l.chains, l.taking) {
		l.taking = l.chains[0]
		l.tip = integrity.Head{} // of no use: what comes next is in another one
	}
	l.dirty = true
	l.turn()
}

// joined are gaps of which those that touch each other, for the same reason, are one.
func joined(gaps []integrity.Gap) []integrity.Gap {
	slices.SortStableFunc(gaps, func(a, b integrity.Gap) int { return cmp.Compare(a.From, b.From) })
	out := gaps[:0]
	for _, g := range gaps {
		if n := len(out); n > 0 && g.From <= out[n-1].To && g.Reason == out[n-1].Reason {
			out[n-1].To = max(out[n-1].To, g.To)
		} else {
			out = append(out, g)
		}
	}
	return out
}

// expired has another chain begin behind offsets that Kafka forgot before they were offered
// to the lane.
func (l *lane) expired(from, to int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if from >= to {
		return // another way of noticing was faster
	}
	if l.p.originals != nil {
		l.p.originals.lost(to)
	}
	l.breakChain(to, chainExpired, integrity.Gap{From: from, To: to, Reason: chainExpired})
}

// follow goes over to the chain that an offset is in, which comes next. The caller holds mu.
func (l *lane) follow(offset int64) {
	if len(l.chains) < 2 {
		return
	}
	for i, c := range l.chains {
		if c.begin > offset && i > 0 {
			break
		}
		if i > slices.Index(l.chains, l.taking) {
			l.taking, l.tip = c, integrity.Begin(c.origin)
		}
	}
}

// turn leaves chains behind all of whose events are settled. The caller holds mu.
func (l *lane) turn() {
	if len(l.chains) < 2 {
		return
	}
	cursor := l.cursor()
	for len(l.chains) > 1 && cursor >= l.chains[1].begin {
		former, next := l.chains[0], l.chains[1]
		end := next.begin
		if len(next.gaps) > 0 {
			end = min(end, next.gaps[0].From)
		}
		if next.reason == chainCutOff { // what it says is of the log as it was, and it never began above what it settled
			end = max(end, former.begin, l.stood)
		}
		rec := l.chainRecord(end)
		next.previous, l.ended = rec.former(next.reason), rec.over(time.Now())
		if l.taking == former {
			l.taking, l.tip = next, integrity.Begin(next.origin)
		}
		l.chains = l.chains[1:]
		l.proof = proof{head: integrity.Begin(next.origin)}
		l.saved, l.dirty = false, true // before its first event is sent
	}
}

// until is the offset at which another chain begins than that of the next event. The caller
// holds mu.
func (l *lane) until() int64 {
	if i := slices.Index(l.chains, l.taking); i+1 < len(l.chains) {
		return l.chains[i+1].begin
	}
	return math.MaxInt64
}

// mayTurn says whether the next chunk may be sent: one of a new chain may when all before is
// settled. The caller holds mu.
func (l *lane) mayTurn() bool {
	if len(l.chains) < 2 {
		return true
	}
	l.turn()
	c := l.open
	if len(l.ready) > 0 {
		c = l.ready[0]
	}
	return c == nil || !slices.Contains(l.chains[1:], c.chain)
}

// announce tells the event the chain that it is about to be in. The caller holds mu.
func (l *lane) announce(e *sinks.Event) {
	e.Feed, e.Link = "", integrity.Link{}
	if l.taking != nil {
		e.Feed = l.taking.feed
	}
}

// enchain puts the event that was queued last into the chain. The caller holds mu.
func (l *lane) enchain(c *chunk, link integrity.Link) {
	if l.taking == nil {
		return
	}
	if len(c.links) == 0 {
		c.chain, c.before = l.taking, l.tip
	}
	c.links = append(c.links, link)
	l.tip = link.Head()
}

// undeliverable is the digest of an event of which no document can be made.
func undeliverable(offset int64) integrity.Hash {
	var b [48]byte
	text := append(b[:0], `{"undeliverable":{"offset":`...)
	text = strconv.AppendInt(text, offset, 10)
	return integrity.Digest(append(text, "}}"...))
}

// fold takes a run of events that the cursor has passed into the proof. The caller holds mu.
func (l *lane) fold(r *run) {
	if len(r.links) == 0 || len(l.chains) == 0 || r.chain != l.chains[0] {
		return // of no chain, or of one that the log was cut away from
	}
	p := &l.proof
	if !p.tree.Join(r.span) {
		for i := range r.links {
			p.tree.Append(r.links[i].Digest)
		}
	}
	if r.withheld != "" {
		p.withhold(r.links, r.withheld)
	}
	p.head = r.links[len(r.links)-1].Head()
	p.again = r.were.again(p.again, r.links)
}

// withheld are events of a chain that its feed does not have.
type withheld struct {
	From   int64          `json:"from"`   // number of the first
	To     int64          `json:"to"`     // and of the last
	Digest integrity.Hash `json:"digest"` // of the last
	Before integrity.Hash `json:"before"` // of the chain before the first
	Hash   integrity.Hash `json:"hash"`   // of the chain after the last
	Reason string         `json:"reason"`
}

// line is w as a checkpoint has it.
func (w withheld) line() integrity.Withheld {
	if !w.several() {
		return integrity.Withheld{From: w.From, To: w.To, Hash: w.Digest, Reason: w.Reason}
	}
	return integrity.Withheld{From: w.From, To: w.To, Before: w.Before, Hash: w.Hash, Reason: w.Reason}
}

// several says whether w is a run, whose digests are not known.
func (w withheld) several() bool { return w.From < w.To }

// with is w and another one, which may stand some way behind it, as one run.
func (w withheld) with(next withheld, reason string) withheld {
	next.From, next.Before, next.Reason = w.From, w.Before, reason
	return next
}

// behind is what of w stands behind a head.
func (w withheld) behind(h integrity.Head) withheld {
	if w.From <= h.Size {
		w.From, w.Before = h.Size+1, h.Hash
	}
	return w
}

// goesOn says whether next can be told together with w, and nothing be untrue.
func (w withheld) goesOn(next withheld) bool { return w.To+1 == next.From && w.Reason == next.Reason }

// maxWithheld bounds what a chain lists between two checkpoints.
const maxWithheld = 64

// withhold lists events that the feed does not have, the next ones of the chain: one by one, as
// long as there is room, for whoever has the digest of each can prove any event behind them.
func (p *proof) withhold(links []integrity.Link, reason string) {
	before := p.head.Hash
	if last := links[len(links)-1]; len(links) > maxWithheld {
		p.list(withheld{From: links[0].Number, To: last.Number, Digest: last.Digest, Before: before, Hash: last.Hash, Reason: reason})
		return
	}
	for _, link := range links {
		p.list(withheld{From: link.Number, To: link.Number, Digest: link.Digest, Before: before, Hash: link.Hash, Reason: reason})
		before = link.Hash
	}
}

// list puts w at the end of what is withheld. Where there is no room any more the oldest that
// go on from each other become a run, and only where none do the oldest two, with what is
// between them, one of which nobody can tell what was delivered.
func (p *proof) list(w withheld) {
	if n := len(p.withheld); n > 0 && w.several() && p.withheld[n-1].several() && p.withheld[n-1].goesOn(w) {
		p.withheld[n-1] = p.withheld[n-1].with(w, w.Reason)
		return
	}
	p.withheld = append(p.withheld, w)
	if len(p.withheld) <= maxWithheld {
		return
	}
	at, reason := 0, withheldSome
	for i := 1; i < len(p.withheld); i++ {
		if w := p.withheld[i]; p.withheld[i-1].goesOn(w) {
			at, reason = i-1, w.Reason
			break
		}
	}
	p.withheld[at+1] = p.withheld[at].with(p.withheld[at+1], reason)
	p.withheld = slices.Delete(p.withheld, at, at+1)
}
