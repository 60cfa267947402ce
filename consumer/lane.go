package consumer

import (
	"slices"
	"sync"
	"time"

	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/sinks"
)

// lane is one stream × one partition: in order, one owner, bounded. It has a cursor,
// the first offset not settled, and next, the first offset not yet queued.
//
// A lane is live while it is fed by the live reader; everything below the partition's
// position has then been offered to it. A lane without room is let go: it stays behind
// at the first offset it had no room for, and the catch-up reader feeds it from there.
//
// Lock order: partition.mu before lane.mu.
type lane struct {
	stream *stream
	p      *partition
	id     sinks.Lane
	print  fingerprint // of the lane alone

	retiring chan struct{} // closed when the lane is retired: it waits for no next attempt

	sweeping   bool // member of the sweep under way; guarded by p.mu
	impatience int  // waits in vain, less those that were worth it; owned by the dispatcher

	more chan struct{} // a token when there is more to send; nil where no receipt has a ticket

	undecided refusals // in a row, of the filter; guarded by p.mu

	refusals refusals // owned by the goroutine in run
	backoff  int      // attempts in a row that failed; owned by the goroutine in run
	answer   string   // of the destination to the last of them; guarded by mu

	mu      sync.Mutex // guards everything below
	live    bool
	next    int64     // everything below has been offered; while live, see covered
	leftAt  time.Time // append time of the newest event that was queued
	ready   []*chunk  // full, oldest first
	open    *chunk    // being filled; newer than ready
	current *chunk    // being delivered; older than ready, or one of unconfirmed that is sent again
	stuffed bool      // an event did not fit: no room before a ready chunk is taken
	held    int       // bytes that the budget has given for all of them
	starved int       // bytes that the budget did not have; 0: it had what was asked for
	usual   int       // bytes of the last full body: the next one begins with as many
	extra   int       // most bytes that a frame had beyond its event's
	due     bool      // open has waited for its linger
	linger  *time.Timer
	running bool // a goroutine is in run
	stopped bool // no new run begins
	waiting bool // between two attempts at the same events

	unconfirmed []*chunk  // sent, and at least in part not confirmed; oldest first, older than ready
	inquiry     inquiry   // after what has become of them
	confirmed   time.Time // when the destination last confirmed anything

	retired     bool         // replaced or deleted: what is under way is its last
	successor   *stream      // of a retired lane; nil when the stream is gone; guarded by p.mu as well
	relocations []relocation // of a retired lane: what moves its successor away from its cursor; guarded by p.mu
	succeeded   bool         // another lane, or none, stands in the place of this one

	seekAt     int64     // offset whose append time is seekTime: of a lane that is behind and holds nothing
	seekTime   time.Time //
	warned     int       // of how many shares of the retention
	guardAgain time.Time // before that no event is rescued: Kafka has failed

	begin  int64 // where the present revision begins
	mark   string
	health health
	counts counts
	recent recently
	beyond []run // settled above the cursor

	chains []*chain       // oldest first: that of the settled events, and those that begin above the cursor; empty: the stream has none
	taking *chain         // that the next event will be in
	tip    integrity.Head // of taking, with everything that is queued
	proof  proof          // of the settled events
	ended  []*chainRecord // chains that had no checkpoint since they ended
	stood  int64          // cursor of the last record, or of the lane, from before the log was cut off below it
	cut    bool           // the log was cut off since whoever had the lane before was there
	off    *chainRecord   // of a stream whose events are not chained: what is left of the time before; nil: nothing

	onFile   *progress // the last record that is acknowledged, with all it says of the chain; nil: none of this revision
	onFileTo int64     // it still holds as of this cursor

	newest int64 // offset of the event that was queued last
	tally  tally // guarded by p.mu
	gaps   []gap

	saved      bool          // the record of this revision is acknowledged in Kafka
	matched    int64         // events, by the last record
	dirty      bool          // what the record says has changed
	savedAt    time.Time     // of the last record
	recorded   int64         // cursor in the last record
	savedCount int64         // events settled, by the last record
	batched    int           // events of the last batch
	written    chan struct{} // closed at the next record; nil when nobody waits for it
}

// health is a lane's state as people see it.
type health struct {
	state string
	since time.Time
	err   string
	again time.Time // next attempt; zero without one

	class  string // of the error, if it has one
	status int    // HTTP status, if it has one
}

// maxReady is how many full chunks wait behind the one under way: enough to keep a
// destination busy, little enough to bound a lane at three batches, and those that wait to
// be confirmed.
const maxReady = 1

// covered is the first offset that has not been offered to the lane. The caller holds mu.
func (l *lane) covered() int64 {
	if l.live {
		return max(l.next, l.p.position.Load())
	}
	return l.next
}

