package integrity

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// Checkpoint says how far a chain has come, at a time. Signed, it is a note in the form
// that C2SP gives to checkpoints of logs (signed-note, tlog-checkpoint): whoever can check
// those can check that tree head, and the lines behind it say what is ours.
type Checkpoint struct {
	Origin   string    // of the chain; see Origin
	Size     int64     // events in the chain; 0: none yet
	Root     Hash      // of the Merkle tree (RFC 6962) over the digests of the events
	Chain    Hash      // of the chain after its last event
	Offset   int64     // of the events topic: all of the chain below it is settled
	Time     time.Time // when it was made; to the second, in UTC
	After    int64     // size of the chain's checkpoint before this one; 0: there was none, or nothing was in it
	Previous *Former   // the chain that this one goes on from; nil: there is none
	Beside   []Beside  // chains that the stream had in other partitions before this one began there
	Withheld []Withheld
	Gaps     []Gap
	Again    []Again // of a job's chain: which events those since After were at first
}

// Former is the chain before a chain, where the new one took over.
type Former struct {
	Origin string `json:"origin"`
	Head
	Reason string `json:"reason"` // one word: revision, moved, expired, …
}

// ProgressLost is the reason of a chain that had to begin because the record of where the one
// before it stood was gone: that one had got at least as far as is said, and nothing will vouch
// for what it had behind that.
const ProgressLost = "progress_lost"

// Beside is a chain of the same stream in another partition, as of its last checkpoint when
// the one that names it began: in a partition that the topic did not have before, to which
// organizations went over. It may have gone on.
type Beside struct {
	Origin string `json:"origin"`
	Head
	Time time.Time `json:"time"` // of that checkpoint
}

// Withheld are events of the chain that the feed does not have, because they went to the
// dead letters. Of one its digest is known, of a run the chain's hash before the first and
// after the last: without the former nobody who has not the run could tell whether what
// stands before it leads there.
type Withheld struct {
	From   int64  `json:"from"`            // number of the first
	To     int64  `json:"to"`              // and of the last
	Before Hash   `json:"before,omitzero"` // of a run, the chain's hash before the first
	Hash   Hash   `json:"hash"`            // of one event its digest, of a run the chain's hash after the last
	Reason string `json:"reason"`
}

// Some is the reason of a run of which some events were delivered and others not: there were
// more to list than a checkpoint has lines for.
const Some = "some"

// single says whether w is one event, whose digest is known.
func (w Withheld) single() bool { return w.From == w.To }

// partly says whether nobody can tell which events of w were delivered.
func (w Withheld) partly() bool { return w.Reason == Some && !w.single() }

// follows says whether w goes on from a chain with that hash. Of one event only what comes
// behind it can tell.
func (w Withheld) follows(hash Hash) bool { return w.single() || w.Before == hash }

// after is the hash of a chain behind w that had another before it.
func (w Withheld) after(hash Hash) Hash {
	if w.single() {
		return step(hash, w.Hash)
	}
	return w.Hash
}

// Gap are offsets that were passed over where the chain begins: From, and all below To.
type Gap struct {
	From   int64  `json:"from"`
	To     int64  `json:"to"`
	Reason string `json:"reason"`
}

// maxNote bounds what is read as a signed checkpoint: many times the longest that is made.
const maxNote = 64 << 10

// maxLines bounds the lines of one kind in a checkpoint: more are made by nobody.
const maxLines = 256

// Text is the checkpoint as it is signed, which ParseCheckpoint reads: one line each, in
// this order, the optional ones where there is something to say.
//
//	ORIGIN
//	SIZE
//	ROOT
//	chain HASH
//	offset N
//	time YYYY-MM-DDTHH:MM:SSZ
//	after SIZE
//	previous ORIGIN SIZE HASH REASON
//	beside ORIGIN SIZE HASH YYYY-MM-DDTHH:MM:SSZ
//	withheld N DIGEST REASON
//	withheld FROM-TO BEFORE AFTER REASON
//	gap FROM-TO REASON
//	original FROM-TO FEED FIRST-LAST
//	among FROM-TO FEED FIRST-LAST
//	unknown FROM-TO REASON
func (c *Checkpoint) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%d\n%s\n", c.Origin, c.Size, c.Root)
	fmt.Fprintf(&b, "chain %s\noffset %d\ntime %s\nafter %d\n", c.Chain, c.Offset, stamp(c.Time), c.After)
	if p := c.Previous; p != nil {
		fmt.Fprintf(&b, "previous %s %d %s %s\n", p.Origin, p.Size, p.Hash, p.Reason)
	}
	for _, o := range c.Beside {
		fmt.Fprintf(&b, "beside %s %d %s %s\n", o.Origin, o.Size, o.Hash, stamp(o.Time))
	}
	for _, w := range c.Withheld {
		if w.single() {
			fmt.Fprintf(&b, "withheld %d %s %s\n", w.From, w.Hash, w.Reason)
		} else {
			fmt.Fprintf(&b, "withheld %d-%d %s %s %s\n", w.From, w.To, w.Before, w.Hash, w.Reason)
		}
	}
	for _, g := range c.Gaps {
		fmt.Fprintf(&b, "gap %d-%d %s\n", g.From, g.To, g.Reason)
	}
	for _, a := range c.Again {
		b.WriteString(a.line())
	}
	return b.String()
}

