package producer_test

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/auditstream/auditstream/producer"
	"github.com/auditstream/auditstream/schema"
	"github.com/auditstream/auditstream/schema/catalogue"
)

// encoded is an event as its producer's Validator has encoded it.
func encoded(t *testing.T, e *schema.Event) *schema.Encoded {
	t.Helper()
	var v schema.Validator
	x, violations := v.Encoded(e)
	if violations != nil {
		t.Fatal(violations)
	}
	return x
}

// TestEncodedEventsOfTheCatalogueArriveAsPublishedOnes publishes every event of the catalogue in
// both ways: the records are the same, byte by byte.
func TestEncodedEventsOfTheCatalogueArriveAsPublishedOnes(t *testing.T) {
	known, err := catalogue.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	k := startKafka(t)
	p := newProducer(t, to(k))
	want, published := map[string]string{}, 0
	for _, family := range known.Families() {
		for _, action := range family.Actions {
			e, err := catalogue.Example(action)
			if err != nil {
				t.Fatal(err)
			}
			e.OrganizationID, e.ID = orgID(1), ""
			x := encoded(t, e)
			if err := p.PublishEncoded(t.Context(), x); err != nil {
				t.Fatalf("%s: %v", action.Name, err)
			}
			if e.ID == "" || e.ID != x.ID() {
				t.Fatalf("%s: published with id %q, the event has %q", action.Name, x.ID(), e.ID)
			}
			if err := p.Publish(t.Context(), e); err != nil {
				t.Fatalf("%s: %v", action.Name, err)
			}
			want[e.ID], published = action.Name, published+1
		}
	}
	first := map[string]string{}
	var v schema.Validator
	got := records(t, k)
	for _, r := range got {
		var f schema.Fields
		if err := schema.Scan(r.Value, &f); err != nil {
			t.Fatal(err)
		}
		if violations := v.Check(r.Value); violations != nil {
			t.Errorf("%s: %v", f.Action, violations)
		}
		text := string(r.Key) + " " + string(r.Value)
		for _, h := range r.Headers {
			text += " " + h.Key + "=" + string(h.Value)
		}
		if other, ok := first[string(f.ID)]; ok && other != text {
			t.Errorf("%s: the records are\n%s\nand\n%s", f.Action, other, text)
		}
		first[string(f.ID)] = text
		if want[string(f.ID)] != string(f.Action) {
			t.Errorf("%s has id %s", f.Action, f.ID)
		}
	}
	if len(got) != 2*published || len(first) != published || published < 180 {
		t.Errorf("%d records of %d events, %d were published", len(got), len(first), published)
	}
}

func TestEncodedEventsAreCheckedByOtherRules(t *testing.T) {
	k := startKafka(t)
	refusing := func(change func(*producer.Config)) *producer.Client {
		c := to(k)
		change(&c)
		return newProducer(t, c)
	}
	optional := schema.Validator{OrganizationOptional: true}
	anonymous := event(1)
	anonymous.OrganizationID = ""
	nobodys, violations := optional.Encoded(anonymous)
	if violations != nil {
		t.Fatal(violations)
	}
	cases := map[string]struct {
		client *producer.Client
		event  *schema.Encoded
		says   string
	}{
		"another pattern": {refusing(func(c *producer.Config) {
			c.Validator.OrganizationPattern = regexp.MustCompile("^tenant_")
		}), encoded(t, event(1)), "/organization_id"},
		"fewer bytes": {refusing(func(c *producer.Config) { c.Validator.MaxBytes = 100 }), encoded(t, event(1)), "too_large"},
		"a check of its own": {refusing(func(c *producer.Config) {
			c.Check = func(e *schema.Event) schema.Violations {
				return schema.Violations{{Pointer: "/action", Code: "unwanted", Message: e.Action}}
			}
		}), encoded(t, event(1)), "unwanted: user.signed_in"},
		"no organization": {refusing(func(*producer.Config) {}), nobodys, "/organization_id"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			err := c.client.PublishEncoded(t.Context(), c.event)
			failed, ok := errors.AsType[*producer.PublishError](err)
			if !ok || len(failed.Failed) != 1 {
				t.Fatalf("%v", err)
			}
			if _, ok := errors.AsType[schema.Violations](failed.Failed[0].Err); !ok || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v", err)
			}
		})
	}
	if got := records(t, k); len(got) != 0 {
		t.Errorf("%d records", len(got))
	}
}

// TestKeyOfAnEncodedEventIsThatOfItsBytes changes the event behind the back of what was encoded:
// a record whose key is another organization's would go to that one.
func TestKeyOfAnEncodedEventIsThatOfItsBytes(t *testing.T) {
	k := startKafka(t)
	p := newProducer(t, to(k))
	e := event(1)
	x := encoded(t, e)
	e.OrganizationID = orgID(2)
	if err := p.PublishEncoded(t.Context(), x); err != nil {
		t.Fatal(err)
	}
	var f schema.Fields
	r := records(t, k)[0]
	if err := schema.Scan(r.Value, &f); err != nil || string(r.Key) != orgID(1) || string(f.OrganizationID) != orgID(1) {
		t.Errorf("key %s, event of %s, %v", r.Key, f.OrganizationID, err)
	}
}

// plain takes events only.
type plain struct{ got []*schema.Event }

func (p *plain) Publish(_ context.Context, events ...*schema.Event) error {
	p.got = append(p.got, events...)
	return nil
}

func TestEncodedEventsReachThoseWhoTakePlainOnes(t *testing.T) {
	var p plain
	e := event(1)
	if err := producer.PublishEncoded(t.Context(), &p, encoded(t, e)); err != nil || len(p.got) != 1 || p.got[0] != e {
		t.Errorf("%v, %v", p.got, err)
	}
}
