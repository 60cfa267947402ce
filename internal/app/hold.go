package app

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/auditstream/auditstream/consumer"
)

// Deed is who does something to a stream, and why. Both stay on record.
type Deed struct {
	By, Reason string
	If         string // the version that the stream has to have, see VersionOf; empty: whichever
}

func (d Deed) change(what string) consumer.Change {
	return consumer.Change{What: what, By: d.By, At: time.Now().UTC(), Reason: d.Reason}
}

// VersionOf is another one after each change of a stream, and of one that is made again.
func VersionOf(s consumer.Spec) string { return s.UID + "." + strconv.FormatInt(s.Revision, 10) }

// ChangedError says that a stream has another version than whoever changes it knows.
type ChangedError struct{ ID, Version, Known string }

func (e *ChangedError) Error() string {
	return fmt.Sprintf("stream %q was changed meanwhile: its version is %s, and no longer %s; look at it again", e.ID, e.Version, e.Known)
}

// check refuses a stream of another version.
func (d Deed) check(s consumer.Spec) error {
	if d.If == "" || d.If == VersionOf(s) {
		return nil
	}
	return &ChangedError{ID: s.ID, Version: VersionOf(s), Known: d.If}
}

// Done is what became of a deed.
type Done struct {
	Spec    consumer.Spec // the stream as it is now
	Written bool          // false: nothing had to be changed
}

// Pause holds a stream where it stands: its cursor stays, its events wait in Kafka. It is
// an act of operation and no setting, so it outlives every start with the stream's file,
// until [Operator.Resume]. Paused again, a stream stays as it was.
func (o *Operator) Pause(ctx context.Context, id string, d Deed) (Done, error) {
	return o.change(ctx, id, d, func(s consumer.Spec) (consumer.Spec, error) {
		if s.Hold != nil {
			return s, nil
		}
		c := d.change("paused")
		s = s.Revise().Note(c)
		s.Hold = &c
		return s, nil
	})
}

// Resume lifts an operator's pause. A [*PausedError] says that the stream is paused by its
// owner as well, or by it alone.
func (o *Operator) Resume(ctx context.Context, id string, d Deed) (Done, error) {
	done, err := o.change(ctx, id, d, func(s consumer.Spec) (consumer.Spec, error) {
		if s.Hold == nil {
			return s, nil
		}
		s = s.Revise().Note(d.change("resumed"))
		s.Hold = nil
		return s, nil
	})
	if err == nil && done.Spec.State == consumer.SpecPaused {
		err = &PausedError{Owner: done.Spec.Owner, Lifted: done.Written}
	}
	return done, err
}

// PausedError says that a stream stays paused, because its owner says so.
type PausedError struct {
	Owner  string           // who pauses it
	Hold   *consumer.Change // in its stead: an operator does
	Lifted bool             // an operator's pause was there too, and is lifted
}

func (e *PausedError) Error() string {
	if e.Hold != nil {
		return "it is paused by an operator: resume it first (" + e.Hold.String() + ")"
	}
	text := fmt.Sprintf("it is paused by its owner, %q", e.Owner)
	if e.Owner == ownerFile {
		text = `it is paused in its configuration file: take "paused: true" out of the stream there and start delivery again`
	}
	if e.Lifted {
		text += "; the operator's pause is lifted"
	}
	return text
}

// changeTimeout bounds the writing of a change: another writer, or a coordinator that
// moves, may have to be waited for.
const changeTimeout = 30 * time.Second

// change has decide make another spec of the stream with an id; one of the same revision
// is no change. Of two that know the same version, whoever writes first wins: the version
// is looked at in the transaction that writes.
func (o *Operator) change(ctx context.Context, id string, d Deed, decide func(consumer.Spec) (consumer.Spec, error)) (Done, error) {
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	var done Done
	_, written, err := changeStreamsTelling(ctx, o.opts, o.topics, o.keys, o.tell, o.log, func(have consumer.Specs) ([]consumer.Spec, error) {
		s, err := findStream(have, id)
		if err != nil {
			return nil, err
		}
		if err := d.check(s); err != nil {
			return nil, err
		}
		next, err := decide(s)
		if err != nil {
			return nil, err
		}
		if done.Spec = next; next.Revision == s.Revision {
			return nil, nil
		}
		return []consumer.Spec{next}, nil
	})
	for _, s := range written { // it is written once, and then found to be so
		done.Spec, done.Written = s, true
	}
	return done, err
}

// Reach asks in how many of the partitions that have an owner a spec is in force.
func (o *Operator) Reach(ctx context.Context, s consumer.Spec) (consumer.Reach, error) {
	return o.survey().Reach(ctx, s)
}
