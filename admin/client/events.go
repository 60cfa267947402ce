package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/auditstream/auditstream/admin"
)

// maxLine bounds a line of an answer: an event of a mebibyte, escaped throughout.
const maxLine = 16 << 20

// follow hands every line of an answer to each.
func (c *Client) follow(ctx context.Context, k call, each func(line []byte) error) error {
	k.accept = "application/x-ndjson"
	resp, err := c.send(ctx, k)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	in := bufio.NewScanner(resp.Body)
	in.Buffer(make([]byte, 0, 64<<10), maxLine)
	for in.Scan() {
		line := bytes.TrimSpace(in.Bytes())
		if len(line) == 0 {
			continue // a sign of life
		}
		var end struct {
			Error *admin.ProblemDocument `json:"error"`
		}
		if bytes.HasPrefix(line, []byte(`{"error":`)) && json.Unmarshal(line, &end) == nil && end.Error != nil {
			return errorOf(*end.Error)
		}
		if err := each(line); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err := in.Err(); err != nil {
		return fmt.Errorf("%s: the answer breaks off: %w", c.base.Host, err)
	}
	return nil
}

// Tail implements [admin.EventService].
func (c *Client) Tail(ctx context.Context, q admin.TailQuery, each func(admin.TailEvent) error) error {
	query := url.Values{}
	set(query, "organization", q.Organization)
	set(query, "stream", q.Stream)
	set(query, "actor", q.Actor)
	for _, glob := range q.Actions {
		query.Add("actions", glob)
	}
	if q.Payload {
		query.Set("payload", "true")
	}
	if q.Last > 0 {
		query.Set("last", strconv.Itoa(q.Last))
	}
	return c.follow(ctx, call{method: http.MethodGet, path: []string{"tail"}, query: query}, func(line []byte) error {
		var e admin.TailEvent
		if err := json.Unmarshal(line, &e); err != nil {
			return fmt.Errorf("%s: a line of the answer cannot be read: %w", c.base.Host, err)
		}
		return each(e)
	})
}

func set(q url.Values, name, value string) {
	if value != "" {
		q.Set(name, value)
	}
}

func setTime(q url.Values, name string, t time.Time) {
	if !t.IsZero() {
		q.Set(name, t.Format(time.RFC3339Nano))
	}
}

// Explain implements [admin.EventService].
func (c *Client) Explain(ctx context.Context, q admin.ExplainQuery) (*admin.Explanation, error) {
	query := url.Values{"event_id": {q.EventID}}
	set(query, "organization", q.Organization)
	setTime(query, "since", q.Since)
	return get[admin.Explanation](ctx, c, query, "explain")
}
