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
)

// Fields are the names that AppendFields writes.
func Fields() []string { return []string{FieldFeed, fieldNumber, fieldChain} }

// AppendFields appends e's place as the members of a flat object of texts, for Splunk. e
// is in a chain.
func AppendFields(dst []byte, e *sinks.Event) []byte {
	dst = append(dst, `"`+FieldFeed+`":"`...)
	dst = append(dst, e.Feed...)
	dst = append(dst, `","`+fieldNumber+`":"`...)
	dst = strconv.AppendInt(dst, e.Link.Number, 10)
	dst = append(dst, `","`+fieldChain+`":"`...)
	dst = appendHash(dst, &e.Link.Hash)
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
	return append(dst, `"}`...)
}

// AppendExtension appends e's place as extensions of CEF, in whose values an equals sign is
// escaped. e is in a chain.
func AppendExtension(dst []byte, e *sinks.Event) []byte {
	dst = append(append(dst, "auditstreamFeed="...), e.Feed...)
	dst = strconv.AppendInt(append(dst, " auditstreamSeq="...), e.Link.Number, 10)
	dst = appendHash(append(dst, " auditstreamChain="...), &e.Link.Hash)
	return append(dst[:len(dst)-1], `\=`...) // the one at the end of a hash
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
