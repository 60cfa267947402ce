package consumer

import (
	"bytes"
	"errors"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/schema"
	"github.com/auditstream/auditstream/sinks"
)

// Headers of an event record. Package producer writes them; other Kafka clients may.
const (
	headerVersion  = "version"
	recordVersion  = "1"
	headerEncoding = "encoding"
	encodingJCS    = "jcs" // the value is canonical already: pass it through, if it is
)

// Codes of what is wrong with a record rather than with its event.
const (
	codeKey     = "key"     // the key does not say whose event it is
	codeVersion = "version" // a format that this binary does not know
)

// checker turns records into events. It is owned by one goroutine at a time.
type checker struct {
	validator schema.Validator
	topicID   string
	letters   Letters // where records are those of letters, else nil
	fields    schema.Fields
	event     sinks.Event
	tree      *schema.Event // of event, if somebody has asked for it
	treeErr   error
	leaf      integrity.Hash // of event as it passes through, if somebody has asked for it
	hashed    bool
}

// check proves that a record is one event of the organization that its key names. What
// is marked as canonical, and is, passes through after one scan; anything else is decoded,
// validated in full and encoded anew: receivers hold the canonical form against the digest
// that the feed has of the event, and where events are lines, one with a line feed would be
// two. The event is good until the next call.
func (c *checker) check(r *kgo.Record) (*sinks.Event, schema.Violations) {
	value := r.Value
	c.tree, c.treeErr, c.hashed = nil, nil, false
	canonical, version := marks(r)
	if version != "" && version != recordVersion {
		return nil, schema.Violations{{Code: codeVersion, Message: "record format " + strconv.Quote(bounded(version[1:])) + " is not known: upgrade delivery, then redrive"}}
	}
	f := &c.fields
	var bad error
	if canonical {
		bad = schema.Scan(value, f)
	}
	if !canonical || bad == nil && !f.Canonical {
		var vs schema.Violations
		if value, vs = c.encode(r); len(vs) > 0 {
			return nil, vs
		}
		bad = schema.Scan(value, f)
	}
	if bad != nil {
		return nil, c.explain(r, schema.Violation{Pointer: "", Code: schema.CodeSyntax, Message: bad.Error()})
	}
	switch {
	case r.Key == nil:
		return nil, c.explain(r, schema.Violation{Pointer: "", Code: codeKey, Message: "the record has no key: it must be the event's organization_id"})
	case f.Action == nil || f.ID == nil || f.OccurredAt == nil || f.OrganizationID == nil:
		return nil, c.explain(r, missing(f)...)
	case !bytes.Equal(r.Key, f.OrganizationID):
		return nil, c.explain(r, schema.Violation{Pointer: "/organization_id", Code: codeKey, Message: "differs from the record's key: nobody can tell whose event this is"})
	}
	c.event = sinks.Event{
		Value:          value,
		ID:             f.ID,
		OrganizationID: f.OrganizationID,
		Action:         f.Action,
		OccurredAt:     f.OccurredAt,
		Offset:         r.Offset,
		Time:           r.Timestamp,
	}
	return &c.event, nil
}

// marks reads the headers that say how a record is written. A record without any comes
// from some other client and is taken for version 1.
func marks(r *kgo.Record) (canonical bool, version string) {
	for i := range r.Headers {
		switch h := &r.Headers[i]; h.Key {
		case headerEncoding:
			canonical = string(h.Value) == encodingJCS
		case headerVersion:
			if string(h.Value) == recordVersion {
				version = recordVersion // no allocation
			} else {
				version = "?" + string(h.Value)
			}
		}
	}
	return canonical, version
}

// encode makes the canonical value of a record that some other Kafka client wrote. An
// event without id gets one that the record's place determines, so that reading it
// again gives the same.
func (c *checker) encode(r *kgo.Record) ([]byte, schema.Violations) {
	if vs := c.validator.Check(r.Value); len(vs) > 0 {
		return nil, vs
	}
	e, err := schema.Decode(r.Value)
	if err != nil {
		return nil, violations(err)
	}
	if e.ID == "" {
		topicID, partition, offset := c.topicID, r.Partition, r.Offset
		if c.letters != nil { // as it would have been, had it not gone to the dead letters
			o := c.letters.Origin(r)
			topicID, partition, offset = o.TopicID, o.Partition, o.Offset
		}
		e.ID = schema.RecordID(topicID, partition, offset)
	}
	value, err := e.AppendCanonical(nil)
	if err != nil {
		return nil, violations(err)
	}
	c.tree = e
	return value, nil
}

// decoded is the event that check has returned last, decoded once for all streams that look
// into it. It is not to be changed.
func (c *checker) decoded() (*schema.Event, error) {
	if c.tree == nil && c.treeErr == nil {
		c.tree, c.treeErr = schema.Decode(c.event.Value)
	}
	return c.tree, c.treeErr
}

// digest is the hash of the event that check has returned last, as it passes through, made
// once for all streams that chain it so.
func (c *checker) digest() integrity.Hash {
	if !c.hashed {
		c.leaf, c.hashed = integrity.Digest(c.event.Value), true
	}
	return c.leaf
}

func violations(err error) schema.Violations {
	if vs, ok := errors.AsType[schema.Violations](err); ok {
		return vs
	}
	return schema.Violations{{Code: schema.CodeSyntax, Message: err.Error()}}
}

// explain lists everything that is wrong with a record: what was noticed and what the
// full validation finds.
func (c *checker) explain(r *kgo.Record, noticed ...schema.Violation) schema.Violations {
	vs := c.validator.Check(r.Value)
	for _, n := range noticed {
		known := false
		for _, k := range vs {
			known = known || k.Pointer == n.Pointer && (k.Code == n.Code || n.Code == schema.CodeRequired)
		}
		if !known && (n.Code != schema.CodeSyntax || len(vs) == 0) {
			vs = append(vs, n)
		}
	}
	return vs
}

func missing(f *schema.Fields) []schema.Violation {
	var vs []schema.Violation
	for _, x := range []struct {
		name  string
		value []byte
	}{{"action", f.Action}, {"id", f.ID}, {"occurred_at", f.OccurredAt}, {"organization_id", f.OrganizationID}} {
		if x.value == nil {
			vs = append(vs, schema.Violation{Pointer: "/" + x.name, Code: schema.CodeRequired, Message: "required in a record"})
		}
	}
	return vs
}

// invalid is the cause of a record's dead letter.
func invalid(vs schema.Violations) cause {
	now := time.Now()
	return cause{
		class: classInvalid, reason: bounded(vs.Error()), violations: vs,
		attempts: 1, first: now, last: now,
	}
}
