package app

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/consumer/deadletter"
)

// defaultLetters is how many letters are listed of which nobody says how many.
const defaultLetters = 100

// DeadLetters implements admin.DeadLetterService.
func (c *Control) DeadLetters(ctx context.Context, q deadletter.Query) (*deadletter.Listing, error) {
	letters, err := c.letters()
	if err != nil {
		return nil, err
	}
	q.Limit = cmp.Or(q.Limit, defaultLetters)
	list, err := letters.List(ctx, q)
	return list, told(err)
}

// DeadLetter implements admin.DeadLetterService.
func (c *Control) DeadLetter(ctx context.Context, at deadletter.Position) (*admin.DeadLetter, error) {
	letters, err := c.letters()
	if err != nil {
		return nil, err
	}
	l, err := letters.Letter(ctx, at)
	if err != nil {
		return nil, told(err)
	}
	standings, err := letters.Standings(ctx, l)
	if err != nil {
		return nil, told(err)
	}
	s := standings[l.ID]
	out := &admin.DeadLetter{
		Marks:  s.Marks,
		Record: &deadletter.Original{Key: l.Key, Value: l.Value, Headers: l.Headers},
	}
	out.Letter, out.State, out.Written, out.OrganizationID = *l, s.State, s.Written, string(l.Key)
	out.Action, out.EventID = l.Event()
	out.Key, out.Value, out.Headers = nil, nil, nil // they stand in Record
	if n := len(s.Marks); n > 0 && s.State != deadletter.Open {
		out.Mark = &s.Marks[n-1]
	}
	return out, nil
}

// DiscardDeadLetters implements admin.DeadLetterService.
func (c *Control) DiscardDeadLetters(ctx context.Context, at []deadletter.Position, change admin.Change) (*admin.Discarded, error) {
	if strings.TrimSpace(change.Reason) == "" {
		return nil, admin.CodeInvalid.Errorf("a reason is needed: whoever looks at the letter later has to know")
	}
	topic, err := c.letters()
	if err != nil {
		return nil, err
	}
	letters, err := lookUp(ctx, topic, at)
	if err != nil {
		return nil, err
	}
	standings, err := topic.Standings(ctx, letters...)
	if err != nil {
		return nil, told(err)
	}
	out := &admin.Discarded{Discarded: []deadletter.Position{}}
	var open []*deadletter.Letter
	var redriven []string
	for _, l := range letters {
		switch s := standings[l.ID]; s.State {
		case deadletter.Open:
			open = append(open, l)
			out.Discarded = append(out.Discarded, l.Position)
		case deadletter.Discarded:
			out.Before = append(out.Before, l.Position)
		case deadletter.Redriven:
			m := s.Marks[len(s.Marks)-1]
			redriven = append(redriven, fmt.Sprintf("%s was redriven %s by %s", l.Position, m.At.Format(time.RFC3339), m.By))
		}
	}
	if len(redriven) > 0 {
		return nil, admin.CodeConflict.Errorf("nothing was discarded: %s", strings.Join(redriven, "; "))
	}
	if err := c.tellDiscarded(ctx, open, change); err != nil {
		return nil, told(err)
	}
	return out, told(topic.As(change.By).Mark(ctx, deadletter.Discarded, change.Reason, open...))
}

// lookUp reads letters, each once however many positions it has, and keeps of them what a
// mark needs. The error names every position without one.
func lookUp(ctx context.Context, t *deadletter.Topic, at []deadletter.Position) ([]*deadletter.Letter, error) {
	var letters []*deadletter.Letter
	err := t.Letters(ctx, at, func(l *deadletter.Letter) {
		if !slices.ContainsFunc(letters, func(other *deadletter.Letter) bool { return other.ID == l.ID }) {
			letters = append(letters, &deadletter.Letter{Position: l.Position, ID: l.ID, Key: bytes.Clone(l.Key), Streams: l.Streams})
		}
	})
	if is[*deadletter.PositionError](err) {
		return nil, admin.CodeNotFound.Errorf("nothing was discarded: %v", err)
	}
	return letters, told(err)
}
