package app

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/consumer/deadletter"
)

// Control is the control plane on Kafka alone: what the HTTP server serves, the console
// shows and the commands ask. It is safe for concurrent use.
type Control struct {
	operator *Operator
	config   *config.Config
	version  string
	local    bool
	log      *zap.Logger
	tracer   trace.Tracer
	board    *board
	history  history
	controlClients
}

var _ admin.Service = (*Control)(nil)

// ControlConfig is what a Control needs.
type ControlConfig struct {
	Operator *Operator      // who closes it closes nothing of the Control
	Config   *config.Config // whose topics, policies and keys hold
	Version  string         // of auditstream
	Log      *zap.Logger
	Tracer   trace.Tracer // of what jobs send; nil: no traces

	// Local says that who asks is a command that has the configuration, and so its keys: jobs
	// that are started run where [Control.RunJob] is called, and what is tried is hashed with the
	// stream's own key.
	Local bool

	jobs *jobMetrics // nil: nobody counts
}

// NewControl makes a control plane, which has to be closed.
func NewControl(c ControlConfig) *Control {
	k := &Control{operator: c.Operator, config: c.Config, version: c.Version, local: c.Local, log: c.Log, tracer: c.Tracer, board: newBoard()}
	k.runner.metrics = c.jobs
	return k
}

// told gives errors that a caller can do something about the class that says so.
func told(err error) error {
	if err == nil {
		return nil
	}
	var code admin.Code
	switch {
	case is[*admin.Error](err):
		return err
	case is[*NoStreamError](err), is[*deadletter.PositionError](err), is[*consumer.NoJobError](err):
		code = admin.CodeNotFound
	case is[*ChangedError](err):
		code = admin.CodeChanged
	case is[*TargetError](err):
		code = admin.CodeInvalid
	case is[*PausedError](err), is[*HeldError](err), is[*NoLetterError](err), is[*JobError](err):
		code = admin.CodeConflict
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), passes(err):
		code = admin.CodeUnavailable
	default:
		return err
	}
	return code.Errorf("%v", err)
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// deed is who changes something, and why, as streams keep it.
func deed(c admin.Change) Deed { return Deed{By: c.By, Reason: c.Reason, If: c.If} }

// described is a stream as callers see it.
func described(st consumer.Status) *admin.Stream {
	s := st.Spec
	return &admin.Stream{
		ID: s.ID, UID: s.UID, Version: VersionOf(s), Owner: s.Owner,
		OrganizationID: s.OrganizationID, Actions: s.Actions, Filter: s.Filter, Mask: MaskOf(s), Integrity: !s.Unchained, Format: s.Format, Kind: s.Kind, Settings: Masked(s.Settings),
		Start: s.Start, Epoch: s.Epoch, Revision: s.Revision, Status: st, Advice: Advice(st), Hold: s.Hold, Paused: s.State == consumer.SpecPaused, Changes: s.Changes,
	}
}
