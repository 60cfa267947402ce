// Package verify reads what receivers have of feeds (exports of SIEMs, files, objects of a
// store, records of Kafka) and has package integrity check it.
package verify

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/auditstream/auditstream/integrity"
)

// Source is something that a receiver has. It is read twice: checkpoints first, for they
// say what the events have to lead to, and keep nothing of them in memory meanwhile.
type Source interface {
	// Size is what reading all of it once moves the progress by.
	Size() int64
	// Checkpoints hands over every signed checkpoint.
	Checkpoints(ctx context.Context, s *Sink) error
	// Events hands over every event.
	Events(ctx context.Context, s *Sink) error
}

// Sink is where sources put what they read.
type Sink struct {
	checker  *integrity.Checker
	keys     *integrity.Keys
	from     time.Time
	progress func(n int64)
	want     string

	wanted      []byte // the event to prove, in canonical form
	checkpoints int64
}

// Report is what was found, and how it was looked at.
type Report struct {
	integrity.Report

	Checkpoints int64            `json:"checkpoints"`          // that were read, repeats among them
	Consistent  *bool            `json:"consistent,omitempty"` // whether the events lead to both checkpoints of a Pair
	Proof       *integrity.Proof `json:"-"`                    // of the event that was wanted; nil: NoProof says why
	NoProof     error            `json:"-"`

	DigestOnly int64 `json:"digest_only"` // events of all feeds of which only the digest was there
}

// Options say how to check.
type Options struct {
	integrity.Options

	// Progress is told how much more was read, of twice the sum of sizes; less than 0 of what
	// has to be read again. It is called by several goroutines at the same time.
	Progress func(n int64)
	Want     string // id of an event to prove
	Pair     *Pair  // checkpoints to hold against each other; nil: none
}

// Run checks what sources have.
func Run(ctx context.Context, o Options, sources ...Source) (*Report, error) {
	if o.Progress == nil {
		o.Progress = func(int64) {}
	}
	s := &Sink{checker: integrity.NewChecker(o.Options), keys: o.Keys, from: o.From, progress: o.Progress, want: o.Want}
	r := &Report{}
	s.checker.Want(o.Want)
	for _, source := range sources {
		if err := source.Checkpoints(ctx, s); err != nil {
			return nil, err
		}
	}
	for _, source := range sources {
		if err := source.Events(ctx, s); err != nil {
			return nil, err
		}
	}
	if o.Want != "" {
		if r.Proof, r.NoProof = s.checker.Proof(); r.Proof != nil {
			r.Proof.Event = s.wanted
		}
	}
	r.Report = *s.checker.Finish()
	if p := o.Pair; p != nil {
		r.Consistent = new(s.checker.Leads(p.Origin, p.From, p.To))
	}
	if r.Consistent != nil {
		if *r.Consistent {
			r.Sentence += fmt.Sprintf(" The two checkpoints are consistent: the events lead from size %d to size %d.", o.Pair.From, o.Pair.To)
		} else {
			if r.Verdict == integrity.Complete || r.Verdict == integrity.NotCovered {
				r.Verdict = integrity.Unchecked
			}
			r.Sentence += " The events do not lead from the one checkpoint to the other without a fault: they are not shown to be consistent."
		}
	}
	r.Checkpoints = s.checkpoints
	for i := range r.Feeds {
		r.DigestOnly += r.Feeds[i].DigestOnly
	}
	return r, nil
}

// Checker is what is told about what was read.
func (s *Sink) Checker() *integrity.Checker { return s.checker }

// Counted counts checkpoints that were handed to the checker.
func (s *Sink) Counted(checkpoints int64) { s.checkpoints += checkpoints }

// Progress says how much more was read.
func (s *Sink) Progress(n int64) { s.progress(n) }

// counted tells the progress what is read from r.
func (s *Sink) counted(r io.Reader) io.Reader { return &countedReader{r: r, tell: s.progress} }

type countedReader struct {
	r    io.Reader
	tell func(n int64)
	n    int64
}

func (c *countedReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	c.tell(int64(n))
	return n, err
}
