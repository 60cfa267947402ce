package outbox

import (
	"cmp"
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"hash/fnv"
	"regexp"
	"strings"
	"time"

	"go.opentelemetry.io/otel/propagation"

	"github.com/auditstream/auditstream/producer"
	"github.com/auditstream/auditstream/schema"
)

// DefaultTable is the name of the outbox's table unless Config says otherwise.
const DefaultTable = "auditstream_outbox"

// lanes is how many groups of organizations there are. It is part of the table's format.
const lanes = 64

// version is that of the table's format.
const version = 1

//go:embed schema.sql
var ddl string

// Config says which table holds the outbox and what may be inserted.
type Config struct {
	// Table is the name of the table, with its schema in front if need be; default
	// DefaultTable. It consists of small letters, digits and underscores. That of the lanes
	// has _lanes behind it.
	Table string

	// Validator and Check are as in producer.Config, and should be those of the relay's
	// client: what Insert takes and the client refuses is set aside.
	Validator schema.Validator
	Check     func(*schema.Event) schema.Violations

	// Silent has Insert not notify the relays, which then find events by polling. A commit
	// that notifies holds a lock of the whole database server for a moment, which limits
	// services with thousands of commits a second.
	Silent bool
}

// Outbox is a table of events. It may be used by many goroutines at once.
type Outbox struct {
	conf Config
}

// A name, with or without a schema. Longer ones than this PostgreSQL would cut where a
// suffix is added.
var tableName = regexp.MustCompile(`^([a-z_][a-z0-9_]{0,39}\.)?[a-z_][a-z0-9_]{0,39}$`)

// New makes an outbox. It does not look at the database.
func New(c Config) (*Outbox, error) {
	c.Table = cmp.Or(c.Table, DefaultTable)
	if !tableName.MatchString(c.Table) {
		return nil, fmt.Errorf("outbox.Config.Table: %q is no name of small letters, digits and underscores, of at most 40 characters, with or without a schema", c.Table)
	}
	return &Outbox{conf: c}, nil
}

// sql writes the names of the outbox into a statement.
func (o *Outbox) sql(statement string) string {
	return strings.NewReplacer("{table}", o.conf.Table, "{name}", o.name(), "{channel}", o.Channel()).Replace(statement)
}

// name is that of the table without its schema.
func (o *Outbox) name() string { return o.conf.Table[strings.LastIndexByte(o.conf.Table, '.')+1:] }

// Channel is what Insert notifies and relays listen to.
func (o *Outbox) Channel() string { return strings.ReplaceAll(o.conf.Table, ".", "_") }

// Schema is the SQL that makes the outbox, for those who have migrations of their own.
func (o *Outbox) Schema() string { return o.sql(ddl) }

// Migrate makes the outbox's tables if they are not there. It fails when they are of a
// version that this package does not know. Several processes may call it at once.
func (o *Outbox) Migrate(ctx context.Context, db *sql.DB) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("outbox %s: %w", o.conf.Table, err)
	}
	defer tx.Rollback() //nolint:errcheck // of no use after Commit, and after an error there is one already
	if err := o.migrate(ctx, tx); err != nil {
		return fmt.Errorf("outbox %s: %w", o.conf.Table, err)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("outbox %s: %w", o.conf.Table, err)
	}
	return nil
}

