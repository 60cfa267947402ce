// Package proof writes where events stand in the chain of their feed, as destinations that
// have a place for it beside each event carry it, and the checkpoints of chains.
package proof

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strconv"

	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/sinks"
)

// Names of fields, with the prefix that all of ours have at Splunk.
const (
	FieldFeed   = "auditstream_feed"
	fieldNumber = "auditstream_seq"
	fieldChain  = "auditstream_chain"

	fieldOriginalFeed   = "auditstream_original_feed"
	fieldOriginalNumber = "auditstream_original_seq"
)

// Fields are the names that AppendFields writes, the last two of what a job sends.
func Fields() []string {
	return []string{FieldFeed, fieldNumber, fieldChain, fieldOriginalFeed, fieldOriginalNumber}
}

// AppendFields appends e's place as the members of a flat object of texts, for Splunk. e
// is in a chain.
func AppendFields(dst []byte, e *sinks.Event) []byte {
	dst = append(dst, `"`+FieldFeed+`":"`...)
	dst = append(dst, e.Feed...)
	dst = append(dst, `","`+fieldNumber+`":"`...)
	dst = strconv.AppendInt(dst, e.Link.Number, 10)
	dst = append(dst, `","`+fieldChain+`":"`...)
	dst = appendHash(dst, &e.Link.Hash)
	if e.Original.Known() {
		dst = append(dst, `","`+fieldOriginalFeed+`":"`...)
		dst = append(dst, e.Original.Feed...)
		dst = append(dst, `","`+fieldOriginalNumber+`":"`...)
		dst = strconv.AppendInt(dst, e.Original.Number, 10)
	}
	return append(dst, '"')
}

// AppendObject appends e's place as an object: with the event's digest for destinations that
// may not give its bytes back. e is in a chain.
func AppendObject(dst []byte, e *sinks.Event, digest bool) []byte {
	dst = append(dst, `{"feed":"`...)
	dst = append(dst, e.Feed...)
	dst = append(dst, `","seq":`...)
	dst = strconv.AppendInt(dst, e.Link.Number, 10)
	dst = append(dst, `,"chain":"`...)
	dst = appendHash(dst, &e.Link.Hash)
	if digest {
		dst = append(dst, `","digest":"`...)
		dst = appendHash(dst, &e.Link.Digest)
	}
	dst = append(dst, '"')
	if e.Original.Known() {
		dst = append(dst, `,"original_feed":"`...)
		dst = append(dst, e.Original.Feed...)
		dst = append(dst, `","original_seq":`...)
		dst = strconv.AppendInt(dst, e.Original.Number, 10)
	}
	return append(dst, '}')
}

// AppendExtension appends e's place as extensions of CEF, in whose values an equals sign is
// escaped. e is in a chain.
func AppendExtension(dst []byte, e *sinks.Event) []byte {
	dst = append(append(dst, "auditstreamFeed="...), e.Feed...)
	dst = strconv.AppendInt(append(dst, " auditstreamSeq="...), e.Link.Number, 10)
	dst = appendHash(append(dst, " auditstreamChain="...), &e.Link.Hash)
	dst = append(dst[:len(dst)-1], `\=`...) // the one at the end of a hash
	if e.Original.Known() {
		dst = append(append(dst, " auditstreamOriginalFeed="...), e.Original.Feed...)
		dst = strconv.AppendInt(append(dst, " auditstreamOriginalSeq="...), e.Original.Number, 10)
	}
	return dst
}

func appendHash(dst []byte, h *integrity.Hash) []byte {
	return base64.StdEncoding.AppendEncode(dst, h[:])
}

// Checkpoint is a signed checkpoint on its way into a feed.
type Checkpoint struct {
	integrity.Checkpoint

	Feed string // id of the chain
	JSON []byte // {"checkpoint":"…"}, with the signed text, without a line end
}

// Read reads a signed checkpoint. Whose signature it has it does not ask.
func Read(signed []byte) (*Checkpoint, error) {
	end := bytes.LastIndex(signed, []byte("\n\n"))
	if end < 0 {
		return nil, errors.New("the checkpoint is no signed note")
	}
	c, err := integrity.ParseCheckpoint(string(signed[:end+1]))
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(map[string]string{"checkpoint": string(signed)})
	if err != nil {
		return nil, err
	}
	return &Checkpoint{Checkpoint: *c, Feed: integrity.FeedID(c.Origin), JSON: text}, nil
}

// Originals are the numbers that the events of a job's batch had at first, in their order, as
// ranges: 12-80,83,90-95. Empty: nobody knows.
func Originals(c *sinks.Chain) string {
	var dst []byte
	for i := 0; i < len(c.Originals); {
		j := i + 1
		for j < len(c.Originals) && c.Originals[j] == c.Originals[j-1]+1 {
			j++
		}
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendInt(dst, c.Originals[i], 10)
		if j > i+1 {
			dst = strconv.AppendInt(append(dst, '-'), c.Originals[j-1], 10)
		}
		i = j
	}
	return string(dst)
}
