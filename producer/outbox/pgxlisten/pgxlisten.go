// Package pgxlisten has relays of package outbox notified through pgx. It stands apart, so
// that services with another driver do not depend on pgx.
package pgxlisten

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// On is what outbox.RelayConfig.Listen needs. db has to be opened with pgx (driver "pgx" of
// package stdlib); one of its connections is in use all the time, and has to be one to the
// server itself: LISTEN does not work through PgBouncer's transaction pooling.
func On(db *sql.DB) func(ctx context.Context, channel string, wake func()) error {
	return func(ctx context.Context, channel string, wake func()) error {
		conn, err := db.Conn(ctx)
		if err != nil {
			return err
		}
		defer conn.Close() //nolint:errcheck // it was given up before
		err = conn.Raw(func(of any) error {
			own, ok := of.(*stdlib.Conn)
			if !ok {
				return fmt.Errorf("the database was opened with another driver (%T): open it as sql.Open(\"pgx\", …)", of)
			}
			// It still listens, so nobody else may have it.
			return errors.Join(listen(ctx, own.Conn(), channel, wake), driver.ErrBadConn)
		})
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return err
	}
}

func listen(ctx context.Context, conn *pgx.Conn, channel string, wake func()) error {
	if _, err := conn.Exec(ctx, "LISTEN "+pgx.Identifier{channel}.Sanitize()); err != nil {
		return err
	}
	wake() // for what was inserted before
	for {
		if _, err := conn.WaitForNotification(ctx); err != nil {
			return err
		}
		wake()
	}
}