func (o *Outbox) migrate(ctx context.Context, tx *sql.Tx) error {
	var encoding string
	if err := tx.QueryRowContext(ctx, `SELECT current_setting('server_encoding')`).Scan(&encoding); err != nil {
		return err
	}
	if encoding != "UTF8" {
		return fmt.Errorf("the database's encoding is %s, which cannot hold every event; it has to be UTF8", encoding)
	}
	// One process at a time; the number only has to be the same everywhere.
	if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock(hashtext($1))`, "auditstream outbox "+o.conf.Table); err != nil {
		return err
	}
	found, err := o.version(ctx, tx)
	if err != nil {
		return err
	}
	if found == version {
		return nil
	}
	// One by one: a driver that prepares statements takes no list of them.
	for statement := range strings.SplitSeq(o.Schema(), ";\n") {
		if strings.TrimSpace(statement) == "" {
			continue
		}
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// version is that of the tables that are there; 0 if there are none.
func (o *Outbox) version(ctx context.Context, q querier) (int, error) {
	var there bool
	var comment string
	err := q.QueryRowContext(ctx, `SELECT to_regclass($1) IS NOT NULL, coalesce(obj_description(to_regclass($1)::oid, 'pg_class'), '')`, o.conf.Table).Scan(&there, &comment)
	switch {
	case err != nil:
		return 0, err
	case !there:
		return 0, nil
	case comment == fmt.Sprintf("auditstream outbox, version %d", version):
		return version, nil
	}
	return 0, fmt.Errorf("there is a table of this name whose comment is %q, not that of an outbox of version %d: update this program, or choose another name", comment, version)
}

// Execer is a *sql.Tx, or what runs statements in a transaction otherwise.
type Execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// insertRows and insertBytes bound one statement: PostgreSQL takes 65,535 parameters.
const (
	insertRows  = 1000
	insertBytes = 4 << 20
)

// Insert writes events into the outbox, in the transaction tx; they are published when it
// is committed. It sets the ID of events without one: a transaction that is tried again
// inserts the same events, with the same ids.
//
// Events are checked first. If any is not valid nothing is inserted, and the error joins a
// *producer.EventError with [schema.Violations] for each: roll the transaction back, since what
// it does could not be audited. The trace of ctx, if there is one, goes on in publishing.
func (o *Outbox) Insert(ctx context.Context, tx Execer, events ...*schema.Event) error {
	rows, err := o.rows(ctx, events)
	if err != nil {
		return err
	}
	for len(rows) > 0 {
		n, size := 0, 0
		for n < min(len(rows), insertRows) && (n == 0 || size+len(rows[n].event) <= insertBytes) {
			size += len(rows[n].event)
			n++
		}
		statement, args := o.insertion(rows[:n])
		if _, err := tx.ExecContext(ctx, statement, args...); err != nil {
			return fmt.Errorf("insert into the outbox %s: %w", o.conf.Table, err)
		}
		rows = rows[n:]
	}
	return nil
}

// row is what Insert writes of an event.
type row struct {
	organization, id, event string
	trace                   propagation.MapCarrier
}

func (o *Outbox) rows(ctx context.Context, events []*schema.Event) ([]row, error) {
	trace := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, trace)
	rows := make([]row, 0, len(events))
	var bad []error
	for i, event := range events {
		r, err := o.row(event)
		if err != nil {
			bad = append(bad, &producer.EventError{Index: i, ID: r.id, Err: err})
			continue
		}
		r.trace = trace
		rows = append(rows, r)
	}
	return rows, errors.Join(bad...)
}

func (o *Outbox) row(event *schema.Event) (row, error) {
	if event == nil {
		return row{}, errors.New("the event is nil")
	}
	if event.ID == "" {
		event.ID = schema.NewID(time.Now())
	}
	r := row{organization: event.OrganizationID, id: event.ID}
	if event.OrganizationID == "" {
		// Required also where a Validator does not ask for it: it is the record's key.
		return r, schema.Violations{{Pointer: "/organization_id", Code: schema.CodeRequired, Message: "required"}}
	}
	value, violations := o.conf.Validator.Encode(nil, event)
	if err := violations.Err(); err != nil {
		return r, err
	}
	if o.conf.Check != nil {
		if err := o.conf.Check(event).Err(); err != nil {
			return r, err
		}
	}
	r.event = string(value)
	return r, nil
}

// insertion is the statement that inserts rows, in this order.
func (o *Outbox) insertion(rows []row) (statement string, args []any) {
	const columns = 6
	var b strings.Builder
	b.WriteString(`INSERT INTO {table} (lane, organization_id, event_id, event, traceparent, tracestate) VALUES `)
	for i, r := range rows {
		if i > 0 {
			b.WriteString(", ")
		}
		n := i * columns
		fmt.Fprintf(&b, "($%d, $%d, $%d, $%d, $%d, $%d)", n+1, n+2, n+3, n+4, n+5, n+6)
		args = append(args, laneOf(r.organization), r.organization, r.id, r.event, optional(r.trace["traceparent"]), optional(r.trace["tracestate"]))
	}
	statement = b.String()
	if !o.conf.Silent {
		// In the same round trip. Of many notifications of a transaction PostgreSQL sends one.
		statement = `WITH inserted AS (` + statement + `) SELECT pg_notify('{channel}', '')`
	}
	return o.sql(statement), args
}

// laneOf spreads organizations over the lanes.
func laneOf(organization string) int64 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(organization)) // never fails
	return int64(h.Sum32() % lanes)
}

func optional(s string) any {
	if s == "" {
		return nil
	}
	return s
}
