package sinks

import (
	"go.uber.org/zap"
)

// Options are what every sink gets beside its settings.
type Options struct {
	Log     *zap.Logger // never nil; never handed a secret
	Version string      // of auditstream, for the user agent

	// Replay is the uid of the job that sends events another time; empty for live delivery.
	// The destination must be able to tell: what a replay sends is marked with it, or put
	// elsewhere, and a kind that takes each event once takes it once in each job.
	Replay string
}