// Head is the chain's head that the checkpoint speaks of.
func (c *Checkpoint) Head() Head { return Head{c.Size, c.Chain} }

// Sign is the checkpoint as a note signed by every signer.
func (c *Checkpoint) Sign(signers ...note.Signer) ([]byte, error) {
	text := c.Text()
	if _, err := ParseCheckpoint(text); err != nil {
		return nil, fmt.Errorf("a checkpoint that nobody could read is not signed: %w", err)
	}
	return signNote(text, signers)
}

func signNote(text string, signers []note.Signer) ([]byte, error) {
	if len(signers) == 0 {
		return nil, errors.New("there is no key to sign with")
	}
	return note.Sign(&note.Note{Text: text}, signers...)
}

// OpenCheckpoint reads a signed checkpoint that one of the verifiers at least vouches for. It
// does not ask when a key was in force: [Keys.Open] does.
func OpenCheckpoint(signed []byte, verifiers note.Verifiers) (*Checkpoint, error) {
	n, err := openNote(signed, verifiers)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	return ParseCheckpoint(n.Text)
}

func openNote(signed []byte, verifiers note.Verifiers) (*note.Note, error) {
	if len(signed) > maxNote {
		return nil, fmt.Errorf("it has %d bytes, more than the %d that are read", len(signed), maxNote)
	}
	return note.Open(signed, verifiers)
}

// ParseCheckpoint reads what Text has written, and nothing that Text would have written in
// another way. What it accepts can be true: sizes, numbers and times go with each other.
func ParseCheckpoint(text string) (*Checkpoint, error) {
	c, err := parseCheckpoint(text)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	return c, nil
}

func parseCheckpoint(text string) (*Checkpoint, error) {
	body, ended := strings.CutSuffix(text, "\n")
	lines := strings.Split(body, "\n")
	if !ended || len(lines) < 7 {
		return nil, errors.New("it has not the lines origin, size, root, chain, offset, time and after")
	}
	c := &Checkpoint{Origin: lines[0]}
	r := reader{}
	c.Size = r.count("the size", lines[1])
	c.Root = r.hash("the root", lines[2])
	c.Chain = r.hash("chain", r.word("chain", lines[3]))
	c.Offset = r.count("offset", r.word("offset", lines[4]))
	c.Time = r.time("time", r.word("time", lines[5]))
	c.After = r.count("after", r.word("after", lines[6]))
	for _, line := range lines[7:] {
		fields := strings.Split(line, " ")
		switch fields[0] {
		case "previous":
			if len(fields) != 5 || c.Previous != nil {
				return nil, fmt.Errorf("%q is not the one line previous ORIGIN SIZE HASH REASON", line)
			}
			c.Previous = &Former{Origin: fields[1], Head: Head{r.count("previous", fields[2]), r.hash("previous", fields[3])}, Reason: r.reason(fields[4])}
		case "beside":
			if len(fields) != 5 {
				return nil, fmt.Errorf("%q is not a line beside ORIGIN SIZE HASH TIME", line)
			}
			c.Beside = append(c.Beside, Beside{fields[1], Head{r.count("beside", fields[2]), r.hash("beside", fields[3])}, r.time("beside", fields[4])})
		case "withheld":
			c.Withheld = append(c.Withheld, r.withheld(line, fields))
		case "gap":
			if len(fields) != 3 {
				return nil, fmt.Errorf("%q is not a line gap FROM-TO REASON", line)
			}
			from, to := r.numbers("gap", fields[1])
			c.Gaps = append(c.Gaps, Gap{from, to, r.reason(fields[2])})
		case "original", "among", "unknown":
			c.Again = append(c.Again, r.again(line))
		default:
			return nil, fmt.Errorf("%q begins a line that is not known here: it is of a newer version, or no checkpoint of a feed", fields[0])
		}
	}
	if r.err != nil {
		return nil, r.err
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	if c.Text() != text {
		return nil, errors.New("it is not written as checkpoints are: lines are out of order, or numbers written in another way")
	}
	return c, nil
}

// check finds what cannot be true of any chain.
func (c *Checkpoint) check() error {
	origin, err := ParseOrigin(c.Origin)
	if err != nil {
		return err
	}
	if c.Offset < origin.Begin {
		return fmt.Errorf("its offset %d is below %d, where the chain begins", c.Offset, origin.Begin)
	}
	tooLong := c.Size > MaxNumber || c.Previous != nil && c.Previous.Size > MaxNumber
	if tooLong || slices.ContainsFunc(c.Beside, func(b Beside) bool { return b.Size > MaxNumber }) {
		return fmt.Errorf("no chain has more than %d events", int64(MaxNumber))
	}
	if c.After > c.Size {
		return fmt.Errorf("it has %d events, and the one before it had %d", c.Size, c.After)
	}
	var empty Tree
	if c.Size == 0 && (c.Chain != Begin(c.Origin).Hash || c.Root != empty.Root()) {
		return errors.New("it has no events, and hashes that are not those of an empty chain")
	}
	if p := c.Previous; p != nil {
		if _, err := ParseOrigin(p.Origin); err != nil {
			return err
		}
		if p.Origin == c.Origin {
			return errors.New("the chain before it is itself")
		}
	}
	if err := c.checkBeside(origin); err != nil {
		return err
	}
	if len(c.Withheld) > maxLines || len(c.Gaps) > maxLines || len(c.Again) > maxLines {
		return fmt.Errorf("it has more than %d lines of a kind", maxLines)
	}
	if err := c.checkWithheld(); err != nil {
		return err
	}
	last := c.After
	for _, a := range c.Again {
		if err := a.check(last, c.Size); err != nil {
			return err
		}
		last = a.To
	}
	for _, g := range c.Gaps {
		if g.To <= g.From {
			return fmt.Errorf("a gap from %d to %d has no offsets", g.From, g.To)
		}
	}
	return nil
}

// checkWithheld finds what cannot be true of events that were withheld: that they are not of
// those since the last checkpoint, or that a run is not of this chain, where the checkpoint says
// itself what hash the chain has before or behind it.
func (c *Checkpoint) checkWithheld() error {
	last, known, hash := c.After, c.After == 0, Begin(c.Origin).Hash
	for _, w := range c.Withheld {
		if w.From <= last || w.To < w.From || w.To > c.Size {
			return fmt.Errorf("events %d to %d cannot be withheld behind %d of %d events", w.From, w.To, last, c.Size)
		}
		known = known && w.From == last+1
		if known && !w.follows(hash) {
			return fmt.Errorf("events %d to %d cannot be withheld behind another hash than the chain has there", w.From, w.To)
		}
		last, known, hash = w.To, known || !w.single(), w.after(hash)
	}
	if known && last == c.Size && hash != c.Chain {
		return errors.New("what is withheld at the end does not lead to the chain's hash")
	}
	return nil
}

// checkBeside finds what cannot be true of chains beside one: they are the same stream's, of
// the same topic, one of a partition at most, and none is of its own.
func (c *Checkpoint) checkBeside(own Origin) error {
	if len(c.Beside) > maxLines {
		return fmt.Errorf("it names more than %d chains beside it", maxLines)
	}
	last := int32(-1)
	for _, b := range c.Beside {
		o, err := ParseOrigin(b.Origin)
		if err != nil {
			return err
		}
		if o.UID != own.UID || o.TopicID != own.TopicID || o.Partition == own.Partition || o.Partition <= last {
			return fmt.Errorf("%s cannot stand beside it, or not in this order: the others of its stream do, by partition", b.Origin)
		}
		if b.Size == 0 && b.Hash != Begin(b.Origin).Hash {
			return fmt.Errorf("%s has no events, and a hash that is not that of an empty chain", b.Origin)
		}
		last = o.Partition
	}
	return nil
}

// stamp is a time as notes have it.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// reader reads the parts of lines and keeps the first thing that is wrong.
type reader struct{ err error }

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
}

