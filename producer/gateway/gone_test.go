package gateway

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A caller that hangs up does not call its event back, and what became of it is on record.
func TestACallerThatHangsUp(t *testing.T) {
	left := make(chan struct{})
	d := newDesk(t, func(c *Config) { c.Keys = watching{c.Keys, left} })
	d.topic.hold, d.topic.begun = make(chan struct{}), make(chan struct{}, 1)
	ctx, hangUp := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.url+"/audit_logs/events", strings.NewReader(event(acme, "a")))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer all")
	req.Header.Set("Content-Type", "application/json")
	over := make(chan error, 1)
	go func() {
		answer, err := http.DefaultClient.Do(req)
		if err == nil {
			err = answer.Body.Close()
		}
		over <- err
	}()
	<-d.topic.begun
	hangUp()
	if err := <-over; err == nil {
		t.Fatal("there was an answer")
	}
	<-left // the server has noticed
	close(d.topic.hold)
	deadline := time.After(30 * time.Second)
	for d.figure("auditstream_gateway_abandoned_events_total", "outcome", outcomeAccepted) != 1 {
		select {
		case <-deadline:
			t.Fatal("the event whose caller has gone is not on record")
		case <-time.After(time.Millisecond):
		}
	}
	if n := len(d.topic.ids()); n != 1 {
		t.Errorf("%d events published, want the one", n)
	}
}

// watching tells when the connection of a request that it has seen is gone.
type watching struct {
	Keys
	left chan struct{}
}

func (w watching) Authenticate(r *http.Request) (Caller, error) {
	context.AfterFunc(r.Context(), func() { close(w.left) })
	return w.Keys.Authenticate(r)
}
