package consumer

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/schema"
)

// Rechain makes a stream's chain of one partition anew, from the records of the events topic
// alone, by the code that delivers: whoever doubts a checkpoint can see whether it comes to
// the same. It is used by one goroutine.
type Rechain struct {
	stream    *stream
	router    *router
	inspector *Inspector
	chain     chain
	head      integrity.Head
}

// RechainConfig is what a Rechain needs beside the stream.
type RechainConfig struct {
	Validator schema.Validator
	TopicID   string
	Format    *Format        // of the stream; nil: events pass through
	Origin    string         // of the chain
	Head      integrity.Head // of the chain where the records begin
}

// Rechain begins at c.Head. It reads the keys of the stream's mask.
func (s Spec) Rechain(ctx context.Context, c RechainConfig) (*Rechain, error) {
	of := &stream{spec: s, actions: newActionFilter(s.Actions), format: c.Format, buffers: &formatBuffers{}}
	var err error
	if of.filter, err = s.compile(); err != nil {
		return nil, err
	}
	mask, err := s.NewMask(ctx)
	if err != nil {
		return nil, err
	}
	of.mask.Store(mask)
	return &Rechain{
		stream: of, router: newRouter([]*stream{of}), inspector: NewInspector(c.Validator, c.TopicID),
		chain: chain{origin: c.Origin, feed: integrity.FeedID(c.Origin)}, head: c.Head,
	}, nil
}

// Head is that of the chain with everything that was taken.
func (r *Rechain) Head() integrity.Head { return r.head }

// Reset goes on from another place, of the same chain or of another one.
func (r *Rechain) Reset(origin string, head integrity.Head) {
	if r.chain.origin != origin {
		r.chain = chain{origin: origin, feed: integrity.FeedID(origin)}
	}
	r.head = head
}

// Take takes the next record and returns the place of its event in the chain, and the id;
// ok is false of a record that is not in it.
func (r *Rechain) Take(rec *kgo.Record) (link integrity.Link, id []byte, ok bool) {
	event, _ := r.inspector.Event(rec)
	if event == nil {
		return link, nil, false
	}
	found := r.router.match(event.OrganizationID, event.Action, nil)
	if len(found) == 0 {
		return link, nil, false
	}
	pass, unknown := r.stream.passes(&r.inspector.check)
	if !pass && unknown == nil {
		return link, nil, false
	}
	link = r.head.Link(r.stream.leaf(event, &r.inspector.check, &r.chain, r.head, unknown))
	r.head = link.Head()
	return link, event.ID, true
}
