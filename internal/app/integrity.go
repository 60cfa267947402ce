package app

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/internal/checkpoints"
)

// RotateIntegrity has the configuration's integrity.key take over from its old_key.
func (o *Operator) RotateIntegrity(ctx context.Context, overlap time.Duration) (checkpoints.Statement, error) {
	signing, err := checkpoints.Load(ctx, o.signing)
	if err != nil {
		return checkpoints.Statement{}, err
	}
	if signing == nil {
		return checkpoints.Statement{}, checkpoints.ErrNoKey
	}
	return checkpoints.Rotate(ctx, o.opts, o.topics, signing, overlap)
}

// IntegrityKeys are the public keys of checkpoints, as the topic has them.
func (o *Operator) IntegrityKeys(ctx context.Context) (integrity.Published, error) {
	statements, err := checkpoints.ReadStatements(ctx, o.client, o.topics)
	if err != nil {
		return integrity.Published{}, err
	}
	return checkpoints.Published(statements, zap.NewNop()), nil
}

// IntegrityLink is how the signing key of the configuration stands to the keys before it and
// behind it.
type IntegrityLink struct {
	Signing   *checkpoints.Signing   // nil: the configuration has no key
	Wrong     error                  // why those who trust the keys before it do not trust this one
	Successor *checkpoints.Statement // by which another key takes over; nil: none does
}

// IntegrityLink looks at the signing key. With an error Signing is nil where the key itself
// cannot be used.
func (o *Operator) IntegrityLink(ctx context.Context) (IntegrityLink, error) {
	signing, err := checkpoints.Load(ctx, o.signing)
	if err != nil || signing == nil {
		return IntegrityLink{}, err
	}
	statements, err := checkpoints.ReadStatements(ctx, o.client, o.topics)
	if err != nil {
		return IntegrityLink{Signing: signing}, err
	}
	return IntegrityLink{signing.After(statements), signing.Linked(statements, time.Now()), signing.Successor(statements)}, nil
}

// LastCheckpoints says what signs the checkpoints that Kafka has got since a time.
func (o *Operator) LastCheckpoints(ctx context.Context, since time.Time) (checkpoints.Lately, error) {
	signing, err := checkpoints.Load(ctx, o.signing)
	if err != nil || signing == nil {
		return checkpoints.Lately{}, err
	}
	return signing.Lately(ctx, o.client, o.topics, since)
}
