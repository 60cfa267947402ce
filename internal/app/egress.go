package app

import (
	"net/netip"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/internal/egress"
)

// guard is the operator's policy for addresses of destinations, as sinks ask it.
type guard struct{ policy *egress.Policy }

func newGuard(cfg *config.Config) *guard { return &guard{egress.New(cfg.Delivery.Egress.Allow)} }

// Check implements sinks.Egress.
func (g *guard) Check(owner string, to netip.Addr) error {
	return g.policy.Check(owner == ownerFile, to)
}
