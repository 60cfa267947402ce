package app

import (
	"encoding/json"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/auditstream/auditstream/producer"
	"github.com/auditstream/auditstream/schema"
	"github.com/auditstream/auditstream/schema/catalogue"
	"github.com/auditstream/auditstream/schema/registry"
)

const operatorsOrganization = "org_01JOPERATOROPERATOROPERATO"

const acmeStream = `
streams:
  - {id: everything, organization_id: "*", start: beginning, SPLUNK}
  - {id: acme, organization_id: org_01JAAAAAAAAAAAAAAAAAAAAAAA, start: beginning, SPLUNK}
`

// told is an audit event about auditstream itself.
type toldEvent struct{ Action, Organization, Actor, Stream, Reason string }

// told are those of the events topic, in the order of their partitions.
func (s *site) told() []toldEvent {
	s.t.Helper()
	known, err := catalogue.Embedded()
	if err != nil {
		s.t.Fatal(err)
	}
	checks, err := registry.New(registry.Config{Unknown: registry.Reject}, known)
	if err != nil {
		s.t.Fatal(err)
	}
	var out []toldEvent
	for partition := range int32(3) {
		_, err := (&kafka.Reader{Client: s.client()}).ReadToEnd(s.t.Context(), "audit.events", partition, func(r *kgo.Record) {
			var e schema.Event
			if err := json.Unmarshal(r.Value, &e); err != nil {
				s.t.Fatal(err)
			}
			if len(e.Action) < 16 || e.Action[:16] != "audit_log_stream" {
				return
			}
			if found := checks.Check(r.Value); len(found.Violations) > 0 {
				s.t.Errorf("%s is not as its schema says: %v", e.Action, found.Violations)
			}
			if string(r.Key) != e.OrganizationID || len(r.Headers) != 2 || string(r.Headers[1].Value) != producer.EncodingJCS {
				s.t.Errorf("key %s, headers %v", r.Key, r.Headers)
			}
			reason, _ := e.Metadata["reason"].(string)
			out = append(out, toldEvent{e.Action, e.OrganizationID, e.Actor.ID, e.Targets[0].Name, reason})
		})
		if err != nil {
			s.t.Fatal(err)
		}
	}
	return out
}

func TestEachDeedIsAnAuditEventOfTheStreamsOrganization(t *testing.T) {
	const acme = "org_01JAAAAAAAAAAAAAAAAAAAAAAA"
	for name, operators := range map[string]string{"nobody's": "", "the operator's": operatorsOrganization} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.there()
			cfg := s.config(acmeStream)
			cfg.Admin.Organization = operators
			p := run(t, Delivery{Config: cfg})
			p.logged("partition taken")
			p.end()
			c := s.control(cfg)
			by := func(reason string) admin.Change { return admin.Change{By: "ada", Reason: reason} }
			for _, id := range []string{"acme", "everything"} {
				if _, err := c.PauseStream(t.Context(), id, by("OPS-1")); err != nil {
					t.Fatal(err)
				}
				if _, err := c.PauseStream(t.Context(), id, by("again")); err != nil { // it is so already: no deed
					t.Fatal(err)
				}
				if _, err := c.ResumeStream(t.Context(), id, by("")); err != nil {
					t.Fatal(err)
				}
				if _, err := c.SkipStream(t.Context(), id, admin.Target{Now: true}, by("OPS-2")); err != nil {
					t.Fatal(err)
				}
				if _, err := c.DeleteStream(t.Context(), id, false, by("OPS-3")); err != nil {
					t.Fatal(err)
				}
			}
			deeds := func(organization, id string) []toldEvent {
				return []toldEvent{
					{"audit_log_stream.paused", organization, "ada", id, "OPS-1"},
					{"audit_log_stream.resumed", organization, "ada", id, ""},
					{"audit_log_stream.skipped", organization, "ada", id, "OPS-2"},
					{"audit_log_stream.deleted", organization, "ada", id, "deleted. OPS-3"},
				}
			}
			want := deeds(acme, "acme")
			if operators != "" {
				want = append(want, deeds(operators, "everything")...)
			}
			got := s.told()
			slices.SortStableFunc(got, func(a, b toldEvent) int { return compare(a.Stream, b.Stream) })
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Whoever loses the race for a version, or is fenced and begins again, tells nothing twice.
func TestAChangeHasOneEventHoweverManyTry(t *testing.T) {
	s := newSite(t)
	s.there()
	cfg := s.config(acmeStream)
	p := run(t, Delivery{Config: cfg})
	p.logged("partition taken")
	p.end()
	c := s.control(cfg)
	now, err := c.Stream(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	var at sync.WaitGroup
	for range 4 {
		at.Go(func() {
			_, _ = c.PauseStream(t.Context(), "acme", admin.Change{By: "ada", If: now.Version}) // one of them wins
		})
	}
	at.Wait()
	if got := s.told(); len(got) != 1 {
		t.Errorf("%d events: %+v", len(got), got)
	}
}
