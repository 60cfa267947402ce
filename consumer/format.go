package consumer

import (
	"fmt"
	"sync"

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
// written so is an *Error of class Rejected.
func (s *stream) frame(dst []byte, e *sinks.Event, c *checker) ([]byte, error) {
	mask := s.mask.Load()
	if s.format == nil && mask == nil {
		return s.sink.Frame(dst, e)
	}
	f := s.buffers.get()
	defer s.buffers.put(f)
	event := *e
	var err error
	if mask != nil {
		if f.masked, err = mask.Append(f.masked[:0], e.Value); err != nil {
			return dst, unmasked(err)
		}
		event.Value = f.masked
	}
	if s.format == nil {
		return s.sink.Frame(dst, &event)
	}
	var decoded *schema.Event
	if mask != nil {
		decoded, err = schema.Decode(event.Value)
	} else {
		decoded, err = c.decoded()
	}
	if err != nil {
		return dst, unformatted(s.spec.Format, err)
	}
	if f.text, err = s.format.Append(f.text[:0], decoded, e.Link.Number); err != nil {
		return dst, unformatted(s.spec.Format, err)
	}
	event.Value = f.text
	if s.format.Text {
		f.value = schema.AppendText(f.value[:0], f.text)
		event.Value, event.Line = f.value, f.text
	}
	return s.sink.Frame(dst, &event)
}

// Apply returns e as a stream of the format sends it. Delivery does the same with memory that
// it uses again; this is for a single event.
func (f *Format) Apply(e *sinks.Event) (*sinks.Event, error) {
	decoded, err := schema.Decode(e.Value)
	if err != nil {
		return nil, err
	}
	text, err := f.Append(nil, decoded, e.Link.Number)
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
