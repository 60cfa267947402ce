package admin

import (
	"context"
	"slices"

	"github.com/auditstream/auditstream/consumer/deadletter"
	"github.com/auditstream/auditstream/sinks"
)

// Confine is s as one caller has it: each method asks first whether the caller's role allows
// it, changes bear the caller's name whatever they say, and of organizations that the caller
// is not confined to nothing is seen or touched. What is not the caller's looks as if it were
// not there. This is the only place where rights are decided.
func Confine(s Service, ids Identifier, c Caller) Service {
	if len(c.Organizations) > 0 {
		s = &confined{s: s, ids: ids, organizations: slices.Clone(c.Organizations)}
	}
	return &guarded{s: s, caller: c, rights: rights()}
}

// guarded asks for the role. It embeds nothing: a method that is added to [Service] does not
// pass by it.
type guarded struct {
	s      Service
	caller Caller
	rights map[string]Role
}

// may is the error of a caller who may not call a method.
func (g *guarded) may(method string) error {
	needed, ok := g.rights[method]
	if ok && g.caller.Role.Allows(needed) {
		return nil
	}
	return CodeForbidden.Errorf("this needs the role %s, the token %q has %s", needed, g.caller.Name, g.caller.Role)
}

// seesPayloads says whether the caller may see what events hold.
func (g *guarded) seesPayloads() bool { return g.caller.Role.Allows(RoleOperator) }

// signed is c with the caller's name.
func (g *guarded) signed(c Change) Change {
	c.By = g.caller.Name
	return c
}

func (g *guarded) Streams(ctx context.Context) ([]Stream, error) {
	if err := g.may("Streams"); err != nil {
		return nil, err
	}
	return g.s.Streams(ctx)
}

func (g *guarded) Stream(ctx context.Context, id string) (*Stream, error) {
	if err := g.may("Stream"); err != nil {
		return nil, err
	}
	return g.s.Stream(ctx, id)
}

func (g *guarded) History(ctx context.Context, id string) (*History, error) {
	if err := g.may("History"); err != nil {
		return nil, err
	}
	return g.s.History(ctx, id)
}

func (g *guarded) CreateStream(ctx context.Context, d Draft, c Change) (*Stream, error) {
	if err := g.may("CreateStream"); err != nil {
		return nil, err
	}
	return g.s.CreateStream(ctx, d, g.signed(c))
}

func (g *guarded) UpdateStream(ctx context.Context, id string, d Draft, c Change) (*Stream, error) {
	if err := g.may("UpdateStream"); err != nil {
		return nil, err
	}
	return g.s.UpdateStream(ctx, id, d, g.signed(c))
}

func (g *guarded) PlanStream(ctx context.Context, d Draft) (*Plan, error) {
	if err := g.may("PlanStream"); err != nil {
		return nil, err
	}
	return g.s.PlanStream(ctx, d)
}

func (g *guarded) PauseStream(ctx context.Context, id string, c Change) (*Stream, error) {
	if err := g.may("PauseStream"); err != nil {
		return nil, err
	}
	return g.s.PauseStream(ctx, id, g.signed(c))
}

func (g *guarded) ResumeStream(ctx context.Context, id string, c Change) (*Stream, error) {
	if err := g.may("ResumeStream"); err != nil {
		return nil, err
	}
	return g.s.ResumeStream(ctx, id, g.signed(c))
}

func (g *guarded) DeleteStream(ctx context.Context, id string, drain bool, c Change) (*Stream, error) {
	if err := g.may("DeleteStream"); err != nil {
		return nil, err
	}
	return g.s.DeleteStream(ctx, id, drain, g.signed(c))
}

func (g *guarded) PlanSkip(ctx context.Context, id string, to Target) ([]Passage, error) {
	if err := g.may("PlanSkip"); err != nil {
		return nil, err
	}
	return g.s.PlanSkip(ctx, id, to)
}

func (g *guarded) ReportStream(ctx context.Context, id string, q ReportQuery) (*Report, error) {
	if err := g.may("ReportStream"); err != nil {
		return nil, err
	}
	return g.s.ReportStream(ctx, id, q)
}

func (g *guarded) SkipStream(ctx context.Context, id string, to Target, c Change) (*Stream, error) {
	if err := g.may("SkipStream"); err != nil {
		return nil, err
	}
	return g.s.SkipStream(ctx, id, to, g.signed(c))
}

func (g *guarded) TestStream(ctx context.Context, id string, c Change, step func(sinks.Step)) (string, error) {
	if err := g.may("TestStream"); err != nil {
		return "", err
	}
	return g.s.TestStream(ctx, id, g.signed(c), step)
}

func (g *guarded) TestDraft(ctx context.Context, d Draft, c Change, step func(sinks.Step)) (string, error) {
	if err := g.may("TestDraft"); err != nil {
		return "", err
	}
	return g.s.TestDraft(ctx, d, g.signed(c), step)
}

func (g *guarded) Try(ctx context.Context, d Draft, event []byte) (*Trial, error) {
	if err := g.may("Try"); err != nil {
		return nil, err
	}
	return g.s.Try(ctx, d, event)
}

func (g *guarded) TryStream(ctx context.Context, id string, event []byte) (*Trial, error) {
	if err := g.may("TryStream"); err != nil {
		return nil, err
	}
	return g.s.TryStream(ctx, id, event)
}

