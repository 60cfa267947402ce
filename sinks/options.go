package sinks

import (
	"errors"
	"net/netip"
	"syscall"

	"go.uber.org/zap"
)

// Owners of streams: who may change them.
const (
	OwnerFile = "file" // the operator, in the configuration that lists the stream
	OwnerAPI  = "api"  // whoever may make streams over the API; not to be trusted with the machine
)

// Options are what every sink gets beside its settings.
type Options struct {
	Log     *zap.Logger // never nil; never handed a secret
	Version string      // of auditstream, for the user agent
	Owner   string      // of the stream: who may change it

	// Replay is the uid of the job that sends events another time; empty for live delivery.
	// The destination must be able to tell: what a replay sends is marked with it, or put
	// elsewhere, and a kind that takes each event once takes it once in each job.
	Replay string

	Egress Egress // what Control asks; nil: it refuses no address

	// Note counts events of which something is to be noted, for a metric; may be nil. Sinks
	// call Noted.
	Note func(what string, events int)
}

// Noted counts events that were delivered and of which something is to be noted. what is one
// of a few words of the kind's.
func (o Options) Noted(what string, events int) {
	if o.Note != nil && events > 0 {
		o.Note(what, events)
	}
}

// Egress is the operator's policy for addresses of destinations. Two of them can be compared:
// who has not the same one shares no connection.
type Egress interface {
	// Check refuses an address that streams of owner must not send events to. The error says
	// so in plain words.
	Check(owner string, to netip.Addr) error
}

// Control is the Control of a net.Dialer that connects to a destination: every sink on the
// network sets it, for a name may stand for any address, another one at each lookup.
func (o Options) Control(_, address string, _ syscall.RawConn) error {
	if o.Egress == nil {
		return nil
	}
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return errors.New("the address to connect to cannot be read")
	}
	return o.Egress.Check(o.Owner, to.Addr())
}
