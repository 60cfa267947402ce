package config

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/auditstream/auditstream/internal/secret"
	"github.com/auditstream/auditstream/internal/units"
)

// GatewayWorkOS is how Events of WorkOS become audit events.
type GatewayWorkOS struct {
	Organization  string        `json:"organization,omitempty"`  // whose the Events are that name none
	Organizations []string      `json:"organizations,omitempty"` // the only ones whose Events are taken; nil: all
	Webhook       WorkOSWebhook `json:"webhook"`
	Poll          WorkOSPoll    `json:"poll"`
}

// WorkOSWebhook is how webhooks are proved to be WorkOS's.
type WorkOSWebhook struct {
	Secrets   []secret.Ref   `json:"secrets,omitempty"` // of endpoints, all valid; nil: no webhooks are taken
	Tolerance units.Duration `json:"tolerance"`         // of a signature's time, both ways
}

// WorkOSPoll is how the Events API is read.
type WorkOSPoll struct {
	APIKey   secret.Ref     `json:"api_key"` // zero: it is not read
	URL      string         `json:"url"`
	Events   []string       `json:"events,omitempty"` // types that are asked for; nil: those that the binary knows
	Backfill units.Duration `json:"backfill"`         // how far back it begins without a cursor
	Interval units.Duration `json:"interval"`         // between two requests while there is nothing new
}

// Bounds of reading the Events API.
const (
	maxBackfill = 30 * 24 * time.Hour // WorkOS keeps no Event for longer
	minInterval = time.Second
)

// workosEvent is the type of an Event, as in dsync.user.created.
var workosEvent = regexp.MustCompile(`^[a-z0-9_]+(\.[a-z0-9_]+)+$`)

func (w *GatewayWorkOS) validate(organizations *regexp.Regexp, bad violation) {
	matches := func(id string) bool { return organizations == nil || organizations.MatchString(id) }
	if w.Organization != "" && !matches(w.Organization) {
		bad("gateway.workos.organization", "%q does not match events.organization_pattern, so no event can have it", w.Organization)
	}
	if w.Organizations != nil && len(w.Organizations) == 0 {
		bad("gateway.workos.organizations", "is an empty list, which takes nothing; remove it for all organizations")
	}
	for i, id := range w.Organizations {
		if !matches(id) {
			bad(fmt.Sprintf("gateway.workos.organizations[%d]", i), "%q does not match events.organization_pattern, so no event can have it", id)
		}
	}
	if w.Webhook.Secrets != nil && len(w.Webhook.Secrets) == 0 {
		bad("gateway.workos.webhook.secrets", "is an empty list; remove it to take no webhooks")
	}
	for i, s := range w.Webhook.Secrets {
		if err := s.Check(); err != nil {
			bad(fmt.Sprintf("gateway.workos.webhook.secrets[%d]", i), "%v", err)
		}
	}
	if w.Webhook.Tolerance.Std() < time.Second {
		bad("gateway.workos.webhook.tolerance", "is less than 1s: no two clocks agree that well")
	}
	w.Poll.validate(bad)
}

func (p *WorkOSPoll) validate(bad violation) {
	if !p.APIKey.IsZero() {
		if err := p.APIKey.Check(); err != nil {
			bad("gateway.workos.poll.api_key", "%v", err)
		}
	}
	u, err := url.Parse(p.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		bad("gateway.workos.poll.url", "is not a URL as in https://api.workos.com")
	case u.Scheme == "http" && !Loopback(hostPort(u)):
		bad("gateway.workos.poll.url", "must begin with https: the API key would be sent for everybody to read")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		bad("gateway.workos.poll.url", "has more than scheme, host and path")
	}
	if p.Events != nil && len(p.Events) == 0 {
		bad("gateway.workos.poll.events", "is an empty list, which asks for nothing; remove it for all types that are known")
	}
	for i, name := range p.Events {
		if !workosEvent.MatchString(name) {
			bad(fmt.Sprintf("gateway.workos.poll.events[%d]", i), "is not a type of Event such as user.created; WorkOS takes no wildcards")
		}
	}
	if p.Backfill.Std() > maxBackfill {
		bad("gateway.workos.poll.backfill", "is more than 30d: WorkOS keeps no Event for longer")
	}
	if p.Interval.Std() < minInterval {
		bad("gateway.workos.poll.interval", "is less than 1s")
	}
}

// hostPort is the address of a URL as one listens on it.
func hostPort(u *url.URL) string {
	if u.Port() != "" {
		return u.Host
	}
	return strings.TrimSuffix(u.Host, ":") + ":80"
}
