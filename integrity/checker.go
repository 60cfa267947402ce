package integrity

import (
	"errors"
	"fmt"
	"slices"
	"time"
	"unique"

	"golang.org/x/mod/sumdb/note"
)

// Checker holds what a receiver has against the chains and checkpoints of its feeds. It
// takes checkpoints first, then events in any reasonable order: in the order of their
// numbers they cost no memory, and each place where a number is left out or comes too soon
// costs a little. How much it keeps is bounded; what it can then no longer tell, it says.
//
// It is not safe for concurrent use.
type Checker struct {
	options Options
	feeds   map[string]*feed // by id
	last    *feed            // that the last item was of: most come in runs

	untrusted int64  // checkpoints that are not signed by a trusted key, or cannot be read
	why       string // the first of them was refused

	digestsUntrusted int64 // likewise
	whyDigest        string

	wanted      string // id of an event to prove
	holder      *feed  // that has it
	strays      int64  // events that carry no place in a chain
	strayIDs    []string
	marks       int   // of all feeds
	held        int   // of all feeds, on record as withheld
	memory      int   // slots of all feeds
	segments    int   // of all feeds
	unreadable  int64 // see Unreadable
	unreadables []string
	pairs       pairs // of events that were sent more than once
	room        room
}

// Options say what is asked of a [Checker].
type Options struct {
	Keys *Keys // whose checkpoints count; nil: those of anybody, and nothing counts as signed

	// From and Until bound what has to be there: from the last checkpoint at or before From to
	// the first at or after Until. Zero: from the first event of each chain on, and to
	// its last checkpoint. A feed that goes on and has no checkpoint at or after either time is
	// not covered.
	From, Until time.Time

	// Reach is a time that the checkpoints of a feed that goes on have to get to, and nothing
	// else: for what begins by other rules than From. Zero: none.
	Reach time.Time

	// Found is about no feed, and known before anything was read: of the statements of Keys.
	Found []Finding

	// Ordered says that events of one feed come in the order in which the feed has them: one
	// that comes late is then a finding.
	Ordered bool

	// DigestsSuffice says that it is accepted of an event that only its digest is there: what it
	// says is then not checked, and the feed not called unaltered for it.
	DigestsSuffice bool
}

// Item is one event as a receiver has it. Nothing of it is kept.
type Item struct {
	Feed   string // id of its chain
	Number int64  // in the chain, from 1
	Digest Hash   // of the event that the receiver has
	Chain  Hash   // of the chain with the event, as it came with it
	ID     []byte // of the event, for findings
	Where  string // it was found, for findings
	Line   int64  // of Where; 0: Where says it all
	Bare   bool   // the event itself is not there: Digest only came with it

	Original Original // of what a job has sent, as it came with it: which event it was at first
}

// at is where the event was found.
func (e *Item) at() string {
	if e.Line == 0 {
		return e.Where
	}
	return fmt.Sprintf("%s:%d", e.Where, e.Line)
}

// Bounds of what a checker keeps, over all feeds: some two hundred megabytes at the worst,
// which take doctored data; of an honest feed it is next to nothing.
const (
	maxFeeds    = 100_000
	maxMarks    = 1_000_000
	maxHeld     = 500_000 // withheld events, or runs of them
	maxSegments = 100_000
	maxSlots    = 1 << 20
)

// ErrScattered says that events come in an order in which they cannot be checked within
// bounded memory.
var ErrScattered = errors.New("the events of a feed are scattered over too many places: sort them by feed and number first")

// ErrTooMany says that there is more of something than is kept.
var ErrTooMany = errors.New("there is more than can be checked at once: check a shorter time, or fewer streams")

// NewChecker returns a checker that has seen nothing.
func NewChecker(o Options) *Checker {
	return &Checker{options: o, feeds: map[string]*feed{}}
}

