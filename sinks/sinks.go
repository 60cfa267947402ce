// Package sinks is the contract between delivery and destinations.
//
// A sink is a thin driver: it frames events as its service wants them and hands
// one batch at a time to the service. Retry, batching, order, cursors and dead
// letters live once, in package consumer; a sink never retries, never sleeps and
// never drops. It either says that events are durably taken, or returns an [Error]
// whose [Class] says what has to happen to them.
package sinks

import (
	"context"
	"time"

	"github.com/auditstream/auditstream/integrity"
)

// Sink delivers the events of one revision of one stream. It is used by many lanes
// at once, so every method is safe for concurrent use.
type Sink interface {
	// Frame appends e as the destination reads it to dst and returns the longer slice.
	// It does no I/O and keeps nothing of e. An event that this destination can never
	// take (too large for it, say) is an *Error of class Rejected; dst is then returned
	// as it was. It is the same for the same event, whenever it is called.
	Frame(dst []byte, e *Event) ([]byte, error)

	// Deliver hands b to the destination and returns when the destination has durably
	// taken it, when it has refused it, or when ctx ends. The receipt counts even when
	// an error is returned: its first Settled events are durable and must not be sent
	// again. Without an error every event of b is. An error that is not an *Error is of
	// class Unavailable. Deliver makes one attempt and keeps neither b nor its memory.
	//
	// A sink that is a [Confirmer] may return as soon as the destination has taken events
	// in, before they are durable: the receipt then has a ticket for them.
	Deliver(ctx context.Context, b *Batch) (Receipt, error)

	// Close frees connections. No Deliver is under way when it is called.
	Close() error
}

// Confirmer is a Sink whose destination takes events in at first and says later whether
// they are durable. Only the waits for that overlap: the next batch of a lane may be
// delivered while earlier ones wait, and nothing counts as delivered before it is
// confirmed. How often to ask, and when to send again, is decided by whoever delivers.
type Confirmer interface {
	// Confirm asks the destination once what has become of the tickets, which are all of
	// lane, oldest first, and returns a standing for each. With an error nothing is known of
	// any. It is safe for concurrent use, also with Deliver.
	Confirm(ctx context.Context, lane Lane, tickets []Ticket) ([]Standing, error)
}

// Ticket stands for events that wait for their confirmation. Only the sink that gave it
// out can read it, and only as long as it is open.
type Ticket string

// Standing is what has become of a ticket.
type Standing int

const (
	// Waiting says not yet, or not known: ask again.
	Waiting Standing = iota
	// Durable says that the events are durable at the destination.
	Durable
	// Lost says that nobody will ever confirm the ticket. Its events have to be sent again,
	// although they may have arrived.
	Lost
)

// Witness is a Sink that can put checkpoints into the feed that they speak of, where its
// receiver finds them beside the events.
type Witness interface {
	// Checkpoint hands a signed checkpoint of the lane's chain to the destination, once and
	// beside the lane's batches: it may arrive before events that it speaks of, out of order,
	// and again. It returns when the destination has taken it, which need not be durably: the
	// next one says all that this one does. It is safe for concurrent use.
	Checkpoint(ctx context.Context, lane Lane, signed []byte) error
}

// Digester is a Sink whose destination keeps objects, and that writes down there, signed and
// for each hour, which objects it was given of a feed.
type Digester interface {
	// Digest writes the digests of d's chain that are due, those of hours without an object
	// too. It may be called as often as one likes, by several owners of the lane at once, and
	// beside the lane's batches.
	Digest(ctx context.Context, d *Digest) error
}

// Digest is the chain that digests are to be made of.
type Digest struct {
	Lane   Lane
	Origin string         // of the chain
	Head   integrity.Head // up to where it is settled, on record
	First  bool           // nothing was signed about the chain before: it has no digest
	Ended  bool           // it does not grow any more
	At     time.Time      // now: hours that are over by then are due

	Sign func(*integrity.Hour) ([]byte, error)
	Open func([]byte) (*integrity.Hour, error) // one that is there already, if we have signed it
}

// Event is one event on its way to a destination. Its slices alias memory that is
// reused as soon as Frame returns.
type Event struct {
	Value          []byte    // JSON in one line: the event in canonical form (RFC 8785), or as the stream's format has it; passed on as it is
	Line           []byte    // nil, or in a format of text: its line, without line end; Value is then the same as a JSON string
	ID             []byte    // of the event, stable over repeats; text inside the JSON quotes, unescaped
	OrganizationID []byte    // likewise
	Action         []byte    // likewise
	OccurredAt     []byte    // likewise: RFC 3339
	Offset         int64     // of its record
	Time           time.Time // append time of its record

	Feed string         // id of the chain that the event is part of; empty: the stream has none
	Link integrity.Link // the event's place in it

	// Original is, of an event that a job sends, which one it was at first. The zero value says
	// that it is sent for the first time, or that nobody knows.
	Original integrity.Original
}

// Entry says where one event of a batch ends in its Body.
type Entry struct {
	Offset int64 // of the event's record
	End    int   // end of its frame in Body; it begins where the former one ends
	Day    int32 // UTC day of the record's append time: days since 1970-01-01
}

// Lane names the one stream and partition that a batch belongs to.
type Lane struct {
	Stream    string // id that people use
	UID       string // identity of the stream: one made again under the same id has another
	Epoch     int64  // grows with each deliberate move of the cursor
	Revision  int64  // grows with each change of the stream
	Cluster   string // id of the Kafka cluster
	Topic     string // name of the events topic
	TopicID   string // its id: a topic made again has another
	Partition int32
}

