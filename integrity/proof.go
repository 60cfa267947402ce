package integrity

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// Proof shows that one event is in a feed, to somebody who has nothing else of it: the
// path of RFC 6962 from the event to the root that a signed checkpoint vouches for.
type Proof struct {
	Event      []byte // as it was delivered, in canonical form
	Number     int64  // in the feed
	Path       []Hash // from the leaf's neighbour up
	Checkpoint []byte // signed
}

// proofTitle is the first line of a proof in the form that C2SP gives to them (tlog-proof).
const proofTitle = "c2sp.org/tlog-proof@v1"

// maxProof bounds what is read as a proof: an event of the largest size, in base64, and the
// rest.
const maxProof = 4 << 20

// Text is the proof as a file. The event goes with it as the extra data; whoever has it from
// elsewhere can check that one instead.
func (p *Proof) Text() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\nextra %s\nindex %d\n", proofTitle, base64.StdEncoding.EncodeToString(p.Event), p.Number-1)
	for _, h := range p.Path {
		fmt.Fprintf(&b, "%s\n", h)
	}
	b.WriteByte('\n')
	b.Write(p.Checkpoint)
	return b.Bytes()
}

// ParseProof reads what Text has written.
func ParseProof(text []byte) (*Proof, error) {
	if len(text) > maxProof {
		return nil, fmt.Errorf("proof: it has more than %d bytes", maxProof)
	}
	head, checkpoint, ok := bytes.Cut(text, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	if !ok || lines[0] != proofTitle {
		return nil, errors.New("proof: it does not begin with the line " + proofTitle)
	}
	p := &Proof{Checkpoint: checkpoint}
	lines = lines[1:]
	if len(lines) > 0 && strings.HasPrefix(lines[0], "extra ") {
		var err error
		if p.Event, err = base64.StdEncoding.DecodeString(lines[0][len("extra "):]); err != nil {
			return nil, fmt.Errorf("proof: extra: %w", err)
		}
		lines = lines[1:]
	}
	if len(lines) == 0 || !strings.HasPrefix(lines[0], "index ") {
		return nil, errors.New("proof: the line index is missing")
	}
	index, err := strconv.ParseInt(lines[0][len("index "):], 10, 63)
	if err != nil || index < 0 {
		return nil, fmt.Errorf("proof: %q is no index", lines[0])
	}
	p.Number = index + 1
	if lines = lines[1:]; len(lines) > 64 {
		return nil, errors.New("proof: no tree is as high as that")
	}
	for _, line := range lines {
		h, err := ParseHash(line)
		if err != nil {
			return nil, fmt.Errorf("proof: %w", err)
		}
		p.Path = append(p.Path, h)
	}
	return p, nil
}

// ErrNotVouched says that no trusted key vouches for a proof's checkpoint: it shows nothing.
var ErrNotVouched = errors.New("no trusted key vouches for its checkpoint")

// Check says whether the event is in the feed at its number, by the checkpoint that it
// returns, which one of keys has signed; else ErrNotVouched.
func (p *Proof) Check(keys *Keys) (*Checkpoint, error) {
	c, err := keys.Open(p.Checkpoint)
	if err != nil {
		return nil, fmt.Errorf("proof: %w: %w", ErrNotVouched, err)
	}
	digest, err := DigestOf(p.Event)
	if err != nil {
		return nil, fmt.Errorf("proof: the event: %w", err)
	}
	if p.Number > c.Size {
		return nil, fmt.Errorf("proof: it is about number %d, and the checkpoint covers %d", p.Number, c.Size)
	}
	path := make(tlog.RecordProof, len(p.Path))
	for i, h := range p.Path {
		path[i] = tlog.Hash(h)
	}
	if err := tlog.CheckRecord(path, c.Size, tlog.Hash(c.Root), p.Number-1, tlog.RecordHash(digest[:])); err != nil {
		return nil, fmt.Errorf("proof: the event is not number %d of the feed %s, or the proof is another one's", p.Number, c.Origin)
	}
	return c, nil
}

// tracked is a tree that remembers the path of one of its leaves, if one is wanted.
type tracked struct {
	Tree

	wanted int64  // number of the leaf; 0: none
	spot   int    // of the subtree, in the edge, that has it
	path   []Hash // from the leaf's neighbour up to that subtree
}

// Append puts the digest of one event more at the end, as that of Tree does.
func (t *tracked) Append(digest Hash) {
	if t.wanted == 0 || t.size+1 < t.wanted {
		t.Tree.Append(digest)
		return
	}
	h, with := leaf(digest), t.size+1 == t.wanted
	for n := t.size; n&1 == 1; n >>= 1 {
		last := len(t.edge) - 1
		left := t.edge[last]
		switch {
		case with:
			t.path = append(t.path, left)
		case t.spot == last:
			t.path, with = append(t.path, h), true
		}
		h, t.edge = node(left, h), t.edge[:last]
	}
	t.edge = append(t.edge, h)
	t.size++
	if with {
		t.spot = len(t.edge) - 1
	}
}

// proof is the path from the wanted leaf to the root.
func (t *tracked) proof() []Hash {
	path := append([]Hash(nil), t.path...)
	last := len(t.edge) - 1
	right, with := t.edge[last], t.spot == last
	for i := last - 1; i >= 0; i-- {
		switch {
		case with:
			path = append(path, t.edge[i])
		case i == t.spot:
			path, with = append(path, right), true
		}
		right = node(t.edge[i], right)
	}
	return path
}

func (t *tracked) clone() *tracked {
	return &tracked{t.Clone(), t.wanted, t.spot, append([]Hash(nil), t.path...)}
}

// Want asks for a proof of the first event with the id. Ask before anything is taken in.
func (c *Checker) Want(id string) { c.wanted = id }

// Proof is the proof that Want has asked for, without its event; or what stands in its way.
func (c *Checker) Proof() (*Proof, error) {
	f := c.holder
	switch {
	case f == nil:
		return nil, fmt.Errorf("the event %s is not there", c.wanted)
	case f.proof != nil:
		return f.proof, nil
	}
	covered := false
	for size, m := range f.marks {
		covered = covered || m.rooted && size >= f.wantedAt
	}
	if !covered {
		return nil, fmt.Errorf("the event %s is number %d of the feed %s, and no checkpoint covers it: wait for the next one", c.wanted, f.wantedAt, f.id)
	}
	return nil, fmt.Errorf("the event %s is number %d of the feed %s; for its proof every event from number 1 to a checkpoint behind it has to be there, in order and unaltered, "+
		"and none of them withheld together with others", c.wanted, f.wantedAt, f.id)
}

// want notes that an event is the one that is wanted, before it is put into the tree.
func (c *Checker) want(f *feed, number int64, id []byte) {
	if c.wanted == "" || c.holder != nil || string(id) != c.wanted {
		return
	}
	c.holder, f.wantedAt = f, number
}

// prove makes the proof, once a checkpoint behind the event has been reached.
func (f *feed) prove(size int64, m *mark, tree *tracked) {
	if f.wantedAt == 0 || f.proof != nil || tree.wanted != f.wantedAt || size < f.wantedAt || len(m.note) == 0 {
		return
	}
	f.proof = &Proof{Number: f.wantedAt, Path: tree.proof(), Checkpoint: m.note}
}

// Leads says whether the events lead from one size of a feed to another, as checkpoints have
// the two: all of them are there between, or on record as withheld, and nothing was found about
// them. Ask when the check is finished.
func (c *Checker) Leads(origin string, from, to int64) bool {
	f := c.feeds[FeedID(origin)]
	if f == nil || f.unkept.gravity() > NotCovered.gravity() {
		return false
	}
	for _, size := range []int64{from, to} {
		if m := f.marks[size]; m == nil || m.state != matched && size > 0 {
			return false
		}
	}
	if slices.ContainsFunc(f.kept, func(x Finding) bool {
		return x.Kind.verdict().gravity() > NotCovered.gravity() && (x.To == 0 && x.About == "" || x.From <= to && x.To >= max(from, 1))
	}) {
		return false
	}
	return from == to || slices.ContainsFunc(f.spans, func(s *segment) bool { return s.first <= from+1 && s.last >= to })
}
