package config

import (
	"net"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/auditstream/auditstream/internal/units"
)

// Gateway is where events are taken in over HTTP, and from whom.
type Gateway struct {
	Listen       string         `json:"listen"`        // host:port
	URL          string         `json:"url,omitempty"` // that callers reach it by; empty: as each request has it
	Keys         []GatewayKey   `json:"keys,omitempty"`
	Limits       GatewayLimits  `json:"limits"`
	TLS          *ServerTLS     `json:"tls,omitempty"`
	Insecure     bool           `json:"insecure"`      // plain HTTP also where others can listen in
	Connections  int            `json:"connections"`   // open at once
	Requests     int            `json:"requests"`      // served at once
	Memory       units.Bytes    `json:"memory"`        // for bodies, of all requests together
	Timeout      units.Duration `json:"timeout"`       // for Kafka to take an event
	DrainTimeout units.Duration `json:"drain_timeout"` // for requests under way at shutdown
	Idempotency  Idempotency    `json:"idempotency"`
	Spool        Spool          `json:"spool"`
	WorkOS       GatewayWorkOS  `json:"workos"`
}

// TakesEvents says whether anybody could bring events: there is a key, or WorkOS is a source.
func (g *Gateway) TakesEvents() bool {
	return len(g.Keys) > 0 || len(g.WorkOS.Webhook.Secrets) > 0 || !g.WorkOS.Poll.APIKey.IsZero()
}

// GatewayAllowances are the values of GatewayKey.Allow.
func GatewayAllowances() []string { return []string{"publish", "exports", "schemas", "retention"} }

// Idempotency is what the gateway remembers of accepted events, to know a repeat again.
type Idempotency struct {
	Memory units.Bytes `json:"memory"`
}

// Spool is where the gateway keeps accepted events while Kafka is away.
type Spool struct {
	Dir   string         `json:"dir,omitempty"` // empty: there is none
	Max   units.Bytes    `json:"max"`           // on disk
	After units.Duration `json:"after"`         // how long Kafka has for an event
}

// defaultGateway is where the gateway listens, on this machine only.
const defaultGateway = "127.0.0.1:8080"

// Bounds of the gateway.
const (
	maxRequests      = 100_000
	maxConnections   = 1_000_000
	minGatewayMemory = 16 * units.MiB // a few bodies, each with what is made of it
	minIdempotency   = units.MiB      // some twenty thousand events
	minSpool         = 16 * units.MiB // segments, and a few requests
)

func (g *Gateway) validate(organizations *regexp.Regexp, bad violation) {
	if _, port, err := net.SplitHostPort(g.Listen); err != nil || !validPort(port) {
		bad("gateway.listen", "%q is not HOST:PORT, as in %s", g.Listen, defaultGateway)
	} else if g.TLS == nil && !g.Insecure && !Loopback(g.Listen) {
		bad("gateway.listen", "%s can be reached from other machines, and without tls whoever is in between reads the keys: set gateway.tls, or gateway.insecure: true where something in front of it does TLS", g.Listen)
	}
	if u, err := url.Parse(g.URL); g.URL != "" && (err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.HasSuffix(g.URL, "/")) {
		bad("gateway.url", "%q is no URL such as https://audit.acme.example, without a slash at its end", g.URL)
	}
	g.TLS.validate("gateway.tls", bad)
	g.Limits.validate(bad)
	g.validateKeys(organizations, bad)
	if g.Requests < 1 || g.Requests > maxRequests {
		bad("gateway.requests", "is not between 1 and %d", maxRequests)
	} else if g.Connections <= g.Requests || g.Connections > maxConnections {
		bad("gateway.connections", "is not between %d and %d: more than gateway.requests, or requests under way could take all of them", g.Requests+1, maxConnections)
	}
	if g.Memory < minGatewayMemory {
		bad("gateway.memory", "is less than %v", minGatewayMemory)
	}
	if g.Timeout.Std() < time.Second {
		bad("gateway.timeout", "is less than 1s")
	}
	if g.DrainTimeout < 0 {
		bad("gateway.drain_timeout", "is negative")
	}
	g.WorkOS.validate(organizations, bad)
	if g.Idempotency.Memory < minIdempotency {
		bad("gateway.idempotency.memory", "is less than %v", minIdempotency)
	}
	g.Spool.validate(g.Timeout, bad)
}

func (s Spool) validate(timeout units.Duration, bad violation) {
	if s.Max < minSpool {
		bad("gateway.spool.max", "is less than %v", minSpool)
	}
	if s.Dir != "" && (s.After <= 0 || s.After > timeout) {
		bad("gateway.spool.after", "is not above 0 and at most gateway.timeout, %s: by then Kafka has been given up", timeout.Std())
	}
}
