package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/consumer/deadletter"
)

// DeadLetters implements [admin.DeadLetterService].
func (c *Client) DeadLetters(ctx context.Context, q deadletter.Query) (*deadletter.Listing, error) {
	query := url.Values{}
	set(query, "stream", q.Stream)
	set(query, "class", q.Class)
	set(query, "organization", q.Organization)
	set(query, "state", string(q.State))
	setTime(query, "since", q.Since)
	if q.Limit > 0 {
		query.Set("limit", strconv.Itoa(q.Limit))
	}
	return get[deadletter.Listing](ctx, c, query, "dead-letters")
}

// DeadLetter implements [admin.DeadLetterService].
func (c *Client) DeadLetter(ctx context.Context, at deadletter.Position) (*admin.DeadLetter, error) {
	return get[admin.DeadLetter](ctx, c, nil, "dead-letters", at.String())
}

// DiscardDeadLetters implements [admin.DeadLetterService].
func (c *Client) DiscardDeadLetters(ctx context.Context, at []deadletter.Position, ch admin.Change) (*admin.Discarded, error) {
	return post[admin.Discarded](ctx, c, ch, admin.DiscardRequest{Letters: at, Reason: ch.Reason}, "dead-letters", "discard")
}

// PlanReplay implements [admin.JobService].
func (c *Client) PlanReplay(ctx context.Context, r admin.Replay) (*admin.JobPlan, error) {
	return post[admin.JobPlan](ctx, c, admin.Change{}, admin.ReplayRequest{Replay: r, DryRun: true}, "streams", r.Stream, "replay")
}

// PlanRedrive implements [admin.JobService].
func (c *Client) PlanRedrive(ctx context.Context, r admin.Redrive) (*admin.JobPlan, error) {
	return post[admin.JobPlan](ctx, c, admin.Change{}, admin.RedriveRequest{Redrive: r, DryRun: true}, "dead-letters", "redrive")
}

// StartReplay implements [admin.JobService].
func (c *Client) StartReplay(ctx context.Context, r admin.Replay, ch admin.Change) (*admin.Job, error) {
	return post[admin.Job](ctx, c, ch, admin.ReplayRequest{Replay: r, Reason: ch.Reason}, "streams", r.Stream, "replay")
}

// StartRedrive implements [admin.JobService].
func (c *Client) StartRedrive(ctx context.Context, r admin.Redrive, ch admin.Change) (*admin.Job, error) {
	return post[admin.Job](ctx, c, ch, admin.RedriveRequest{Redrive: r, Reason: ch.Reason}, "dead-letters", "redrive")
}

// Jobs implements [admin.JobService].
func (c *Client) Jobs(ctx context.Context) ([]admin.Job, error) {
	all := []admin.Job{}
	query := url.Values{"limit": {pageSize}}
	for {
		page, err := get[admin.JobList](ctx, c, query, "jobs")
		if err != nil {
			return nil, err
		}
		all = append(all, page.Jobs...)
		if page.More == 0 || len(page.Jobs) == 0 {
			return all, nil
		}
		query.Set("after", page.Jobs[len(page.Jobs)-1].UID)
	}
}

// Job implements [admin.JobService].
func (c *Client) Job(ctx context.Context, uid string) (*admin.Job, error) {
	return get[admin.Job](ctx, c, nil, "jobs", uid)
}

// StopJob implements [admin.JobService].
func (c *Client) StopJob(ctx context.Context, uid string, ch admin.Change) (*admin.Job, error) {
	return post[admin.Job](ctx, c, ch, reasonBody{ch.Reason}, "jobs", uid, "stop")
}

// ResumeJob implements [admin.JobService].
func (c *Client) ResumeJob(ctx context.Context, uid string, ch admin.Change) (*admin.Job, error) {
	return post[admin.Job](ctx, c, ch, reasonBody{ch.Reason}, "jobs", uid, "resume")
}

// ForgetJob implements [admin.JobService].
func (c *Client) ForgetJob(ctx context.Context, uid string, ch admin.Change) error {
	resp, err := c.send(ctx, call{method: http.MethodDelete, path: []string{"jobs", uid}, query: reasoned(ch)})
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// Schemas implements [admin.Service].
func (c *Client) Schemas(ctx context.Context) ([]admin.Schema, error) {
	list, err := get[admin.SchemaList](ctx, c, nil, "schemas")
	if err != nil {
		return nil, err
	}
	return list.Schemas, nil
}

// Schema implements [admin.Service].
func (c *Client) Schema(ctx context.Context, action string, version int) (*admin.Schema, error) {
	query := url.Values{}
	if version > 0 {
		query.Set("version", strconv.Itoa(version))
	}
	return get[admin.Schema](ctx, c, query, "schemas", action)
}

// Topics implements [admin.Service].
func (c *Client) Topics(ctx context.Context) (*admin.Topics, error) {
	return get[admin.Topics](ctx, c, nil, "topics")
}
