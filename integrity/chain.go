// Package integrity proves feeds: it numbers and chains what a stream delivers, and checks
// what a receiver has against that.
//
// A feed is what one stream delivers of one partition. Its events are numbered from 1 and
// chained, hash(n) = SHA-256(hash(n-1) || SHA-256(event n)), where the event is the
// canonical form (RFC 8785) of what is delivered, without what carries the proof. hash(0)
// is the SHA-256 of the feed's [Origin], so that no event can pass from one feed into
// another. Checkpoints, signed, say how far a feed has come.
//
// The package depends on nothing else of auditstream: what it does can be done again by
// anybody, in any language.
package integrity

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
)

// Hash is a SHA-256.
type Hash [sha256.Size]byte

// Digest is the hash of an event: of the bytes of its canonical form.
func Digest(event []byte) Hash { return sha256.Sum256(event) }

func (h Hash) String() string { return base64.StdEncoding.EncodeToString(h[:]) }

// ParseHash reads what String has written.
func ParseHash(text string) (Hash, error) {
	var h Hash
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(b) != len(h) {
		return h, fmt.Errorf("%q is not a SHA-256 in base64 (44 characters)", text)
	}
	return Hash(b), nil
}

// MarshalText writes h as String does.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads what MarshalText has written.
func (h *Hash) UnmarshalText(text []byte) (err error) {
	*h, err = ParseHash(string(text))
	return err
}

// MaxNumber bounds the numbers of events: more have no place in JSON, and nothing that is
// reckoned with them passes the end of what a number can be.
const MaxNumber = 1<<53 - 1

// Head is how far a chain has come: the number of its last event and the hash there.
type Head struct {
	Size int64 `json:"size"` // events in the chain; 0: none yet
	Hash Hash  `json:"hash"`
}

// Begin is the head of a chain before its first event.
func Begin(origin string) Head { return Head{Hash: sha256.Sum256([]byte(origin))} }

// Next is the head after one event more, which has the digest.
func (h Head) Next(digest Hash) Head {
	var both [2 * sha256.Size]byte
	copy(both[:sha256.Size], h.Hash[:])
	copy(both[sha256.Size:], digest[:])
	return Head{h.Size + 1, sha256.Sum256(both[:])}
}

// Link is one event's place in a chain.
type Link struct {
	Number int64 // 1 for the first
	Digest Hash  // of the event
	Hash   Hash  // of the chain, with the event
}

// Link is the link of the next event.
func (h Head) Link(digest Hash) Link {
	n := h.Next(digest)
	return Link{n.Size, digest, n.Hash}
}

// Head is the head with the event that the link is for.
func (l Link) Head() Head { return Head{l.Number, l.Hash} }
