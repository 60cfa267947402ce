package app

import (
	"context"
	"slices"
	"time"

	"github.com/auditstream/auditstream/consumer"
)

// boardAge is how old an answer may be: pages and clients that ask at the same time share
// one survey. Where a survey takes longer, of very many streams, an answer may be as old as
// that, so that surveying takes half of the time at most.
const boardAge = time.Second

// board is where the streams stand as they were last surveyed.
type board struct {
	turn chan struct{} // held by whoever surveys; whoever waits for it gets what was found
	list []consumer.Status
	at   time.Time
	took time.Duration // the last survey
}

func newBoard() *board { return &board{turn: make(chan struct{}, 1)} }

// statuses are those of all streams, the worst first. Whoever gets them changes nothing.
func (b *board) statuses(ctx context.Context, survey func(context.Context) ([]consumer.Status, error)) ([]consumer.Status, time.Time, error) {
	select {
	case b.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, time.Time{}, ctx.Err()
	}
	defer func() { <-b.turn }()
	if began := time.Now(); b.list == nil || began.Sub(b.at) > max(boardAge, b.took) {
		list, err := survey(ctx)
		if err != nil {
			return nil, time.Time{}, err
		}
		b.list, b.at, b.took = slices.Clip(list), time.Now(), time.Since(began)
	}
	return b.list, b.at, nil
}
