package outbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/producer"
	"github.com/auditstream/auditstream/schema"
)

// waits is what is true of rows that wait; the index for them says the same.
const waits = `published_at IS NULL AND set_aside_at IS NULL`

// Lists are given as text, in PostgreSQL's own form of arrays: drivers differ in how they
// take slices.
const (
	// claim locks lanes that have events: from a place on, so that each has its turn, and
	// without those that are held.
	claim = `SELECT l.lane FROM {table}_lanes l
		WHERE l.lane <> ALL($1::text::smallint[])
		AND EXISTS (SELECT 1 FROM {table} o WHERE o.lane = l.lane AND ` + waits + `)
		ORDER BY (l.lane - $2::bigint + 64) % 64 LIMIT $3::bigint
		FOR UPDATE OF l SKIP LOCKED`

	// first reads the first events of lanes, by their number: of each lane so many, all together
	// so many bytes, the last of which may be more. Sizes are added up before the events are
	// looked at, which are of up to a megabyte each. It is a statement of its own, since it
	// has to see what was committed before the lanes were locked.
	first = `SELECT e.seq, e.lane, e.organization_id, e.event, coalesce(e.traceparent, ''), coalesce(e.tracestate, '')
		FROM (SELECT w.seq, sum(w.size) OVER (ORDER BY w.seq) - w.size AS before
			FROM unnest($1::text::smallint[]) AS l (lane)
			CROSS JOIN LATERAL (SELECT o.seq, octet_length(o.event) AS size FROM {table} o
				WHERE o.lane = l.lane AND ` + waits + ` ORDER BY o.seq LIMIT $2::bigint) w) c
		JOIN {table} e ON e.seq = c.seq
		WHERE c.before < $3::bigint ORDER BY e.seq`

	remove = `DELETE FROM {table} WHERE seq = ANY($1::text::bigint[])`

	keep = `UPDATE {table} SET published_at = clock_timestamp() WHERE seq = ANY($1::text::bigint[])`

	setAside = `UPDATE {table} SET set_aside_at = clock_timestamp(), reason = $2 WHERE seq = $1::bigint`
)

// claimLanes is how many lanes a batch takes, at most: some, so that a batch is worth its
// round trips when each organization has few events, and a part of all, so that other
// relays find lanes too.
const claimLanes = lanes / 8

// waiting is a row that waits.
type waiting struct {
	seq, lane int64
	id        string
	event     *schema.Event     // nil: the row holds none
	bad       error             // why it holds none
	trace     trace.SpanContext // of its insertion
}

// batch relays the first events of some lanes, and says whether there were lanes with any.
// The error is the database's; events that fail are not one.
func (r *Relay) batch(ctx, publishing context.Context) (found bool, err error) {
	begin, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	conn, err := r.conf.DB.Conn(begin)
	if err != nil {
		return false, err
	}
	defer conn.Close() //nolint:errcheck // back into the pool, or it is broken
	// What was published is written down also when ctx has ended meanwhile. Every exchange has
	// its time-out.
	ctx, cancel = context.WithCancel(context.WithoutCancel(ctx))
	defer cancel() // ends a transaction that is not committed
	hung := time.AfterFunc(statementTimeout, cancel)
	// In the default isolation, which sees in each statement what was committed before it.
	tx, err := conn.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if !hung.Stop() && err == nil {
		err = context.DeadlineExceeded
	}
	if err != nil {
		return false, err
	}
	defer tx.Rollback() //nolint:errcheck // of no use after Commit, and after an error there is one already
	held, from := r.busy()
	claimed, err := r.claim(ctx, tx, held, from)
	if err != nil || len(claimed) == 0 {
		return false, err
	}
	perLane := r.conf.BatchEvents / len(claimed)
	if !r.primed.Load() {
		perLane = 1
	}
	rows, err := r.first(ctx, tx, claimed, perLane)
	if err != nil {
		return true, err
	}
	done := r.publish(publishing, rows)
	defer time.AfterFunc(statementTimeout, cancel).Stop() // a commit has no time-out of its own
	if err := r.write(ctx, tx, done); err != nil {
		return true, err
	}
	r.settle(claimed, done.failed)
	r.counts.relayed(done)
	return true, nil
}

func (r *Relay) claim(ctx context.Context, tx *sql.Tx, held []int64, from int64) ([]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	rows, err := tx.QueryContext(ctx, r.box.sql(claim), array(held), from, claimLanes)
	if err != nil {
		return nil, fmt.Errorf("look for events: %w", err)
	}
	defer rows.Close() //nolint:errcheck // Err says it
	var claimed []int64
	for rows.Next() {
		var lane int64
		if err := rows.Scan(&lane); err != nil {
			return nil, fmt.Errorf("look for events: %w", err)
		}
		claimed = append(claimed, lane)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("look for events: %w", err)
	}
	return claimed, nil
}

