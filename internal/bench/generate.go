package bench

import (
	"math/rand/v2"
	"strconv"
	"time"
)

// zipfExponent makes the largest of 200 organizations send about a fifth of all events and
// the smallest a few in ten thousand: tenants are unequal, and keyed partitions with them.
const zipfExponent = 1.1

// spacing is the time between two events.
const spacing = 3 * time.Millisecond

// GeneratorConfig says which events to make. The same config gives the same events.
type GeneratorConfig struct {
	Seed          uint64
	Organizations int       // at least 1
	Start         time.Time // occurred_at of the first event
}

// Generator makes synthetic events: canonical JSON of about 600 bytes, valid in every
// field, with ids and names of realistic entropy, so that they compress as real ones do.
type Generator struct {
	rand          *rand.Rand
	zipf          *rand.Zipf
	organizations []string
	at            time.Time
}

// NewGenerator returns a generator at its first event.
func NewGenerator(c GeneratorConfig) *Generator {
	r := rand.New(rand.NewPCG(c.Seed, 0)) //nolint:gosec // reproducible on purpose
	g := &Generator{
		rand: r,
		zipf: rand.NewZipf(r, zipfExponent, 1, uint64(c.Organizations-1)),
		at:   c.Start.UTC(),
	}
	for i := range c.Organizations {
		g.organizations = append(g.organizations, OrganizationID(i))
	}
	return g
}

// OrganizationID is the id of organization i; the first ones have the most events.
func OrganizationID(i int) string {
	return string(appendBase32([]byte("org_01J"), uint64(i)*0x9e3779b97f4a7c15, 23))
}

// Event appends the next event to dst and says whose it is, by index.
func (g *Generator) Event(dst []byte) (value []byte, organization int) {
	organization = int(g.zipf.Uint64())
	at := g.at
	g.at = at.Add(spacing)
	person := pick(g.rand, people[:])
	target := pick(g.rand, targets[:])

	// The members stand in the order of RFC 8785: sorted.
	dst = append(dst, `{"action":"`...)
	dst = append(dst, pick(g.rand, actions[:])...)
	dst = append(dst, `","actor":{"id":"user_01`...)
	dst = appendBase32(dst, g.rand.Uint64(), 24)
	dst = append(dst, `","metadata":{"department":"`...)
	dst = append(dst, pick(g.rand, departments[:])...)
	dst = append(dst, `","mfa":`...)
	dst = strconv.AppendBool(dst, g.rand.IntN(4) > 0)
	dst = append(dst, `},"name":"`...)
	dst = append(dst, person...)
	dst = append(dst, `","type":"user"},"context":{"location":"`...)
	dst = g.appendAddress(dst)
	dst = append(dst, `","user_agent":"`...)
	dst = append(dst, pick(g.rand, agents[:])...)
	dst = append(dst, `"},"id":"audit_event_`...)
	dst = appendID(dst, at, g.rand.Uint64())
	dst = append(dst, `","metadata":{"request_id":"req_`...)
	dst = appendBase32(dst, g.rand.Uint64(), 26)
	dst = append(dst, `"},"occurred_at":"`...)
	dst = at.AppendFormat(dst, "2006-01-02T15:04:05.000Z")
	dst = append(dst, `","organization_id":"`...)
	dst = append(dst, g.organizations[organization]...)
	dst = append(dst, `","targets":[{"id":"`...)
	dst = append(dst, target...)
	dst = append(dst, `_01`...)
	dst = appendBase32(dst, g.rand.Uint64(), 24)
	dst = append(dst, `","name":"`...)
	dst = append(dst, pick(g.rand, people[:])...)
	dst = append(dst, `","type":"`...)
	dst = append(dst, target...)
	dst = append(dst, `"}],"version":1}`...)
	return dst, organization
}

func (g *Generator) appendAddress(dst []byte) []byte {
	dst = append(dst, "203.0.113."...) // reserved for documentation
	return strconv.AppendInt(dst, int64(g.rand.IntN(256)), 10)
}

// appendID appends 26 characters: the time in milliseconds, then random ones, as ids of
// events are made that sort by time.
func appendID(dst []byte, at time.Time, random uint64) []byte {
	return appendBase32(appendBase32(dst, uint64(at.UnixMilli())<<14, 10), random, 16)
}

// appendBase32 appends n characters of Crockford's alphabet: the highest bits of x first,
// then, where x has no more, what a linear step makes of it.
func appendBase32(dst []byte, x uint64, n int) []byte {
	const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	for i := range n {
		if i > 0 && i%12 == 0 {
			x = (x ^ uint64(i)) * 0xbf58476d1ce4e5b9
		}
		shift := 59 - 5*(i%12)
		dst = append(dst, alphabet[x>>shift&31])
	}
	return dst
}

func pick(r *rand.Rand, from []string) string { return from[r.IntN(len(from))] }

//nolint:gochecknoglobals // tables that nothing changes
var (
	actions = [...]string{
		"user.signed_in", "user.signed_out", "user.password_reset", "user.invited", "project.created",
		"project.deleted", "document.viewed", "document.shared", "api_key.created", "api_key.revoked",
		"role.assigned", "sso.connection_updated",
	}
	people = [...]string{
		"Ada Lovelace", "Grace Hopper", "Alan Turing", "Barbara Liskov", "Edsger Dijkstra", "Frances Allen",
		"Leslie Lamport", "Radia Perlman", "Ken Thompson", "Hedy Lamarr", "Zoë Müller", "José Núñez",
	}
	departments = [...]string{"engineering", "finance", "support", "security", "sales"}
	targets     = [...]string{"user", "project", "document", "api_key", "role", "connection"}
	agents      = [...]string{
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.0 Safari/605.1.15",
		"Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
		"terraform-provider-example/2.14.1 (linux; amd64) go/1.26",
	}
)
