package app

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

func TestReadinessFollowsKafka(t *testing.T) {
	s := newSite(t)
	s.there()
	p := run(t, Delivery{Config: s.config(oneStream)})
	answers := func(status int, part string) func() bool {
		return func() bool {
			got, body := p.get("/readyz")
			return got == status && strings.Contains(body, part)
		}
	}
	eventually(t, "ready", answers(http.StatusOK, "ready"))
	s.away()
	eventually(t, "not ready, and why", answers(http.StatusServiceUnavailable, "connection refused"))
	if status, _ := p.get("/healthz"); status != http.StatusOK {
		t.Errorf("/healthz answers %d, want 200: the process itself is well", status)
	}
	s.there()
	eventually(t, "ready again", answers(http.StatusOK, "ready"))
	s.publish(0)
	s.delivered(30)
}

func TestKafkaIsGoneOnlyAfterAWhileAndThereAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := errors.New("connection refused")
		var p pulse
		steps := []struct {
			after time.Duration
			err   error
			gone  string
		}{
			{0, nil, ""},
			{2 * time.Second, refused, ""},
			{6 * time.Second, refused, ""},
			{time.Second, nil, ""}, // a broker that restarted
			{time.Second, refused, ""},
			{9 * time.Second, refused, ""},
			{time.Second, errors.New("no answer"), "waiting for Kafka for 10s: no answer"},
			{time.Minute, refused, "waiting for Kafka for 1m10s: connection refused"},
			{time.Second, nil, ""},
			{time.Second, refused, ""},
		}
		for i, step := range steps {
			<-time.After(step.after)
			p.note(step.err, time.Now())
			got := ""
			if err := p.gone(); err != nil {
				got = err.Error()
			}
			if got != step.gone {
				t.Errorf("step %d: %q, want %q", i, got, step.gone)
			}
		}
	})
}

// A gateway is ready while an event can be acknowledged by all in-sync replicas.
func TestAGatewayIsNotReadyWhenKafkaRefusesWrites(t *testing.T) {
	s := newSite(t)
	s.there()
	admin := kadm.NewClient(s.client())
	s.gateway().ready()
	ask := (&writable{}).ask
	if err := ask(t.Context(), admin, "audit.events"); err != nil {
		t.Fatal(err)
	}
	two := "2" // and there is one broker
	altered, err := admin.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Name: "min.insync.replicas", Value: &two}}, "audit.events")
	if err == nil {
		_, err = altered.On("audit.events", func(r *kadm.AlterConfigsResponse) error { return r.Err })
	}
	if err != nil {
		t.Fatal(err)
	}
	w := &writable{}
	err = w.ask(t.Context(), admin, "audit.events")
	if !errors.Is(err, kerr.NotEnoughReplicas) || !strings.Contains(err.Error(), "no partition has more than 1 in-sync replicas, and min.insync.replicas is 2") {
		t.Errorf("%v", err)
	}
	if err := served(t.Context(), admin, "audit.events"); err != nil {
		t.Errorf("it can be read all the same: %v", err)
	}
	// What has changed is seen after a while; what Kafka does not tell stands in nobody's way.
	w.least, w.asked = 1, time.Now()
	if err := w.ask(t.Context(), admin, "audit.events"); err != nil {
		t.Errorf("%v", err)
	}
	w.asked = time.Now().Add(-2 * leastFor)
	if err := w.ask(t.Context(), admin, "audit.events"); !errors.Is(err, kerr.NotEnoughReplicas) {
		t.Errorf("%v", err)
	}
	if err := w.ask(t.Context(), admin, "audit.nothing"); !errors.Is(err, kerr.UnknownTopicOrPartition) {
		t.Errorf("%v", err)
	}

	// Whoever asks for readiness is told why.
	var health pulse
	health.note(err, time.Now().Add(-pulseGone))
	if err := health.gone(); err == nil || !strings.Contains(err.Error(), "min.insync.replicas is 2") {
		t.Errorf("%v", err)
	}
}
