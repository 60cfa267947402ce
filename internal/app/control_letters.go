package app

import (
	"context"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/consumer/deadletter"
)

// DeadLetters implements admin.DeadLetterService.
func (c *Control) DeadLetters(context.Context, deadletter.Query) (*deadletter.Listing, error) {
	return nil, unserved("listing dead letters")
}

// DeadLetter implements admin.DeadLetterService.
func (c *Control) DeadLetter(context.Context, deadletter.Position) (*admin.DeadLetter, error) {
	return nil, unserved("showing dead letters")
}

// DiscardDeadLetters implements admin.DeadLetterService.
func (c *Control) DiscardDeadLetters(context.Context, []deadletter.Position, admin.Change) (*admin.Discarded, error) {
	return nil, unserved("discarding dead letters")
}
