// Package audithttp is middleware for net/http that notes, for the audit events of a
// request, who makes it, for whom, and from where. Events take it from the request's
// context: see package auditctx.
package audithttp

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/auditstream/auditstream/producer/auditctx"
	"github.com/auditstream/auditstream/schema"
)

// MaxUserAgent is how many bytes of a User-Agent go into events. A longer one is cut: it is
// the client's to choose, and one of a megabyte would make each event about that client
// too large to be published, which is a way to stay out of the audit log.
const MaxUserAgent = 512

// Config says what the middleware notes beside the client's address and user agent. All of
// it is optional.
type Config struct {
	// Actor says who makes a request; false: nobody that is known, or not known yet. The
	// middleware calls it before the handler, so authentication has to be outside of it. A
	// handler that learns it later uses auditctx.WithActor.
	Actor func(*http.Request) (schema.Actor, bool)

	// Organization says whose audit log the request belongs to; empty: not known.
	Organization func(*http.Request) string

	// TrustedProxies are the networks of the reverse proxies and load balancers in front of
	// the service. Only what these say in X-Forwarded-For is believed; without any, the
	// client's address is that of the connection.
	TrustedProxies []netip.Prefix
}

// Middleware wraps handlers so that the context of each request carries what c says, the
// client's address ([Config.ClientIP]) as location, and the User-Agent: cut to
// MaxUserAgent bytes, and with U+FFFD for what is not UTF-8, since an event cannot hold it.
func Middleware(c Config) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx := auditctx.WithContext(r.Context(), c.from(r))
			if c.Organization != nil {
				if id := c.Organization(r); id != "" {
					ctx = auditctx.WithOrganization(ctx, id)
				}
			}
			if c.Actor != nil {
				if actor, known := c.Actor(r); known {
					ctx = auditctx.WithActor(ctx, actor)
				}
			}
			next.ServeHTTP(w, r.WithContext(ctx))
		})
	}
}

// from is where a request was made from.
func (c Config) from(r *http.Request) schema.Context {
	from := schema.Context{UserAgent: userAgent(r)}
	if ip := c.ClientIP(r); ip.IsValid() {
		from.Location = ip.String()
	}
	return from
}

func userAgent(r *http.Request) string {
	s := r.UserAgent()
	if len(s) > MaxUserAgent {
		// At most three bytes more than needed belong to the character that is cut in two.
		cut := MaxUserAgent
		for cut > MaxUserAgent-utf8.UTFMax && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut]
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// ClientIP is the address that a request came from: that of the connection, unless it is
// one of TrustedProxies. Then it is the last address in X-Forwarded-For that is not one of
// them: each proxy appends whom it has the request from, so whatever stands further left
// was written by that address, and may be made up. Where a trusted proxy has appended
// something that is no address, or nothing, the proxy itself is the last that is known.
//
// It is invalid where the connection has no address, as over a Unix socket.
func (c Config) ClientIP(r *http.Request) netip.Addr {
	client := address(r.RemoteAddr)
	if !c.trusted(client) {
		return client
	}
	lines := r.Header.Values("X-Forwarded-For")
	for _, line := range slices.Backward(lines) {
		for more := true; more; {
			var entry string
			if comma := strings.LastIndexByte(line, ','); comma >= 0 {
				line, entry = line[:comma], line[comma+1:]
			} else {
				entry, more = line, false
			}
			named := address(strings.TrimSpace(entry))
			if !named.IsValid() {
				return client
			}
			if client = named; !c.trusted(client) {
				return client
			}
		}
	}
	return client
}

func (c Config) trusted(ip netip.Addr) bool {
	if !ip.IsValid() {
		return false
	}
	for _, network := range c.TrustedProxies {
		if network.Contains(ip) {
			return true
		}
	}
	return false
}

// address reads an address with or without a port; IPv4 within IPv6 becomes IPv4, and a
// zone, which means something on one machine only, is left out.
func address(s string) netip.Addr {
	ip, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	if err != nil {
		with, err := netip.ParseAddrPort(s)
		if err != nil {
			return netip.Addr{}
		}
		ip = with.Addr()
	}
	return ip.Unmap().WithZone("")
}
