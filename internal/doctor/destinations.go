package doctor

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"time"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/internal/app"
)

// originer is what settings of destinations implement that are reached over a network.
type originer interface {
	// Origins are where they connect: URLs without path.
	Origins() []string
}

// destinations goes the network's steps to each place that streams of the file connect to:
// its name, an address that may be connected to, a certificate. Nothing is sent.
func (e *examiner) destinations(ctx context.Context) {
	if !e.Destinations {
		e.skipped("destinations", "--destinations looks at the network between here and them; no event is sent")
		return
	}
	guard := app.NewEgress(e.Config.Config)
	known := map[string]bool{}
	told := false
	for _, s := range e.Config.Config.Streams {
		o, ok := s.Settings.(originer)
		if !ok {
			continue
		}
		for _, origin := range o.Origins() {
			if known[origin] {
				continue
			}
			known[origin] = true
			told = true
			e.destination(ctx, s, origin, guard)
		}
	}
	if !told {
		e.skipped("destinations", "no stream of %s says where it connects", e.File)
	}
}

// destination goes the steps to one.
func (e *examiner) destination(ctx context.Context, s config.Stream, origin string, guard *app.Egress) {
	ctx, cancel := e.within(ctx)
	defer cancel()
	u, err := url.Parse(origin)
	if err != nil || u.Hostname() == "" {
		e.skipped("destinations", "stream %s: it is not known how %s is reached", s.ID, origin)
		return
	}
	port := cmp.Or(u.Port(), map[string]string{"https": "443", "http": "80"}[u.Scheme])
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", u.Hostname())
	if err != nil {
		e.fail("destinations", "check the name, and the DNS of this machine", "%s (stream %s): %s", origin, s.ID, lookupText(err))
		return
	}
	var allowed []netip.Addr
	var refused error
	for _, a := range addrs {
		a = a.Unmap()
		if err := guard.Check(a); err != nil {
			refused = err
		} else {
			allowed = append(allowed, a)
		}
	}
	if len(allowed) == 0 {
		e.fail("destinations", "mend the address of the stream, or list it under delivery.egress.allow", "%s (stream %s): %v", origin, s.ID, refused)
		return
	}
	begun := time.Now()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(allowed[0].String(), port))
	if err != nil {
		e.fail("destinations", "see that it runs, and for a firewall or a proxy between here and there", "%s (stream %s), %s: %s", origin, s.ID, allowed[0], reason(err))
		return
	}
	defer conn.Close() //nolint:errcheck // nothing was sent
	connected := time.Since(begun).Round(time.Millisecond)
	if u.Scheme != "https" {
		e.ok("destinations", "%s (stream %s): %s connects in %s", origin, s.ID, allowed[0], connected)
		return
	}
	secured := tls.Client(conn, &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12, InsecureSkipVerify: true}) //nolint:gosec // the certificate is checked below: a stream may have an authority of its own
	if err := secured.HandshakeContext(ctx); err != nil {
		e.fail("destinations", "see that it speaks TLS 1.2 or newer at this port", "%s (stream %s), %s: %s", origin, s.ID, allowed[0], reason(err))
		return
	}
	e.certificate(s, origin, u.Hostname(), secured.ConnectionState(), connected)
}

// soon is how long before its end a certificate is told of.
const soon = 14 * 24 * time.Hour

// certificate looks at how long it holds, and for whom. Whether its authority is trusted is
// for the stream's own settings to say, which "stream test" goes by.
func (e *examiner) certificate(s config.Stream, origin, host string, state tls.ConnectionState, connected time.Duration) {
	leaf := state.PeerCertificates[0]
	left := time.Until(leaf.NotAfter)
	const do = "whoever runs the destination has to renew it"
	switch {
	case left < 0:
		e.fail("destinations", do, "%s (stream %s): its certificate has expired at %s", origin, s.ID, leaf.NotAfter.UTC().Format(time.RFC3339))
	case leaf.VerifyHostname(host) != nil:
		e.fail("destinations", "connect to the name that it is for, or have it made for this one", "%s (stream %s): %v", origin, s.ID, leaf.VerifyHostname(host))
	case left < soon:
		e.warn("destinations", do, "%s (stream %s): its certificate expires at %s", origin, s.ID, leaf.NotAfter.UTC().Format(time.RFC3339))
	default:
		e.ok("destinations", "%s (stream %s): connects in %s, %s, certificate until %s", origin, s.ID, connected, tls.VersionName(state.Version), leaf.NotAfter.UTC().Format(time.DateOnly))
	}
}

func lookupText(err error) string {
	if name, ok := errors.AsType[*net.DNSError](err); ok {
		return fmt.Sprintf("%s: %s", name.Name, name.Err)
	}
	return err.Error()
}
