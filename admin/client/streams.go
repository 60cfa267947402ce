package client

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/consumer"
)

// pageSize is how many of a list are asked for at once: as many as the server gives.
const pageSize = "10000"

// Streams implements [admin.StreamService]. More than fit into one answer are read in the
// order of their ids, which does not change while they are, and then put into theirs.
func (c *Client) Streams(ctx context.Context) ([]admin.Stream, error) {
	list, err := get[admin.StreamList](ctx, c, url.Values{"limit": {pageSize}}, "streams")
	if err != nil {
		return nil, err
	}
	if list.More == 0 {
		return named(list.Streams), nil
	}
	var all []admin.Stream
	for after := ""; ; {
		page, err := get[admin.StreamList](ctx, c, url.Values{"limit": {pageSize}, "order": {"id"}, "after": {after}}, "streams")
		if err != nil {
			return nil, err
		}
		all = append(all, page.Streams...)
		if page.More == 0 || len(page.Streams) == 0 {
			break
		}
		after = page.Streams[len(page.Streams)-1].ID
	}
	all = named(all)
	slices.SortStableFunc(all, func(a, b admin.Stream) int { return a.Compare(b.Status) })
	return all, nil
}

// named gives streams what does not travel twice.
func named(list []admin.Stream) []admin.Stream {
	for i := range list {
		list[i].Spec = consumer.Spec{ID: list[i].ID}
	}
	return list
}

// Stream implements [admin.StreamService].
func (c *Client) Stream(ctx context.Context, id string) (*admin.Stream, error) {
	return get[admin.Stream](ctx, c, nil, "streams", id)
}

// History implements [admin.StreamService].
func (c *Client) History(ctx context.Context, id string) (*admin.History, error) {
	if id == "" {
		return get[admin.History](ctx, c, nil, "history")
	}
	return get[admin.History](ctx, c, nil, "streams", id, "history")
}

// document is the type of drafts: JSON is YAML.
const document = "application/yaml"

// CreateStream implements [admin.StreamService].
func (c *Client) CreateStream(ctx context.Context, d admin.Draft, ch admin.Change) (*admin.Stream, error) {
	return read[admin.Stream](ctx, c, call{method: http.MethodPost, path: []string{"streams"}, query: reasoned(ch), kind: document, body: d})
}

// UpdateStream implements [admin.StreamService].
func (c *Client) UpdateStream(ctx context.Context, id string, d admin.Draft, ch admin.Change) (*admin.Stream, error) {
	version := tag(ch.If)
	if version == "" {
		version = "*"
	}
	return read[admin.Stream](ctx, c, call{method: http.MethodPut, path: []string{"streams", id}, query: reasoned(ch), kind: document, body: d, ifIs: version})
}

// PlanStream implements [admin.StreamService].
func (c *Client) PlanStream(ctx context.Context, d admin.Draft) (*admin.Plan, error) {
	return read[admin.Plan](ctx, c, call{method: http.MethodPost, path: []string{"plan"}, kind: document, body: d})
}

// PauseStream implements [admin.StreamService].
func (c *Client) PauseStream(ctx context.Context, id string, ch admin.Change) (*admin.Stream, error) {
	return post[admin.Stream](ctx, c, ch, reasonBody{ch.Reason}, "streams", id, "pause")
}

// ResumeStream implements [admin.StreamService].
func (c *Client) ResumeStream(ctx context.Context, id string, ch admin.Change) (*admin.Stream, error) {
	return post[admin.Stream](ctx, c, ch, reasonBody{ch.Reason}, "streams", id, "resume")
}

// DeleteStream implements [admin.StreamService].
func (c *Client) DeleteStream(ctx context.Context, id string, drain bool, ch admin.Change) (*admin.Stream, error) {
	q := reasoned(ch)
	q.Set("drain", strconv.FormatBool(drain))
	return read[admin.Stream](ctx, c, call{method: http.MethodDelete, path: []string{"streams", id}, query: q, ifIs: tag(ch.If)})
}

// PlanSkip implements [admin.StreamService].
func (c *Client) PlanSkip(ctx context.Context, id string, to admin.Target) ([]admin.Passage, error) {
	p, err := post[admin.PassageList](ctx, c, admin.Change{}, admin.SkipRequest{To: to, DryRun: true}, "streams", id, "skip")
	if err != nil {
		return nil, err
	}
	return p.Passages, nil
}

// ReportStream implements [admin.StreamService]. The server tells nothing while it reads.
func (c *Client) ReportStream(ctx context.Context, id string, q admin.ReportQuery) (*admin.Report, error) {
	query := url.Values{}
	setTime(query, "from", q.From)
	setTime(query, "to", q.To)
	if q.Within > 0 {
		query.Set("within_seconds", strconv.Itoa(min(q.Within, admin.MaxPlanWithin)))
	}
	return get[admin.Report](ctx, c, query, "streams", id, "report")
}

// SkipStream implements [admin.StreamService].
func (c *Client) SkipStream(ctx context.Context, id string, to admin.Target, ch admin.Change) (*admin.Stream, error) {
	return post[admin.Stream](ctx, c, ch, admin.SkipRequest{To: to, Reason: ch.Reason}, "streams", id, "skip")
}

// Try implements [admin.StreamService].
func (c *Client) Try(ctx context.Context, d admin.Draft, event []byte) (*admin.Trial, error) {
	return post[admin.Trial](ctx, c, admin.Change{}, admin.TryRequestOf(d, event), "try")
}

// TryStream implements [admin.StreamService].
func (c *Client) TryStream(ctx context.Context, id string, event []byte) (*admin.Trial, error) {
	return post[admin.Trial](ctx, c, admin.Change{}, admin.TryStreamRequestOf(event), "streams", id, "try")
}
