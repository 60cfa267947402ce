package config

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/auditstream/auditstream/internal/secret"
)

// GatewayKey is an API key of services. Several may have one name, while one takes the other's
// place.
type GatewayKey struct {
	Name          string     `json:"name"`                   // as the log says it
	Key           secret.Ref `json:"key,omitzero"`           // of the key, or of its hash; exactly one of Key and Hash is set
	Hash          string     `json:"hash,omitempty"`         // as auditstream gateway keygen prints it
	Organizations []string   `json:"organizations"`          // whose events it may publish; AllOrganizations: everybody's
	Actions       []string   `json:"actions,omitempty"`      // that it is for, as in a stream; nil: all
	Allow         []string   `json:"allow,omitempty"`        // of GatewayAllowances; nil: to publish
	Expires       time.Time  `json:"expires,omitzero"`       // from then on it is not valid; zero: it has no end
	Certificates  []string   `json:"certificates,omitempty"` // of which the caller's has to have a name; nil: it needs none
	Limit         *Rate      `json:"limit,omitempty"`        // in place of that of all keys
}

// GatewayLimits bound how many events come.
type GatewayLimits struct {
	Key          Rate `json:"key"`          // by each key; keys of one name share it
	Organization Rate `json:"organization"` // of each organization, by whatever keys
}

// Rate is how many events may come.
type Rate struct {
	PerSecond int `json:"per_second"` // on average; 0: any number
	Burst     int `json:"burst"`      // at once, after a pause; 0: ten seconds' worth
}

// Bounds of keys and rates.
const (
	maxKeys = 4096 // every request is compared with all of them
	maxRate = 1_000_000_000
)

// keyHash is what a hash of a key looks like.
var keyHash = regexp.MustCompile(`^sha256:[0-9a-fA-F]{64}$`)

func (l *GatewayLimits) validate(bad violation) {
	l.Key.validate("gateway.limits.key", bad)
	l.Organization.validate("gateway.limits.organization", bad)
}

func (r Rate) validate(path string, bad violation) {
	if r.PerSecond < 0 || r.PerSecond > maxRate {
		bad(path+".per_second", "is not between 0, which bounds nothing, and %d", maxRate)
	}
	switch {
	case r.Burst < 0 || r.Burst > maxRate:
		bad(path+".burst", "is not between 0 and %d", maxRate)
	case r.Burst > 0 && r.PerSecond == 0:
		bad(path+".burst", "needs per_second: without it nothing is bounded")
	}
}

func (g *Gateway) validateKeys(organizations *regexp.Regexp, bad violation) {
	if len(g.Keys) > maxKeys {
		bad("gateway.keys", "lists %d keys, at most %d are compared with each request", len(g.Keys), maxKeys)
	}
	first := map[string]int{}
	for i := range g.Keys {
		k, path := &g.Keys[i], fmt.Sprintf("gateway.keys[%d]", i)
		k.validate(path, organizations, bad)
		if len(k.Certificates) > 0 && (g.TLS == nil || g.TLS.ClientCAFile == "") {
			bad(path+".certificates", "needs gateway.tls.client_ca_file: without it callers are asked for no certificate")
		}
		if other, ok := first[k.Name]; !ok {
			first[k.Name] = i
		} else if !sameRate(k.Limit, g.Keys[other].Limit) {
			bad(path+".limit", "is another one than that of gateway.keys[%d], with which it shares its name and so its rate", other)
		}
	}
}

func sameRate(a, b *Rate) bool { return a == b || a != nil && b != nil && *a == *b }

func (k *GatewayKey) validate(path string, organizations *regexp.Regexp, bad violation) {
	if !tokenName.MatchString(k.Name) {
		bad(path+".name", "%q is no name: 1 to 63 letters, digits and ._@-", k.Name)
	}
	switch {
	case k.Hash == "" || !k.Key.IsZero():
		if k.Hash != "" {
			bad(path+".hash", "stands beside key: leave one of them out")
		} else if err := k.Key.Check(); err != nil {
			bad(path+".key", "%v; or give its hash: auditstream gateway keygen makes both", err)
		}
	case !keyHash.MatchString(k.Hash):
		bad(path+".hash", "is not sha256: and 64 hexadecimal digits, as auditstream gateway keygen prints it") // not shown: it may be the key
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
	if k.Certificates != nil && len(k.Certificates) == 0 {
		bad(path+".certificates", "is an empty list; remove it where no certificate is needed")
	}
	for j, name := range k.Certificates {
		if strings.TrimSpace(name) == "" || strings.Contains(name, "*") {
			bad(fmt.Sprintf("%s.certificates[%d]", path, j), "%q is no name of a certificate, such as billing.internal or spiffe://cluster/billing: each is compared as it is written", name)
		}
	}
	if k.Limit != nil {
		k.Limit.validate(path+".limit", bad)
	}
}