// cursor is the first offset not settled. It asks every chunk: after a rewind the oldest
// one need not have the lowest offset. The caller holds mu.
func (l *lane) cursor() int64 {
	at := l.covered()
	if l.current != nil {
		at = min(at, l.current.first())
	}
	for _, c := range l.unconfirmed {
		at = min(at, c.first())
	}
	for _, c := range l.ready {
		at = min(at, c.first())
	}
	if l.open != nil {
		at = min(at, l.open.first())
	}
	return at
}

// head is the chunk with the oldest unsettled event. The caller holds mu.
func (l *lane) head() *chunk {
	switch {
	case len(l.unconfirmed) > 0:
		return l.unconfirmed[0]
	case l.current != nil:
		return l.current
	case len(l.ready) > 0:
		return l.ready[0]
	}
	return l.open
}

// roomy says whether the lane can take an event. The caller holds mu.
func (l *lane) roomy() bool {
	if l.stopped || l.stuffed || l.stream.idle() || !l.p.g.pace.ready() {
		return false
	}
	if l.head() == nil {
		return true
	}
	if len(l.ready) >= maxReady && l.full(l.open) {
		return false
	}
	return l.starved == 0 || l.p.g.cfg.Budget.fits(l.what(), l.held, l.starved)
}

// what says what the lane's memory and requests are for. The caller holds mu.
func (l *lane) what() traffic {
	if l.live {
		return live
	}
	return catchingUp
}

// become has the lane fed by the live reader, or not. The caller holds mu.
func (l *lane) become(what traffic) {
	l.p.g.cfg.Budget.move(l.what(), what, l.held)
	l.live = what == live
}

func (l *lane) full(c *chunk) bool {
	if c == nil {
		return false
	}
	if c.letters != nil {
		return len(c.events) >= maxLetters
	}
	b := l.stream.batching
	return len(c.body) >= b.MaxBytes || b.MaxEvents > 0 && len(c.events) >= b.MaxEvents
}

// offer queues an event that belongs to the lane, as checked has returned it. It reports false, and takes nothing,
// when there is no room. An event below next was taken before.
func (l *lane) offer(e *sinks.Event, checked *checker) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.Offset < l.next {
		return true
	}
	if !l.roomy() {
		return false
	}
	l.follow(e.Offset)
	day := dayOf(e.Time)
	b := l.stream.batching
	need := len(e.Value) + l.extra // what Frame will append, as far as can be told
	var unknown string
	e.Original, unknown = l.original(e.Offset)
	c := l.open
	if c != nil && (l.full(c) || c.letters != nil || (c.chain != l.taking || !c.were.takes(e.Original, unknown, b.Runs)) && len(c.events) > 0 || b.Daily && c.day != day ||
		len(c.events) > 0 && len(c.body)+need > max(cap(c.body), b.MaxBytes)) {
		if !l.seal() {
			return false
		}
		c = nil
	}
	if c == nil {
		c = l.begins(e.Time, need)
	}
	if c == nil || !l.fit(c, need) {
		return false
	}
	before := len(c.body)
	l.announce(e)
	body, err := l.stream.frame(c.body, e, checked, l.tip)
	if err != nil {
		return l.condemn(e.Offset, e.Time, refusal(err), e.Link)
	}
	size := len(body) - before
	l.extra = max(l.extra, size-len(e.Value))
	if len(body) > b.MaxBytes && len(c.events) > 0 {
		if !l.seal() {
			return false // the frame lies beyond the chunk's length: nothing was taken
		}
		if c = l.begins(e.Time, size); c == nil || !l.fit(c, size) {
			return false // likewise
		}
		body = append(c.body, body[before:]...)
	}
	if grown := cap(body) - cap(c.body); grown > 0 { // the frame was larger than was foreseen
		l.charge(c, grown)
	}
	c.body = body
	c.events = append(c.events, sinks.Entry{Offset: e.Offset, End: len(body), Day: day})
	l.enchain(c, e.Link)
	l.recall(c, e.Original, unknown)
	l.remember(c)
	l.next, l.newest, l.leftAt = e.Offset+1, e.Offset, e.Time
	l.p.g.pace.took()
	l.wake()
	return true
}

// refuse queues a dead letter for an offset. It reports false, and takes nothing, when
// there is no room.
func (l *lane) refuse(offset int64, at time.Time, why cause) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if offset < l.next {
		return true
	}
	if !l.roomy() {
		return false
	}
	l.follow(offset)
	return l.condemn(offset, at, why, l.tip.Link(undeliverable(offset)))
}

