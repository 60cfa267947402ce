package app

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/auditstream/auditstream/config"
)

// signedIn is a request's body, of an event that is known by n.
func signedIn(n string) string {
	return `{"organization_id":"org_01JAAAAAAAAAAAAAAAAAAAAAAA","event":{"action":"user.signed_in","occurred_at":"2026-11-22T10:00:00Z",` +
		`"actor":{"type":"user","id":"` + n + `"},"targets":[]}}`
}

// A repeat is answered as the first was, by the same gateway, by another one, and after a
// restart; and it is published once.
func TestARepeatedRequestIsPublishedOnce(t *testing.T) {
	s := newSite(t)
	s.there()
	a, b := s.gateway(), s.gateway()
	a.ready()
	b.ready()
	status, first := a.ask("POST", "/audit_logs/events", signedIn("1"))
	if status != http.StatusOK {
		t.Fatalf("answered %d %s", status, first)
	}
	if status, again := a.ask("POST", "/audit_logs/events", signedIn("1")); status != http.StatusOK || again != first {
		t.Errorf("the repeat is answered %d %s, want %s", status, again, first)
	}
	// b learns of it in a moment.
	eventually(t, "the other gateway to have read the note", func() bool {
		_, figures := b.get("/metrics")
		return strings.Contains(figures, `auditstream_idempotency_entries 1`)
	})
	b.ask("POST", "/audit_logs/events", signedIn("1"))
	a.end()
	b.end()
	c := s.gateway()
	c.ready()
	if status, again := c.ask("POST", "/audit_logs/events", signedIn("1")); status != http.StatusOK || again != first {
		t.Errorf("after a restart: %d %s, want %s", status, again, first)
	}
	if n := len(s.published()); n != 1 {
		t.Errorf("%d events in Kafka, want one", n)
	}
}

// With a spool the gateway starts without Kafka, and takes events; they are in Kafka as soon
// as that is there.
func TestASpoolTakesEventsBeforeKafkaIsThere(t *testing.T) {
	s := newSite(t)
	dir := filepath.Join(t.TempDir(), "spool")
	spool := func(c *config.Config) { c.Gateway.Spool.Dir, c.Gateway.Spool.After = dir, c.Gateway.Spool.After/10 }
	d := s.gateway(spool)
	for _, n := range []string{"1", "2", "3"} {
		if status, body := d.ask("POST", "/audit_logs/events", signedIn(n)); status != http.StatusOK {
			t.Fatalf("answered %d %s", status, body)
		}
	}
	d.end() // and what is on disk is there after a restart
	d = s.gateway(spool)
	if status, body := d.ask("POST", "/audit_logs/events", signedIn("4")); status != http.StatusOK {
		t.Fatalf("answered %d %s", status, body)
	}
	if _, figures := d.get("/metrics"); !strings.Contains(figures, "auditstream_spool_events 4") {
		t.Error("the metrics do not show four events on disk")
	}
	s.there()
	d.ready()
	eventually(t, "the events in Kafka", func() bool { return len(s.published()) == 4 })
	for i, r := range s.published() {
		if want := `"actor":{"id":"` + string(rune('1'+i)) + `"`; !strings.Contains(string(r.Value), want) {
			t.Errorf("event %d is %s", i, r.Value)
		}
	}
}

// Schemas that are registered in Kafka may let events through that the binary's own refuse:
// without Kafka nobody knows, and a refusal would lose the event.
func TestASpoolDoesNotGuessAtSchemas(t *testing.T) {
	s := newSite(t)
	d := s.gateway(func(c *config.Config) {
		c.Gateway.Spool.Dir, c.Events.Check = filepath.Join(t.TempDir(), "spool"), config.CheckSchema
	})
	if status, body := d.ask("POST", "/audit_logs/events", signedIn("1")); status != http.StatusServiceUnavailable {
		t.Errorf("answered %d %s", status, body)
	}
}

func TestASpoolThatAnotherProcessUses(t *testing.T) {
	s := newSite(t)
	s.there()
	dir := filepath.Join(t.TempDir(), "spool")
	spool := func(c *config.Config) { c.Gateway.Spool.Dir = dir }
	s.gateway(spool).ready()
	err := s.gateway(spool).wait()
	if err == nil || !strings.Contains(err.Error(), "gateway.spool.dir: spool: another process uses "+dir) {
		t.Errorf("the second one: %v", err)
	}
}
