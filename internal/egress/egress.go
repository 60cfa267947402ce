// Package egress decides which addresses destinations may have. It is asked after a name
// was looked up, at every connection: whoever owns the name of a destination decides what
// it stands for, and may let it stand for a machine of the operator's network.
package egress

import (
	"cmp"
	"fmt"
	"net/netip"
	"strings"

	"code.dny.dev/ssrf"
)

// Policy is what an operator allows. It is safe for concurrent use.
type Policy struct {
	own    rules // of the operator's own streams
	others rules
	strict bool // the operator's own streams have no more than own
}

// rules are a list of what is allowed beside public addresses.
type rules struct {
	public  *ssrf.Guardian
	allowed []netip.Prefix
}

// New makes the policy of an operator who allows his own streams the prefixes of allow beside
// public addresses, and streams that somebody made over an API those of others alone: an
// address that the operator sends events to is not therefore everybody's. With nil for allow,
// where nothing was decided, his own streams may go to private and loopback addresses too; an
// empty list leaves public ones only.
func New(allow, others []Prefix) *Policy {
	return &Policy{own: newRules(allow), others: newRules(others), strict: allow != nil}
}

func newRules(allow []Prefix) rules {
	var r rules
	var v4, v6 []netip.Prefix
	for _, a := range allow {
		r.allowed = append(r.allowed, a.Prefix)
		if a.Addr().Is4() {
			v4 = append(v4, a.Prefix)
		} else {
			v6 = append(v6, a.Prefix)
		}
	}
	r.public = ssrf.New(ssrf.WithAnyPort(), ssrf.WithAllowedV4Prefixes(v4...), ssrf.WithAllowedV6Prefixes(v6...))
	return r
}

// Error says that an address is refused.
type Error struct {
	Addr    netip.Addr
	what    string
	setting string // that would allow it; empty: allow
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s is %s, and no event is sent there: if it is a destination, list it in the configuration under delivery.egress.%s", e.Addr, e.what, cmp.Or(e.setting, "allow"))
}

// Check refuses an address with an *Error. operators says that the stream is the operator's
// own, not one that somebody made over an API.
func (p *Policy) Check(operators bool, addr netip.Addr) error {
	addr = addr.Unmap().WithZone("")
	r, setting := p.others, "allow_api"
	if operators {
		r, setting = p.own, "allow"
	}
	for _, a := range r.allowed {
		if a.Contains(addr) {
			return nil
		}
	}
	if what := never(addr); what != "" {
		return &Error{addr, what, setting}
	}
	if operators && !p.strict {
		return nil
	}
	if r.public.SafeAddr(addr) != nil {
		return &Error{addr, "no public address", setting}
	}
	return nil
}

// never says why nobody's events go to addr, unless it is allowed by name; empty if they
// may. An address of the kind has no destination behind it, or a cloud's metadata service,
// which lends the machine's own credentials to whoever asks.
func never(addr netip.Addr) string {
	switch {
	case addr.IsUnspecified():
		return "no address of a machine"
	case addr.IsMulticast(), addr == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return "an address of many machines"
	case isMetadata(addr):
		return "the metadata service of a cloud"
	case addr.IsLinkLocalUnicast():
		return "a link-local address"
	}
	return ""
}

// isMetadata knows the addresses of the large clouds' metadata services, of which only the
// first one is link-local.
func isMetadata(addr netip.Addr) bool {
	switch addr.String() {
	case "169.254.169.254", // AWS, Azure, Google and others
		"fd00:ec2::254",   // AWS
		"fd20:ce::254",    // Google
		"168.63.129.16",   // Azure's host
		"100.100.100.200": // Alibaba
		return true
	}
	return false
}

// Prefix is a range of addresses, as in 10.0.0.0/8; a single address is a range of one.
type Prefix struct{ netip.Prefix }

// UnmarshalText reads a prefix or an address.
func (p *Prefix) UnmarshalText(text []byte) error {
	s := string(text)
	if !strings.Contains(s, "/") {
		if addr, err := netip.ParseAddr(s); err == nil && addr.Zone() == "" {
			addr = addr.Unmap()
			p.Prefix = netip.PrefixFrom(addr, addr.BitLen())
			return nil
		}
	}
	prefix, err := netip.ParsePrefix(s)
	if err != nil || prefix.Addr().Is4In6() {
		return fmt.Errorf("%q is no range of addresses: write it as in 10.0.0.0/8", s)
	}
	if prefix != prefix.Masked() {
		return fmt.Errorf("%s begins in the middle of a range: write %s", prefix, prefix.Masked())
	}
	p.Prefix = prefix
	return nil
}
