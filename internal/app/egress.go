package app

import (
	"net/netip"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/internal/egress"
)

// guard is the operator's policy for addresses of destinations, as sinks ask it.
type guard struct{ policy *egress.Policy }

func newGuard(cfg *config.Config) *guard {
	return &guard{egress.New(cfg.Delivery.Egress.Allow, cfg.Delivery.Egress.AllowAPI)}
}

// Check implements sinks.Egress.
func (g *guard) Check(owner string, to netip.Addr) error {
	return g.policy.Check(owner == ownerFile, to)
}

// Egress is the operator's policy for addresses of the file's own streams.
type Egress struct{ guard *guard }

// NewEgress is that of a configuration.
func NewEgress(cfg *config.Config) *Egress { return &Egress{newGuard(cfg)} }

// Check refuses an address with an error that says what to do.
func (e *Egress) Check(to netip.Addr) error { return e.guard.Check(ownerFile, to) }
