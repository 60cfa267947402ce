package idempotency

import (
	"crypto/sha256"
	"encoding/binary"
)

// fingerprint is the first 128 bits of a SHA-256. Two of n are equal with a probability of
// about n²/2^129: of 10^9, 1e-21; and nobody finds two that are, which matters, as callers
// choose what goes in.
type fingerprint [16]byte

// Kinds of what a request is known by; they keep a key from being taken for a content.
const (
	byKey     = "key"
	byContent = "content"
)

// fingerprints are of what the request is known by, and of its content.
func fingerprints(organization, key string, content []byte) (known, of fingerprint) {
	sum := sha256.Sum256(content)
	copy(of[:], sum[:])
	how, by := byKey, []byte(key)
	if key == "" {
		how, by = byContent, sum[:]
	}
	buf := make([]byte, 0, 256)
	for _, part := range [][]byte{[]byte(how), []byte(organization), by} {
		buf = binary.BigEndian.AppendUint64(buf, uint64(len(part)))
		buf = append(buf, part...)
	}
	sum = sha256.Sum256(buf)
	copy(known[:], sum[:])
	return known, of
}
