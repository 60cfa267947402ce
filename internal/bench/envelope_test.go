package bench

import (
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/auditstream/auditstream/internal/secret"
	"github.com/auditstream/auditstream/schema"
	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/splunk"
)

// The floor would not be one if it sent less.
func TestFloorSendsTheBytesThatTheSplunkSinkSends(t *testing.T) {
	kind := splunk.Kind()
	settings, ok := kind.Defaults().(*splunk.Settings)
	if !ok {
		t.Fatalf("the settings are a %T", kind.Defaults())
	}
	settings.URL, settings.Token = "http://127.0.0.1:8088", secret.Ref{Env: "HEC_TOKEN"}
	sink, err := kind.Open(settings, sinks.Options{Log: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close() //nolint:errcheck // nothing was sent
	var floor envelope
	// A second before midnight, so that the day changes.
	g := NewGenerator(GeneratorConfig{Seed: 1, Organizations: 3, Start: time.Date(2026, 2, 28, 23, 59, 59, 0, time.UTC)})
	for range 1000 {
		value, _ := g.Event(nil)
		var f schema.Fields
		if err := schema.Scan(value, &f); err != nil {
			t.Fatal(err)
		}
		want, err := sink.Frame(nil, &sinks.Event{
			Value: value, ID: f.ID, OrganizationID: f.OrganizationID, Action: f.Action, OccurredAt: f.OccurredAt,
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := floor.append(nil, value, f.OccurredAt); string(got) != string(want) {
			t.Fatalf("the floor sends\n%s\nand the sink\n%s", got, want)
		}
	}
}
