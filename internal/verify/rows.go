package verify

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/sinks/s3"
)

// Bounds of an object of rows, which is read as a whole: larger ones wait for their turn, and
// of those above the most only the sum is taken.
const (
	smallRows = 4 << 20
	maxPacked = 128 << 20
)

// readRows takes in the events of a table in Security Lake. Its rows have what the events had,
// though not their spelling, which is canonical again, and not their order, which their
// numbers tell. Of an object whose rows cannot be read back that way it says why not.
func (o *loaded) readRows(ctx context.Context, body io.Reader, want string, turn <-chan struct{}) error {
	object, err := io.ReadAll(io.LimitReader(body, smallRows))
	if err != nil {
		return err
	}
	if len(object) == smallRows {
		select {
		case <-turn:
		case <-ctx.Done():
			return ctx.Err()
		}
		rest, err := io.ReadAll(io.LimitReader(body, maxPacked-smallRows))
		if err != nil {
			return err
		}
		object = append(object, rest...)
		more, err := io.Copy(io.Discard, body)
		if err != nil {
			return err
		}
		if more > 0 {
			o.why = fmt.Sprintf("it has more than %d bytes", maxPacked)
			return nil
		}
	}

	type event struct {
		number int64
		digest integrity.Hash
		id     []byte
	}
	var events []event
	for row, err := range s3.Rows(object) {
		var text []byte
		if err == nil {
			text, err = integrity.Canonical(row.JSON)
		}
		switch {
		case err != nil:
			o.broken = err
			return nil
		case row.Number <= 0: // of a replay, where that is not known
			o.why = "its rows have no numbers, which would tell their order"
			return nil
		case len(events) == maxLeaves:
			o.why = fmt.Sprintf("it has more than %d rows", maxLeaves)
			return nil
		}
		id := idOf(text)
		if want != "" && o.wanted == nil && string(id) == want {
			o.wantedID, o.wanted = want, bytes.Clone(text)
		}
		events = append(events, event{row.Number, integrity.Digest(text), bytes.Clone(id)})
	}
	slices.SortStableFunc(events, func(a, b event) int { return cmp.Compare(a.number, b.number) })
	for i, e := range events {
		o.digests, o.ids = append(o.digests, e.digest), append(o.ids, e.id...)
		o.ends = append(o.ends, len(o.ids))
		o.jumps = o.jumps || i > 0 && e.number != events[i-1].number+1
	}
	return nil
}
