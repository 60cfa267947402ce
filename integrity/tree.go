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
func (t *Tree) Append(digest Hash) {
	h := leaf(digest)
	for n := t.size; n&1 == 1; n >>= 1 {
		last := len(t.edge) - 1
		h = node(t.edge[last], h)
		t.edge = t.edge[:last]
	}
	t.edge = append(t.edge, h)
	t.size++
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
