package outbox

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"
)

const (
	// measuring is how often the outbox is measured, and what is kept long enough removed.
	measuring = 15 * time.Second
	// removedAtOnce bounds a statement that removes what was kept.
	removedAtOnce = 10_000
	// mostCounted bounds the count of what waits: counting reads all of it.
	mostCounted = 1_000_000
)

const (
	expire = `DELETE FROM {table} WHERE seq IN (
		SELECT seq FROM {table} WHERE published_at < clock_timestamp() - make_interval(secs => $1::float8) LIMIT $2::bigint)`

	count = `SELECT
		(SELECT count(*) FROM (SELECT 1 FROM {table} WHERE ` + waits + ` LIMIT $1::bigint) w),
		(SELECT count(*) FROM (SELECT 1 FROM {table} WHERE set_aside_at IS NOT NULL LIMIT $1::bigint) a),
		(SELECT coalesce(extract(epoch FROM clock_timestamp() - min(f.inserted_at)), 0)::float8
			FROM {table}_lanes l CROSS JOIN LATERAL (SELECT o.inserted_at FROM {table} o
				WHERE o.lane = l.lane AND ` + waits + ` ORDER BY o.seq LIMIT 1) f)`
)

// keepHouse measures the outbox and removes what was kept long enough.
func (r *Relay) keepHouse(ctx context.Context) {
	for ctx.Err() == nil {
		if err := r.tidy(ctx); err != nil && ctx.Err() == nil {
			r.conf.Logger.Warn("cannot look after the outbox, trying again", zap.String("table", r.box.conf.Table), zap.Error(err))
		}
		r.rest(ctx, measuring, nil)
	}
}

func (r *Relay) tidy(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	if r.counts != nil {
		var waiting, aside int64
		var age float64
		if err := r.conf.DB.QueryRowContext(ctx, r.box.sql(count), mostCounted).Scan(&waiting, &aside, &age); err != nil {
			return fmt.Errorf("measure: %w", err)
		}
		r.counts.measured(waiting, aside, age)
	}
	for r.conf.Keep > 0 {
		done, err := r.conf.DB.ExecContext(ctx, r.box.sql(expire), r.conf.Keep.Seconds(), removedAtOnce)
		if err != nil {
			return fmt.Errorf("remove what was kept: %w", err)
		}
		if n, err := done.RowsAffected(); err != nil || n < removedAtOnce {
			return err
		}
	}
	return nil
}
