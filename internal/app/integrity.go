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

// IntegrityLink says what is wrong with the signing key of the configuration: that it is
// trusted by nobody who trusts the keys before it. signing is nil where there is none.
func (o *Operator) IntegrityLink(ctx context.Context) (signing *checkpoints.Signing, wrong, err error) {
	if signing, err = checkpoints.Load(ctx, o.signing); err != nil || signing == nil {
		return signing, nil, err
	}
	statements, err := checkpoints.ReadStatements(ctx, o.client, o.topics)
	if err != nil {
		return signing, nil, err
	}
	return signing.After(statements), signing.Linked(statements), nil
}