// condemn is refuse with mu held and room known. The event has the link.
func (l *lane) condemn(offset int64, at time.Time, why cause, link integrity.Link) bool {
	c := l.open
	if c != nil && len(c.events) == 0 { // made for an event that could not be framed
		l.free(c)
		l.open, c = nil, nil
	}
	cost := why.size() + entrySize
	if l.taking != nil {
		cost += linkSize
	}
	if l.head() != nil && !l.p.g.cfg.Budget.fits(l.what(), l.held, cost) {
		return l.starve(cost)
	}
	original, unknown := l.original(offset)
	if c != nil && (c.letters == nil || c.chain != l.taking || !c.were.takes(original, unknown, 0) || l.full(c)) {
		if !l.seal() {
			return false
		}
		c = nil
	}
	if c == nil {
		c = &chunk{day: dayOf(at), oldest: at, letters: make([]cause, 0, 1), chain: l.taking, before: l.tip}
		l.open = c
	}
	l.charge(c, cost)
	c.letters = append(c.letters, why)
	c.events = append(c.events, sinks.Entry{Offset: offset, Day: dayOf(at)})
	l.enchain(c, link)
	l.recall(c, original, unknown)
	l.next, l.newest, l.leftAt = offset+1, offset, at
	l.wake()
	return true
}

// begins makes a new open chunk for an event of need bytes, or returns nil if there is no
// memory for it. A lane that holds nothing always gets what one event needs. The caller
// holds mu.
func (l *lane) begins(at time.Time, need int) *chunk {
	idle, least := l.head() == nil, bodySize(need)
	size := max(least, bodySize(min(l.usual, l.stream.batching.MaxBytes)))
	if !l.p.g.cfg.Budget.grant(l.what(), l.held, size) {
		if size = least; !l.p.g.cfg.Budget.grant(l.what(), l.held, size) {
			if !idle {
				l.starve(size)
				return nil
			}
			l.p.g.cfg.Budget.take(l.what(), size)
		}
	}
	c := l.p.g.chunks.get(size)
	c.day, c.oldest, c.size = dayOf(at), at, size
	c.chain, c.before = l.taking, l.tip
	l.held += size
	l.open = c
	l.charge(c, cap(c.events)*entrySize+cap(c.links)*linkSize) // indexes that were used before, in proportion to the body
	l.starved = 0
	return c
}

// fit makes room in the open chunk for one more event of need bytes. It reports false if
// there is no memory for it; what the chunk has is then sent at once, so that a lack of
// memory makes batches smaller. The caller holds mu.
func (l *lane) fit(c *chunk, need int) bool {
	budget := l.p.g.cfg.Budget
	must := len(c.events) == 0 // it was begun with memory for this event
	if len(c.body)+need > cap(c.body) {
		have, least := cap(c.body), bodySize(len(c.body)+need)
		size := least
		if budget.fits(l.what(), l.held, bodySize(have+1)-have) {
			size = max(size, bodySize(have+1))
		}
		if !budget.grant(l.what(), l.held, size-have) {
			if !must {
				return l.starve(size - have)
			}
			budget.take(l.what(), size-have)
		}
		c.size += size - have
		l.held += size - have
		l.p.g.chunks.enlarge(c, size)
	}
	var ok bool
	if c.events, ok = enlarged(l, c, c.events, entrySize, must); !ok {
		return false
	}
	if l.taking != nil {
		if c.links, ok = enlarged(l, c, c.links, linkSize, must); !ok {
			return false
		}
	}
	l.starved = 0
	return true
}

// enlarged is an index of a chunk with room for one more; it reports false if there is no
// memory for that, and the chunk can do without. The caller holds l.mu.
func enlarged[T any](l *lane, c *chunk, index []T, size int, must bool) ([]T, bool) {
	n := cap(index)
	if len(index) < n {
		return index, true
	}
	need := max(minEntries, n) * size
	if !l.p.g.cfg.Budget.grant(l.what(), l.held, need) {
		if !must {
			return index, l.starve(need)
		}
		l.p.g.cfg.Budget.take(l.what(), need)
	}
	c.size += need
	l.held += need
	larger := make([]T, len(index), n+max(minEntries, n))
	copy(larger, index)
	return larger, true
}

// minEntries is the room for events that a batch begins with.
const minEntries = 16

// starve notes what the budget did not have, sends what is queued, and reports false. The
// caller holds mu.
func (l *lane) starve(n int) bool {
	l.starved = n
	if l.open != nil && len(l.open.events) > 0 {
		l.due = true
	}
	l.wake()
	return false
}

