// Package feed publishes files of events: one a line, audit events or WorkOS Events, mixed
// as they come. A bad line is told and passed over; the good ones are published. Memory is
// bounded by the producer's buffer, whatever the size of the file.
package feed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/auditstream/auditstream/internal/ndjson"
	"github.com/auditstream/auditstream/producer"
	"github.com/auditstream/auditstream/producer/workos"
	"github.com/auditstream/auditstream/schema"
)

// Publisher publishes events, as [producer.Client] does, with its errors.
type Publisher interface {
	PublishAsync(ctx context.Context, event *schema.Event, done func(error))
}

// Position is a place between two lines of the input.
type Position struct {
	Line   int   // lines before it
	Offset int64 // bytes before it
}

// Config says what is published, and who is told of problems.
type Config struct {
	Client Publisher // stays open
	// At is where in the whole input the reader begins.
	At Position
	// Source names the input, the same in every run over it. It is asked for once, when the
	// first event without an id was read, which then gets one that is derived from the source,
	// its place and its content: who reads the line another time gives the same id. nil: such an
	// event gets a new id.
	Source func() (string, error)
	// Settled is told that all lines before a position are acknowledged or refused. Positions
	// only grow. It is called from any goroutine, one call at a time, and must return at once.
	// May be nil.
	Settled func(at Position)
	// Validator is the client's: it finds every violation with the names of the line.
	Validator schema.Validator
	// Organization is given to events that name none; empty: they are refused.
	Organization string
	// Refused is told of each line that is no valid event, one call at a time. A violation
	// without a pointer is about the whole line.
	Refused func(line int, violations schema.Violations)
	// Failed is told, once, that an event was not accepted, and that nothing more is to be read:
	// a reader that waits for lines has to end. It is called from any goroutine and must return
	// at once. May be nil.
	Failed func()
	// Accepted is told how many events Kafka has acknowledged so far; it is called from any
	// goroutine and must return at once. May be nil.
	Accepted func(total int)
}

// Counts say what became of the lines that hold more than white space.
type Counts struct {
	Published int // acknowledged by Kafka
	Refused   int // no valid event, or too large
	Failed    int // valid, but not acknowledged
}

// StoppedError says that Kafka did not take valid events. Nothing was read beyond what was
// under way then.
type StoppedError struct {
	Lines []int // of the events that were not acknowledged, in order; at least one
	Err   error // why the first of them was not
}

func (e *StoppedError) Error() string {
	return fmt.Sprintf("%s not accepted: %v", ranges(e.Lines), e.Err)
}

func (e *StoppedError) Unwrap() error { return e.Err }

// Publish reads r to its end and returns when every event is acknowledged or has failed.
// It stops reading at the first event that Kafka does not take (a *StoppedError), when ctx
// ends (ctx's error), and at an error of r; what was read by then is still published.
func Publish(ctx context.Context, r io.Reader, c Config) (Counts, error) {
	p := &publishing{Config: c}
	err := p.read(ctx, ndjson.NewReaderAt(r, ndjson.MaxLine, c.At.Line, c.At.Offset))
	p.underWay.Wait() // each ends within the producer's time-out
	if stopped := p.stopped(); stopped != nil {
		err = errors.Join(err, stopped)
	}
	return p.counts, err
}

type publishing struct {
	Config
	underWay sync.WaitGroup
	source   string // empty: not asked for yet

	mu     sync.Mutex
	counts Counts        // guarded by mu
	failed map[int]error // guarded by mu; by line, bounded by the producer's buffer
	lines  []*reading    // not settled, or behind such a one; guarded by mu, bounded likewise
}

// reading is a line that was read.
type reading struct {
	end     Position // behind it
	settled bool     // guarded by the publishing's mu
}

func (p *publishing) read(ctx context.Context, lines *ndjson.Reader) error {
	for ctx.Err() == nil && !p.hasFailed() {
		line, err := lines.Next()
		switch tooLong, isTooLong := errors.AsType[*ndjson.TooLongError](err); {
		case isTooLong:
			p.refuse(p.begins(lines), schema.Violations{{Code: schema.CodeTooLarge, Message: tooLong.Error()}})
			continue
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read line %d: %w", lines.Line()+1, err)
		}
		event, violations := p.decode(line)
		if violations != nil {
			p.refuse(p.begins(lines), violations)
			continue
		}
		if err := p.derive(event, lines.Offset()); err != nil {
			return err
		}
		p.publish(ctx, p.begins(lines), event)
	}
	return context.Cause(ctx)
}