// feed is what is known of one chain.
type feed struct {
	id     string
	origin string // empty: no checkpoint has named it
	marks  map[int64]*mark
	held   []Withheld // events on record as withheld, in order, none twice
	spans  []*segment // of events, in order of numbers, not overlapping
	slots  []slot     // of the latest events, by number modulo their length, to compare repeats with

	after    int64   // number up to which nothing is asked for
	previous *Former // the chain before it
	beside   []Beside
	gaps     []Gap
	absent   []*Listed // objects that are not there
	since    time.Time // of its first checkpoint
	namedBy  string    // origin of a chain that says of this one that it was before, or beside, it
	lost     bool      // that one says so because the record of where this one stood was gone

	events     int64  // different ones
	repeats    int64  // the same events again
	bare       int64  // that came as their digests alone, repeats among them
	bareFrom   int64  // least number of them
	bareTo     int64  // and greatest
	bareWhere  string // the first of them is
	uncompared int64  // came again when what they had to be compared with was forgotten
	farthest   int64  // its first number, likewise
	alsoThere  int64  // on record as withheld, and there all the same
	unclear    int64  // likewise, and nothing says what they should be
	high       int64  // greatest number so far
	odd        []oddity
	moved      []int64 // missing numbers whose events are there with others
	wantedAt   int64   // number of the event to prove; 0: another feed has it
	proof      *Proof
	tail       int64 // events behind the last checkpoint, of a feed that goes on
	more       int64 // odd ones that were not kept
	found

	runs    []Again        // of a job's: what checkpoints say its events were at first, in order, none twice
	jobs    *AgainReport   // likewise, what came of it; nil: its events were no others
	named   []stretch      // numbers that jobs speak of, in order, not touching
	arrived map[int64]bool // of those that are withheld: they came later, in the feed of a job
}

// mark is a size of which a checkpoint says what hash the chain has there.
type mark struct {
	chain  Hash
	root   Hash
	rooted bool      // root is known
	first  time.Time // the chain had that size, as somebody said then; zero: longer ones were spoken of
	last   time.Time // likewise
	after  int64     // size of the checkpoint before, as the first of this size said
	signed bool      // by a trusted key
	note   []byte    // the checkpoint, kept where a proof is wanted
	ends   bool      // the chain has ended here: another goes on
	state  markState
}

// timed says whether the chain is known to have had that size at a time.
func (m *mark) timed() bool { return !m.first.IsZero() }

type markState int

const (
	unseen    markState = iota // there is no event with that number
	matched                    // what the receiver has leads to that hash
	differed                   // it leads to another
	explained                  // it leads to another, and a finding says so already
)

// slot is an event that a repeat can be compared with.
type slot struct {
	number int64
	digest Hash
	chain  Hash
}

// oddity is an event with a number that another has.
type oddity struct {
	number int64
	digest Hash
	chain  Hash
	id     string
	where  string
	placed bool // it was found to belong elsewhere
}

func (c *Checker) feed(id string) (*feed, error) {
	if c.last != nil && c.last.id == id {
		return c.last, nil
	}
	f := c.feeds[id]
	if f == nil {
		if len(c.feeds) >= maxFeeds {
			return nil, fmt.Errorf("%w: feeds", ErrTooMany)
		}
		f = &feed{id: id, marks: map[int64]*mark{}, found: found{room: &c.room}}
		c.feeds[id] = f
	}
	c.last = f
	return f, nil
}

// named is the feed of an origin.
func (c *Checker) named(origin string) (*feed, error) {
	f, err := c.feed(FeedID(origin))
	switch {
	case err != nil || f.origin == origin:
		return f, err
	case f.origin != "":
		f.find(Finding{Kind: Forked, Detail: fmt.Sprintf("%s has the same id of a feed: somebody has searched for two names of streams that have, and which of them its events are of nobody can tell", origin)})
		return f, nil
	}
	f.origin = origin
	return f, c.root(f)
}

// Checkpoint takes in a signed checkpoint. One that no trusted key has signed is counted, and
// changes nothing else; the error says why. Only ErrTooMany is a reason not to go on.
func (c *Checker) Checkpoint(signed []byte) error {
	var p *Checkpoint
	var err error
	if c.options.Keys != nil {
		p, err = c.options.Keys.Open(signed)
	} else {
		p, err = unsigned(signed)
	}
	if err != nil {
		if c.untrusted++; c.why == "" {
			c.why = err.Error()
		}
		return err
	}
	if err := c.Trust(p, c.options.Keys != nil); err != nil {
		return err
	}
	if m := c.feeds[FeedID(p.Origin)].marks[p.Size]; c.wanted != "" && m != nil {
		m.note = append([]byte(nil), signed...)
	}
	return nil
}

// Trust takes in what a checkpoint says; signed, that somebody trusted has vouched for it.
func (c *Checker) Trust(p *Checkpoint, signed bool) error {
	f, err := c.named(p.Origin)
	if err != nil {
		return err
	}
	if f.since.IsZero() || p.Time.Before(f.since) {
		f.since = p.Time
	}
	m, err := c.mark(f, p.Size, p.Chain, p.Time, signed)
	if err != nil {
		return err
	}
	if m != nil {
		switch {
		case !m.rooted:
			m.root, m.rooted, m.after = p.Root, true, p.After
		case m.root != p.Root:
			f.find(Finding{Kind: Forked, From: p.Size, To: p.Size, Detail: "two checkpoints of this size have different roots: whoever signs has told two stories"})
		}
	}
	for _, w := range p.Withheld {
		if !w.single() {
			for _, h := range []Head{{w.From - 1, w.Before}, {w.To, w.Hash}} {
				if _, err := c.mark(f, h.Size, h.Hash, time.Time{}, signed); err != nil {
					return err
				}
			}
		}
		w.Reason = unique.Make(w.Reason).Value() // of few: the checkpoint's text is not kept for it
		before := len(f.held)
		f.withhold(w)
		if c.held += len(f.held) - before; c.held > maxHeld {
			return fmt.Errorf("%w: withheld events", ErrTooMany)
		}
	}
	if len(p.Gaps) > 0 {
		f.gaps = p.Gaps
	}
	if err := c.repeated(f, p.Again); err != nil {
		return err
	}
	if err := c.stood(f, p, signed); err != nil {
		return err
	}
	return c.follow(f, p, signed)
}

