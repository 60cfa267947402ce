package app

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
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
