package admin

import (
	"context"
	"errors"
	"slices"

	"github.com/auditstream/auditstream/consumer/deadletter"
)

func (c *confined) Tail(ctx context.Context, q TailQuery, each func(TailEvent) error) error {
	if q.Organization != "" && !c.has(q.Organization) {
		return CodeNotFound.Errorf("there is no organization %q", q.Organization)
	}
	if q.Stream != "" {
		i, err := c.stream(ctx, q.Stream)
		if err != nil {
			return err
		}
		if q.Organization == "" {
			q.Organization = i.OrganizationID
		}
	}
	if q.Organization == "" && len(c.organizations) == 1 {
		q.Organization = c.organizations[0]
	}
	var own error // of the caller's
	err := c.s.Tail(ctx, q, func(e TailEvent) error {
		if !c.has(e.OrganizationID) {
			return nil
		}
		if q.Organization == "" {
			e.Missed = min(e.Missed, 1) // of how many others there are says nothing
		}
		own = each(e)
		return own
	})
	if own != nil {
		return own
	}
	return c.plain(err)
}

func (c *confined) Explain(ctx context.Context, q ExplainQuery) (*Explanation, error) {
	organizations := c.organizations
	if q.Organization != "" {
		if organizations = []string{q.Organization}; !c.has(q.Organization) {
			return nil, CodeNotFound.Errorf("there is no organization %q", q.Organization)
		}
	}
	own, err := c.own(ctx)
	if err != nil {
		return nil, err
	}
	out := &Explanation{EventID: q.EventID, Copies: []EventCopy{}}
	for _, organization := range organizations {
		q.Organization = organization
		x, err := c.s.Explain(ctx, q)
		if err != nil {
			return nil, c.plain(err)
		}
		if out.Sought == "" {
			out.Sought = x.Sought
		}
		for _, copied := range x.Copies {
			if copied.OrganizationID != organization {
				continue
			}
			copied.Streams = slices.DeleteFunc(slices.Clone(copied.Streams), func(w Whereabouts) bool {
				return !slices.ContainsFunc(own, func(i Identity) bool { return i.ID == w.Stream })
			})
			out.Copies = append(out.Copies, copied)
		}
	}
	return out, nil
}

// uids are those of the caller's streams, by organization; each has an entry.
func (c *confined) uids(ctx context.Context) (map[string][]string, error) {
	own, err := c.own(ctx)
	if err != nil {
		return nil, err
	}
	out := map[string][]string{}
	for _, organization := range c.organizations {
		out[organization] = nil
	}
	for _, i := range own {
		out[i.OrganizationID] = append(out[i.OrganizationID], i.UID)
	}
	return out, nil
}

func (c *confined) DeadLetters(ctx context.Context, q deadletter.Query) (*deadletter.Listing, error) {
	uids, err := c.uids(ctx)
	if err != nil {
		return nil, err
	}
	q.Confined = uids
	all, err := c.s.DeadLetters(ctx, q)
	if err != nil {
		return nil, c.plain(err)
	}
	out := *all
	out.Unread = deadletter.Unread{} // about records of whomever
	out.Letters = []deadletter.Listed{}
	for _, l := range all.Letters {
		if ofThese(&l, uids) {
			out.Letters = append(out.Letters, *narrowed(&l, uids))
		}
	}
	return &out, nil
}

// ofThese says whether a letter is about an event of one of the organizations and one of its
// streams. A letter about an invalid record is not: its record does not prove whose it is.
func ofThese(l *deadletter.Listed, uids map[string][]string) bool {
	return slices.ContainsFunc(uids[l.OrganizationID], l.Of)
}

// narrowed is a letter about an organization's own streams alone.
func narrowed(l *deadletter.Listed, uids map[string][]string) *deadletter.Listed {
	out := *l
	out.Streams = slices.DeleteFunc(slices.Clone(l.Streams), func(s deadletter.Stream) bool {
		return !slices.Contains(uids[l.OrganizationID], s.UID)
	})
	return &out
}

func noLetter(at deadletter.Position) error {
	return CodeNotFound.Errorf("there is no letter at %s", at)
}

func (c *confined) DeadLetter(ctx context.Context, at deadletter.Position) (*DeadLetter, error) {
	uids, err := c.uids(ctx)
	if err != nil {
		return nil, err
	}
	l, err := c.letter(ctx, at, uids)
	if err != nil {
		return nil, err
	}
	out := *l
	out.Listed = *narrowed(&l.Listed, uids)
	return &out, nil
}

// letter is a letter of the caller's, with all its streams.
func (c *confined) letter(ctx context.Context, at deadletter.Position, uids map[string][]string) (*DeadLetter, error) {
	l, err := c.s.DeadLetter(ctx, at)
	if errors.Is(err, CodeNotFound.Err()) || err == nil && !ofThese(&l.Listed, uids) {
		return nil, noLetter(at)
	}
	return l, c.plain(err)
}

// letters refuses letters that are not the caller's, or not the caller's alone: what is
// decided about a letter is decided for all of its streams.
func (c *confined) letters(ctx context.Context, at []deadletter.Position) (streams []string, err error) {
	uids, err := c.uids(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range at {
		l, err := c.letter(ctx, p, uids)
		if err != nil {
			return nil, err
		}
		if len(narrowed(&l.Listed, uids).Streams) != len(l.Streams) {
			return nil, CodeConflict.Errorf("letter %s is about a stream of your operator's too, who has to decide about it", p)
		}
		for _, s := range l.Streams {
			if !slices.Contains(streams, s.ID) {
				streams = append(streams, s.ID)
			}
		}
	}
	return streams, nil
}

func (c *confined) DiscardDeadLetters(ctx context.Context, at []deadletter.Position, ch Change) (*Discarded, error) {
	if _, err := c.letters(ctx, at); err != nil {
		return nil, err
	}
	d, err := c.s.DiscardDeadLetters(ctx, at, ch)
	return d, c.plain(err)
}
