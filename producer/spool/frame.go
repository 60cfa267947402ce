package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"
)

// A segment begins with the header. Its last byte is the version of the format: version is
// written, and what is older is read.
const (
	headerMagic = "ASSPOOL"
	version     = 2 // knows kindTraced
	headerSize  = len(headerMagic) + 1
)

// A frame is a marker, by which frames are found again behind damaged bytes (its first byte
// stands in no UTF-8, and so in no event), the length of its payload, a CRC-32C of length and payload, and the payload, whose first byte is its kind.
const (
	marker    = "\xffASF"
	frameHead = len(marker) + 4 + 4
	// frameMost bounds a payload, so that a damaged length asks for no memory. Events are
	// bounded at a fraction of it.
	frameMost = 64 << 20
)

// Kinds of payload.
const (
	kindEvent  = 1 // an event that waits
	kindDone   = 2 // events that left the queue
	kindEnd    = 3 // the file was closed: nothing is missing behind this
	kindTraced = 4 // an event that waits, and the trace in which it was published
)

// errDamaged: the bytes are no whole frame.
var errDamaged = errors.New("damaged")

// castagnoli makes the table of CRC-32C, which the standard library keeps: it is not computed
// each time.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// appendFrame writes a frame whose payload f appends.
func appendFrame(b []byte, f func([]byte) []byte) []byte {
	at := len(b)
	b = append(b, marker...)
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0)
	b = f(b)
	head := b[at:]
	binary.BigEndian.PutUint32(head[len(marker):], uint32(len(head)-frameHead))
	sum := crc32.Update(0, castagnoli(), head[len(marker):len(marker)+4])
	binary.BigEndian.PutUint32(head[len(marker)+4:], crc32.Update(sum, castagnoli(), head[frameHead:]))
	return b
}

// frameAt returns the payload of the frame that b begins with, and the frame's size.
func frameAt(b []byte) (payload []byte, size int, err error) {
	if len(b) < frameHead+1 || string(b[:len(marker)]) != marker {
		return nil, 0, errDamaged
	}
	length := binary.BigEndian.Uint32(b[len(marker):])
	if length == 0 || length > frameMost || int64(length) > int64(len(b)-frameHead) {
		return nil, 0, errDamaged
	}
	size = frameHead + int(length)
	sum := crc32.Update(0, castagnoli(), b[len(marker):len(marker)+4])
	if binary.BigEndian.Uint32(b[len(marker)+4:]) != crc32.Update(sum, castagnoli(), b[frameHead:size]) {
		return nil, 0, errDamaged
	}
	return b[frameHead:size], size, nil
}

// queued is an event as it stands in the queue.
type queued struct {
	seq          uint64    // grows with each event; none is used twice
	at           time.Time // when it was accepted, to the millisecond
	organization string
	traced       traced
	value        []byte // canonical form
	offset       int64  // of its frame in the segment that it was read from
}

func (q queued) append(b []byte) []byte {
	return appendFrame(b, func(b []byte) []byte {
		kind := byte(kindEvent)
		if q.traced.is() {
			kind = kindTraced
		}
		b = append(b, kind)
		b = binary.BigEndian.AppendUint64(b, q.seq)
		b = binary.BigEndian.AppendUint64(b, uint64(q.at.UnixMilli()))
		b = appendText(b, q.organization)
		if q.traced.is() {
			b = appendText(appendText(b, q.traced.parent), q.traced.state)
		}
		return append(b, q.value...)
	})
}

// appendText appends a text of less than 64 KiB behind its length.
func appendText(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
}

// textAt returns the text that b begins with, and what is behind it.
func textAt(b []byte) (s string, rest []byte, err error) {
	if len(b) < 2 || len(b)-2 < int(binary.BigEndian.Uint16(b)) {
		return "", nil, errDamaged
	}
	n := 2 + int(binary.BigEndian.Uint16(b))
	return string(b[2:n]), b[n:], nil
}

// size is what the event takes in the queue, in bytes.
func (q queued) size() int64 {
	n := frameHead + 1 + 8 + 8 + 2 + len(q.organization) + len(q.value)
	if q.traced.is() {
		n += 2 + len(q.traced.parent) + 2 + len(q.traced.state)
	}
	return int64(n)
}

