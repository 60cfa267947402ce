package admin

import (
	"context"
	"errors"
	"slices"

	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/sinks"
)

// confined is a [Service] as callers have it who are confined to organizations. A stream of
// all organizations is nobody's but the operator's. Whether a stream is the caller's is found
// in one reading of all identities, which takes the same time whether it is, is another's or
// does not exist; and what is done then is done to that version of it, so that it cannot
// become another's in between.
type confined struct {
	s             Service
	ids           Identifier
	organizations []string
}

// has says whether an organization is the caller's.
func (c *confined) has(organization string) bool {
	return organization != consumer.AllOrganizations && slices.Contains(c.organizations, organization)
}

// own are the caller's streams.
func (c *confined) own(ctx context.Context) ([]Identity, error) {
	all, err := c.ids.Identities(ctx)
	if err != nil {
		return nil, c.plain(err)
	}
	return slices.DeleteFunc(slices.Clone(all), func(i Identity) bool { return !c.has(i.OrganizationID) }), nil
}

// plain is the error as the caller may see it: that Kafka does not answer, without the
// addresses of who does not.
func (c *confined) plain(err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	if e, ok := errors.AsType[*Error](err); ok && e.Code != CodeUnavailable {
		return err
	}
	return CodeUnavailable.Errorf("what was asked for cannot be found out now; try again later")
}

func noStream(id string) error { return CodeNotFound.Errorf("there is no stream %q", id) }

// stream is the caller's stream with an id.
func (c *confined) stream(ctx context.Context, id string) (Identity, error) {
	own, err := c.own(ctx)
	if err != nil {
		return Identity{}, err
	}
	for _, i := range own {
		if i.ID == id {
			return i, nil
		}
	}
	return Identity{}, noStream(id)
}

// gone is err, and of a stream that has gone since it was looked up no more than that.
func (c *confined) gone(id string, err error) error {
	if errors.Is(err, CodeNotFound.Err()) {
		return noStream(id)
	}
	return c.plain(err)
}

// maxRaces is how often a change is tried again that did not ask for a version, because the
// stream was changed between its being looked up and the change.
const maxRaces = 5

// change does something to the version of the stream that was found to be the caller's.
func (c *confined) change(ctx context.Context, id string, ch Change, do func(Change) (*Stream, error)) (*Stream, error) {
	for try := 1; ; try++ {
		i, err := c.stream(ctx, id)
		if err != nil {
			return nil, err
		}
		if ch.If != "" && ch.If != i.Version {
			return nil, CodeChanged.Errorf("stream %q was changed meanwhile: its version is %s, and no longer %s; look at it again", id, i.Version, ch.If)
		}
		one := ch
		one.If = i.Version
		s, err := do(one)
		if err == nil {
			return c.masked(s), nil
		}
		if !errors.Is(err, CodeChanged.Err()) || ch.If != "" || try == maxRaces {
			return nil, c.gone(id, err)
		}
	}
}

// masked is a stream without what is about the operator's machines.
func (c *confined) masked(s *Stream) *Stream {
	out := *s
	out.Spec = consumer.Spec{}
	out.Lanes = slices.Clone(s.Lanes)
	for i := range out.Lanes {
		out.Lanes[i].Owner = ""
	}
	return &out
}

// draft refuses a draft that is not about a stream of the caller's. A new one may have any id
// that is free: that one is taken is all that can be learned about the streams of others.
func (c *confined) draft(ctx context.Context, d Draft) error {
	id, organization, err := c.ids.IdentifyDraft(d)
	if err != nil {
		return c.plain(err)
	}
	if !c.has(organization) {
		e := CodeInvalid.Errorf("the stream's organization is none of yours")
		e.Problems = []Problem{{Pointer: "/organization_id", Message: "is none of yours"}}
		return e
	}
	all, err := c.ids.Identities(ctx)
	if err != nil {
		return c.plain(err)
	}
	for _, i := range all {
		if i.ID == id && !c.has(i.OrganizationID) {
			return CodeExists.Errorf("the id %q is taken: choose another", id)
		}
	}
	return nil
}

func (c *confined) Streams(ctx context.Context) ([]Stream, error) {
	all, err := c.s.Streams(ctx)
	if err != nil {
		return nil, c.plain(err)
	}
	out := []Stream{}
	for i := range all {
		if c.has(all[i].OrganizationID) {
			out = append(out, *c.masked(&all[i]))
		}
	}
	return out, nil
}

func (c *confined) Stream(ctx context.Context, id string) (*Stream, error) {
	if _, err := c.stream(ctx, id); err != nil {
		return nil, err
	}
	s, err := c.s.Stream(ctx, id)
	if err == nil && !c.has(s.OrganizationID) { // made anew under our eyes
		err = noStream(id)
	}
	if err != nil {
		return nil, c.gone(id, err)
	}
	return c.masked(s), nil
}

func (c *confined) History(ctx context.Context, id string) (*History, error) {
	if id != "" {
		if _, err := c.stream(ctx, id); err != nil {
			return nil, err
		}
		h, err := c.s.History(ctx, id)
		return h, c.gone(id, err)
	}
	own, err := c.own(ctx)
	if err != nil {
		return nil, err
	}
	var all []*History
	for _, i := range own {
		h, err := c.s.History(ctx, i.ID)
		if errors.Is(err, CodeNotFound.Err()) {
			continue // it has just gone
		}
		if err != nil {
			return nil, c.plain(err)
		}
		all = append(all, h)
	}
	return together(all), nil
}