// charge takes n bytes for a chunk, whether the budget has them or not. The caller holds
// mu.
func (l *lane) charge(c *chunk, n int) {
	c.size += n
	l.held += n
	l.p.g.cfg.Budget.take(l.what(), n)
}

// free gives a chunk's memory back. The caller holds mu.
func (l *lane) free(c *chunk) {
	size := min(c.size, l.held) // nothing is left to give back when the lane was dropped before its sink returned
	l.held -= size
	l.p.g.cfg.Budget.release(l.what(), size)
	l.p.g.chunks.put(c)
}

// seal puts the open chunk among the ready ones, if one more may wait there. The caller
// holds mu.
func (l *lane) seal() bool {
	if len(l.ready) >= maxReady {
		l.stuffed = true
		return false
	}
	l.usual = len(l.open.body)
	l.ready = append(l.ready, l.open)
	l.open, l.due = nil, false
	return true
}

// wake makes sure that what is queued will be delivered. The caller holds mu.
func (l *lane) wake() {
	if l.stopped || l.running && l.more == nil {
		return
	}
	if len(l.ready) > 0 || l.open != nil && (l.due || l.full(l.open) || l.open.letters != nil || l.stream.batching.Linger == 0) {
		if l.running {
			signal(l.more)
			return
		}
		l.running = true
		l.p.work.Go(l.run)
		return
	}
	if l.open != nil && len(l.open.events) == 1 {
		l.lingers()
	}
}

// lingers starts the wait of the open chunk. The caller holds mu.
func (l *lane) lingers() {
	if l.linger == nil {
		l.linger = time.AfterFunc(l.stream.batching.Linger, l.flush)
		return
	}
	l.linger.Reset(l.stream.batching.Linger)
}

// flush makes the open chunk due.
func (l *lane) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open != nil && len(l.open.events) > 0 {
		l.due = true
		l.wake()
	}
}

// take hands the next chunk to the running goroutine, or nil, which ends it.
func (l *lane) take() *chunk {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.current = nil
	switch b := l.stream.batching; {
	case l.stopped, !l.mayProceed(time.Now()), !l.mayTurn():
	case len(l.ready) > 0:
		l.current, l.stuffed = l.ready[0], false
		l.ready = l.ready[:copy(l.ready, l.ready[1:])]
	case l.open != nil && len(l.open.events) > 0 &&
		(l.due || l.full(l.open) || l.open.letters != nil || b.Linger == 0):
		l.current, l.usual = l.open, len(l.open.body)
		l.open, l.due = nil, false
	}
	if l.current == nil {
		l.running = len(l.unconfirmed) > 0
		if l.open != nil && !l.stopped {
			l.lingers()
		}
		return nil
	}
	l.current.end = len(l.current.events)
	l.p.roomMade()
	return l.current
}

// settle moves the cursor past the first n unsettled events of the current chunk. Withheld
// is why the feed of the lane's chain does not have them; empty: it has.
func (l *lane) settle(n int, what fate, withheld string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.passed(n, what, withheld, integrity.Span{})
}

// passed is settle with mu held. Span is that of the events, if it was made already.
func (l *lane) passed(n int, what fate, withheld string, span integrity.Span) {
	c := l.current
	r := c.run(c.done, c.done+n, what, withheld)
	r.span = span
	c.done += n
	l.dirty = true
	over := false
	if c.done == c.end {
		l.current = nil
		over = l.retain(c)
	}
	l.became(r)
	if over {
		l.letGo(c)
	}
}

// retain keeps a chunk that was sent until all of it is confirmed. It reports whether that
// is so: the chunk is then to be let go. The caller holds mu.
func (l *lane) retain(c *chunk) (over bool) {
	i := slices.Index(l.unconfirmed, c)
	switch {
	case !c.over() && i < 0:
		l.unconfirmed = append(l.unconfirmed, c)
	case c.over() && i >= 0:
		l.unconfirmed = slices.Delete(l.unconfirmed, i, i+1)
	}
	return c.over()
}

// letGo gives the memory of a chunk back all of which is settled. The caller holds mu.
func (l *lane) letGo(c *chunk) {
	l.free(c)
	l.p.roomMade()
}

// stop lets no new work begin; what is under way goes on.
func (l *lane) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped = true
	if l.linger != nil {
		l.linger.Stop()
	}
}

// drop gives back what is queued. Nothing runs any more.
func (l *lane) drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.p.g.cfg.Budget.release(l.what(), l.held)
	l.held = 0
}

const secondsPerDay = 24 * 60 * 60

// dayOf is the UTC day of t, counted from 1970-01-01.
func dayOf(t time.Time) int32 { return int32(t.Unix() / secondsPerDay) }
