package integrity

import (
	"crypto/sha256"
	"errors"
	"math/bits"
)

// Tree is the right edge of a Merkle tree (RFC 6962) over the digests of a chain's events:
// all that is needed to go on with it. The zero Tree is empty. At most 63 hashes are kept.
type Tree struct {
	size int64
	edge []Hash // roots of the complete subtrees from left to right, the largest first
}

// NewTree is the tree of size events that had the edge.
func NewTree(size int64, edge []Hash) (Tree, error) {
	if size < 0 || bits.OnesCount64(uint64(size)) != len(edge) {
		return Tree{}, errors.New("the edge of the tree does not go with its size")
	}
	return Tree{size, edge}, nil
}

// Size is the number of events in the tree.
func (t *Tree) Size() int64 { return t.size }

// Edge are the roots of the complete subtrees, from left to right.
func (t *Tree) Edge() []Hash { return t.edge }

// Append puts the digest of one event more at the end.
func (t *Tree) Append(digest Hash) { t.push(leaf(digest), 0) }

// push puts a complete subtree of 1<<level events at the end, where one may begin.
func (t *Tree) push(root Hash, level int) {
	for n := t.size >> level; n&1 == 1; n >>= 1 {
		last := len(t.edge) - 1
		root = node(t.edge[last], root)
		t.edge = t.edge[:last]
	}
	t.edge = append(t.edge, root)
	t.size += 1 << level
}

// Join puts what a run of events adds at the end. It reports false, and does nothing, where
// the run is empty, or does not begin at the end.
func (t *Tree) Join(s Span) bool {
	if len(s.roots) == 0 || s.from != t.size {
		return false
	}
	for _, root := range s.roots {
		t.push(root, s.level(t.size))
	}
	return true
}

// Span is what a run of events in a row adds to a tree, whatever came before: the roots of the
// complete subtrees that have no events but these. It lets whoever has the run do the
// hashing, and leaves a few hashes to whoever has the tree. The zero Span is that of no events.
type Span struct {
	from, to int64  // numbers of events before the first and the last, with the last
	roots    []Hash // from left to right
}

// SpanOf is the span of events that follow each other in a chain.
func SpanOf(links []Link) Span {
	if len(links) == 0 {
		return Span{}
	}
	s := Span{from: links[0].Number - 1, to: links[0].Number - 1 + int64(len(links))}
	s.roots = make([]Hash, 0, 2*bits.Len(uint(len(links))))
	for i := range links {
		h, at := leaf(links[i].Digest), s.from+int64(i)
		// A subtree that ends here has its left half among the roots if it begins in the run.
		for level := 0; at>>level&1 == 1 && at>>(level+1)<<(level+1) >= s.from; level++ {
			last := len(s.roots) - 1
			h = node(s.roots[last], h)
			s.roots = s.roots[:last]
		}
		s.roots = append(s.roots, h)
	}
	return s
}

// level is that of the root that begins at an event: the largest subtree that may begin there
// and ends in the run.
func (s *Span) level(at int64) int {
	level := bits.Len64(uint64(s.to-at)) - 1
	if at > 0 {
		level = min(level, bits.TrailingZeros64(uint64(at)))
	}
	return level
}

// Root is the hash of the whole tree: for an empty one the hash of nothing.
func (t *Tree) Root() Hash {
	if len(t.edge) == 0 {
		return sha256.Sum256(nil)
	}
	root := t.edge[len(t.edge)-1]
	for i := len(t.edge) - 2; i >= 0; i-- {
		root = node(t.edge[i], root)
	}
	return root
}

// Clone is a tree that grows by itself.
func (t *Tree) Clone() Tree { return Tree{t.size, append([]Hash(nil), t.edge...)} }

// RFC 6962, 2.1: what is hashed begins with 0 for a leaf, with 1 for a node. The leaf's data
// is the event's digest, so that an event is hashed once for chain and tree.

func leaf(digest Hash) Hash {
	var b [1 + sha256.Size]byte
	copy(b[1:], digest[:])
	return sha256.Sum256(b[:])
}

func node(left, right Hash) Hash {
	var b [1 + 2*sha256.Size]byte
	b[0] = 1
	copy(b[1:], left[:])
	copy(b[1+sha256.Size:], right[:])
	return sha256.Sum256(b[:])
}
