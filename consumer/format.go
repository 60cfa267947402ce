package consumer

import (
	"fmt"
	"sync"

	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/schema"
	"github.com/auditstream/auditstream/sinks"
)

// Format writes events as a stream wants them at its destination.
type Format struct {
	// Append appends the event, which is decoded from a record's value, to dst and returns
	// the longer slice. number is the event's in its feed, 0 where the feed has none; formats
	// that know of one have it in the document. What it appends is the same for the same event
	// and number, whenever it is called, and JSON in canonical form (RFC 8785). It is safe for
	// concurrent use.
	Append func(dst []byte, e *schema.Event, number int64) ([]byte, error)
	// Text says that what it appends is a line of text and not JSON.
	Text bool
}

// formatted is what mask and format made of an event, kept to be used again.
type formatted struct{ masked, text, value []byte }

// formatBuffers keeps the memory of formatted events. What has become large for one of
// them is left to the garbage.
type formatBuffers struct{ pool sync.Pool }

const maxFormatted = 64 << 10

func (b *formatBuffers) get() *formatted {
	if f, ok := b.pool.Get().(*formatted); ok {
		return f
	}
	return new(formatted)
}

func (b *formatBuffers) put(f *formatted) {
	if cap(f.masked)+cap(f.text)+cap(f.value) <= maxFormatted {
		b.pool.Put(f)
	}
}

// frame appends the event, which c has checked last, to dst as the stream's destination
// reads it: passed through, or masked and in the stream's format. What cannot be masked or
// written so is an *Error of class Rejected. Where the event is in a chain it is linked to
// the one before it, whatever becomes of it then.
func (s *stream) frame(dst []byte, e *sinks.Event, c *checker, before integrity.Head) ([]byte, error) {
	mask := s.mask.Load()
	if s.format == nil && mask == nil {
		if e.Feed != "" {
			e.Link = before.Link(c.digest())
		}
		return s.sink.Frame(dst, e)
	}
	f := s.buffers.get()
	defer s.buffers.put(f)
	event := *e
	if err := s.write(&event, f, mask, c, before); err != nil {
		if e.Feed != "" {
			e.Link = before.Link(undeliverable(e.Offset))
		}
		return dst, err
	}
	if e.Feed != "" {
		e.Link = before.Link(digest(&event))
		event.Link = e.Link
	}
	return s.sink.Frame(dst, &event)
}

// write makes the event, which c has checked last, what leaves of it, in the memory of f.
func (s *stream) write(e *sinks.Event, f *formatted, mask *schema.Mask, c *checker, before integrity.Head) (err error) {
	if mask != nil {
		if f.masked, err = mask.Append(f.masked[:0], e.Value); err != nil {
			return unmasked(err)
		}
		e.Value = f.masked
	}
	if s.format == nil {
		return nil
	}
	var decoded *schema.Event
	if mask != nil {
		decoded, err = schema.Decode(e.Value)
	} else {
		decoded, err = c.decoded()
	}
	if err != nil {
		return unformatted(s.spec.Format, err)
	}
	number := int64(0)
	switch {
	case s.of != "": // a job sends what was sent at first, so that both are the same
		number = e.Original.Number
	case e.Feed != "":
		number = before.Size + 1
	}
	if f.text, err = s.format.Append(f.text[:0], decoded, number); err != nil {
		return unformatted(s.spec.Format, err)
	}
	e.Value = f.text
	if s.format.Text {
		f.value = schema.AppendText(f.value[:0], f.text)
		e.Value, e.Line = f.value, f.text
	}
	return nil
}

// leaf is the digest of an event that c has checked last, and that does not leave; unknown is
// why nobody knows whether it would, if that is so.
func (s *stream) leaf(e *sinks.Event, c *checker, in *chain, before integrity.Head, unknown error) integrity.Hash {
	if unknown != nil {
		return undeliverable(e.Offset)
	}
	f := s.buffers.get()
	defer s.buffers.put(f)
	event := *e
	event.Feed = in.feed
	if err := s.write(&event, f, s.mask.Load(), c, before); err != nil {
		return undeliverable(e.Offset)
	}
	return digest(&event)
}

// digest is the hash of what leaves of an event.
func digest(e *sinks.Event) integrity.Hash {
	if e.Line != nil {
		return integrity.Digest(e.Line)
	}
	return integrity.Digest(e.Value)
}

// Apply returns e as a stream of the format sends it. Delivery does the same with memory that
// it uses again; this is for a single event.
func (f *Format) Apply(e *sinks.Event) (*sinks.Event, error) {
	decoded, err := schema.Decode(e.Value)
	if err != nil {
		return nil, err
	}
	text, err := f.Append(nil, decoded, 0)
	if err != nil {
		return nil, err
	}
	made := *e
	made.Value = text
	if f.Text {
		made.Value, made.Line = schema.AppendText(nil, text), text
	}
	return &made, nil
}

func unformatted(format string, err error) error {
	return &sinks.Error{Class: sinks.Rejected, Err: fmt.Errorf("the event has no form in the format %s: %w", format, err)}
}