// begins notes that a line is under way.
func (p *publishing) begins(lines *ndjson.Reader) *reading {
	l := &reading{end: Position{lines.Line(), lines.Offset()}}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lines = append(p.lines, l)
	return l
}

// settle notes that nothing is left to do about a line. mu is held.
func (p *publishing) settle(l *reading) {
	l.settled = true
	n := 0
	for n < len(p.lines) && p.lines[n].settled {
		n++
	}
	if n == 0 {
		return
	}
	at := p.lines[n-1].end
	p.lines = p.lines[n:]
	if p.Settled != nil {
		p.Settled(at)
	}
}

// derive gives an event without an id the one that its line has in every run.
func (p *publishing) derive(e *schema.Event, end int64) error {
	if p.Source == nil || e.ID != "" {
		return nil
	}
	if p.source == "" {
		var err error
		if p.source, err = p.Source(); err != nil {
			return fmt.Errorf("derive the ids of events: %w", err)
		}
	}
	content, err := e.AppendCanonical(nil)
	if err != nil {
		return nil //nolint:nilerr // the client refuses it, with everything that is wrong
	}
	e.ID = schema.DeriveID(e.OrganizationID, fmt.Sprintf("publish %s %d", p.source, end), content)
	return nil
}

// decode makes an event of a line, or says everything that is wrong with it. What only
// shows in the finished event, as a wrong Organization, is found by the client.
func (p *publishing) decode(line []byte) (*schema.Event, schema.Violations) {
	if workos.IsEvent(line) {
		event, err := workos.Convert(line, p.Organization)
		return event, asViolations(err)
	}
	v := p.Validator
	v.OrganizationOptional = v.OrganizationOptional || p.Organization != ""
	if violations := v.Check(line); violations != nil {
		return nil, violations
	}
	event, err := schema.Decode(line)
	if err == nil && event.OrganizationID == "" {
		event.OrganizationID = p.Organization
	}
	return event, asViolations(err)
}

func asViolations(err error) schema.Violations {
	if err == nil {
		return nil
	}
	if violations, ok := errors.AsType[schema.Violations](err); ok {
		return violations
	}
	return schema.Violations{{Code: schema.CodeSyntax, Message: err.Error()}}
}

func (p *publishing) publish(ctx context.Context, l *reading, event *schema.Event) {
	p.underWay.Add(1)
	p.Client.PublishAsync(ctx, event, func(err error) {
		defer p.underWay.Done()
		if tooLarge, ok := errors.AsType[*producer.TooLargeError](err); ok {
			p.refuse(l, schema.Violations{{Code: schema.CodeTooLarge, Message: tooLarge.Error()}})
			return
		}
		if violations, ok := errors.AsType[schema.Violations](err); ok {
			p.refuse(l, violations)
			return
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if err != nil {
			p.counts.Failed++
			if p.failed == nil {
				p.failed = map[int]error{}
				if p.Failed != nil {
					p.Failed()
				}
			}
			p.failed[l.end.Line] = err
			return
		}
		p.counts.Published++
		if p.Accepted != nil {
			p.Accepted(p.counts.Published)
		}
		p.settle(l)
	})
}

func (p *publishing) refuse(l *reading, violations schema.Violations) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counts.Refused++
	p.Refused(l.end.Line, violations)
	p.settle(l)
}

func (p *publishing) hasFailed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.failed) > 0
}

func (p *publishing) stopped() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.failed) == 0 {
		return nil
	}
	e := &StoppedError{}
	for line := range p.failed {
		e.Lines = append(e.Lines, line)
	}
	slices.Sort(e.Lines)
	e.Err = p.failed[e.Lines[0]]
	return e
}

// shownRanges bounds the message of a StoppedError.
const shownRanges = 20

// ranges writes sorted lines as "line 5" or "lines 5-7, 9".
func ranges(lines []int) string {
	if len(lines) == 1 {
		return fmt.Sprintf("line %d", lines[0])
	}
	var parts []string
	for i := 0; i < len(lines); {
		j := i
		for j+1 < len(lines) && lines[j+1] == lines[j]+1 {
			j++
		}
		if len(parts) == shownRanges {
			parts = append(parts, fmt.Sprintf("and %d more up to %d", len(lines)-i, lines[len(lines)-1]))
			break
		}
		if i == j {
			parts = append(parts, fmt.Sprint(lines[i]))
		} else {
			parts = append(parts, fmt.Sprintf("%d-%d", lines[i], lines[j]))
		}
		i = j + 1
	}
	return "lines " + strings.Join(parts, ", ")
}
