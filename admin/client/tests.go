package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/sinks"
)

// TestStream implements [admin.StreamService].
func (c *Client) TestStream(ctx context.Context, id string, ch admin.Change, step func(sinks.Step)) (string, error) {
	b, err := json.Marshal(reasonBody{ch.Reason})
	if err != nil {
		return "", err
	}
	return c.test(ctx, call{method: http.MethodPost, path: []string{"streams", id, "test"}, kind: "application/json", body: b}, step)
}

// TestDraft implements [admin.StreamService].
func (c *Client) TestDraft(ctx context.Context, d admin.Draft, ch admin.Change, step func(sinks.Step)) (string, error) {
	return c.test(ctx, call{method: http.MethodPost, path: []string{"test"}, query: reasoned(ch), kind: document, body: d}, step)
}

// test tells the steps of a test as they come.
func (c *Client) test(ctx context.Context, k call, step func(sinks.Step)) (string, error) {
	var result *admin.TestResult
	err := c.follow(ctx, k, func(line []byte) error {
		var l admin.TestLine
		if err := json.Unmarshal(line, &l); err != nil {
			return err
		}
		if s := l.Step; s != nil {
			step(sinks.Step{
				Name: s.Name, Err: failure(s.Error), Detail: s.Detail, Took: time.Duration(s.Millis * float64(time.Millisecond)),
				Sent: s.Sent, Answer: s.Answer,
			})
		}
		if l.Result != nil {
			result = l.Result
		}
		return nil
	})
	switch {
	case err != nil:
		return "", err
	case result == nil:
		return "", fmt.Errorf("%s: the answer ends before the test has", c.base.Host)
	}
	return result.EventID, failure(result.Error)
}

// testError is why a destination did not take an event: its text is the server's, its class
// that of the error there.
type testError struct {
	text  string
	class *sinks.Error
}

func (e *testError) Error() string { return e.text }

func (e *testError) Unwrap() error {
	if e.class == nil {
		return nil
	}
	return e.class
}

func failure(e *admin.TestError) error {
	if e == nil {
		return nil
	}
	out := &testError{text: e.Message}
	for _, class := range []sinks.Class{sinks.Unavailable, sinks.Rejected, sinks.Misconfigured} {
		if class.String() == e.Class {
			out.class = &sinks.Error{Class: class, Status: e.Status, Err: fmt.Errorf("%s", e.Message)}
		}
	}
	return out
}
