package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/consumer/deadletter"
)

// Redrive says which open dead letters are to be sent to their stream again. What is zero
// does not restrict.
type Redrive struct {
	Stream         string                // may be empty where letters are named
	Positions      []deadletter.Position // the only ones
	Class          string
	OrganizationID string
	Since          time.Time // written then or later
	Rate           float64   // events a second at most; 0: no cap
	By             string
}

// NoLetterError says that a redrive cannot send a letter.
type NoLetterError struct{ Reason string }

func (e *NoLetterError) Error() string { return e.Reason }

// PlanRedrive finds the stream and the letters.
func (j *Jobs) PlanRedrive(ctx context.Context, r Redrive) (consumer.Task, error) {
	letters, uid, err := j.named(ctx, r)
	if err != nil {
		return consumer.Task{}, err
	}
	specs, err := readSpecs(ctx, j.o.reader, j.o.topics, j.o.keys)
	if err != nil {
		return consumer.Task{}, err
	}
	var s consumer.Spec
	if r.Stream != "" {
		s, err = streamNamed(specs.Streams, r.Stream)
	} else {
		s, err = j.streamOf(specs, uid)
	}
	if err != nil {
		return consumer.Task{}, err
	}
	if uid != "" && uid != s.UID {
		return consumer.Task{}, &NoLetterError{fmt.Sprintf("the letters are about a stream with the uid %s, stream %q has %s: it is another one", uid, s.ID, s.UID)}
	}
	t := newTask(consumer.TaskRedrive, s, r.By)
	t.Topic = j.o.topics.DeadLetters()
	if t.TopicID, err = j.topicID(ctx, t.Topic); err != nil {
		return t, err
	}
	t.Class, t.OrganizationID, t.Letters, t.Rate = r.Class, r.OrganizationID, letters, r.Rate
	if !r.Since.IsZero() {
		since := r.Since.UTC()
		t.Since = &since
	}
	bounds, err := j.letters.Bounds(ctx)
	if err != nil {
		return t, err
	}
	for p, b := range bounds {
		if b[0] < b[1] {
			t.Ranges = append(t.Ranges, consumer.Range{Partition: p, From: b[0], To: b[1]})
		}
	}
	sortRanges(t.Ranges)
	return t, nil
}

// named looks the letters up that were named, and says whose they are. One that cannot be
// sent again is an error: whoever names it has to know.
func (j *Jobs) named(ctx context.Context, r Redrive) (ids []string, uid string, err error) {
	var problems []error
	var letters []*deadletter.Letter
	err = j.letters.Letters(ctx, r.Positions, func(l *deadletter.Letter) {
		letters = append(letters, &deadletter.Letter{Position: l.Position, ID: l.ID, Streams: l.Streams})
	})
	if err != nil || len(letters) == 0 {
		return nil, "", err
	}
	standings, err := j.letters.Standings(ctx, letters...)
	if err != nil {
		return nil, "", err
	}
	for _, l := range letters {
		switch {
		case len(l.Streams) == 0:
			problems = append(problems, &NoLetterError{fmt.Sprintf("letter %s is about a record that is no valid event, which no stream can carry: mend it (auditstream deadletter show --raw %s), publish it, and discard the letter", l.Position, l.Position)})
		case standings[l.ID].State != deadletter.Open:
			problems = append(problems, &NoLetterError{fmt.Sprintf("letter %s is %s already", l.Position, standings[l.ID].State)})
		case uid != "" && uid != l.Streams[0].UID:
			problems = append(problems, &NoLetterError{fmt.Sprintf("letter %s is about stream %q, another one than the letters before it: redrive one stream at a time", l.Position, l.Streams[0].ID)})
		default:
			uid = l.Streams[0].UID
			ids = append(ids, l.ID)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids), uid, errors.Join(problems...)
}

// streamOf is the stream with a uid.
func (j *Jobs) streamOf(specs consumer.Specs, uid string) (consumer.Spec, error) {
	for _, s := range specs.Streams {
		if s.UID == uid && s.State != consumer.SpecDeleted {
			return s, nil
		}
	}
	return consumer.Spec{}, &NoLetterError{fmt.Sprintf("the letters' stream, uid %s, is deleted: nobody can take them; discard them, or publish the events again", uid)}
}

// Busy refuses a second redrive of a stream while one has something left: both would send
// the same letters.
func (j *Jobs) Busy(ctx context.Context, t consumer.Task) error {
	open, err := j.Unfinished(ctx, consumer.TaskRedrive, t.StreamUID)
	if len(open) > 0 {
		return &JobError{fmt.Sprintf("a redrive of stream %q has something left: %s; go on with it (--resume), or forget it (auditstream job forget)", t.Stream, strings.Join(open, ", "))}
	}
	return err
}