// word is what stands behind the name in a line.
func (r *reader) word(name, line string) string {
	rest, ok := strings.CutPrefix(line, name+" ")
	if !ok {
		r.fail("the line %q should begin with %q", line, name)
	}
	return rest
}

func (r *reader) count(what, text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		r.fail("%s: %q is not a number from 0 on", what, text)
	}
	return n
}

// numbers reads N or FROM-TO.
func (r *reader) numbers(what, text string) (from, to int64) {
	a, b, isRange := strings.Cut(text, "-")
	from = r.count(what, a)
	if !isRange {
		return from, from
	}
	return from, r.count(what, b)
}

// withheld reads the line of one event, or of a run.
func (r *reader) withheld(line string, fields []string) (w Withheld) {
	if len(fields) < 4 || len(fields) > 5 {
		r.fail("%q is not a line withheld N DIGEST REASON, or withheld FROM-TO BEFORE AFTER REASON", line)
		return w
	}
	w.From, w.To = r.numbers("withheld", fields[1])
	if w.single() != (len(fields) == 4) {
		r.fail("%q: one event has a digest, and a run the hash before and after it", line)
		return w
	}
	if !w.single() {
		w.Before = r.hash("withheld", fields[2])
	}
	w.Hash, w.Reason = r.hash("withheld", fields[len(fields)-2]), r.reason(fields[len(fields)-1])
	return w
}

func (r *reader) hash(what, text string) Hash {
	h, err := ParseHash(text)
	if err != nil {
		r.fail("%s: %w", what, err)
	}
	return h
}

func (r *reader) time(what, text string) time.Time {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil || stamp(t) != text {
		r.fail("%s: %q is not a time like 2026-01-31T00:00:00Z", what, text)
	}
	return t.UTC()
}

// reason reads one word of small letters, digits and underscores.
func (r *reader) reason(text string) string {
	if text == "" || len(text) > 40 || strings.Trim(text, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
		r.fail("%q is not a reason: one word of small letters, digits and underscores", text)
	}
	return text
}