// stood takes in what a checkpoint says about the chains that its stream had in other
// partitions: how far they had come at least. Who signs may say it twice, and later of one
// that went on.
func (c *Checker) stood(f *feed, p *Checkpoint, signed bool) error {
	for _, b := range p.Beside {
		other, err := c.named(b.Origin)
		if err != nil {
			return err
		}
		if _, err := c.mark(other, b.Size, b.Hash, b.Time, signed); err != nil {
			return err
		}
		other.namedBy = f.origin
		i := slices.IndexFunc(f.beside, func(have Beside) bool { return have.Origin == b.Origin })
		switch {
		case i < 0 && len(f.beside) < maxLines:
			f.beside = append(f.beside, b)
		case i >= 0 && f.beside[i].Size < b.Size:
			f.beside[i] = b
		}
	}
	return nil
}

// follow takes in what a checkpoint says about the chain before its own: how long it was.
func (c *Checker) follow(f *feed, p *Checkpoint, signed bool) error {
	if p.Previous == nil {
		return nil
	}
	if f.previous != nil && *f.previous != *p.Previous {
		f.find(Finding{Kind: Forked, Detail: "two checkpoints of this feed name different chains before it"})
		return nil
	}
	f.previous = p.Previous
	before, err := c.named(p.Previous.Origin)
	if err != nil {
		return err
	}
	m, err := c.mark(before, p.Previous.Size, p.Previous.Hash, p.Time, signed)
	if m != nil {
		m.ends = true
	}
	before.namedBy, before.lost = f.origin, p.Previous.Reason == ProgressLost
	return err
}

// mark notes the hash that a chain has at a size; nil for one that contradicts another. No time
// says that the chain had gone on when that was said: how far it was at a time, and what has to be
// there for that time, does not follow.
func (c *Checker) mark(f *feed, size int64, chain Hash, at time.Time, signed bool) (*mark, error) {
	if size == 0 && f.origin != "" && chain != Begin(f.origin).Hash {
		f.find(Finding{Kind: Forked, Detail: "a signed statement gives the chain a beginning that is not that of its origin: whoever signs has told two stories"})
		return nil, nil
	}
	if m := f.marks[size]; m != nil {
		if m.chain != chain {
			f.find(Finding{Kind: Forked, From: size, To: size, Detail: "two signed statements give the chain different hashes here: whoever signs has told two stories"})
			return nil, nil
		}
		if !m.timed() || !at.IsZero() && at.Before(m.first) {
			m.first = at
		}
		if at.After(m.last) {
			m.last = at
		}
		m.signed = m.signed || signed
		return m, nil
	}
	if c.marks++; c.marks > maxMarks {
		return nil, fmt.Errorf("%w: checkpoints", ErrTooMany)
	}
	m := &mark{chain: chain, first: at, last: at, signed: signed}
	f.marks[size] = m
	f.look(size)
	return m, nil
}

// unsigned reads a checkpoint whoever has signed it.
func unsigned(signed []byte) (*Checkpoint, error) {
	n, err := unverified(signed)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	return ParseCheckpoint(n.Text)
}

// unverified reads a note whoever has signed it.
func unverified(signed []byte) (*note.Note, error) {
	_, err := openNote(signed, note.VerifierList())
	if n, ok := errors.AsType[*note.UnverifiedNoteError](err); ok {
		return n.Note, nil
	}
	return nil, err
}

// Stray counts an event that carries no place in a chain.
func (c *Checker) Stray(id []byte) {
	c.strays++
	if len(c.strayIDs) < 10 && len(id) > 0 {
		c.strayIDs = append(c.strayIDs, string(id))
	}
}

// Unreadable counts something that should have been an event or a checkpoint and is not.
func (c *Checker) Unreadable(where string) {
	c.unreadable++
	if len(c.unreadables) < 10 {
		c.unreadables = append(c.unreadables, where)
	}
}