// decodeEvent reads the payload of a frame of kindEvent or kindTraced.
func decodeEvent(payload []byte) (q queued, err error) {
	const head = 1 + 8 + 8
	if len(payload) < head {
		return queued{}, errDamaged
	}
	q.seq, q.at = binary.BigEndian.Uint64(payload[1:]), time.UnixMilli(int64(binary.BigEndian.Uint64(payload[9:])))
	if q.organization, q.value, err = textAt(payload[head:]); err != nil || payload[0] != kindTraced {
		return q, err
	}
	if q.traced.parent, q.value, err = textAt(q.value); err != nil {
		return q, err
	}
	q.traced.state, q.value, err = textAt(q.value)
	return q, err
}

// span is a run of sequence numbers, both ends included.
type span struct{ first, last uint64 }

func appendDone(b []byte, spans []span) []byte {
	return appendFrame(b, func(b []byte) []byte {
		b = append(b, kindDone)
		for _, s := range spans {
			b = binary.BigEndian.AppendUint64(b, s.first)
			b = binary.BigEndian.AppendUint64(b, s.last)
		}
		return b
	})
}

func decodeDone(payload []byte) ([]span, error) {
	payload = payload[1:]
	if len(payload)%16 != 0 {
		return nil, errDamaged
	}
	var spans []span
	for ; len(payload) > 0; payload = payload[16:] {
		spans = append(spans, span{binary.BigEndian.Uint64(payload), binary.BigEndian.Uint64(payload[8:])})
	}
	return spans, nil
}

func appendEnd(b []byte) []byte {
	return appendFrame(b, func(b []byte) []byte { return append(b, kindEnd) })
}

// damage is a place that could not be read.
type damage struct{ offset, size int64 }

// contents is what a segment holds.
type contents struct {
	events  []queued
	done    []span
	damaged []damage
	good    int64 // size up to the last frame that could be read
	ended   bool  // the last one says that the file was closed
}

// parse reads a segment. It finds the frames behind damaged bytes again; what a crash left
// half written is the damage at the end.
func parse(b []byte) (contents, error) {
	c := contents{}
	at := 0
	if len(b) >= headerSize && string(b[:len(headerMagic)]) == headerMagic {
		if v := b[len(headerMagic)]; v < 1 || v > version {
			return c, fmt.Errorf("format version %d, known up to %d: written by a newer version of auditstream", v, version)
		}
		at = headerSize
	}
	c.good = int64(at)
	bad := -1 // where damaged bytes begin
	for at < len(b) {
		payload, size, err := frameAt(b[at:])
		if err == nil {
			err = c.take(payload, int64(at))
		}
		if err != nil {
			if bad < 0 {
				bad = at
			}
			at = nextMarker(b, at+1)
			continue
		}
		if bad >= 0 {
			c.damaged = append(c.damaged, damage{int64(bad), int64(at - bad)})
			bad = -1
		}
		at += size
		c.good = int64(at)
	}
	if bad >= 0 {
		c.damaged = append(c.damaged, damage{int64(bad), int64(len(b) - bad)})
	}
	return c, nil
}

// take takes the payload of a frame over. A kind that is not known belongs to a version
// that is not known.
func (c *contents) take(payload []byte, offset int64) error {
	c.ended = false
	switch payload[0] {
	case kindEvent, kindTraced:
		q, err := decodeEvent(payload)
		q.offset = offset
		if err == nil {
			c.events = append(c.events, q)
		}
		return err
	case kindDone:
		spans, err := decodeDone(payload)
		c.done = append(c.done, spans...)
		return err
	case kindEnd:
		c.ended = true
		return nil
	}
	return errDamaged
}

// nextMarker is where the next marker stands from a place on, or the end.
func nextMarker(b []byte, from int) int {
	for ; from < len(b); from++ {
		if b[from] == marker[0] && from+len(marker) <= len(b) && string(b[from:from+len(marker)]) == marker {
			return from
		}
	}
	return len(b)
}
