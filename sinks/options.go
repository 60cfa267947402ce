package sinks

import (
	"go.uber.org/zap"
)

// Options are what every sink gets beside its settings.
type Options struct {
	Log     *zap.Logger // never nil; never handed a secret
	Version string      // of auditstream, for the user agent
}
