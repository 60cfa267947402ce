package app

import (
	"context"
	"slices"
	"time"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/consumer"
)

// Streams implements admin.StreamService.
func (c *Control) Streams(ctx context.Context) ([]admin.Stream, error) {
	list, _, err := c.board.statuses(ctx, c.operator.List)
	if err != nil {
		return nil, told(err)
	}
	out := make([]admin.Stream, 0, len(list))
	for _, st := range list {
		out = append(out, *described(st))
	}
	return out, nil
}

// Stream implements admin.StreamService. It is asked for after changes, and so is never what
// was found before.
func (c *Control) Stream(ctx context.Context, id string) (*admin.Stream, error) {
	st, err := c.operator.Get(ctx, id)
	if err != nil {
		return nil, told(err)
	}
	return described(st), nil
}

// History implements admin.StreamService.
func (c *Control) History(ctx context.Context, id string) (*admin.History, error) {
	uid := ""
	if id != "" {
		list, _, err := c.board.statuses(ctx, c.operator.List)
		if err != nil {
			return nil, told(err)
		}
		i := slices.IndexFunc(list, func(st consumer.Status) bool { return st.Spec.ID == id })
		if i < 0 {
			return nil, told(&NoStreamError{ID: id})
		}
		uid = list[i].Spec.UID
	}
	return c.history.get(uid, time.Now()), nil
}