// Batch is a run of a lane's events in the order of their offsets.
type Batch struct {
	Lane   Lane
	Events []Entry // at least one, offsets growing
	Body   []byte  // their frames, one after another, nothing between them
	Next   int64   // the batch covers everything of the lane below this offset
	Chain  *Chain  // where the events stand in the chain of their feed; nil: the stream has none
	Mark   string  // the last Mark that Deliver returned for this lane; empty, or older, after a crash
}

// Chain says where the events of a batch stand in the chain of their feed: they follow one
// another, without a gap.
type Chain struct {
	Origin string           // of the chain; see integrity.Origin
	Before integrity.Head   // of the chain, without the batch's events
	Links  []integrity.Link // of each event

	// Of events that a job sends: the feed that all of them were first numbered in, and the number
	// that each had there. Empty: nobody knows, or they are sent for the first time.
	OriginalFeed string
	Originals    []int64
}

// After is the head of the chain with the batch's events.
func (c *Chain) After() integrity.Head {
	if len(c.Links) == 0 {
		return c.Before
	}
	return c.Links[len(c.Links)-1].Head()
}

func (c *Chain) slice(i, j int) *Chain {
	before := c.Before
	if i > 0 {
		before = c.Links[i-1].Head()
	}
	s := &Chain{Origin: c.Origin, Before: before, Links: c.Links[i:j]}
	if len(c.Originals) > 0 {
		s.OriginalFeed, s.Originals = c.OriginalFeed, c.Originals[i:j]
	}
	return s
}

// Frame returns the frame of event i.
func (b *Batch) Frame(i int) []byte { return b.Body[b.start(i):b.Events[i].End:b.Events[i].End] }

// Slice returns the events [i, j) as a batch of their own, sharing memory with b.
func (b *Batch) Slice(i, j int) *Batch {
	s := *b
	base := b.start(i)
	s.Events = make([]Entry, j-i)
	for k := range s.Events {
		s.Events[k] = b.Events[i+k]
		s.Events[k].End -= base
	}
	s.Body = b.Body[base:b.start(j)]
	if b.Chain != nil {
		s.Chain = b.Chain.slice(i, j)
	}
	if j < len(b.Events) {
		s.Next = b.Events[j].Offset
	}
	return &s
}

func (b *Batch) start(i int) int {
	if i == 0 {
		return 0
	}
	return b.Events[i-1].End
}

// Receipt says what a destination has durably taken.
type Receipt struct {
	Settled int    // events at the head of the batch that are durable at the destination
	Pending Ticket // not empty: they are not, the destination has only taken them in; see Confirmer
	Mark    string // a note for the next Deliver of this lane, kept with its cursor: a hint that may get lost
	Begin   int64  // where the present revision begins, if the destination shows it to be later; else 0

	// Elsewhere is not 0 where the destination had the settled events below this offset already,
	// numbered in another chain than the batch's, or in none.
	Elsewhere int64
}

// Batching says how the events of a lane are cut into batches. A batch is cut when
// it reaches MaxBytes or MaxEvents, or when its first event has waited for Linger.
type Batching struct {
	MaxBytes  int           // of frames, uncompressed
	MaxEvents int           // 0: no limit
	Linger    time.Duration // 0: as soon as the lane is free
	Daily     bool          // a batch holds records of one UTC day of append time
	Runs      int           // of original numbers that follow one another, in a batch of a job; 0: no limit

	Confirmation Confirmation // where Deliver's receipts have tickets
}

// Confirmation says how a lane waits for a [Confirmer] to confirm.
type Confirmation struct {
	Batches int           // that may wait at once, at least 1: the next one waits for the oldest
	Every   time.Duration // between two questions, the first time; more and more while the answer is not yet
	Within  time.Duration // after that events that are not confirmed are sent again
}

// Settings are the configuration of one stream's destination, as its kind defines
// them: a struct with json tags, decoded strictly over its defaults.
type Settings interface {
	// Validate reports every violation, joined; each is a *FieldError.
	Validate() error
	// Batching is how batches are cut for this destination.
	Batching() Batching
}

// Placed is implemented by settings of a kind that takes each event exactly once by
// where it puts it.
type Placed interface {
	// Place names where events are put. Settings with another place begin a new epoch: the
	// destination cannot tell there what it has taken at the former one.
	Place() string
}

// Formatted is implemented by settings of a kind that can be set to take some formats only.
type Formatted interface {
	// CheckFormat says what to write in place of a stream's format that the settings do not
	// go with.
	CheckFormat(format string) error
}

// Bound is implemented by settings of a kind that may hold secrets.
type Bound interface {
	// Origins are where the settings' secrets are sent, or what is made with them: scheme,
	// host and port of every service and proxy. A secret that was sealed for some is of no
	// use with others.
	Origins() []string
}

// Hosted is implemented by settings of a kind that can reach into the machine that delivers.
type Hosted interface {
	// HostOnly are the settings in use that reach into the machine: its files, or credentials
	// that are its own. They are for streams of [OwnerFile] alone; the messages say what
	// others do instead.
	HostOnly() []*FieldError
}

// Assumer is implemented by settings of a kind that may act in somebody's stead, by a role
// that asks for an id beside our own credentials. If one tenant could choose the id that
// another one's role asks for, we would write into the other's store for him.
type Assumer interface {
	// Assumes is the field that holds the id, what it holds, and whether one is needed.
	Assumes() (field, value string, needed bool)
}

// Kind is one kind of destination.
type Kind struct {
	Name     string          // as written in the configuration: splunk, s3, datadog
	Defaults func() Settings // a pointer to fresh settings with every default set
	Open     func(Settings, Options) (Sink, error)
}
