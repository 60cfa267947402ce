package outbox_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/auditstream/auditstream/producer/auditctx"
	"github.com/auditstream/auditstream/producer/outbox"
	"github.com/auditstream/auditstream/schema"
	"github.com/auditstream/auditstream/schema/catalogue"
)

// disable disables a user and says so in the audit log, both or neither.
func disable(ctx context.Context, db *sql.DB, box *outbox.Outbox, user string) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // of no use after Commit
	if _, err := tx.ExecContext(ctx, `UPDATE users SET disabled = true WHERE id = $1`, user); err != nil {
		return err
	}
	// Behind the change, so that events of the same user are in the order of their changes.
	err = box.Insert(ctx, tx, catalogue.UserDisabled(catalogue.UserDisabledEvent{
		Common: auditctx.Common(ctx),
		User:   catalogue.UserDisabledUser{Ref: catalogue.Ref{ID: user}},
	}))
	if err != nil {
		return err
	}
	return tx.Commit()
}

func Example() {
	_ = disable // needs a database; docs/client.md shows the relay

	// What is not valid fails in the service's transaction, not later in the relay.
	box, err := outbox.New(outbox.Config{})
	if err != nil {
		panic(err)
	}
	var tx *sql.Tx
	err = box.Insert(context.Background(), tx, &schema.Event{ID: "audit_event_01JAAAAAAAAAAAAAAAAAAAAAAA", OrganizationID: "acme"})
	violations, _ := errors.AsType[schema.Violations](err)
	for _, v := range violations {
		fmt.Println(v)
	}
	// Output:
	// /organization_id: pattern: must match ^org_[A-Z0-9]{26}$
	// /action: required
	// /occurred_at: required
	// /actor: required
	// /targets: required
}
