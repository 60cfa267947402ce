package app

import (
	"context"
	"fmt"
	"slices"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/internal/units"
)

// CreateStream implements admin.StreamService.
func (c *Control) CreateStream(ctx context.Context, d admin.Draft, change admin.Change) (*admin.Stream, error) {
	draft, err := c.draft(d)
	if err != nil {
		return nil, err
	}
	made, _, err := c.made(draft)
	if err != nil {
		return nil, err
	}
	done, err := c.operator.make(ctx, made.Note(deed(change).change("made")))
	return c.after(ctx, change, done, err)
}

// UpdateStream implements admin.StreamService.
func (c *Control) UpdateStream(ctx context.Context, id string, d admin.Draft, change admin.Change) (*admin.Stream, error) {
	draft, err := c.draft(d)
	if err != nil {
		return nil, err
	}
	if draft.ID != id {
		e := admin.CodeInvalid.Errorf("the stream is called %q, and the draft is of %q: a stream keeps its id", id, draft.ID)
		e.Problems = []admin.Problem{{Pointer: "/id", Message: "is not the id of the stream that is to be changed"}}
		return nil, e
	}
	done, err := c.operator.change(ctx, id, deed(change), func(s consumer.Spec) (consumer.Spec, error) {
		next, _, changed, err := c.revised(s, draft)
		if err != nil || !changed {
			return s, err
		}
		return next.Note(deed(change).change("changed")), nil
	})
	return c.after(ctx, change, done, err)
}

// made is the stream that a draft makes.
func (c *Control) made(draft *config.Stream) (consumer.Spec, *sealing, error) {
	uid := newUID()
	w, sealing, err := c.sealed(draft, uid, nil)
	if err != nil {
		return consumer.Spec{}, nil, err
	}
	s := newSpec(w, ownerAPI)
	s.UID = uid
	return s, sealing, nil
}

// revised is what becomes of a stream by a draft.
func (c *Control) revised(s consumer.Spec, draft *config.Stream) (next consumer.Spec, sealing *sealing, changed bool, err error) {
	switch {
	case s.Owner != ownerAPI:
		return s, nil, false, fileOwned(s)
	case isDraining(s):
		return s, nil, false, admin.CodeConflict.Errorf("stream %q is being deleted: make another one", s.ID)
	}
	uid, former := s.UID, &s
	if draft.Kind != s.Kind { // see revise
		uid, former = newUID(), nil
	}
	w, sealing, err := c.sealed(draft, uid, former)
	if err != nil {
		return s, nil, false, err
	}
	next, changed = revise(s, w)
	next.UID = uid
	return next, sealing, changed, nil
}

// fileOwned says why a stream cannot be edited.
func fileOwned(s consumer.Spec) error {
	return admin.CodeFileOwned.Errorf("stream %q is listed in a configuration file: change it there, and start delivery again; what is written here would be undone by the next start", s.ID)
}

// make writes a stream that there is none of yet.
func (o *Operator) make(ctx context.Context, made consumer.Spec) (Done, error) {
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	var done Done
	_, written, err := changeStreamsTelling(ctx, o.opts, o.topics, o.keys, o.tell, o.log, func(have consumer.Specs) ([]consumer.Spec, error) {
		for _, s := range have.Streams {
			switch {
			case s.UID == made.UID: // it is written, and the answer was lost
				done.Spec = s
				return nil, nil
			case s.ID == made.ID && s.State != consumer.SpecDeleted:
				return nil, admin.CodeExists.Errorf("there is a stream %q already, owned by %s", s.ID, ownerText(s))
			case s.ID == made.ID && s.Owner == ownerFile && s.Removed != nil:
				return nil, admin.CodeExists.Errorf("stream %q was deleted by an operator and may still be listed in a configuration file: take it out there first, or choose another id", s.ID)
			}
		}
		if heldNamed(have, made.ID) != nil {
			return nil, admin.CodeExists.Errorf("there is a stream %q already, whose record has no effect: delete it first", made.ID)
		}
		return []consumer.Spec{made}, nil
	})
	for _, s := range written {
		done = Done{Spec: s, Written: true}
	}
	return done, err
}

func ownerText(s consumer.Spec) string {
	if s.Owner == ownerFile {
		return "a configuration file"
	}
	return fmt.Sprintf("%q", s.Owner)
}

// PlanStream implements admin.StreamService.
func (c *Control) PlanStream(ctx context.Context, d admin.Draft) (*admin.Plan, error) {
	draft, err := c.draft(d)
	if err != nil {
		return nil, err
	}
	have, err := readSpecs(ctx, c.operator.reader, c.operator.topics, c.operator.keys)
	if err != nil {
		return nil, told(err)
	}
	if b := heldNamed(have, draft.ID); b != nil {
		return nil, told(&HeldError{ID: b.ID, Why: b.Why})
	}
	i := slices.IndexFunc(have.Streams, func(s consumer.Spec) bool { return s.ID == draft.ID && s.State != consumer.SpecDeleted })
	if i < 0 {
		made, sealing, err := c.made(draft)
		if err != nil {
			return nil, err
		}
		return planMade(made, sealing)
	}
	s := have.Streams[i]
	next, sealing, changed, err := c.revised(s, draft)
	switch {
	case err != nil:
		return nil, err
	case !changed:
		return &admin.Plan{ID: s.ID, Action: "none", Version: VersionOf(s), Cursor: "stays where it is"}, nil
	}
	p, err := planRevised(s, next, sealing)
	if err == nil && next.UID != s.UID {
		p.Cursor, err = c.replaced(ctx, s)
	}
	return p, told(err)
}

// replaced says what becomes of the cursor of a stream that is made anew.
func (c *Control) replaced(ctx context.Context, s consumer.Spec) (string, error) {
	st, err := c.operator.Get(ctx, s.ID)
	if err != nil {
		return "", err
	}
	const text = "another kind of destination is another stream under the same id: it begins with what is published from then on"
	if st.Lag == 0 {
		return text + "; the present one has delivered everything", nil
	}
	return fmt.Sprintf("%s; what the present one has not delivered then, at most %s now, never will be", text, units.Count(st.Lag, "event", "events")), nil
}
