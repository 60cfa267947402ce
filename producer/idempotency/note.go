package idempotency

import (
	"encoding/binary"
	"fmt"
	"time"
)

// noteVersion is the version of a note's format, its first byte.
const noteVersion = 1

const noteSize = 1 + 16 + 16 + 8

// note says that an event was accepted: the value of a record in the topic, under the key
// of the organization.
type note struct {
	known, content fingerprint
	at             time.Time // to the millisecond
}

func (n note) encode() []byte {
	b := make([]byte, 0, noteSize)
	b = append(b, noteVersion)
	b = append(b, n.known[:]...)
	b = append(b, n.content[:]...)
	return binary.BigEndian.AppendUint64(b, uint64(n.at.UnixMilli()))
}

// decodeNote refuses a note of another version, or of another length.
func decodeNote(b []byte) (note, error) {
	switch {
	case len(b) == 0:
		return note{}, fmt.Errorf("a note without a value")
	case b[0] != noteVersion:
		return note{}, fmt.Errorf("a note of version %d, written by a newer version of auditstream", b[0])
	case len(b) != noteSize:
		return note{}, fmt.Errorf("a note of %d bytes, want %d", len(b), noteSize)
	}
	n := note{at: time.UnixMilli(int64(binary.BigEndian.Uint64(b[33:])))}
	copy(n.known[:], b[1:17])
	copy(n.content[:], b[17:33])
	return n, nil
}