func (c *confined) CreateStream(ctx context.Context, d Draft, ch Change) (*Stream, error) {
	if err := c.draft(ctx, d); err != nil {
		return nil, err
	}
	s, err := c.s.CreateStream(ctx, d, ch)
	if err != nil {
		return nil, c.plain(err)
	}
	return c.masked(s), nil
}

func (c *confined) UpdateStream(ctx context.Context, id string, d Draft, ch Change) (*Stream, error) {
	return c.change(ctx, id, ch, func(ch Change) (*Stream, error) {
		if err := c.draft(ctx, d); err != nil {
			return nil, err
		}
		return c.s.UpdateStream(ctx, id, d, ch)
	})
}

func (c *confined) PlanStream(ctx context.Context, d Draft) (*Plan, error) {
	if err := c.draft(ctx, d); err != nil {
		return nil, err
	}
	p, err := c.s.PlanStream(ctx, d)
	return p, c.plain(err)
}

func (c *confined) PauseStream(ctx context.Context, id string, ch Change) (*Stream, error) {
	return c.change(ctx, id, ch, func(ch Change) (*Stream, error) { return c.s.PauseStream(ctx, id, ch) })
}

func (c *confined) ResumeStream(ctx context.Context, id string, ch Change) (*Stream, error) {
	return c.change(ctx, id, ch, func(ch Change) (*Stream, error) { return c.s.ResumeStream(ctx, id, ch) })
}

func (c *confined) DeleteStream(ctx context.Context, id string, drain bool, ch Change) (*Stream, error) {
	return c.change(ctx, id, ch, func(ch Change) (*Stream, error) { return c.s.DeleteStream(ctx, id, drain, ch) })
}

func (c *confined) PlanSkip(ctx context.Context, id string, to Target) ([]Passage, error) {
	if _, err := c.stream(ctx, id); err != nil {
		return nil, err
	}
	p, err := c.s.PlanSkip(ctx, id, to)
	return p, c.gone(id, err)
}

func (c *confined) ReportStream(ctx context.Context, id string, q ReportQuery) (*Report, error) {
	if _, err := c.stream(ctx, id); err != nil {
		return nil, err
	}
	r, err := c.s.ReportStream(ctx, id, q)
	if err == nil && !c.has(r.OrganizationID) { // made anew under our eyes
		err = noStream(id)
	}
	if err != nil {
		return nil, c.gone(id, err)
	}
	return r.withoutInvalid(), nil
}

func (c *confined) SkipStream(ctx context.Context, id string, to Target, ch Change) (*Stream, error) {
	return c.change(ctx, id, ch, func(ch Change) (*Stream, error) { return c.s.SkipStream(ctx, id, to, ch) })
}

func (c *confined) TestStream(ctx context.Context, id string, ch Change, step func(sinks.Step)) (string, error) {
	if _, err := c.stream(ctx, id); err != nil {
		return "", err
	}
	event, err := c.s.TestStream(ctx, id, ch, func(s sinks.Step) { step(classOnly(s)) })
	return event, c.tested(err)
}

func (c *confined) TestDraft(ctx context.Context, d Draft, ch Change, step func(sinks.Step)) (string, error) {
	if err := c.draft(ctx, d); err != nil {
		return "", err
	}
	event, err := c.s.TestDraft(ctx, d, ch, func(s sinks.Step) { step(classOnly(s)) })
	return event, c.tested(err)
}

// tested is the error of a test as the caller may see it.
func (c *confined) tested(err error) error {
	if _, ok := errors.AsType[*Error](err); ok || err == nil {
		return c.plain(err)
	}
	return classAlone(err)
}

func (c *confined) Try(ctx context.Context, d Draft, event []byte) (*Trial, error) {
	if err := c.draft(ctx, d); err != nil {
		return nil, err
	}
	t, err := c.s.Try(ctx, d, event)
	return t, c.plain(err)
}

func (c *confined) TryStream(ctx context.Context, id string, event []byte) (*Trial, error) {
	if _, err := c.stream(ctx, id); err != nil {
		return nil, err
	}
	t, err := c.s.TryStream(ctx, id, event)
	return t, c.gone(id, err)
}

func (c *confined) Schemas(ctx context.Context) ([]Schema, error) {
	s, err := c.s.Schemas(ctx)
	return s, c.plain(err)
}

func (c *confined) Schema(ctx context.Context, action string, version int) (*Schema, error) {
	s, err := c.s.Schema(ctx, action, version)
	return s, c.plain(err)
}

func (c *confined) Topics(ctx context.Context) (*Topics, error) {
	all, err := c.s.Topics(ctx)
	if err != nil {
		return nil, c.plain(err)
	}
	out := *all
	out.Groups = slices.Clone(all.Groups)
	for i := range out.Groups {
		out.Groups[i].Members = []Member{}
	}
	// Whose a transaction is, is another's business.
	out.Topics = slices.Clone(all.Topics)
	for i := range out.Topics {
		out.Topics[i].Partitions = slices.Clone(out.Topics[i].Partitions)
		for j := range out.Topics[i].Partitions {
			if p := &out.Topics[i].Partitions[j]; p.Open != nil {
				p.Open = &Transaction{ProducerID: -1, Since: p.Open.Since}
			}
		}
	}
	return &out, nil
}
