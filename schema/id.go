package schema

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"strconv"
	"strings"
	"time"
)

const (
	idPrefix = "audit_event_"
	idLength = 26 // characters after the prefix
)

// crockford is the alphabet of Crockford's base 32: digits and capital letters without
// I, L, O and U, in the order of their values.
const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// NewID makes the id of a new event: audit_event_ and a ULID, which is 48 bits of t in
// milliseconds since 1970 and 80 random bits, most significant first, in Crockford's base
// 32. Ids sort by their millisecond; within one their order is random. Two of n ids of the
// same millisecond are equal with a probability of about n²/2^81: of a million, 4e-13.
// Times before 1970 count as 1970; 48 bits last until the year 10889.
func NewID(t time.Time) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], uint64(max(t.UnixMilli(), 0))<<16)
	_, _ = rand.Read(b[6:]) // never fails: crypto/rand ends the process first
	// 26 characters hold 130 bits, so a ULID begins with two bits of 0.
	return encodeID(b[:], 2)
}

// DeriveID makes the id of an event that is published with an idempotency key: the same
// for the same organization, key and content, another if any of them differs. content is
// the event's canonical form without an id.
//
// It is audit_event_ and the first 130 bits of a SHA-256 over the three, each preceded by
// its length, in Crockford's base 32. Two of n derived ids are equal with a probability of
// about n²/2^131: of 10^12, 4e-16. They are not ordered by time.
func DeriveID(organizationID, idempotencyKey string, content []byte) string {
	h := sha256.New()
	hashParts(h, "idempotency", organizationID, idempotencyKey)
	hashPart(h, content)
	return hashID(h)
}

// RecordID makes the id of an event whose record in Kafka came without one, from the place
// of the record: however often it is read, the event has the same id. Its form and odds
// are those of [DeriveID]. topicID is Kafka's id of the topic, which a topic made again
// under the same name does not share.
func RecordID(topicID string, partition int32, offset int64) string {
	h := sha256.New()
	hashParts(h, "record", topicID, strconv.Itoa(int(partition)), strconv.FormatInt(offset, 10))
	return hashID(h)
}

// ForeignID makes the id of an event that another system knows by an id of its own: the
// same for the same origin and id. Its form and odds are those of [DeriveID].
func ForeignID(origin, id string) string {
	h := sha256.New()
	hashParts(h, "foreign", origin, id)
	return hashID(h)
}

// hashParts writes parts so that no two lists of them write the same bytes. The first
// names the kind of id, so that ids of two kinds never meet.
func hashParts(h hash.Hash, parts ...string) {
	for _, part := range parts {
		hashPart(h, []byte(part))
	}
}

func hashPart(h hash.Hash, part []byte) {
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
	h.Write(part)
}

func hashID(h hash.Hash) string { return encodeID(h.Sum(nil), 0) }

// encodeID writes 26 characters of five bits each: zeros bits of 0, then the bits of b
// from the most significant on.
func encodeID(b []byte, zeros int) string {
	id := make([]byte, 0, len(idPrefix)+idLength)
	id = append(id, idPrefix...)
	var bits uint32
	have := zeros
	for len(id) < cap(id) {
		if have < 5 {
			bits = bits<<8 | uint32(b[0])
			b = b[1:]
			have += 8
		}
		have -= 5
		id = append(id, crockford[bits>>have&31])
	}
	return string(id)
}

// IDTime is the millisecond that an id of [NewID] was made at. Every other id of the form
// has no time in it; one that is derived from a hash looks as if it had one in the years of
// this century with a probability of about 0.2 %, so what is found by it has to be checked.
func IDTime(id string) (time.Time, bool) {
	digits, ok := strings.CutPrefix(id, idPrefix)
	if !ok || len(digits) != idLength {
		return time.Time{}, false
	}
	millis := int64(0)
	for i := range len(digits) {
		v := strings.IndexByte(crockford, digits[i])
		if v < 0 || i == 0 && v > 7 { // a ULID begins with two bits of 0
			return time.Time{}, false
		}
		if i < idTimeLength {
			millis = millis<<5 | int64(v)
		}
	}
	return time.UnixMilli(millis).UTC(), true
}

// idTimeLength is how many characters of a ULID are its time.
const idTimeLength = 10