func (g *guarded) Tail(ctx context.Context, q TailQuery, each func(TailEvent) error) error {
	if err := g.may("Tail"); err != nil {
		return err
	}
	if g.seesPayloads() {
		return g.s.Tail(ctx, q, each)
	}
	if q.Payload {
		return CodeForbidden.Errorf("payloads need the role %s, the token %q has %s", RoleOperator, g.caller.Name, g.caller.Role)
	}
	return g.s.Tail(ctx, q, func(e TailEvent) error {
		e.Event = nil
		return each(e)
	})
}

func (g *guarded) Explain(ctx context.Context, q ExplainQuery) (*Explanation, error) {
	if err := g.may("Explain"); err != nil {
		return nil, err
	}
	x, err := g.s.Explain(ctx, q)
	if err != nil || g.seesPayloads() {
		return x, err
	}
	masked := *x
	masked.Copies = slices.Clone(x.Copies)
	for i := range masked.Copies {
		masked.Copies[i].Event = nil
	}
	return &masked, nil
}

func (g *guarded) DeadLetters(ctx context.Context, q deadletter.Query) (*deadletter.Listing, error) {
	if err := g.may("DeadLetters"); err != nil {
		return nil, err
	}
	list, err := g.s.DeadLetters(ctx, q)
	if err != nil || g.seesPayloads() {
		return list, err
	}
	masked := *list
	masked.Letters = slices.Clone(list.Letters)
	for i := range masked.Letters {
		withoutPayload(&masked.Letters[i])
	}
	return &masked, nil
}

// withoutPayload takes out of a letter what may hold a part of the event: a destination that
// refuses it often quotes it.
func withoutPayload(l *deadletter.Listed) {
	l.Answer = ""
	l.Key, l.Value, l.Headers = nil, nil, nil
}

func (g *guarded) DeadLetter(ctx context.Context, at deadletter.Position) (*DeadLetter, error) {
	if err := g.may("DeadLetter"); err != nil {
		return nil, err
	}
	l, err := g.s.DeadLetter(ctx, at)
	if err != nil || g.seesPayloads() {
		return l, err
	}
	masked := *l
	withoutPayload(&masked.Listed)
	masked.Record = nil
	return &masked, nil
}

func (g *guarded) DiscardDeadLetters(ctx context.Context, at []deadletter.Position, c Change) (*Discarded, error) {
	if err := g.may("DiscardDeadLetters"); err != nil {
		return nil, err
	}
	return g.s.DiscardDeadLetters(ctx, at, g.signed(c))
}

func (g *guarded) PlanReplay(ctx context.Context, r Replay) (*JobPlan, error) {
	if err := g.may("PlanReplay"); err != nil {
		return nil, err
	}
	return g.s.PlanReplay(ctx, r)
}

func (g *guarded) PlanRedrive(ctx context.Context, r Redrive) (*JobPlan, error) {
	if err := g.may("PlanRedrive"); err != nil {
		return nil, err
	}
	return g.s.PlanRedrive(ctx, r)
}

func (g *guarded) StartReplay(ctx context.Context, r Replay, c Change) (*Job, error) {
	if err := g.may("StartReplay"); err != nil {
		return nil, err
	}
	return g.s.StartReplay(ctx, r, g.signed(c))
}

func (g *guarded) StartRedrive(ctx context.Context, r Redrive, c Change) (*Job, error) {
	if err := g.may("StartRedrive"); err != nil {
		return nil, err
	}
	return g.s.StartRedrive(ctx, r, g.signed(c))
}

func (g *guarded) Jobs(ctx context.Context) ([]Job, error) {
	if err := g.may("Jobs"); err != nil {
		return nil, err
	}
	return g.s.Jobs(ctx)
}

func (g *guarded) Job(ctx context.Context, uid string) (*Job, error) {
	if err := g.may("Job"); err != nil {
		return nil, err
	}
	return g.s.Job(ctx, uid)
}

func (g *guarded) StopJob(ctx context.Context, uid string, c Change) (*Job, error) {
	if err := g.may("StopJob"); err != nil {
		return nil, err
	}
	return g.s.StopJob(ctx, uid, g.signed(c))
}

func (g *guarded) ResumeJob(ctx context.Context, uid string, c Change) (*Job, error) {
	if err := g.may("ResumeJob"); err != nil {
		return nil, err
	}
	return g.s.ResumeJob(ctx, uid, g.signed(c))
}

func (g *guarded) ForgetJob(ctx context.Context, uid string, c Change) error {
	if err := g.may("ForgetJob"); err != nil {
		return err
	}
	return g.s.ForgetJob(ctx, uid, g.signed(c))
}

func (g *guarded) Schemas(ctx context.Context) ([]Schema, error) {
	if err := g.may("Schemas"); err != nil {
		return nil, err
	}
	return g.s.Schemas(ctx)
}

func (g *guarded) Schema(ctx context.Context, action string, version int) (*Schema, error) {
	if err := g.may("Schema"); err != nil {
		return nil, err
	}
	return g.s.Schema(ctx, action, version)
}

func (g *guarded) Topics(ctx context.Context) (*Topics, error) {
	if err := g.may("Topics"); err != nil {
		return nil, err
	}
	return g.s.Topics(ctx)
}