func (r *Relay) first(ctx context.Context, tx *sql.Tx, claimed []int64, perLane int) ([]waiting, error) {
	ctx, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	rows, err := tx.QueryContext(ctx, r.box.sql(first), array(claimed), perLane, r.conf.BatchBytes)
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	defer rows.Close() //nolint:errcheck // Err says it
	var all []waiting
	for rows.Next() {
		var w waiting
		var organization, event, parent, state string
		if err := rows.Scan(&w.seq, &w.lane, &organization, &event, &parent, &state); err != nil {
			return nil, fmt.Errorf("read events: %w", err)
		}
		w.event, w.bad = schema.Decode([]byte(event))
		switch {
		case w.bad != nil:
		case w.event.OrganizationID != organization:
			// Its lane goes by the column, so its order would be nobody's.
			w.event, w.bad = nil, errors.New("organization_id of the row is not that of the event")
		default:
			w.id = w.event.ID
			carried := propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": parent, "tracestate": state})
			w.trace = trace.SpanContextFromContext(carried)
		}
		all = append(all, w)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	return all, nil
}

// outcome is what became of a batch.
type outcome struct {
	published []int64 // seqs
	aside     []aside
	failed    map[int64]bool // lanes with events that are tried again
	failures  int            // how many events
	err       error          // of the first of these
}

// aside is a row that cannot be published, ever.
type aside struct {
	waiting
	reason error
}

// publish hands a batch to Kafka.
func (r *Relay) publish(ctx context.Context, rows []waiting) outcome {
	var events []*schema.Event
	traces := make(map[*schema.Event]trace.SpanContext)
	for _, w := range rows {
		if w.event != nil {
			events = append(events, w.event)
			traces[w.event] = w.trace
		}
	}
	var err error
	if len(events) > 0 {
		err = r.conf.Publisher.Publish(producer.WithTraces(ctx, func(e *schema.Event) trace.SpanContext { return traces[e] }), events...)
	}
	return judge(rows, err)
}

// judge says what became of each row, given what publishing the events of rows returned.
func judge(rows []waiting, err error) outcome {
	done := outcome{failed: map[int64]bool{}}
	listed, isList := errors.AsType[*producer.PublishError](err)
	reasons := map[int]error{}
	if isList {
		for _, f := range listed.Failed {
			reasons[f.Index] = f.Err
		}
	}
	i := 0 // of the event in the call
	for _, w := range rows {
		if w.event == nil {
			done.aside = append(done.aside, aside{w, w.bad})
			continue
		}
		why := reasons[i]
		if err != nil && !isList {
			why = err // nobody knows about which
		}
		i++
		switch {
		case why == nil:
			done.published = append(done.published, w.seq)
		case forEver(why):
			done.aside = append(done.aside, aside{w, why})
		default:
			done.failed[w.lane] = true
			done.failures++
			if done.err == nil {
				done.err = why
			}
		}
	}
	return done
}

// forEver says whether an event that failed so fails whenever it is tried. What is not known
// to be so is tried again: an event that waits is late, one that is set aside without need
// is missing.
func forEver(err error) bool {
	if _, ok := errors.AsType[schema.Violations](err); ok {
		return true
	}
	_, ok := errors.AsType[*producer.TooLargeError](err)
	return ok
}

// write writes down what became of a batch.
func (r *Relay) write(ctx context.Context, tx *sql.Tx, done outcome) error {
	ctx, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	log := r.conf.Logger.With(zap.String("table", r.box.conf.Table))
	if len(done.published) > 0 {
		statement := remove
		if r.conf.Keep > 0 {
			statement = keep
		}
		if _, err := tx.ExecContext(ctx, r.box.sql(statement), array(done.published)); err != nil {
			return fmt.Errorf("note that %d events are published: %w", len(done.published), err)
		}
	}
	for _, a := range done.aside {
		// A reason is of our making and holds no value of the event; PostgreSQL's text takes no NUL.
		reason := strings.ReplaceAll(a.reason.Error(), "\x00", "")
		if _, err := tx.ExecContext(ctx, r.box.sql(setAside), a.seq, reason); err != nil {
			return fmt.Errorf("set event %d aside: %w", a.seq, err)
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit that %d events are published: %w", len(done.published), err)
	}
	for _, a := range done.aside {
		log.Error("an event of the outbox cannot be published and was set aside", zap.Int64("seq", a.seq), zap.String("id", a.id), zap.Error(a.reason))
	}
	if done.failures > 0 {
		log.Warn("events of the outbox were not published, trying again", zap.Int("events", done.failures), zap.Error(done.err))
	}
	return nil
}

// array writes numbers as PostgreSQL's text form of an array.
func array(numbers []int64) string {
	b := []byte{'{'}
	for i, n := range numbers {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, n, 10)
	}
	return string(append(b, '}'))
}
