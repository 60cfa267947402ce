package consumer

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/auditstream/auditstream/sinks"
)

// Letters is what a redrive reads in place of the events topic: the dead letters of its stream
// that were open when it was made, each as the record that it is about, at the letter's
// partition and offset. Which these are follows from the letters and marks below the end of
// the redrive's range alone, so that the number that each gets in the redrive's chain is the
// same however often the redrive is gone on with.
type Letters interface {
	// Read reads like [kafka.Reader.Read]; offsets without such a letter hold no record.
	Read(ctx context.Context, partition int32, from int64, maxBytes int32) (kafka.Span, error)
	// Origin is what is known of the record that Read has returned.
	Origin(r *kgo.Record) LetterOrigin
	// Mark puts the mark on letters that their event was redriven, in which feed of the
	// redrive's if it has one, and returns when all replicas have it. To mark a letter twice does
	// no harm.
	Mark(ctx context.Context, partition int32, offsets []int64, feed string) error
}

// LetterOrigin says what a letter of a redrive is about, and how it stands.
type LetterOrigin struct {
	TopicID   string // where the record stands, or stood, in the events topic
	Partition int32
	Offset    int64

	Original integrity.Original // the event in the feed that does not have it; zero: the letter does not say
	Standing LetterStanding
	In       string // of LetterRedriven: the feed, if any
}

// LetterStanding is how a letter stands that was open when the redrive was made.
type LetterStanding int

// The standings.
const (
	LetterOpen     LetterStanding = iota // its event is to be sent
	LetterRedriven                       // this redrive has sent it, and marked it
	LetterDecided                        // somebody else has redriven or discarded it
)

// letterOriginals is originals of a redrive. It is guarded by the partition's mu.
type letterOriginals struct {
	letters Letters
	at      int64 // offset of the letter that was read last
	letter  LetterOrigin
}

func (o *letterOriginals) sees(r *kgo.Record, _ *sinks.Event, _ *checker) {
	o.at, o.letter = r.Offset, o.letters.Origin(r)
}

func (o *letterOriginals) of(offset int64) (integrity.Original, string) {
	switch {
	case offset != o.at:
		return integrity.Original{}, originalNotFound
	case !o.letter.Original.Known():
		return integrity.Original{}, originalOld
	}
	return o.letter.Original, ""
}

func (o *letterOriginals) lost(int64) {}

// decide numbers a letter whose event is not to be sent any more: it has the place in the
// redrive's chain that it had, or would have had, when it was sent. It reports false, and
// takes nothing, when there is no room. The caller holds p.mu.
func (p *partition) decide(l *lane, r *kgo.Record, e *sinks.Event, o *LetterOrigin) bool {
	wanted := false
	if e != nil {
		pass, err := l.stream.passes(&p.check)
		wanted = pass && err == nil && len(p.found) > 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.Offset < l.next {
		return true
	}
	if !l.roomy() {
		return false
	}
	l.follow(r.Offset)
	why := cause{class: classDecided}
	if o.Standing == LetterRedriven {
		why.class = classRedriven
	}
	var link integrity.Link
	if l.taking != nil {
		if o.In != l.taking.feed { // before the stream was changed
			why.reason = withheldOther
		}
		digest := undeliverable(r.Offset)
		if wanted {
			e.Original, _ = l.original(r.Offset)
			digest = l.stream.leaf(e, &p.check, l.taking, l.tip, nil)
		}
		link = l.tip.Link(digest)
	}
	return l.condemn(r.Offset, r.Timestamp, why, link)
}

// letterSource is Letters as what a group reads from.
type letterSource struct {
	source // everything else
	topic  string
	from   Letters
}

func (s letterSource) Read(ctx context.Context, topic string, partition int32, from int64, maxBytes int32) (kafka.Span, error) {
	if topic != s.topic {
		return s.source.Read(ctx, topic, partition, from, maxBytes)
	}
	return s.from.Read(ctx, partition, from, maxBytes)
}

// redriven marks the letters of events that the destination has taken. Only then may the
// cursor move: a crash in between sends the events again, and never leaves one that was not
// sent marked as if it were. While the mark cannot be written the lane holds.
func (l *lane) redriven(ctx context.Context, events []sinks.Entry) error {
	letters := l.p.g.letters
	if letters == nil || len(events) == 0 {
		return nil
	}
	offsets := make([]int64, len(events))
	for i, e := range events {
		offsets[i] = e.Offset
	}
	feed := ""
	l.mu.Lock()
	if len(l.chains) > 0 {
		feed = l.chains[0].feed // nothing of another is sent before all of it is settled
	}
	l.mu.Unlock()
	for n := 1; ; n++ {
		err := letters.Mark(ctx, l.p.number, offsets, feed)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := l.wait(ctx, StateError, err, l.p.g.cfg.Retry.wait(n, 0)); err != nil {
			return err
		}
	}
}

// unwanted is why a letter's event is not sent: the stream's organization or actions were
// changed since the letter was written. To send it might show one tenant's event to another.
func unwanted() cause {
	now := time.Now()
	return cause{
		class: classUnwanted, attempts: 1, first: now, last: now,
		reason: "the stream takes no such events any more: its organization or its actions were changed since the letter was written",
	}
}
