package config

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"

	"github.com/auditstream/auditstream/internal/secret"
)

// Admin is where the API and the console are served, and who may use them.
type Admin struct {
	Listen       string       `json:"listen"` // host:port
	Tokens       []AdminToken `json:"tokens,omitempty"`
	TLS          *ServerTLS   `json:"tls,omitempty"`
	Insecure     bool         `json:"insecure"`               // plain HTTP also where others can listen in
	Organization string       `json:"organization,omitempty"` // whose the events are about streams of all organizations
}

// AdminToken is a token of the API.
type AdminToken struct {
	Name          string     `json:"name"` // as audit events and the log say it
	Token         secret.Ref `json:"token"`
	Role          string     `json:"role"`                    // one of AdminRoles
	Organizations []string   `json:"organizations,omitempty"` // that it is confined to; absent: none
}

// AdminRoles are the values of AdminToken.Role, from the least to the mightiest.
func AdminRoles() []string { return []string{"viewer", "operator", "admin"} }

// defaultAdmin is where the API listens, on this machine only.
const defaultAdmin = "127.0.0.1:8082"

// tokenName is what a token may be called: it stands in events and in the log.
var tokenName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@-]{0,62}$`)

// Loopback says whether only this machine can reach an address to listen on.
func Loopback(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return false
	}
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

func (a *Admin) validate(organizations *regexp.Regexp, bad violation) {
	if _, port, err := net.SplitHostPort(a.Listen); err != nil || !validPort(port) {
		bad("admin.listen", "%q is not HOST:PORT, as in %s", a.Listen, defaultAdmin)
	} else if a.TLS == nil && !a.Insecure && !Loopback(a.Listen) {
		bad("admin.listen", "%s can be reached from other machines, and without tls whoever is in between reads the tokens: set admin.tls, or admin.insecure: true where something in front of it does TLS", a.Listen)
	}
	a.TLS.validate("admin.tls", bad)
	matches := func(id string) bool { return organizations == nil || organizations.MatchString(id) }
	if a.Organization != "" && !matches(a.Organization) {
		bad("admin.organization", "%q does not match events.organization_pattern", a.Organization)
	}
	seen := map[string]int{}
	for i, t := range a.Tokens {
		path := fmt.Sprintf("admin.tokens[%d]", i)
		if !tokenName.MatchString(t.Name) {
			bad(path+".name", "%q is no name: 1 to 63 letters, digits and ._@-", t.Name)
		} else if first, ok := seen[t.Name]; ok {
			bad(path+".name", "is the name of admin.tokens[%d] too: nobody could tell who did what", first)
		}
		seen[t.Name] = i
		if err := t.Token.Check(); err != nil {
			bad(path+".token", "%v", err)
		}
		oneOf(bad, path+".role", t.Role, AdminRoles())
		if t.Organizations != nil && len(t.Organizations) == 0 {
			bad(path+".organizations", "is empty; leave it out for a token of all organizations")
		}
		for j, id := range t.Organizations {
			if id == AllOrganizations || !matches(id) {
				bad(fmt.Sprintf("%s.organizations[%d]", path, j), "%q is no organization; leave organizations out for a token of all", id)
			}
		}
	}
}
