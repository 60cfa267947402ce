package config

import (
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/auditstream/auditstream/internal/secret"
	"github.com/auditstream/auditstream/internal/units"
)

// Gateway is where events are taken in over HTTP, and from whom.
type Gateway struct {
	Listen       string         `json:"listen"`        // host:port
	URL          string         `json:"url,omitempty"` // that callers reach it by; empty: as each request has it
	Keys         []GatewayKey   `json:"keys,omitempty"`
	Insecure     bool           `json:"insecure"`      // plain HTTP also where others can listen in
	Requests     int            `json:"requests"`      // served at once
	Memory       units.Bytes    `json:"memory"`        // for bodies, of all requests together
	Timeout      units.Duration `json:"timeout"`       // for Kafka to take an event
	DrainTimeout units.Duration `json:"drain_timeout"` // for requests under way at shutdown
	WorkOS       GatewayWorkOS  `json:"workos"`
}

// TakesEvents says whether anybody could bring events: there is a key, or WorkOS is a source.
func (g *Gateway) TakesEvents() bool {
	return len(g.Keys) > 0 || len(g.WorkOS.Webhook.Secrets) > 0 || !g.WorkOS.Poll.APIKey.IsZero()
}

// GatewayKey is an API key of services.
type GatewayKey struct {
	Name          string     `json:"name"` // as the log says it
	Key           secret.Ref `json:"key"`
	Organizations []string   `json:"organizations"`     // whose events it may publish; AllOrganizations: everybody's
	Actions       []string   `json:"actions,omitempty"` // that it is for, as in a stream; nil: all
	Allow         []string   `json:"allow,omitempty"`   // of GatewayAllowances; nil: to publish
}

// GatewayAllowances are the values of GatewayKey.Allow.
func GatewayAllowances() []string { return []string{"publish", "exports", "schemas", "retention"} }

// defaultGateway is where the gateway listens, on this machine only.
const defaultGateway = "127.0.0.1:8080"

// Bounds of the gateway.
const (
	maxRequests      = 100_000
	minGatewayMemory = 16 * units.MiB // a few bodies, each with what is made of it
)

func (g *Gateway) validate(organizations *regexp.Regexp, bad violation) {
	if _, port, err := net.SplitHostPort(g.Listen); err != nil || !validPort(port) {
		bad("gateway.listen", "%q is not HOST:PORT, as in %s", g.Listen, defaultGateway)
	} else if !g.Insecure && !Loopback(g.Listen) {
		bad("gateway.listen", "%s can be reached from other machines, and without TLS whoever is in between reads the keys: set gateway.insecure: true where something in front of it does TLS", g.Listen)
	}
	if u, err := url.Parse(g.URL); g.URL != "" && (err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.HasSuffix(g.URL, "/")) {
		bad("gateway.url", "%q is no URL such as https://audit.acme.example, without a slash at its end", g.URL)
	}
	seen := map[string]int{}
	for i, k := range g.Keys {
		path := fmt.Sprintf("gateway.keys[%d]", i)
		if !tokenName.MatchString(k.Name) {
			bad(path+".name", "%q is no name: 1 to 63 letters, digits and ._@-", k.Name)
		} else if first, ok := seen[k.Name]; ok {
			bad(path+".name", "is the name of gateway.keys[%d] too: nobody could tell who sent what", first)
		}
		seen[k.Name] = i
		if err := k.Key.Check(); err != nil {
			bad(path+".key", "%v", err)
		}
		if len(k.Organizations) == 0 {
			bad(path+".organizations", `is required: whose events the key may publish; ["*"] is everybody's`)
		}
		for j, id := range k.Organizations {
			if id != AllOrganizations && organizations != nil && !organizations.MatchString(id) {
				bad(fmt.Sprintf("%s.organizations[%d]", path, j), "%q does not match events.organization_pattern, so no event can have it", id)
			}
		}
		for j, what := range k.Allow {
			oneOf(bad, fmt.Sprintf("%s.allow[%d]", path, j), what, GatewayAllowances())
		}
		if k.Allow != nil && len(k.Allow) == 0 {
			bad(path+".allow", "is an empty list, which allows nothing; remove it for a key that publishes")
		}
		if k.Actions != nil && len(k.Actions) == 0 {
			bad(path+".actions", "is an empty list, which allows nothing; remove it for all actions")
		}
		validateActions(k.Actions, path+".actions", bad)
	}
	if g.Requests < 1 || g.Requests > maxRequests {
		bad("gateway.requests", "is not between 1 and %d", maxRequests)
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
}
